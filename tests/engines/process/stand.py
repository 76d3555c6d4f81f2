"""A process engine in a folder of its own, and what its tests look at."""

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

from engines.harness import until, watched
from engines.process.harness import SHELL, Harness
from signalbox_contracts.definitions.work import ProcessWork
from signalbox_contracts.ids import run_key
from signalbox_executor.engines.port import ENDS, Observation, Submission
from signalbox_executor.engines.process import records
from signalbox_executor.engines.process.adapter import ProcessEngine


class ProcessStand(Harness):
    """The harness of the conformance suite, with shell text as work."""

    @classmethod
    @asynccontextmanager
    async def standing(cls, folder: Path) -> AsyncGenerator[Self]:
        stand = cls(folder)
        async with stand.opened():
            yield stand

    def shell(self, text: str, *, task: Any = None, seconds: float | None = None, **work: Any) -> Submission:
        """A submit whose work stamps its start, then does this."""
        task_id = task or uuid4()
        key = run_key(task_id, 1)
        argv = (str(SHELL), "-c", f"echo $$ >> '{self.stamps / key}'\n{text}")
        return Submission(
            run_key=key,
            task_id=task_id,
            attempt=1,
            work=ProcessWork.model_validate({"argv": argv, "stop_grace_seconds": 20, **work}),
            time_limit_seconds=seconds,
        )

    def run_folder(self, of: Submission) -> Path:
        return self.runs / of.run_key

    async def look(self, of: Submission) -> Observation:
        return (await self.engine.observe([watched(of)]))[of.run_key]

    async def end_of(self, of: Submission) -> Observation:
        async def ended() -> bool:
            return (await self.look(of)).phase in ENDS

        await until(ended, "the run ended")
        return await self.look(of)

    async def output(self, of: Submission) -> str:
        assert isinstance(self.engine, ProcessEngine)
        return (await self.engine.logs(watched(of))).data.decode()

    async def wait_for_output(self, of: Submission, line: str) -> None:
        async def written() -> bool:
            return line in await self.output(of)

        await until(written, f"the run wrote {line!r}")

    async def is_over(self, of: Submission) -> None:
        """Nothing carries the key any more, the supervisor neither."""

        async def over() -> bool:
            with records.locked(self.run_folder(of)) as free:
                return free and not records.carriers(of.run_key)

        await until(over, "nothing of the run is left")

    def supervisor_of(self, of: Submission) -> int:
        """The pid of the supervisor: the parent of the program."""
        started = records.read(self.run_folder(of), records.STARTED)
        assert started is not None
        status = Path(f"/proc/{started['pid']}/stat").read_text()
        return int(status.rpartition(")")[2].split()[1])


def lives(pid: int) -> bool:
    return records.start_ticks(pid) is not None and Path(f"/proc/{pid}").exists() and os.getpid() != pid
