"""A real Oozie 5.2.1 server as a private process, and what tests do with it beside our engine."""

import asyncio
import shutil
import socket
import subprocess
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Self
from xml.sax.saxutils import escape

import aiohttp

from engines.oozie.assembly import SERVER_FILES, assemble, java_home
from support.deadlines import DeadlineExceeded

START_SECONDS: Final = 200
"""Alone it starts in a tenth of it; in CI it starts beside four other parts."""
_OPENS: Final = ("lang", "util", "net", "io")


@dataclass(frozen=True)
class OozieProcess:
    """One server in a folder of its own; its database is in memory unless `database` names files."""

    folder: Path
    port: int
    keeps_database: bool = False
    properties: Mapping[str, str] = field(default_factory=dict[str, str])
    """Settings of Oozie and of Java beside the tests' own."""
    _process: "list[subprocess.Popen[bytes]]" = field(default_factory=list["subprocess.Popen[bytes]"])

    @classmethod
    def in_folder(cls, folder: Path, *, keeps_database: bool = False) -> Self:
        folder.mkdir(parents=True, exist_ok=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        return cls(folder.resolve(), port, keeps_database)

    def with_properties(self, properties: Mapping[str, str]) -> Self:
        return replace(self, properties=properties)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/oozie"

    def start(self) -> None:
        """Start the server and wait until it answers."""
        for name in ("logs", "data", "tmp", "share/lib"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        shutil.copytree(SERVER_FILES / "conf", self.folder / "conf", dirs_exist_ok=True)
        with (self.folder / "server.out").open("ab") as out:
            self._process.append(subprocess.Popen(self._command(assemble()), stdout=out, stderr=out))
        if "oozie.authentication.type" not in self.properties:
            self._wait()
        else:
            self._wait(b"401")

    def kill(self) -> None:
        """As a power cut would."""
        process = self._process.pop()
        process.kill()
        process.wait(timeout=60)

    def stop(self) -> None:
        """A polite end takes the server up to half a minute, and nothing of a test's database is needed."""
        while self._process:
            self.kill()

    def _wait(self, good: bytes = b"200") -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            assert self._process[-1].poll() is None, f"Oozie ended:\n{self._words()}"
            if time.monotonic() > deadline:
                raise DeadlineExceeded(f"Oozie did not start in {START_SECONDS} s:\n{self._words()}")
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
                    connection.sendall(
                        b"GET /oozie/v1/admin/status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
                    )
                    if good in connection.recv(64):
                        return
            except OSError:
                pass
            time.sleep(0.1)

    def _words(self) -> str:
        return (self.folder / "server.out").read_text(errors="replace")[-3000:]

    def _command(self, files: Path) -> list[str]:
        home = java_home()
        assert home is not None
        database = (
            f"jdbc:hsqldb:file:{self.folder}/data/oozie" if self.keeps_database else f"jdbc:hsqldb:mem:o{self.port}"
        )
        conf = self.folder / "conf"
        properties = {
            "user.timezone": "UTC",
            "oozie.home.dir": self.folder,
            "oozie.config.dir": conf,
            "oozie.config.file": "oozie-site.xml",
            "oozie.log.dir": self.folder / "logs",
            "oozie.data.dir": self.folder / "data",
            "oozie.instance.id": "sb",
            "log4j.configuration": f"file:{conf}/oozie-log4j.properties",
            "oozie.log4j.file": "oozie-log4j.properties",
            "oozie.log4j.reload": 10,
            "hadoop.home.dir": self.folder,
            "java.io.tmpdir": self.folder / "tmp",
            "sb.home": self.folder,
            "sb.port": self.port,
            "sb.jdbc.driver": "org.hsqldb.jdbcDriver",
            "sb.jdbc.url": database,
            "sb.jdbc.user": "sa",
            "sb.jdbc.password": "",
            "oozie.http.hostname": "127.0.0.1",
            "oozie.http.port": self.port,
            **self.properties,
        }
        opens = [word for name in _OPENS for word in ("--add-opens", f"java.base/java.{name}=ALL-UNNAMED")]
        opens += ["--add-opens", "java.security.jgss/sun.security.krb5=ALL-UNNAMED"]
        return [
            str(home / "bin" / "java"), "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", *opens,
            *(f"-D{name}={value}" for name, value in properties.items()),
            "-cp", f"{conf}:{files}/classes:{files}/lib/*", str(SERVER_FILES / "StartOozie.java"),
        ]  # fmt: skip


@dataclass(frozen=True)
class Hands:
    """Somebody at Oozie's own REST API, beside our engine."""

    url: str
    user: str = "alice"

    async def call(self, method: str, path: str, properties: Mapping[str, str] | None = None, **query: str) -> Any:
        """The answer as JSON or text; fails the test on any other status than 200 and 201."""
        status, code, body = await self.try_call(method, path, properties, **query)
        assert status in (200, 201), f"{method} {path} {query}: {status} {code} {body}"
        return body

    async def try_call(
        self, method: str, path: str, properties: Mapping[str, str] | None = None, **query: str
    ) -> tuple[int, str, Any]:
        """Status, Oozie's error code and body."""
        data = None if properties is None else configuration(properties)
        named = {name.rstrip("_").replace("_", "-"): value for name, value in query.items()} | {"user.name": self.user}
        async with (
            aiohttp.ClientSession() as session,
            session.request(
                method, self.url + path, data=data, params=named, headers={"Content-Type": "application/xml"}
            ) as response,
        ):
            text = await response.text()
            code = response.headers.get("oozie-error-code", "")
            as_json = "json" in response.headers.get("Content-Type", "") and text
            return response.status, code, await response.json() if as_json else text

    async def info(self, id: str) -> Any:
        return await self.call("GET", f"/v2/job/{id}", show="info", len="1000")

    async def until(self, id: str, states: Collection[str], timeout_seconds: float = 90) -> Any:
        """Look until the job is in one of these states."""
        deadline = time.monotonic() + timeout_seconds
        while (info := await self.info(id))["status"] not in states:
            assert time.monotonic() < deadline, f"{id} is {info['status']}, not {' or '.join(states)}"
            await asyncio.sleep(0.1)
        return info


def configuration(properties: Mapping[str, str]) -> bytes:
    parts = "".join(
        f"<property><name>{escape(name)}</name><value>{escape(value)}</value></property>"
        for name, value in properties.items()
    )
    return f"<configuration>{parts}</configuration>".encode()
