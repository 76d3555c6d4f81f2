"""Stops and changes Oozie jobs. 200 says only that Oozie took a call: each state is read back, with a deadline."""

import asyncio
import time
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Final

from signalbox_executor.engines.oozie.handles import OozieId, Run, parse_handle
from signalbox_executor.engines.oozie.rest import OozieRefused
from signalbox_executor.engines.oozie.server import PAGE, OozieServer
from signalbox_executor.engines.oozie.states import ACTION_ENDS
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

    async def stop(self, id: OozieId, numbers: Sequence[int] = ()) -> str:
        """Kill a job, or these actions of a coordinator; returns the state that was read back."""
        if numbers:
            await self._put(id.job, id, action="kill", type_="action", scope=_scope(numbers))
            return await self._until_actions(id, numbers, ACTION_ENDS, "kill")
        await self._put(id.job, id, action="kill")
        return await self._until(id, ENDED, "kill")

    async def suspend(self, id: OozieId) -> str:
        """Suspend a job; returns the state that was read back."""
        await self._put(id.job, id, action="suspend")
        return await self._until(id, SUSPENDED | ENDED, "suspend")

    async def resume(self, id: OozieId) -> str:
        """Resume a job, and the workflows of a coordinator that is RUNNING while its actions are still suspended.

        Oozie leaves them suspended when one action of a suspended coordinator was rerun (seen on 5.2.1).
        """
        await self._put(id.job, id, action="resume")
        state = await self._until_not(id, SUSPENDED, "resume")
        if id.type == "coordinator" and state not in ENDED:
            await self._resume_workflows(id)
        return state

    async def _resume_workflows(self, id: OozieId) -> None:
        page = await self._server.coordinator(id.job, length=PAGE, filter="status=SUSPENDED")
        ids = [action.external_id for action in page.actions if action.external_id] if page else []
        workflows = await self._server.workflows(ids) if ids else {}
        for job in workflows.values():
            if job.status == "SUSPENDED":
                await self._put(job.id, id, action="resume")

    async def ignore(self, coordinator: OozieId, numbers: Sequence[int] = ()) -> str:
        """Close failed actions of a coordinator, or the coordinator itself: they count as dealt with."""
        if numbers:
            await self._put(coordinator.job, coordinator, action="ignore", type_="action", scope=_scope(numbers))
            return await self._until_actions(coordinator, numbers, frozenset({"IGNORED"}), "ignore")
        deadline = time.monotonic() + self._read_back_seconds
        while True:
            try:
                await self._rest.put(f"v2/job/{coordinator.job}", None, action="ignore")
                return await self._until(coordinator, frozenset({"IGNORED"}), "ignore")
            except OozieRefused as error:
                if not _is_pending(error) or time.monotonic() > deadline:
                    raise refused(self._rest.name, error, "id", str(coordinator)) from error
            await asyncio.sleep(0.5)

    async def change(
        self,
        coordinator: OozieId,
        *,
        end_at: datetime | None = None,
        concurrency: int | None = None,
        pause_at: datetime | None = None,
    ) -> str:
        """Change a coordinator's end, concurrency or pause time. Oozie refuses an end before what already ran."""
        value = change_value(end_at, concurrency, pause_at)
        if not value:
            raise EngineRefused(self._rest.name, "nothing to change: end, concurrency or pause", field="change")
        await self._put(coordinator.job, coordinator, action="change", value=value)
        deadline = time.monotonic() + self._read_back_seconds
        while (job := await self._server.coordinator(coordinator.job)) is None or not (
            (concurrency is None or job.concurrency == concurrency)
            and (end_at is None or job.end_at == _minute(end_at))
            and (pause_at is None or job.pause_at == _minute(pause_at))
        ):
            self._check_deadline(deadline, f"{coordinator} was not changed to {value}")
            await asyncio.sleep(0.1)
        return job.status

    async def _until_actions(
        self, coordinator: OozieId, numbers: Sequence[int], states: Collection[str], verb: str
    ) -> str:
        """Read actions of a coordinator until each is in one of these states; returns their states."""
        deadline = time.monotonic() + self._read_back_seconds
        while True:
            ids = [f"{coordinator.job}@{number}" for number in numbers]
            found = await asyncio.gather(*(self._server.coordinator_action(id) for id in ids))
            states_found = [action.status if action else "unknown" for action in found]
            seen = dict(zip(numbers, states_found, strict=True))
            if set(seen.values()) <= set(states):
                return ", ".join(f"{number} {state}" for number, state in seen.items())
            late = ", ".join(f"{number} {state}" for number, state in seen.items() if state not in states)
            self._check_deadline(deadline, f"after {verb} of {coordinator}: {late}")
            await asyncio.sleep(0.2)

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


def change_value(end_at: datetime | None, concurrency: int | None, pause_at: datetime | None) -> str:
    """What Oozie's `change` is given: its times have a grain of a minute, and are in UTC."""
    values = [
        f"endtime={_utc(end_at)}" if end_at else "",
        f"concurrency={concurrency}" if concurrency is not None else "",
        f"pausetime={_utc(pause_at)}" if pause_at else "",
    ]
    return ";".join(part for part in values if part)


def _utc(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%MZ")


def _minute(instant: datetime) -> datetime:
    return instant.astimezone(UTC).replace(second=0, microsecond=0)


def _scope(numbers: Sequence[int]) -> str:
    return ",".join(str(number) for number in numbers)


def _is_pending(error: OozieRefused) -> bool:
    """Oozie is still about an earlier command of the job. The code alone also means what is never allowed.

    Seen on 5.2.1: "E1015: Invalid coordinator job change value IGNORED,  Only FAILED or KILLED non-pending job can be
    changed to IGNORED. Current job status is KILLED and pending status is true".
    """
    return error.code == "E1015" and "pending status is true" in error.message
