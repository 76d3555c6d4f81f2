"""Why runs ended, which takes a call for each of them: a pass makes few such calls, and the rest follow beside it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from signalbox_chassis.runtime.isolation import note_fault
from signalbox_chassis.runtime.tasks import cancel
from signalbox_executor.engines.flink.answers import JobEntry
from signalbox_executor.engines.port import Observation, Watched


class EndedRun(NamedTuple):
    """A run, and what the overview says of it."""

    run: Watched
    entry: JobEntry


ReadRun = Callable[[Watched, JobEntry], Awaitable[Observation | None]]
"""Reads the details of one run; None where they cannot be had now."""


class DetailReader:
    """Reads the details of ended runs, `take` some of them at once and all others one after the other beside the pass.

    Those are the answer of a later pass. So a thousand jobs that fail together hold up no observation.
    """

    def __init__(self, read: ReadRun) -> None:
        self._read = read
        self._found: dict[str, Observation] = {}
        self._reading: asyncio.Task[None] | None = None

    async def close(self) -> None:
        if self._reading is not None:
            await cancel(self._reading)

    async def take(self, ended: Sequence[EndedRun], *, at_once: int) -> dict[str, Observation]:
        """What is known of these runs, by run key, after at most `at_once` calls. The others are read meanwhile."""
        seen = {one.run.run_key: found for one in ended if (found := self._found.pop(one.run.run_key, None))}
        unread = [one for one in ended if one.run.run_key not in seen]
        if self._reading is not None and not self._reading.done():
            return seen
        for run, entry in unread[:at_once]:
            if (observed := await self._read(run, entry)) is not None:
                seen[run.run_key] = observed
        if unread[at_once:]:
            self._found.clear()  # of runs that nobody observes any more
            self._reading = asyncio.create_task(self._read_all(unread[at_once:]), name="read how Flink jobs ended")
        return seen

    async def _read_all(self, ended: Sequence[EndedRun]) -> None:
        for run, entry in ended:
            try:
                observed = await self._read(run, entry)
            except Exception as error:
                note_fault("observed Flink jobs", error)
                continue
            if observed is not None:
                self._found[run.run_key] = observed
