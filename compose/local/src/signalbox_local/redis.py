"""Real Redis without persistence: what it holds may always be lost."""

import shutil
import signal
from pathlib import Path
from typing import Self

from signalbox_local import folders, probe
from signalbox_local.errors import ProgramMissing
from signalbox_local.ports import PortBook
from signalbox_local.process import OWNED, Life, ServerProcess
from signalbox_local.programs import Programs
from signalbox_local.secret import password_in, write_private
from signalbox_local.wheels import OWN_PROGRAM

READY_SECONDS = 20.0
STOP_SECONDS = 5.0


class RedisServer:
    """One Redis with a generated password. Empty after every start."""

    def __init__(
        self, folder: Path, *, life: Life = OWNED, programs: Programs | None = None, port: int | None = None
    ) -> None:
        self.folder = folder.absolute()
        self.life = life
        self.programs = programs or Programs()
        self.process = ServerProcess(self.folder, "redis", stop_signal=signal.SIGTERM, stop_seconds=STOP_SECONDS)
        self.book = PortBook(self.folder / "ports.json", {"redis": port} if port else {})
        self.changed: list[str] = []

    @property
    def port(self) -> int:
        return self.book["redis"]

    @property
    def url(self) -> str:
        """With the password; known once `start` was called."""
        return f"redis://:{(self.folder / 'password').read_text()}@127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int | None:
        return self.process.pid

    @property
    def log(self) -> Path:
        return self.process.log

    def running(self) -> bool:
        return self.process.running() is not None

    def healthy(self) -> bool:
        return self.running() and probe.redis(self.url)

    def launch(self) -> None:
        """Start the server without waiting. Raises what `start` does."""
        if self.running():
            return
        program = self.programs.redis()
        if program is None:
            raise ProgramMissing("there is no Redis for this machine", OWN_PROGRAM["redis"])
        folders.make(self.folder)
        self.changed += self.book.settle("redis")
        configuration = self.folder / "redis.conf"  # not on the command line, where everybody could read the password
        write_private(
            configuration,
            f"bind 127.0.0.1\nport {self.port}\nrequirepass {password_in(self.folder / 'password')}\n"
            'save ""\nappendonly no\ndaemonize no\n',
        )
        self.process.start([str(program), str(configuration)], life=self.life)

    def start(self) -> Self:
        """Start it unless it runs, and wait until it answers. Raises ProgramMissing, PortTaken, ServerNotReady."""
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
        """Kill a throw-away server and remove its folder."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
