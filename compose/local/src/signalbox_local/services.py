"""Signalbox's own services as processes of the stack, each below a supervisor."""

import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from signalbox_local import folders, probe, supervisor
from signalbox_local.ports import PortBook, is_free
from signalbox_local.process import Lifetime, ServerProcess

READY_SECONDS = 120.0  # 5 to 10 on a machine with nothing else to do; one with wrong settings ends at once
STOP_SECONDS = 20.0
"""A service drains for up to 15 s."""
KEPT_VARIABLES = ("PATH", "HOME", "LANG", "TZ", "TMPDIR", "PYTHONPATH")
ENGINE_VARIABLES = frozenset({
    "AIRFLOW_URL", "AIRFLOW_USERNAME", "AIRFLOW_PASSWORD", "FLINK_JOBMANAGER_URL", "DATA_PROCESSOR_URL",
    "K8S_CONFIG_PATH", "K8S_NAMESPACE", "K8S_MAX_PARALLEL_WORKERS", "KUBERNETES_NODE_SELECTOR",
})  # fmt: skip
"""The names without a prefix that name the default engines."""


class SupervisedService:
    """One service. A second object on the same folder is safe: specification, ports and pid file lie there."""

    def __init__(
        self,
        folder: Path,
        name: str,
        *,
        life: Lifetime,
        ports: Sequence[str] = ("http",),
        fixed: Mapping[str, int] | None = None,
        preferred: Mapping[str, int] | None = None,
    ) -> None:
        self.folder = folder.absolute()
        self.name = name
        self.life = life
        self.port_names = ports
        self.process = ServerProcess(self.folder, name, stop_signal=signal.SIGTERM, stop_seconds=STOP_SECONDS + 5)
        self.book = PortBook(self.folder / "ports.json", fixed)
        self.preferred = dict(preferred or {})
        """Ports to take at the first start if they are free."""
        self.changed: list[str] = []
        self.spec: supervisor.ProcessSpec | None = None
        self.paths: dict[str, str] = {"http": "/readyz"}
        """Port's name → the path that answers 200 when the service is ready."""

    def settle(self) -> None:
        """Choose the ports before anything uses them. A service that runs keeps its own."""
        folders.make(self.folder)
        missing = [name for name in self.port_names if name not in self.book.ports]
        free = {name: port for name, port in self.preferred.items() if name in missing and is_free(port)}
        self.book.ports.update(free)
        if not self.running() or missing:
            self.changed += self.book.settle(*(self.port_names if not self.running() else missing))

    def url(self, port: str) -> str:
        return f"http://127.0.0.1:{self.book[port]}"

    def running(self) -> bool:
        return self.process.running() is not None

    @property
    def expected(self) -> bool:
        """Whether `up` has started it here, so that `status` shows it."""
        return (self.folder / supervisor.SPEC_FILE).exists()

    @property
    def child(self) -> int | None:
        """The service itself, below its supervisor."""
        return supervisor.child_of(self.folder).get("pid") if self.running() else None

    @property
    def starts(self) -> int:
        """How often this supervisor started it."""
        return int(supervisor.child_of(self.folder).get("starts", 0)) if self.running() else 0

    def healthy(self) -> bool:
        return self.running() and all(probe.http(self.url(port) + path) for port, path in self.paths.items())

    def configure(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Set what to run. A service that runs with another command or other settings is stopped first."""
        self.spec = supervisor.ProcessSpec(
            self.name, list(command), {**outside(os.environ), **environment}, STOP_SECONDS
        )
        running = supervisor.read_spec(self.folder)
        if self.running() and (running is None or _relevant(running) != _relevant(self.spec)):
            self.changed.append(f"{self.name} is restarted: its settings changed")
            self.process.stop()

    def launch(self) -> None:
        """Start its supervisor without waiting, unless it runs."""
        if self.running():
            return
        assert self.spec is not None, "configure first"
        self.spec.write(self.folder)
        (self.folder / supervisor.CHILD_FILE).unlink(missing_ok=True)
        self.process.start([sys.executable, "-m", "signalbox_local.supervisor", str(self.folder)], life=self.life)

    def wait_ready(self, seconds: float = READY_SECONDS, *, look: Callable[[], None] = lambda: None) -> None:
        """Wait until it answers, with a look at what it stands on meanwhile. Raises ServerNotReady."""

        def answers() -> bool:
            look()
            return self.healthy()

        self.process.wait_ready(answers, seconds=seconds)

    def restart_with(self, once: Mapping[str, str]) -> None:
        """End the service. Its supervisor starts it again, once with more variables (for example a crash point)."""
        supervisor.set_next_start_variables(self.folder, once)
        child = self.child
        if child is not None:
            os.kill(child, signal.SIGTERM)


def _relevant(spec: supervisor.ProcessSpec) -> tuple[list[str], dict[str, str]]:
    """The parts of a specification whose change needs a restart: not the caller's surroundings."""
    return list(spec.command), {name: value for name, value in spec.environment.items() if name not in KEPT_VARIABLES}


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
        or name in ENGINE_VARIABLES
    }
