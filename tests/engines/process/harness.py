"""The process engine in a folder of its own; the work stamps a file each time it begins."""

import os
import shlex
import signal
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from engines.harness import EngineHarness, WorkRequest, leave_when_begun, lines_in, until
from signalbox_contracts.definitions.work import ProcessWork, Work
from signalbox_executor.engines.port import Engine, Phase, Submission, Watched
from signalbox_executor.engines.process import records
from signalbox_executor.engines.process.adapter import ProcessHost
from signalbox_executor.engines.process.permits import Permits

SHELL = Path("/bin/sh")


class Harness(EngineHarness):
    kind = "process"
    real_server = False
    lost_answer_point = "process.started"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stamps = folder / "stamps"
        self.stamps.mkdir(exist_ok=True)
        self.runs = folder / "engine" / "runs"
        self.connection = {"kind": "process"}
        self.settings = {
            "SIGNALBOX_PROCESS_FOLDER": str(folder / "engine"),
            "SIGNALBOX_PROCESS_PROGRAMS": str(SHELL),
            "SIGNALBOX_PROCESS_USER": "0" if os.geteuid() == 0 else "",
        }
        self.host = ProcessHost(folder=folder / "engine", permits=Permits(programs=(SHELL,)))

    @classmethod
    @contextmanager
    def started(cls, folder: Path) -> Generator[Self]:
        harness = cls(folder)
        harness.runs.mkdir(0o700, parents=True, exist_ok=True)
        yield harness

    def work(self, key: str, request: WorkRequest) -> Work:
        # the environment's key names the attempt, which one task's work does not know
        lines = [
            f'echo $$ >> {shlex.quote(str(self.stamps))}/"$SIGNALBOX_RUN_KEY"',
            f"printf %s {shlex.quote(request.log)}",
        ]
        if request.result is not None:
            written = self.stamps / f"{key}.result"
            written.write_text(request.result)
            lines.append(f'cat {shlex.quote(str(written))} > "$SIGNALBOX_RESULT"')
        lines.append("exec sleep 600" if request.endless else f"exit {request.exit_code}")
        program = "/bin/not-allowed" if request.refused else str(SHELL)
        return ProcessWork(argv=(program, "-c", "\n".join(lines)))

    def wrong_work(self) -> tuple[Work, str]:
        return ProcessWork(argv=("/bin/not-allowed",)), "work.argv[0]"

    async def submit_without_answer(self, submission: Submission) -> None:
        await leave_when_begun(self, submission)

    async def starts(self, key: str) -> int:
        return lines_in(self.stamps / key)

    async def out_of_reach(self) -> Engine:
        return await self.open(host_id="another-host")

    async def end_all(self) -> None:
        runs = [Watched(folder.name, 1) for folder in self.runs.iterdir()]
        for run in runs:
            await self.engine.cancel(run)

        async def ended() -> bool:
            observed = await self.engine.observe(runs)
            return not any(run.phase is Phase.RUNNING for run in observed.values())

        await until(ended, "every process ended")

    # ------------------------------------------------------------------ crash points

    @contextmanager
    def late(self, key: str) -> Generator[None]:
        """A supervisor starts nothing while another has the lock of the run's folder."""
        folder = self.runs / key
        folder.mkdir(0o700, exist_ok=True)
        with records.locked(folder) as ours:
            assert ours
            yield

    def forget(self, key: str) -> None:
        (self.runs / key).rename(self.runs.parent / f"lost-{key}")

    def clean(self, key: str) -> None:
        for pid in records.carriers(key):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
