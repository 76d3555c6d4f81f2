"""Starting supervisors: one lean process per engine that has all loaded and forks for each run.

A Python process of its own per run costs ten times as much. The starter keeps nothing: it ends with the executor, the
supervisors it made live on, and a start it did not answer is repeated like any lost submit.
"""

import asyncio
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

import signalbox_chassis
import signalbox_contracts
import signalbox_executor
from signalbox_chassis.runtime import crash_points
from signalbox_executor.engines.process import supervisor

_PACKAGES: Final = (signalbox_executor, signalbox_chassis, signalbox_contracts)
_ROOTS: Final = [str(Path(str(package.__file__)).parents[1]) for package in _PACKAGES]
_SERVE: Final = f"import sys; sys.path[:0] = {_ROOTS!r}; from {supervisor.__name__} import serve; serve()"
# isolated and without site-packages: what a supervisor imports is the standard library and two folders of ours
_COMMAND: Final = (sys.executable, "-I", "-S", "-c", _SERVE)
_HANDED_ON: Final = ("SIGNALBOX_CRASH_AT",)


class StarterGone(OSError):
    """The starter ended before it answered; the run may have started."""


class Starter:
    """Asks the starter's process, which is begun when first needed and again when it has gone."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._environment: dict[str, str] = {}
        self._pending: dict[int, asyncio.Future[int]] = {}
        self._number = 0
        self._begin = asyncio.Lock()

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
        process, reader = self._process, self._reader
        self._process = self._reader = None
        if process is not None and process.stdin is not None:
            process.stdin.close()
            with suppress(ConnectionError):
                await process.stdin.wait_closed()
            await process.wait()
        if reader is not None:
            await reader

    async def _running(self) -> asyncio.subprocess.Process:
        environment = {name: os.environ[name] for name in _HANDED_ON if name in os.environ}
        async with self._begin:
            if self._process is not None and (self._process.returncode is not None or environment != self._environment):
                await self.close()
            if self._process is None:
                self._environment = environment
                self._process = await asyncio.create_subprocess_exec(
                    *_COMMAND,
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=asyncio.subprocess.DEVNULL,
                    cwd="/",
                    env=environment,
                    start_new_session=True,
                )
                self._reader = asyncio.create_task(self._read(self._process), name="answers of the starter")
            return self._process

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        while line := await process.stdout.readline():
            number, code = map(int, line.split())
            waiting = self._pending.get(number)
            if waiting is not None and not waiting.done():
                waiting.set_result(code)
        await process.wait()
        for waiting in self._pending.values():
            if not waiting.done():
                waiting.set_exception(StarterGone("the starter of supervisors ended"))
