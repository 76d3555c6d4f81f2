"""Signalbox's own services as processes of the stack, each under a keeper."""

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from signalbox_local import folders, probe, supervisor
from signalbox_local.ports import PortBook, is_free
from signalbox_local.process import Lifetime, ServerProcess

READY_SECONDS = 60.0
STOP_SECONDS = 20.0
"""A service drains for up to 15 s."""
API_PORT = 8000
"""Where the API listens when the port is free at the first start, and none is insisted on."""
KEPT_VARIABLES = ("PATH", "HOME", "LANG", "TZ", "TMPDIR", "PYTHONPATH")


class KeptService:
    """One service. Safe to make again on the same folder: its order, ports and pid file lie there."""

    def __init__(
        self,
        folder: Path,
        name: str,
        *,
        life: Lifetime,
        ports: Sequence[str] = ("http",),
        fixed: Mapping[str, int] | None = None,
    ) -> None:
        self.folder = folder.absolute()
        self.name = name
        self.life = life
        self.port_names = ports
        self.process = ServerProcess(self.folder, name, stop_signal=signal.SIGTERM, stop_seconds=STOP_SECONDS + 5)
        self.book = PortBook(self.folder / "ports.json", fixed)
        self.changed: list[str] = []
        self.order: supervisor.Order | None = None
        self.paths: dict[str, str] = {"http": "/readyz"}
        """Port's name → the path that answers 200 when the service is ready."""

    def settle(self) -> None:
        """Choose the ports, before anything is told of them. A service that runs keeps its own."""
        folders.make(self.folder)
        missing = [name for name in self.port_names if name not in self.book.ports]
        if "api" in missing and is_free(API_PORT):
            self.book.ports["api"] = API_PORT
        if not self.running() or missing:
            self.changed += self.book.settle(*(self.port_names if not self.running() else missing))

    def url(self, port: str) -> str:
        return f"http://127.0.0.1:{self.book[port]}"

    def running(self) -> bool:
        return self.process.running() is not None

    @property
    def expected(self) -> bool:
        """Whether `up` once started it here, so that `status` has something to say of it."""
        return (self.folder / supervisor.ORDER).exists()

    @property
    def child(self) -> int | None:
        """The service itself, below its keeper."""
        return supervisor.child_of(self.folder).get("pid") if self.running() else None

    @property
    def starts(self) -> int:
        """How often this keeper started it."""
        return int(supervisor.child_of(self.folder).get("starts", 0)) if self.running() else 0

    def healthy(self) -> bool:
        return self.running() and all(probe.http(self.url(port) + path) for port, path in self.paths.items())

    def told(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """What to run. One that runs with another command or other settings is stopped: `launch` starts it anew."""
        self.order = supervisor.Order(self.name, list(command), {**outside(os.environ), **environment}, STOP_SECONDS)
        before = supervisor.read_order(self.folder)
        if self.running() and (before is None or _told(before) != _told(self.order)):
            self.changed.append(f"{self.name} is started again: its settings changed")
            self.process.stop()

    def launch(self) -> None:
        """Start its keeper without waiting, unless it runs."""
        if self.running():
            return
        assert self.order is not None, "told first"
        self.order.write(self.folder)
        (self.folder / supervisor.CHILD).unlink(missing_ok=True)
        self.process.start([sys.executable, "-m", "signalbox_local.supervisor", str(self.folder)], life=self.life)

    def wait_ready(self, seconds: float = READY_SECONDS) -> None:
        """Wait until it answers. Raises ServerNotReady."""
        self.process.wait_ready(self.healthy, seconds=seconds)

    def restart_with(self, once: Mapping[str, str]) -> None:
        """End the service; its keeper starts it again, this one time with more variables (a crash point, say)."""
        supervisor.leave_once(self.folder, once)
        child = self.child
        if child is not None:
            os.kill(child, signal.SIGTERM)


def _told(order: supervisor.Order) -> tuple[list[str], dict[str, str]]:
    """What makes a difference: not where the terminal stood that started it."""
    return list(order.command), {name: value for name, value in order.environment.items() if name not in KEPT_VARIABLES}


def outside(environment: Mapping[str, str]) -> dict[str, str]:
    """What every program needs of the caller's surroundings."""
    return {name: environment[name] for name in KEPT_VARIABLES if name in environment}


def pass_on(environment: Mapping[str, str], ours: Sequence[str]) -> dict[str, str]:
    """The settings in the caller's environment that services take, without those of the stack itself."""
    return {
        name: value
        for name, value in environment.items()
        if (name.startswith("SIGNALBOX_") and name not in ours and not name.startswith("SIGNALBOX_LOCAL"))
        or name.startswith("AWS_")
    }
