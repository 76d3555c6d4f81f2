"""Stops and changes Oozie jobs. 200 says only that Oozie took a call: each state is read back, with a deadline."""

import asyncio
import time
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final

from signalbox_executor.engines.oozie.handles import OozieId, Run, parse_handle
from signalbox_executor.engines.oozie.rest import OozieRefused
from signalbox_executor.engines.oozie.server import OozieServer
from signalbox_executor.engines.oozie.submission import refused
from signalbox_executor.engines.port import EngineRefused, EngineUnavailable

READ_BACK_SECONDS: Final = 40.0
SUSPENDED: Final = frozenset(
    {"SUSPENDED", "SUSPENDEDWITHERROR", "PREPSUSPENDED", "PAUSED", "PAUSEDWITHERROR", "PREPPAUSED"}
)
ENDED: Final = frozenset({"SUCCEEDED", "FAILED", "KILLED", "DONEWITHERROR", "IGNORED"})


class Controller:
    """Control calls on one server."""

    def __init__(self, server: OozieServer, *, read_back_seconds: float = READ_BACK_SECONDS) -> None:
        self._server = server
        self._rest = server.rest
        self._read_back_seconds = read_back_seconds

    async def kill(self, handle: str) -> None:
        """Ask Oozie to kill this run, and no later run of the same job. The end is seen by observing."""
        run = parse_handle(handle)
        if run.id.type == "workflow":
            await self._kill_workflow(run)
        elif run.id.action is not None:
            await self._put(run.id.job, run.id, action="kill", type_="action", scope=run.id.action)
        else:
            await self._put(run.id.job, run.id, action="kill")

    async def _kill_workflow(self, run: Run) -> None:
        job = (await self._server.workflows([str(run.id)])).get(str(run.id))
        if job is not None and job.run == run.number and job.status not in ("SUCCEEDED", "KILLED", "FAILED"):
            await self._put(str(run.id), run.id, action="kill")

    async def suspend(self, id: OozieId) -> str:
        """Suspend a job; returns the state that was read back."""
        await self._put(id.job, id, action="suspend")
        return await self._until(id, SUSPENDED | ENDED, "suspend")

    async def resume(self, id: OozieId) -> str:
        """Resume a job. A coordinator may be RUNNING while its workflows are still suspended: resume those."""
        await self._put(id.job, id, action="resume")
        return await self._until_not(id, SUSPENDED, "resume")

    async def ignore(self, coordinator: OozieId, numbers: Sequence[int] = ()) -> str:
        """Close failed actions of a coordinator, or the coordinator itself: they count as dealt with."""
        if numbers:
            await self._put(
                coordinator.job, coordinator, action="ignore", type_="action", scope=",".join(map(str, numbers))
            )
            return "IGNORED"
        await self._put(coordinator.job, coordinator, action="ignore")
        return await self._until(coordinator, frozenset({"IGNORED"}), "ignore")

    async def change(
        self,
        coordinator: OozieId,
        *,
        end_at: datetime | None = None,
        concurrency: int | None = None,
        pause_at: datetime | None = None,
    ) -> None:
        """Change a coordinator's end, concurrency or pause time. Oozie refuses an end before what already ran."""
        values = [
            f"endtime={end_at:%Y-%m-%dT%H:%MZ}" if end_at else "",
            f"concurrency={concurrency}" if concurrency is not None else "",
            f"pausetime={pause_at:%Y-%m-%dT%H:%MZ}" if pause_at else "",
        ]
        value = ";".join(part for part in values if part)
        if not value:
            raise EngineRefused(self._rest.name, "nothing to change: end, concurrency or pause", field="change")
        await self._put(coordinator.job, coordinator, action="change", value=value)
        if concurrency is not None:
            deadline = time.monotonic() + self._read_back_seconds
            while (job := await self._server.coordinator(coordinator.job)) is None or job.concurrency != concurrency:
                self._check_deadline(deadline, f"{coordinator} was not changed")
                await asyncio.sleep(0.1)

    async def _put(self, job: str, id: OozieId, **query: str) -> None:
        """A control call; a job that Oozie does not know is left alone when it is to be killed."""
        try:
            await self._rest.put(f"v2/job/{job}", None, **query)
        except OozieRefused as error:
            if error.unknown and query["action"] == "kill":
                return
            raise refused(self._rest.name, error, "id", str(id)) from error

    async def _until(self, id: OozieId, states: Collection[str], verb: str) -> str:
        deadline = time.monotonic() + self._read_back_seconds
        while (status := await self._server.status(id.job)) not in states:
            self._check_deadline(deadline, f"{id} is {status} after {verb}")
            await asyncio.sleep(0.1)
        return status or ""

    async def _until_not(self, id: OozieId, states: Collection[str], verb: str) -> str:
        deadline = time.monotonic() + self._read_back_seconds
        while (status := await self._server.status(id.job)) in states:
            self._check_deadline(deadline, f"{id} is {status} after {verb}")
            await asyncio.sleep(0.1)
        return status or ""

    def _check_deadline(self, deadline: float, state: str) -> None:
        if time.monotonic() > deadline:
            raise EngineUnavailable(self._rest.name, f"{state}: not read back in {self._read_back_seconds:g} s")
