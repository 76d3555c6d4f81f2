"""Starting supervisors: one lean process per engine that has all loaded and forks for each run.

A Python process of its own per run costs ten times as much. The starter keeps nothing: it ends with the executor, the
supervisors it made live on, and a start it did not answer is repeated like any lost submit.
"""

import asyncio
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import signalbox_chassis
import signalbox_contracts
import signalbox_executor
from signalbox_chassis.runtime import crash_points
from signalbox_chassis.runtime.tasks import cancel
from signalbox_contracts.ids import is_run_key
from signalbox_executor.engines.process import supervisor

_PACKAGES: Final = (signalbox_executor, signalbox_chassis, signalbox_contracts)
_ROOTS: Final = [str(Path(str(package.__file__)).parents[1]) for package in _PACKAGES]
_SERVE: Final = (
    f"import sys; sys.path[:0] = {_ROOTS!r}; from {supervisor.__name__} import serve; serve(int(sys.argv[1]))"
)
# isolated and without site-packages: what a supervisor imports is the standard library and two folders of ours
_COMMAND: Final = (sys.executable, "-I", "-S", "-c", _SERVE)
_HANDED_ON: Final = ("SIGNALBOX_CRASH_AT",)


class StarterGone(OSError):
    """The starter ended before it answered; the run may have started."""


class EndNotices:
    """The pipe on which the keepers of runs say that these are over: a run key a line. It outlives the starter.

    Neither end ever waits: a notice that finds the pipe full is lost, and the run is seen by the next poll.
    """

    def __init__(self, on_end: Callable[[str], None]) -> None:
        self._reading, self.writing = os.pipe()
        for end in (self._reading, self.writing):
            os.set_blocking(end, False)
        self._on_end = on_end
        self._rest = b""
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._reading, self._read)

    def close(self) -> None:
        self._loop.remove_reader(self._reading)
        os.close(self._reading)
        os.close(self.writing)

    def _read(self) -> None:
        with suppress(BlockingIOError):
            *lines, rest = (self._rest + os.read(self._reading, 65_536)).split(b"\n")
            self._rest = rest[:100]
            for line in lines:
                run_key = line.decode("ascii", "replace")
                if is_run_key(run_key):
                    self._on_end(run_key)


class Starter:
    """Asks the starter's process, which is begun when first needed and again when it has gone."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._environment: dict[str, str] = {}
        self._pending: dict[int, asyncio.Future[int]] = {}
        self._number = 0
        self._beginning: asyncio.Task[None] | None = None
        self._begin = asyncio.Lock()
        self._notices: EndNotices | None = None
        self.on_end: Callable[[str], None] = lambda run_key: None
        """Called with the run key when nothing of a run is left."""

    async def start(self, folder: Path) -> int:
        """What became of the start, as an exit code of `supervisor`. Raises `StarterGone`."""
        process = await self._running()
        assert process.stdin is not None
        self._number += 1
        answer = self._pending[self._number] = asyncio.get_running_loop().create_future()
        try:
            process.stdin.write(f"{self._number} {folder}\n".encode())
            await process.stdin.drain()
            crash_points.point("process.asked")
            return await answer
        finally:
            self._pending = {number: waiting for number, waiting in self._pending.items() if waiting is not answer}

    async def close(self) -> None:
        """End the starter's process; supervisors live on."""
        if self._beginning is not None:
            await asyncio.gather(self._beginning, return_exceptions=True)
            self._beginning = None
        process, reader = self._process, self._reader
        self._process = self._reader = None
        if process is not None and process.stdin is not None:
            process.stdin.close()
            with suppress(ConnectionError):
                await process.stdin.wait_closed()
            await process.wait()
        if reader is not None:
            await reader

    async def stop(self) -> None:
        """End the starter's process for good, and take no notices any more."""
        await self.close()
        if self._notices is not None:
            self._notices.close()
            self._notices = None

    def _reader_ended(self) -> bool:
        return self._reader is None or self._reader.done()

    async def _running(self) -> asyncio.subprocess.Process:
        environment = {name: os.environ[name] for name in _HANDED_ON if name in os.environ}
        async with self._begin:
            gone = self._process is not None and (self._process.returncode is not None or self._reader_ended())
            if self._process is not None and (gone or environment != self._environment):
                await self.close()
            if self._process is None:
                # whoever waits may give up in the middle: what is begun is kept for the next
                if self._beginning is None or self._beginning.done():  # a failed one is begun again
                    self._beginning = asyncio.create_task(self._begin_process(environment), name="begin the starter")
                await asyncio.shield(self._beginning)
                self._beginning = None
            assert self._process is not None
            return self._process

    async def _begin_process(self, environment: dict[str, str]) -> None:
        if self._notices is None:
            self._notices = EndNotices(lambda run_key: self.on_end(run_key))
        process = await asyncio.create_subprocess_exec(
            *_COMMAND,
            str(self._notices.writing),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            cwd="/",
            env=environment,
            start_new_session=True,
            pass_fds=(self._notices.writing,),
        )
        self._environment, self._process = environment, process
        self._reader = asyncio.create_task(self._read(process), name="answers of the starter")

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        """Hand on the answers. Whatever ends this ends the starter too: the next start begins a new one."""
        assert process.stdout is not None
        ending = asyncio.ensure_future(process.wait())
        try:
            while True:
                line = asyncio.ensure_future(process.stdout.readline())
                await asyncio.wait({line, ending}, return_when=asyncio.FIRST_COMPLETED)
                if not line.done():
                    await cancel(line)
                    break
                number, _, code = line.result().decode("ascii", "replace").strip().partition(" ")
                if not (number.isdigit() and code.isdigit()):  # nothing more, or nothing of ours
                    break
                waiting = self._pending.get(int(number[:18]))
                if waiting is not None and not waiting.done():
                    waiting.set_result(int(code[:3]))
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await ending
            for waiting in self._pending.values():
                if not waiting.done():
                    waiting.set_exception(StarterGone("the starter of supervisors ended"))
