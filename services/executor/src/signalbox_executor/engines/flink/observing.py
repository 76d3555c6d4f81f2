"""What a JobManager says of runs, as observations: one call for all it knows, and one more at most.

The second call is for runs that are missing, or else for the details of one that ended (`details`).
"""

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from signalbox_chassis.blobs import BlobStoreFailed
from signalbox_chassis.runtime.clock import Clock
from signalbox_contracts.artifacts import FlinkRun
from signalbox_contracts.ids import run_key_hash128
from signalbox_contracts.messages.tasks import EndCause, Phase
from signalbox_executor.engines.flink import phases
from signalbox_executor.engines.flink.answers import Failure, JobEntry, instant
from signalbox_executor.engines.flink.details import DetailReader, EndedRun
from signalbox_executor.engines.flink.records import RunRecords
from signalbox_executor.engines.flink.rest import Incarnation, JobManager
from signalbox_executor.engines.flink.savepoints import Savepoints
from signalbox_executor.engines.port import EngineThrottled, EngineUnavailable, Observation, Watched, bounded

log = logging.getLogger(__name__)
YOUNG_SECONDS: Final = 10.0
"""A job accepted so recently may be missing in an overview, which Flink keeps for `web.refresh-interval` (3 s)."""
STALE: Final = timedelta(seconds=10)
"""A job that failed may be shown without its exception: Flink shows details that are some seconds old (1.20.3)."""
MAX_UNEXPLAINED: Final = 10_000


class Runs:
    """The runs of one cluster."""

    def __init__(self, job_manager: JobManager, records: RunRecords, savepoints: Savepoints, clock: Clock) -> None:
        self._job_manager = job_manager
        self._records = records
        self._savepoints = savepoints
        self._clock = clock
        self._details = DetailReader(self._observed)
        self._unexplained: dict[str, datetime] = {}

    async def close(self) -> None:
        await self._details.close()

    async def observe(self, watched: Sequence[Watched]) -> dict[str, Observation]:
        """By run key. A run is left out where nothing is known of it just now."""
        entries = await self._job_manager.overview()
        seen: dict[str, Observation] = {}
        missing: list[Watched] = []
        ended: list[EndedRun] = []
        for run in watched:
            entry = entries.get(job_id(run))
            if entry is None:
                missing.append(run)
            elif await self._needs_details(run, entry):
                ended.append(EndedRun(run, entry))
            elif (observed := await self._observed(run, entry)) is not None:
                seen[run.run_key] = observed
        if missing:
            incarnation = await self._job_manager.incarnation()
            for run in missing:
                if (found := await self._missing(run, incarnation)) is not None:
                    seen[run.run_key] = found
        return seen | await self._details.take(ended, at_once=0 if missing else 1)

    async def _needs_details(self, run: Watched, entry: JobEntry) -> bool:
        """Whether how a run ended takes a call of its own."""
        phase = phases.phase_of(entry)
        if phase is Phase.SUCCEEDED:
            try:
                return await self._savepoints.stopped_with_savepoint(run.run_key)
            except BlobStoreFailed:
                return False  # and what is judged now fails as well
        return phase is Phase.FAILED

    async def waiting(self, watched: Sequence[Watched]) -> Mapping[str, str]:
        """Why runs that Flink accepted do not begin."""
        entries = await self._job_manager.overview()
        idle = [run for run in watched if (entry := entries.get(job_id(run))) and phases.waits_for_slots(entry)]
        if not idle:
            return {}
        cluster = await self._job_manager.cluster()
        free = f"{cluster.slots_available} of {cluster.slots_total} slots on {cluster.taskmanagers} TaskManagers"
        return {
            run.run_key: f"no free task slots: its {entries[job_id(run)].tasks.total} tasks wait, and {free} are free"
            for run in idle
        }

    async def _observed(self, run: Watched, entry: JobEntry) -> Observation | None:
        """What the overview says of a run; None where that says nothing, or its details cannot be had now."""
        try:
            return await self._judged(run, entry)
        except (EngineUnavailable, EngineThrottled, BlobStoreFailed) as error:
            log.warning("how %s ended cannot be read now: %s", run.run_key, error)
            return None

    async def _judged(self, run: Watched, entry: JobEntry) -> Observation | None:
        phase, message = phases.phase_of(entry), ""
        cause = phases.CAUSES.get(phase)
        if phase is Phase.OTHER:
            log.warning("%s is in state %r, which is not known: nothing is written of it", run.run_key, entry.state)
            return None
        if phase is Phase.FAILED:
            failure = await self.last_failure(entry.jid)
            if failure is None and self._may_be_stale(entry.jid):
                return None
            self._unexplained.pop(entry.jid, None)
            cause, message = phases.failure_cause(failure), phases.failure_reason(failure)
        elif phase is Phase.SUCCEEDED:
            ending = await self._savepoints.ending(run.run_key, entry.jid)
            if not ending.settled:
                return None
            if not ending.by_itself:
                phase, cause = Phase.KILLED, EndCause.CANCELLED
                message = f"stopped with savepoint {ending.path or '(Flink no longer names it)'}"
        elif phase is Phase.KILLED and await self._savepoints.stop_requested(run.run_key):
            cause = EndCause.CANCELLED
        elif phase is Phase.KILLED:
            message = "cancelled by somebody on the cluster"
        return Observation(
            run_key=run.run_key, phase=phase, handle=entry.jid, at=self._clock.now(), cause=cause,
            message=bounded(message), started_at=instant(entry.start_time), ended_at=instant(entry.end_time),
            handle_url=f"{self._job_manager.url}/#/job/{_page(phase)}/{entry.jid}/overview",
        )  # fmt: skip

    def _may_be_stale(self, id: str) -> bool:
        """Whether the exception of a failed job may still come. It is looked for again until `STALE` has passed."""
        now = self._clock.now()
        if len(self._unexplained) >= MAX_UNEXPLAINED:
            self._unexplained.clear()
        return now - self._unexplained.setdefault(id, now) < STALE

    async def last_failure(self, id: str) -> Failure | None:
        """The last exception of a job."""
        exceptions = await self._job_manager.exceptions(id)
        if exceptions.history.entries:
            return exceptions.history.entries[0]
        return Failure(stacktrace=exceptions.root_exception) if exceptions.root_exception else None

    async def _missing(self, run: Watched, incarnation: Incarnation) -> Observation | None:
        """What it means that Flink does not show a run; None where its record cannot be had now."""
        try:
            record, now = await self._records.load(run.run_key), self._clock.now()
        except BlobStoreFailed as error:
            log.warning("what became of %s is not known now: %s", run.run_key, error)
            return None
        young = record is not None and now - record.written_at < timedelta(seconds=YOUNG_SECONDS)
        if record is not None and young and not incarnation.forgot(record.incarnation):
            return Observation(run_key=run.run_key, phase=Phase.SUBMITTED, handle=run.handle, at=now)
        return Observation(
            run_key=run.run_key, phase=Phase.LOST, handle=None, at=now, message=_why_lost(record, incarnation)
        )


def job_id(run: Watched) -> str:
    """Flink's id of a run."""
    return run.handle or run_key_hash128(run.run_key)


def _page(phase: Phase) -> str:
    """Where Flink's own pages keep a job."""
    return "completed" if phase in phases.CAUSES else "running"


def _why_lost(record: FlinkRun | None, incarnation: Incarnation) -> str:
    if record is None:
        return "nothing was sent under this key"
    if incarnation.forgot(record.incarnation):
        return (
            "the JobManager restarted after it got this job; without high availability it keeps none: the job ended "
            "with it, or had ended before"
        )
    if incarnation.high_availability:
        return "the JobManager does not know the job: it ended and was cleaned up, or is not recovered yet"
    return "Flink shows ended jobs for an hour (jobstore.expiration-time), and this one no longer"
