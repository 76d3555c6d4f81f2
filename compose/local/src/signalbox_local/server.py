"""What every server of the stack has in common: one process, a folder, ports that are kept, a life with an end."""

import shutil
import signal
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar, Self

from signalbox_local.ports import PortBook
from signalbox_local.process import OWNED, Lifetime, ServerProcess
from signalbox_local.programs import Programs


class Server(ABC):
    """One server process whose data lies in `folder`. With the default `life` it dies with this process."""

    name: ClassVar[str]
    ready_seconds: ClassVar[float] = 20.0
    stop_seconds: ClassVar[float] = 5.0
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM

    def __init__(
        self, folder: Path, *, life: Lifetime = OWNED, programs: Programs | None = None, port: int | None = None
    ) -> None:
        self.folder = folder.absolute()
        self.life = life
        self.programs = programs or Programs()
        self.process = ServerProcess(
            self.folder, self.name, stop_signal=self.stop_signal, stop_seconds=self.stop_seconds
        )
        self.book = PortBook(self.folder / "ports.json", {self.name: port} if port else {})
        self.changed: list[str] = []
        """Ports that had to move, in words."""

    @abstractmethod
    def launch(self) -> None:
        """Start the server without waiting, unless it runs. Raises what `start` does."""

    @abstractmethod
    def healthy(self) -> bool:
        """Whether it runs and answers in its own protocol."""

    @property
    def port(self) -> int:
        return self.book[self.name]

    @property
    def pid(self) -> int | None:
        return self.process.pid

    @property
    def log(self) -> Path:
        return self.process.log

    def running(self) -> bool:
        return self.process.running() is not None

    def start(self) -> Self:
        """Start it unless it runs, and wait until it answers.

        Raises FetchFailed, ProgramMissing, SettingWrong, ForeignData, PortTaken, ServerNotReady.
        """
        self.launch()
        self.wait_ready()
        return self

    def wait_ready(self, seconds: float | None = None) -> None:
        """Wait until it answers. Raises ServerNotReady."""
        self.process.wait_ready(self.healthy, seconds=self.ready_seconds if seconds is None else seconds)

    def stop(self) -> None:
        """Ask it to end, then SIGKILL."""
        self.process.stop()

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()

    def freeze(self) -> None:
        """A hung server: connections stay open, nothing answers."""
        self.process.freeze()

    def thaw(self) -> None:
        self.process.thaw()

    def discard(self) -> None:
        """Kill a throw-away server and remove its folder."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
