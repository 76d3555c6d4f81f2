"""A real HDFS, one NameNode and one DataNode as private processes, and its WebHDFS."""

import fcntl
import getpass
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from hashlib import sha256
from http.client import HTTPMessage
from pathlib import Path
from typing import IO, Any, Final, Self
from urllib.parse import quote, urlencode

from engines.oozie.assembly import FETCH_SECONDS, java_home, why_not

POM: Final = Path(__file__).parent / "hdfs" / "pom.xml"
START_SECONDS: Final = 120
_NODES: Final = ("server.namenode.NameNode", "server.datanode.DataNode")
_LOGGING: Final = """log4j.rootLogger=INFO,A
log4j.appender.A=org.apache.log4j.ConsoleAppender
log4j.appender.A.layout=org.apache.log4j.PatternLayout
log4j.appender.A.layout.ConversionPattern=%d %p %c: %m%n
"""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """The NameNode redirects writes to a DataNode: the caller sends the data there."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        return None


def fetched() -> Path:
    """The jars, kept in the user's cache: 90 MB."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "signalbox"
    target = cache / f"hdfs-3.3.6-{sha256(POM.read_bytes()).hexdigest()[:12]}"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "hdfs.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.is_dir():
            draft = cache / f".hdfs-{os.getpid()}"
            shutil.rmtree(draft, ignore_errors=True)
            command = ("mvn", "-B", "-q", "-f", str(POM), "dependency:copy", f"-DoutputDirectory={draft}")
            done = subprocess.run(command, capture_output=True, text=True, timeout=FETCH_SECONDS, check=False)
            assert done.returncode == 0, (done.stdout + done.stderr)[-2000:]
            draft.rename(target)
    return target


@dataclass
class HdfsCluster:
    """The cluster in a folder of its own. `user` is whoever runs the tests, HDFS's superuser."""

    folder: Path
    rpc_port: int
    http_port: int
    user: str = field(default_factory=getpass.getuser)
    _processes: "list[subprocess.Popen[bytes]]" = field(default_factory=list["subprocess.Popen[bytes]"])

    @classmethod
    def in_folder(cls, folder: Path) -> Self:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            second.bind(("127.0.0.1", 0))
            return cls(folder.resolve(), first.getsockname()[1], second.getsockname()[1])

    @property
    def url(self) -> str:
        """Where WebHDFS answers."""
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def root(self) -> str:
        """The URI of the file system."""
        return f"hdfs://127.0.0.1:{self.rpc_port}"

    def start(self) -> None:
        """Format it, start both nodes and wait until a file can be written."""
        assert not why_not(), why_not()
        conf = self.folder / "conf"
        conf.mkdir(parents=True)
        (conf / "log4j.properties").write_text(_LOGGING)
        site = {
            "fs.defaultFS": f"hdfs://127.0.0.1:{self.rpc_port}",
            "hadoop.tmp.dir": str(self.folder / "data"),
            f"hadoop.proxyuser.{self.user}.hosts": "*",
            f"hadoop.proxyuser.{self.user}.groups": "*",
            "dfs.namenode.http-address": f"127.0.0.1:{self.http_port}",
            "dfs.replication": "1",
            "dfs.namenode.safemode.extension": "0",
            "dfs.datanode.address": "127.0.0.1:0",
            "dfs.datanode.http.address": "127.0.0.1:0",
            "dfs.datanode.ipc.address": "127.0.0.1:0",
            "dfs.datanode.hostname": "127.0.0.1",
        }
        parts = "".join(
            f"<property><name>{name}</name><value>{value}</value></property>" for name, value in site.items()
        )
        for name in ("core-site.xml", "hdfs-site.xml"):
            (conf / name).write_text(f"<configuration>{parts}</configuration>")
        done = subprocess.run([*self._java(_NODES[0]), "-format", "-nonInteractive"], capture_output=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        for node in _NODES:
            with (self.folder / f"{node}.out").open("wb") as out:
                self._processes.append(subprocess.Popen(self._java(node), stdout=out, stderr=out))
        self._wait()

    def stop(self) -> None:
        while self._processes:
            process = self._processes.pop()
            process.kill()
            process.wait(timeout=60)

    def write(self, path: str, content: bytes) -> None:
        """A file, as the superuser."""
        status, place = self.call("PUT", path, "CREATE", overwrite="true")
        assert status == 307, (status, place)
        request = urllib.request.Request(place, method="PUT", data=content)
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert answer.status == 201

    def exists(self, path: str) -> bool:
        return self.call("GET", path, "GETFILESTATUS")[0] == 200

    def safe_mode(self, action: str) -> None:
        """`enter` or `leave`: while it lasts nothing can be written."""
        command = [*self._java("tools.DFSAdmin"), "-safemode", action]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, (done.stdout + done.stderr)[-2000:]

    def call(self, method: str, path: str, operation: str, **query: str) -> tuple[int, str]:
        """Status, and the answer or where it redirects to."""
        named = urlencode({"op": operation, "user.name": self.user, **query})
        request = urllib.request.Request(f"{self.url}/webhdfs/v1{quote(path)}?{named}", method=method)
        opener: Any = urllib.request.build_opener(_NoRedirect)
        try:
            with opener.open(request, timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.headers.get("Location") or error.read().decode(errors="replace")

    def _wait(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            assert time.monotonic() < deadline, f"HDFS did not start in {START_SECONDS} s, see {self.folder}"
            assert all(process.poll() is None for process in self._processes), f"a node ended, see {self.folder}"
            try:
                self.write("/ready", b"1")
            except (OSError, AssertionError):
                time.sleep(0.3)
            else:
                return

    def _java(self, program: str) -> list[str]:
        home = java_home()
        assert home is not None
        opens = [word for name in ("lang", "util") for word in ("--add-opens", f"java.base/java.{name}=ALL-UNNAMED")]
        return [
            str(home / "bin" / "java"), "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", *opens,
            "-cp", f"{self.folder / 'conf'}:{fetched()}/*",
            f"org.apache.hadoop.hdfs.{program}",
        ]  # fmt: skip
