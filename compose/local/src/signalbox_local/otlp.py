"""The trace receiver as a process of the stack."""

import shutil
import signal
import sys
from pathlib import Path
from typing import Self

from signalbox_local import folders, probe
from signalbox_local.ports import PortBook
from signalbox_local.process import OWNED, Life, ServerProcess

READY_SECONDS = 20.0
STOP_SECONDS = 5.0


class OtlpReceiver:
    """The receiver as a process. Its spans survive stop and kill."""

    def __init__(self, folder: Path, *, life: Life = OWNED, port: int | None = None) -> None:
        self.folder = folder.absolute()
        self.life = life
        self.process = ServerProcess(self.folder, "otlp", stop_signal=signal.SIGTERM, stop_seconds=STOP_SECONDS)
        self.book = PortBook(self.folder / "ports.json", {"otlp": port} if port else {})
        self.changed: list[str] = []

    @property
    def port(self) -> int:
        return self.book["otlp"]

    @property
    def endpoint(self) -> str:
        """http://127.0.0.1:port, for OTEL_EXPORTER_OTLP_ENDPOINT; known once `start` was called."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int | None:
        return self.process.pid

    @property
    def log(self) -> Path:
        return self.process.log

    def running(self) -> bool:
        return self.process.running() is not None

    def healthy(self) -> bool:
        return self.running() and probe.http(f"{self.endpoint}/healthz")

    def launch(self) -> None:
        """Start without waiting. Raises PortTaken."""
        if self.running():
            return
        folders.make(self.folder)
        self.changed += self.book.settle("otlp")
        command = [sys.executable, "-m", "signalbox_local.receiver", str(self.folder / "traces.db"), str(self.port)]
        self.process.start(command, life=self.life)

    def start(self) -> Self:
        """Start unless it runs, and wait until it answers. Raises PortTaken, ServerNotReady."""
        self.launch()
        self.wait_ready()
        return self

    def wait_ready(self, seconds: float = READY_SECONDS) -> None:
        """Wait until it answers. Raises ServerNotReady."""
        self.process.wait_ready(self.healthy, seconds=seconds)

    def stop(self) -> None:
        self.process.stop()

    def kill(self) -> None:
        self.process.kill()

    def freeze(self) -> None:
        self.process.freeze()

    def thaw(self) -> None:
        self.process.thaw()

    def discard(self) -> None:
        """Kill a throw-away receiver and remove its folder."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
