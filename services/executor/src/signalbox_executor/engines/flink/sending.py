"""Sending runs: the JAR where it is needed, the record, then one call that runs `main`.

Crash points: `flink.recorded` before the call, `flink.answered` after Flink accepted.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from signalbox_chassis.blobs import BlobMissing, BlobStoreFailed
from signalbox_chassis.runtime import crash_points
from signalbox_chassis.runtime.clock import Clock
from signalbox_contracts.artifacts import FlinkRun, pin_scope
from signalbox_contracts.definitions.work import FlinkWork
from signalbox_contracts.ids import run_key_hash128
from signalbox_executor.engines.flink.artifacts import Artifacts, JarRefused, StoredJar
from signalbox_executor.engines.flink.records import RunRecords, SealedRun
from signalbox_executor.engines.flink.refusals import JarMissing, Unclear, WorkRefused, judge_run
from signalbox_executor.engines.flink.rest import Answer, Incarnation, JobManager
from signalbox_executor.engines.flink.uploads import Uploads
from signalbox_executor.engines.port import (
    EngineRefused,
    EngineThrottled,
    EngineUnavailable,
    Handle,
    Submission,
    bounded,
)

SEND_SECONDS: Final = 20.0
"""How long a submit waits for a JAR or for `main`, at most. Both go on; a later submit of the key joins them."""
COME_AGAIN_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SendParts:
    """What sending needs."""

    engine_id: str
    job_manager: JobManager
    artifacts: Artifacts
    uploads: Uploads
    records: RunRecords
    clock: Clock
    default_jar_url: str
    wait_seconds: float = SEND_SECONDS


class Sender:
    """Sends runs to one cluster. One send of a key is under way at a time: a second would run its `main` twice."""

    def __init__(self, parts: SendParts) -> None:
        self._parts = parts
        self._name = parts.engine_id
        self._sending: dict[str, asyncio.Task[Handle]] = {}

    async def close(self) -> None:
        for task in list(self._sending.values()):
            task.cancel()
        await asyncio.gather(*self._sending.values(), return_exceptions=True)

    async def send(self, submission: Submission, work: FlinkWork) -> Handle:
        """Make sure the run was sent. Raises the port's errors; `EngineThrottled` while it is still under way."""
        key = submission.run_key
        task = self._sending.get(key)
        if task is None:
            task = self._sending[key] = asyncio.create_task(self._send(submission, work), name=f"send {key}")
            task.add_done_callback(lambda ended: self._sent(key, ended))
        done, _ = await asyncio.wait((task,), timeout=self._parts.wait_seconds)
        if not done:
            raise EngineThrottled(self._name, COME_AGAIN_SECONDS, "the submit is still under way")
        return task.result()

    def _sent(self, key: str, ended: asyncio.Task[Handle]) -> None:
        self._sending.pop(key, None)
        if not ended.cancelled():
            ended.exception()  # whoever still waits gets it; nobody may

    async def _send(self, submission: Submission, work: FlinkWork) -> Handle:
        try:
            try:
                return await self._send_once(submission, work)
            except JarRefused as refused:
                sealed = await self._parts.records.seal(submission.run_key, str(refused), self._parts.clock.now())
                raise self._jar_refused(str(refused), work, sealed=sealed) from None
        except (BlobStoreFailed, BlobMissing) as error:
            reason = bounded(f"the blob store fails: {error}")
            raise EngineUnavailable(self._name, reason, may_have_arrived=False) from error

    def _jar_refused(self, reason: str, work: FlinkWork, *, sealed: bool) -> EngineRefused:
        return EngineRefused(self._name, bounded(reason), field="work.jar_url", value=work.jar_url or "", sealed=sealed)

    async def _send_once(self, submission: Submission, work: FlinkWork) -> Handle:
        job_id, parts = run_key_hash128(submission.run_key), self._parts
        incarnation = await parts.job_manager.incarnation()
        run, created = await parts.records.load_any(submission.run_key), False
        if run is None:
            run = await self._new_run(submission, work, incarnation)
            await parts.uploads.jar_id(_jar(run), incarnation)  # so that little can fail after the record
            created = await parts.records.create(run)
            run = run if created else await parts.records.load_any(submission.run_key) or run
        if isinstance(run, SealedRun):
            raise self._jar_refused(run.reason, work, sealed=True)
        if not created and (run.incarnation != incarnation.id or await parts.job_manager.job(job_id) is not None):
            return job_id  # sent before: `observe` finds what became of it, or that the JobManager forgot it
        crash_points.point("flink.recorded")
        try:
            return await self._run(run, incarnation, work)
        except EngineUnavailable as error:
            if created and not error.may_have_arrived:
                await parts.records.forget(submission.run_key)
            raise

    async def _new_run(self, submission: Submission, work: FlinkWork, incarnation: Incarnation) -> FlinkRun:
        url = work.jar_url or self._parts.default_jar_url
        scope = pin_scope(submission.target, submission.target_version, submission.step, submission.task_id)
        pin = await self._parts.artifacts.pinned(scope, url, work.jar_sha256)
        return FlinkRun(
            run_key=submission.run_key, task_id=submission.task_id, job_id=run_key_hash128(submission.run_key),
            incarnation=incarnation.id, jar_url=url, jar_sha256=pin.sha256, jar_bytes=pin.bytes,
            target=submission.target, savepoint_path=work.savepoint_path,
            stop_with_savepoint=work.stop_with_savepoint, written_at=self._parts.clock.now(),
        )  # fmt: skip

    async def _run(self, run: FlinkRun, incarnation: Incarnation, work: FlinkWork) -> Handle:
        jar_id = await self._parts.uploads.jar_id(_jar(run), incarnation)
        answer = await self._parts.job_manager.run(jar_id, run_request(run.job_id, work))
        crash_points.point("flink.answered")
        if not isinstance(answer, Answer):
            return answer.jobid
        # main may have failed after it started the job, which then runs under our id
        if await self._parts.job_manager.job(run.job_id) is not None:
            return run.job_id
        verdict = judge_run(answer.status, answer.text)
        if isinstance(verdict, JarMissing):
            self._parts.uploads.forget(_jar(run), incarnation)
            raise EngineThrottled(self._name, COME_AGAIN_SECONDS / 4)
        if isinstance(verdict, WorkRefused):
            raise EngineRefused(self._name, bounded(verdict.reason), field=verdict.field, value=work.entry_class or "")
        if isinstance(verdict, Unclear):
            raise EngineUnavailable(self._name, bounded(verdict.reason))
        return run.job_id  # accepted once, and so long ago that Flink no longer shows it


def run_request(job_id: str, work: FlinkWork) -> Mapping[str, Any]:
    """The body of a run. Flink 2.x ignores `programArgs`: arguments go as a list."""
    arguments = [word for key, value in work.config.items() for word in (f"--{key}", value)]
    request: dict[str, Any] = {"jobId": job_id, "programArgsList": [*arguments, *work.arguments]}
    optional = {
        "entryClass": work.entry_class,
        "parallelism": work.parallelism,
        "savepointPath": work.savepoint_path,
        "flinkConfiguration": dict(work.flink_configuration) or None,
    }
    request |= {name: value for name, value in optional.items() if value is not None}
    if work.savepoint_path:
        request["allowNonRestoredState"] = work.allow_non_restored_state
    return request


def _jar(run: FlinkRun) -> StoredJar:
    return StoredJar(run.jar_sha256, run.jar_bytes)
