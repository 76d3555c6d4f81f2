"""What the conformance suite needs to know of an engine: one harness each.

A new engine joins by a class here (or beside its own tests) and a line in `test_engines_conformance.py`.
"""

import asyncio
import shlex
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self
from uuid import UUID, uuid4

import aiohttp
import pytest

from signalbox_contracts.definitions.work import ProcessWork, ScriptedWork, Work
from signalbox_contracts.ids import run_key
from signalbox_executor.engines.port import Engine, EngineUnavailable, Submission, Watched
from signalbox_executor.engines.process.adapter import ProcessEngine, ProcessSettings
from signalbox_executor.engines.process.permits import Permits
from signalbox_executor.engines.scripted.adapter import ScriptedEngine

SHELL = Path("/bin/sh")


@dataclass(frozen=True, kw_only=True)
class Ask:
    """What a piece of work shall do, in words every engine can carry out."""

    endless: bool = False
    """Runs until it is cancelled."""
    exit_code: int = 0
    result: str | None = None
    log: str = ""
    answer_is_lost: bool = False
    """The caller of the first submit hears nothing, although it was accepted."""


class Harness(Protocol):
    """One engine that runs as long as the tests of a module do. Every test takes keys of its own."""

    @property
    def engine(self) -> Engine: ...

    @classmethod
    def stand(cls, folder: Path) -> AbstractContextManager["Harness"]:
        """Start the engine, and end all of it afterwards."""
        ...

    def opened(self) -> AbstractAsyncContextManager[object]:
        """An adapter for one test, and nothing endless left behind."""
        ...

    def work(self, key: str, ask: Ask) -> Work: ...

    def wrong_work(self) -> tuple[Work, str]:
        """Work this engine refuses for good, and the field that is wrong with it."""
        ...

    async def submit_unheard(self, submission: Submission) -> None:
        """Submit work that asked for it so that the engine accepts and we hear nothing."""
        ...

    async def starts(self, key: str) -> int:
        """How many times work of this key began to run."""
        ...

    def out_of_reach(self) -> Engine:
        """An engine of this kind that cannot be asked."""
        ...


def submission(harness: Harness, ask: Ask | None = None, *, attempt: int = 1) -> Submission:
    """A new task's submit."""
    task_id: UUID = uuid4()
    key = run_key(task_id, attempt)
    return Submission(run_key=key, task_id=task_id, attempt=attempt, work=harness.work(key, ask or Ask()))


def watched(of: Submission, handle: str | None = None) -> Watched:
    return Watched(of.run_key, of.attempt, handle)


async def until(condition: Callable[[], Awaitable[bool]], what: str, timeout_seconds: float = 90) -> None:
    """Look again and again until it is so; fails with `what` after the time."""
    deadline = time.monotonic() + timeout_seconds
    while not await condition():
        assert time.monotonic() < deadline, f"not within {timeout_seconds:g} s: {what}"
        await asyncio.sleep(0.01)


class ScriptedHarness:
    """The scripted engine: its real process on a free port."""

    engine: ScriptedEngine

    def __init__(self, url: str) -> None:
        self._url = url

    @classmethod
    @contextmanager
    def stand(cls, folder: Path) -> Generator[Self]:
        with ScriptedServer(folder) as server:
            yield cls(server.url)

    @asynccontextmanager
    async def opened(self) -> AsyncGenerator[None]:
        self.engine = ScriptedEngine(self._url)
        try:
            yield
        finally:
            await self.engine.close()

    def work(self, key: str, ask: Ask) -> Work:
        script: dict[str, Any] = {"exit_code": ask.exit_code, "never_ends": ask.endless, "log": ask.log}
        if ask.result is not None:
            script["result_text"] = ask.result
        return ScriptedWork(script={**script, "lose_answers": int(ask.answer_is_lost)})

    def wrong_work(self) -> tuple[Work, str]:
        return ScriptedWork(script={"run_secnods": 3}), "work.script.run_secnods"

    async def submit_unheard(self, submission: Submission) -> None:
        with pytest.raises(EngineUnavailable):
            await self.engine.submit(submission)

    async def starts(self, key: str) -> int:
        return len((await ask_server(self._url, "/starts"))["starts"].get(key, ()))

    def out_of_reach(self) -> Engine:
        return ScriptedEngine("http://127.0.0.1:1", timeout_seconds=5)


class ScriptedServer:
    """The process of a scripted engine, to be started, killed and started anew on the same folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = ""

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "signalbox_executor.engines.scripted.server", "--folder", str(self.folder)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        assert self.url.startswith("http://127.0.0.1:"), "the scripted engine did not start"
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self._gone()
        assert self.process.returncode in (0, -9)

    def kill(self) -> None:
        self.process.kill()
        self._gone()

    def _gone(self) -> None:
        self.process.wait(timeout=20)
        assert self.process.stdout is not None
        self.process.stdout.close()


async def ask_server(url: str, path: str, body: Any = None) -> Any:
    """One of the calls of the scripted engine that are for tests."""
    async with (
        aiohttp.ClientSession() as session,
        session.request("GET" if body is None else "POST", url + path, json=body) as response,
    ):
        return await response.json()


class ProcessHarness:
    """The process engine in a folder of its own; the work stamps a file each time it begins."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "engine"
        self.stamps = folder / "stamps"
        self.stamps.mkdir(exist_ok=True)
        self.settings = ProcessSettings(folder=self.folder, permits=Permits(programs=(SHELL,)))
        self.engine = ProcessEngine(self.settings)

    @classmethod
    @contextmanager
    def stand(cls, folder: Path) -> Generator[Self]:
        yield cls(folder)

    @asynccontextmanager
    async def opened(self) -> AsyncGenerator[None]:
        self.engine = ProcessEngine(self.settings)
        try:
            yield
        finally:
            await self.end_all()
            await self.engine.close()

    def work(self, key: str, ask: Ask) -> Work:
        lines = [f"echo $$ >> {shlex.quote(str(self.stamps / key))}", f"printf %s {shlex.quote(ask.log)}"]
        if ask.result is not None:
            written = self.stamps / f"{key}.result"
            written.write_text(ask.result)
            lines.append(f'cat {shlex.quote(str(written))} > "$SIGNALBOX_RESULT"')
        lines.append("exec sleep 600" if ask.endless else f"exit {ask.exit_code}")
        return ProcessWork(argv=(str(SHELL), "-c", "\n".join(lines)))

    def wrong_work(self) -> tuple[Work, str]:
        return ProcessWork(argv=("/bin/not-allowed",)), "work.argv[0]"

    async def submit_unheard(self, submission: Submission) -> None:
        asked = asyncio.create_task(self.engine.submit(submission))

        async def began() -> bool:
            return await self.starts(submission.run_key) == 1

        await until(began, "the work began")
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)

    async def starts(self, key: str) -> int:
        path = self.stamps / key
        return len(path.read_text().splitlines()) if path.exists() else 0

    def out_of_reach(self) -> Engine:
        return ProcessEngine(self.settings, host_id="another-host")

    async def end_all(self) -> None:
        """Leave nothing running."""
        runs = [Watched(folder.name, 1) for folder in (self.folder / "runs").iterdir()]
        for run in runs:
            await self.engine.cancel(run)

        async def ended() -> bool:
            observed = await self.engine.observe(runs)
            return not any(run.phase.value == "running" for run in observed.values())

        await until(ended, "every process ended")
