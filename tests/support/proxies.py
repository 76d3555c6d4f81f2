"""Links that a test can slow down and cut: Toxiproxy between a client and a server, where there is Go to build it with.

It is built once from the Go module proxy into the user's cache. Where that cannot be done nothing is between the two,
and `Links.missing` says why.
"""

import fcntl
import hashlib
import json
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any, Final
from urllib.request import Request, urlopen

from signalbox_local.ports import free_ports
from signalbox_local.process import OWNED, ServerProcess

MODULE: Final = "github.com/Shopify/toxiproxy/v2"
VERSION: Final = "v2.5.0"
BUILD_SECONDS: Final = 600
READY_SECONDS: Final = 10
CALL_SECONDS: Final = 10


class CannotBuild(Exception):
    """Why there is no Toxiproxy, in words for people."""


def toxiproxy(cache: Path) -> Path:
    """The program, built when it is missing or damaged (about a minute). Raises CannotBuild.

    Runs side by side build it once: the others wait for the lock.
    """
    folder = cache / f"toxiproxy-{VERSION}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        program, digest = folder / "toxiproxy-server", folder / "sha256"
        if not (program.exists() and digest.exists() and digest.read_text() == _digest(program)):
            _build(folder / "build", program)
            digest.write_text(_digest(program))
    return program


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _build(folder: Path, program: Path) -> None:
    go = shutil.which("go")
    if go is None:
        raise CannotBuild("there is no Go on this machine")
    folder.mkdir(exist_ok=True)
    # a module of our own that names the program's: its sums are checked, and nothing is written outside of `folder`
    (folder / "go.mod").write_text("module signalbox.dev/tools/toxiproxy\n\ngo 1.21\n")
    (folder / "tools.go").write_text(f'//go:build tools\n\npackage tools\n\nimport _ "{MODULE}/cmd/server"\n')
    draft = folder / "toxiproxy-server"
    _go(go, folder, "get", f"{MODULE}/cmd/server@{VERSION}")
    _go(go, folder, "build", "-mod=mod", "-trimpath", "-o", str(draft), f"{MODULE}/cmd/server")
    draft.replace(program)


def _go(go: str, folder: Path, *words: str) -> None:
    try:
        subprocess.run([go, *words], cwd=folder, capture_output=True, text=True, check=True, timeout=BUILD_SECONDS)
    except subprocess.CalledProcessError as failed:
        raise CannotBuild(f"go {words[0]} failed: {failed.stderr.strip()[-300:]}") from failed
    except subprocess.TimeoutExpired as slow:
        raise CannotBuild(f"go {words[0]} took longer than {BUILD_SECONDS} s") from slow


class Links:
    """All links of one stack, through one Toxiproxy. Without the program a link is no link: `port` is 0."""

    def __init__(self, folder: Path, cache: Path) -> None:
        self.missing = ""
        """Why nothing can be cut; empty when it can."""
        self._ports: dict[str, int] = {}
        self._folder = folder
        self._process = ServerProcess(folder, "toxiproxy", stop_signal=signal.SIGTERM, stop_seconds=5)
        self._program: Path | None = None
        self._api = 0
        try:
            self._program = toxiproxy(cache)
        except CannotBuild as error:
            self.missing = f"no Toxiproxy: {error}"

    def start(self) -> None:
        """Raises ServerNotReady."""
        if self._program is None:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._api,) = free_ports(1)
        self._process.start([str(self._program), "-host", "127.0.0.1", "-port", str(self._api)], life=OWNED)
        self._process.wait_ready(self._answers, seconds=READY_SECONDS)

    def stop(self) -> None:
        self._process.kill()

    def port(self, name: str) -> int:
        """Where clients connect instead; 0 when there is nothing between."""
        return self._ports.get(name, 0)

    def open(self, name: str, upstream: int) -> int:
        """A link to a server on loopback; its port, or 0."""
        if self._program is None:
            return 0
        if name not in self._ports:
            (port,) = free_ports(1)
            link = {"name": _path(name), "listen": f"127.0.0.1:{port}", "upstream": f"127.0.0.1:{upstream}"}
            self._call("POST", "/proxies", {**link, "enabled": True})
            self._ports[name] = port
        return self._ports[name]

    def delay(self, name: str, milliseconds: int) -> None:
        """Every answer comes later, and not always by the same."""
        self._toxic(name, "slow", "latency", {"latency": milliseconds, "jitter": milliseconds // 2})

    def close(self, name: str) -> None:
        """Break the connections; new ones are refused."""
        self._call("POST", f"/proxies/{_path(name)}", {"enabled": False})

    def silence(self, name: str) -> None:
        """Connections stay open, and nothing comes through any more."""
        for stream in ("upstream", "downstream"):
            self._toxic(name, f"silent-{stream}", "timeout", {"timeout": 0}, stream)

    def heal(self) -> None:
        """All links as they were."""
        if self._program is not None:
            self._call("POST", "/reset", None)

    def heal_one(self, name: str) -> None:
        """This link as it was."""
        for toxic in json.loads(self._call("GET", f"/proxies/{_path(name)}/toxics", None)):
            self._call("DELETE", f"/proxies/{_path(name)}/toxics/{toxic['name']}", None)
        self._call("POST", f"/proxies/{_path(name)}", {"enabled": True})

    def _toxic(self, name: str, toxic: str, type: str, attributes: dict[str, Any], stream: str = "downstream") -> None:
        values = {"name": toxic, "type": type, "stream": stream, "attributes": attributes}
        self._call("POST", f"/proxies/{_path(name)}/toxics", values)

    def _answers(self) -> bool:
        try:
            self._call("GET", "/version", None)
        except OSError:
            return False
        return True

    def _call(self, method: str, path: str, body: Any) -> bytes:
        data = None if body is None else json.dumps(body).encode()
        request = Request(f"http://127.0.0.1:{self._api}{path}", method=method, data=data)
        with urlopen(request, timeout=CALL_SECONDS) as answer:
            return answer.read()


def _path(name: str) -> str:
    return name.replace("/", "-")
