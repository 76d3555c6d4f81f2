"""The check engine behind the port: each check is a program of ours, run by the process engine in a folder of its own.

So the claim protocol, cancels, seals, logs and the life beyond an executor's are those of the process engine.
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from signalbox_contracts.definitions.work import CheckWork, ProcessWork
from signalbox_executor.engines.check.probes import InvalidCheck, Limits, validate
from signalbox_executor.engines.port import (
    EngineRefused,
    Handle,
    Identity,
    LogPage,
    Observation,
    Phase,
    Submission,
    Watched,
    bounded,
)
from signalbox_executor.engines.process.adapter import ProcessEngine

PYTHON: Final = os.path.normpath(sys.executable)
"""Whoever starts the executor may name it with `..` in its path, which no allowed program has."""
PROGRAM: Final = "signalbox_executor.engines.check.program"
STOP_SECONDS: Final = 2.0


class CheckEngine:
    """Asks questions. `limits` and `allow` (the egress list as text) are the operator's."""

    def __init__(self, processes: ProcessEngine, limits: Limits, allow: str) -> None:
        self._processes = processes
        self._limits = limits
        self._allow = allow

    @property
    def identity(self) -> Identity:
        return self._processes.identity

    async def submit(self, submission: Submission) -> Handle:
        """As the port says. Refused: addresses and folders that the operator does not allow."""
        return await self._processes.submit(replace(submission, work=self._program(submission)))

    async def observe(self, watched: Sequence[Watched]) -> Mapping[str, Observation]:
        seen = await self._processes.observe(watched)
        return {key: _in_words(one) for key, one in seen.items()}

    async def cancel(self, watched: Watched) -> None:
        await self._processes.cancel(watched)

    async def seal(self, watched: Watched) -> Handle | None:
        return await self._processes.seal(watched)

    async def logs(self, watched: Watched, *, offset: int = 0, limit: int = 65_536) -> LogPage:
        return await self._processes.logs(watched, offset=offset, limit=limit)

    async def secrets(self, watched: Watched) -> frozenset[str]:
        return await self._processes.secrets(watched)

    async def close(self) -> None:
        await self._processes.close()

    def _program(self, submission: Submission) -> ProcessWork:
        work = submission.work
        if not isinstance(work, CheckWork):
            raise EngineRefused("check", f"{work.kind!r} is not allowed: only 'check' runs here", field="work.kind")
        try:
            validate(work.check, self._limits)
        except InvalidCheck as error:
            raise EngineRefused("check", str(error), field=f"work.{error.field}") from None
        wanted: dict[str, Any] = {
            "work": work.model_dump(mode="json"),
            "allow": self._allow,
            "folders": [str(folder) for folder in self._limits.folders],
        }
        environment = dict(self._limits.environment or {}) if work.check.type == "s3" else {}
        argv = (PYTHON, "-I", "-m", PROGRAM, json.dumps(wanted))
        return ProcessWork(argv=argv, environment=environment, stop_grace_seconds=STOP_SECONDS)


def _in_words(seen: Observation) -> Observation:
    """What the check found, in place of the exit code of our program."""
    result: Any = seen.result
    found = result.get("found") if isinstance(result, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    message = bounded(f"not ready: {found}") if seen.phase is Phase.FAILED and isinstance(found, str) else seen.message
    return replace(seen, exit_code=None, message=message)
