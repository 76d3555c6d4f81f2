"""A Flink session cluster behind the port.

Identity: a Flink job's id is a hash of the run key, and one JobManager accepts an id once. A JobManager without high
availability forgets its ids when it ends, so a run is sent to one incarnation only (`records`).
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from pydantic import JsonValue

from signalbox_chassis.blobs import Blobs
from signalbox_chassis.runtime.clock import Clock
from signalbox_contracts.definitions.work import FlinkWork
from signalbox_executor.engines.capabilities import Progress, Savepoint
from signalbox_executor.engines.flink.artifacts import Artifacts, JarRefused
from signalbox_executor.engines.flink.observing import Runs, job_id
from signalbox_executor.engines.flink.progress import summarize
from signalbox_executor.engines.flink.records import RunRecords
from signalbox_executor.engines.flink.rest import JobManager
from signalbox_executor.engines.flink.run_logs import RunLogs
from signalbox_executor.engines.flink.savepoints import Savepoints
from signalbox_executor.engines.flink.sending import SEND_SECONDS, Sender, SendParts
from signalbox_executor.engines.flink.uploads import Uploads
from signalbox_executor.engines.port import (
    AnswerUnreadable,
    EngineRefused,
    Handle,
    Identity,
    LogPage,
    Observation,
    Submission,
    Watched,
)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class FlinkParts:
    """What one Flink engine is made of."""

    engine_id: str
    job_manager: JobManager
    artifacts: Artifacts
    blobs: Blobs
    clock: Clock
    default_jar_url: str
    keep_jars: timedelta = timedelta(days=1)
    """How long a JAR that we uploaded stays on the cluster."""
    wait_seconds: float = SEND_SECONDS
    """How long a submit waits for what it sent, at most; less than the executor lets one call take."""


class FlinkEngine:
    """One session cluster."""

    def __init__(self, parts: FlinkParts) -> None:
        self._name = parts.engine_id
        self._job_manager = parts.job_manager
        self._artifacts = parts.artifacts
        self._default_jar_url = parts.default_jar_url
        self._records = RunRecords(parts.blobs, parts.engine_id)
        self._savepoints = Savepoints(parts.engine_id, parts.job_manager, self._records, parts.clock)
        self._logs = RunLogs(parts.engine_id, parts.job_manager, parts.blobs)
        self._runs = Runs(parts.job_manager, self._records, self._savepoints, parts.clock)
        self._sender = Sender(
            SendParts(
                engine_id=parts.engine_id, job_manager=parts.job_manager, artifacts=parts.artifacts,
                uploads=Uploads(parts.job_manager, parts.blobs, parts.clock, parts.keep_jars), records=self._records,
                clock=parts.clock, default_jar_url=parts.default_jar_url, wait_seconds=parts.wait_seconds,
            )
        )  # fmt: skip

    @property
    def identity(self) -> Identity:
        return Identity.REMEMBERS_KEYS

    async def close(self) -> None:
        await self._sender.close()
        await self._runs.close()
        await self._artifacts.close()
        await self._job_manager.close()

    async def submit(self, submission: Submission) -> Handle:
        """As the port says."""
        work = submission.work
        if not isinstance(work, FlinkWork):
            raise EngineRefused(
                self._name, f"{work.kind!r} is not allowed: only 'flink' runs here", field="work.kind", value=work.kind
            )
        return await self._sender.send(submission, work)

    async def observe(self, watched: Sequence[Watched]) -> Mapping[str, Observation]:
        """One call for all that Flink knows; a second only where one is missing."""
        return await self._runs.observe(watched) if watched else {}

    async def cancel(self, watched: Watched) -> None:
        """Cancel the job, or stop it with a savepoint where its work says so; one that ended stays as it ended."""
        run = await self._records.load(watched.run_key)
        if run is not None and run.stop_with_savepoint:
            await self._savepoints.stop(run, job_id(watched))
        else:
            await self._savepoints.cancel(watched.run_key, job_id(watched))

    async def take_savepoint(self, watched: Watched, request: str, *, stop: bool = False) -> None:
        await self._savepoints.take(watched.run_key, job_id(watched), request, stop=stop)

    async def savepoint(self, watched: Watched, request: str) -> Savepoint | None:
        return await self._savepoints.status(watched.run_key, job_id(watched), request)

    async def logs(self, watched: Watched, *, offset: int = 0, limit: int = 65_536) -> LogPage:
        """The run's lines in the logs of Flink's processes, and in the end its exceptions."""
        return await self._logs.page(watched.run_key, job_id(watched), offset=offset, limit=limit)

    async def progress(self, watched: Sequence[Watched]) -> Mapping[str, Progress]:
        """Records, checkpoints and back pressure, by two calls a run."""
        found: dict[str, Progress] = {}
        for run in watched:
            try:
                metrics = await self._job_manager.progress(job_id(run))
            except AnswerUnreadable as error:  # of this job alone
                log.info("the progress of %s cannot be read: %s", run.run_key, error)
                continue
            if metrics is not None:
                found[run.run_key] = summarize(*metrics)
        return found

    async def pin_artifact(self, scope: str, url: str | None) -> Mapping[str, JsonValue]:
        """Fetch a JAR again and pin what its URL gives now."""
        try:
            pin = await self._artifacts.pin_anew(scope, url or self._default_jar_url)
        except JarRefused as refused:
            raise EngineRefused(self._name, str(refused), field="work.jar_url", value=url or "") from None
        return {"url": pin.url, "sha256": pin.sha256, "bytes": pin.bytes}

    async def explain_waiting(self, watched: Sequence[Watched]) -> Mapping[str, str]:
        return await self._runs.waiting(watched)

    async def test_connection(self) -> Mapping[str, JsonValue]:
        """Version, slots and whether jobs survive a restart of the JobManager."""
        cluster, incarnation = await self._job_manager.cluster(), await self._job_manager.incarnation()
        return {
            "version": cluster.flink_version,
            "taskmanagers": cluster.taskmanagers,
            "slots": cluster.slots_total,
            "slots_free": cluster.slots_available,
            "high_availability": incarnation.high_availability,
        }
