"""Savepoints: taken of runs that go on, or with which runs stop.

A trigger's id is a hash of the run key and of what asked for it, so the same request again is the same savepoint. Flink
remembers a trigger for 5 minutes after it ended (`rest.async.store-duration`).
"""

import hashlib
from dataclasses import dataclass

from signalbox_chassis.runtime.clock import Clock
from signalbox_contracts.artifacts import FlinkRun, FlinkSavepoint
from signalbox_executor.engines.capabilities import Savepoint
from signalbox_executor.engines.flink.answers import SavepointStatus
from signalbox_executor.engines.flink.records import RunRecords, StopRecord
from signalbox_executor.engines.flink.refusals import root_cause
from signalbox_executor.engines.flink.rest import JobManager
from signalbox_executor.engines.port import bounded


@dataclass(frozen=True, slots=True)
class Ending:
    """How a job that Flink calls FINISHED ended. Not `settled`: its savepoint is still being completed."""

    by_itself: bool
    path: str | None = None
    settled: bool = True


class Savepoints:
    """The savepoints of one cluster's runs."""

    def __init__(self, engine_id: str, job_manager: JobManager, records: RunRecords, clock: Clock) -> None:
        self._engine_id = engine_id
        self._job_manager = job_manager
        self._records = records
        self._clock = clock

    async def take(self, run_key: str, job_id: str, request: str, *, stop: bool) -> None:
        """Begin a savepoint. Raises `EngineRefused` for a job that is not there."""
        trigger = trigger_id(run_key, request)
        begin = self._job_manager.stop if stop else self._job_manager.savepoint
        await begin(job_id, trigger, None)
        if stop:
            await self._records.save_stop(run_key, StopRecord(trigger_id=trigger, requested_at=self._clock.now()))

    async def status(self, run_key: str, job_id: str, request: str) -> Savepoint | None:
        """How far a savepoint is; None for one Flink does not know."""
        trigger = trigger_id(run_key, request)
        answer = await self._job_manager.savepoint_status(job_id, trigger)
        if answer is None:
            return None
        savepoint = _savepoint(answer)
        if savepoint.path:
            stop = await self._records.load_stop(run_key)
            await self._keep(
                run_key, job_id, savepoint.path, trigger, stopped=bool(stop and stop.trigger_id == trigger)
            )
        return savepoint

    async def stop(self, run: FlinkRun, job_id: str) -> None:
        """Stop a run with a savepoint, again if one failed: tasks that do not run yet cannot write their state."""
        stop = await self._records.load_stop(run.run_key)
        if stop is not None and stop.trigger_id is not None:
            answer = await self._job_manager.savepoint_status(job_id, stop.trigger_id)
            if answer is not None and not _savepoint(answer).failure:
                return  # under way, or done: then the job ends in a moment
            if answer is not None and not await self._has_state(job_id):
                await self.cancel(run.run_key, job_id)
                return
        number = stop.number + 1 if stop else 1
        trigger = trigger_id(run.run_key, f"stop {number}")
        await self._records.save_stop(
            run.run_key, StopRecord(trigger_id=trigger, number=number, requested_at=self._clock.now())
        )
        await self._job_manager.stop(job_id, trigger, None)

    async def cancel(self, run_key: str, job_id: str) -> None:
        """End a run without a savepoint."""
        if await self._records.load_stop(run_key) is None:
            await self._records.save_stop(run_key, StopRecord(requested_at=self._clock.now()))
        await self._job_manager.cancel(job_id)

    async def stop_requested(self, run_key: str) -> bool:
        """Whether we asked this run to end."""
        return await self._records.load_stop(run_key) is not None

    async def stopped_with_savepoint(self, run_key: str) -> bool:
        """Whether this run was stopped with a savepoint by us."""
        stop = await self._records.load_stop(run_key)
        return stop is not None and stop.trigger_id is not None

    async def ending(self, run_key: str, job_id: str) -> Ending:
        """How a finished job ended."""
        stop = await self._records.load_stop(run_key)
        if stop is None or stop.trigger_id is None:
            return Ending(by_itself=True)
        answer = await self._job_manager.savepoint_status(job_id, stop.trigger_id)
        if answer is None:
            return Ending(by_itself=False)
        savepoint = _savepoint(answer)
        if savepoint.path:
            await self._keep(run_key, job_id, savepoint.path, stop.trigger_id, stopped=True)
        return Ending(by_itself=bool(savepoint.failure), path=savepoint.path, settled=savepoint != Savepoint())

    async def _has_state(self, job_id: str) -> bool:
        """Whether any task of a job has run: without one there is nothing to save."""
        job = await self._job_manager.job(job_id)
        return job is not None and any(vertex.status not in ("CREATED", "SCHEDULED") for vertex in job.vertices)

    async def _keep(self, run_key: str, job_id: str, path: str, trigger: str, *, stopped: bool) -> None:
        run = await self._records.load(run_key)
        if run is not None:
            savepoint = FlinkSavepoint(
                path=path, run_key=run_key, job_id=job_id, engine=self._engine_id, stopped=stopped,
                taken_at=self._clock.now(),
            )  # fmt: skip
            await self._records.add_savepoint(run, savepoint, trigger)


def trigger_id(run_key: str, request: str) -> str:
    """Flink's id of a savepoint that this request asks of this run."""
    return hashlib.sha256(f"{run_key}:{request}".encode()).hexdigest()[:32]


def _savepoint(answer: SavepointStatus) -> Savepoint:
    operation = answer.operation
    if answer.status.id != "COMPLETED":
        return Savepoint()
    if operation is None or operation.location is None:
        trace = operation.failure.stack_trace if operation and operation.failure else ""
        return Savepoint(failure=bounded(root_cause(trace)))
    return Savepoint(path=operation.location[:2048])
