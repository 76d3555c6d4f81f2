"""The Kubernetes engine behind the port. The Job's name is the run key: the cluster refuses a second one.

A Job is created suspended, gets what it owns, and is released; each step may be repeated by whoever takes over. One
whose name the work chose owns a second Job too, which has the run key as its name and never a pod. Stops
and seals are changes of the Job that fail if it changed meanwhile, so each is decided before or after the release.
Crash points (`kubernetes.*`) stand between the steps.
"""

import asyncio
import logging
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final

from pydantic import JsonValue

from signalbox_chassis.runtime import crash_points
from signalbox_executor.engines.capabilities import Progress
from signalbox_executor.engines.kubernetes import manifest
from signalbox_executor.engines.kubernetes.api import ApiRefusal, KubernetesApi
from signalbox_executor.engines.kubernetes.inspection import Inspector
from signalbox_executor.engines.kubernetes.job import Job, read_job
from signalbox_executor.engines.kubernetes.jobs_watch import JobsWatch
from signalbox_executor.engines.kubernetes.logs import PodLogs
from signalbox_executor.engines.kubernetes.manifest import CANCELLED, RELEASED, RESUMED, SEALED, SUSPENDED, Placement
from signalbox_executor.engines.kubernetes.progress import progress
from signalbox_executor.engines.kubernetes.refusals import submit_error
from signalbox_executor.engines.kubernetes.review import NEEDED, missing_rights
from signalbox_executor.engines.port import (
    EngineRefused,
    EngineUnavailable,
    Handle,
    Identity,
    LogPage,
    Observation,
    Phase,
    Submission,
    Watched,
    bounded,
)

log = logging.getLogger(__name__)
MAX_CONFLICTS: Final = 50
"""Changes of a Job by others between our reading and our writing it: its controller makes a few."""
MAX_LOOKUPS_AT_ONCE: Final = 16


class KubernetesEngine:
    """One namespace of one cluster."""

    def __init__(self, api: KubernetesApi, placement: Placement) -> None:
        self._api = api
        self._placement = placement
        self.jobs_watch = JobsWatch(api)
        """The one stream of this engine."""
        self._inspector = Inspector(api)
        self._logs = PodLogs(api, self._inspector)
        self._lookups = asyncio.Semaphore(MAX_LOOKUPS_AT_ONCE)

    @property
    def identity(self) -> Identity:
        return Identity.REMEMBERS_KEYS

    async def submit(self, submission: Submission) -> Handle:
        """As the port says. Refused: what the server will never accept; a Job that was created for it is deleted."""
        objects = manifest.objects(submission, self._placement)
        job = await self._create(objects.job)
        crash_points.point("kubernetes.created")
        if not _settled(job):
            await self._create_owned(job, objects.owned)
            crash_points.point("kubernetes.owned")
            if job.name != job.run_key:
                job = await self._take_key(job)
                crash_points.point("kubernetes.key-taken")
            job = await self._release(job)
            crash_points.point("kubernetes.released")
        if job.sealed:
            raise EngineRefused(self._api.name, "it was sealed", field="run_key", value=job.name, sealed=True)
        return self._handle(job)

    async def observe(self, watched: Sequence[Watched]) -> Mapping[str, Observation]:
        """From the stream of Jobs; a Job the stream does not know is asked for by name before it counts as lost.

        A run that cannot be looked at now is left out. Raises why if that is every one.
        """
        if not watched:
            return {}
        jobs = await self.jobs_watch.current()
        found = await asyncio.gather(
            *(self._observe(run, jobs.get(run.run_key)) for run in watched), return_exceptions=True
        )
        seen: dict[str, Observation] = {}
        failures: list[EngineUnavailable] = []
        for run, one in zip(watched, found, strict=True):
            if isinstance(one, EngineUnavailable):
                log.warning("what became of %s cannot be read now: %s", run.run_key, one)
                failures.append(one)
            elif isinstance(one, BaseException):
                raise one
            else:
                seen[one.run_key] = one
        if failures and not seen:
            raise failures[0]
        return seen

    async def cancel(self, watched: Watched) -> None:
        """No pods, and a deadline that has passed: the Job fails for good, and stays as the memory of its key."""
        with self._port_errors():
            for _ in range(MAX_CONFLICTS):
                job = await self._find(watched)
                if job is None or job.ended or job.cancelled or job.sealed:
                    return
                if await self._change(job, CANCELLED, manifest.STOP) is not None:
                    return
        raise self._contended(watched.run_key)

    async def seal(self, watched: Watched) -> Handle | None:
        """A Job without pods takes the name. One that was created and not released yet is sealed itself."""
        with self._port_errors():
            for _ in range(MAX_CONFLICTS):
                if await self._seal_absent(watched.run_key):
                    await self._seal_waiting(watched.run_key)
                    return None
                job = await self._find(watched)
                if job is None:
                    continue
                if job.sealed:
                    return None
                if _settled(job):
                    return self._handle(job)
                if await self._change(job, SEALED, manifest.STOP) is not None:
                    return None
        raise self._contended(watched.run_key)

    async def logs(self, watched: Watched, *, offset: int = 0, limit: int = 65_536) -> LogPage:
        """What all its pods wrote, in the order of time; lines of an Indexed Job begin with their index."""
        with self._port_errors():
            job = await self._find(watched)
            if job is None or job.sealed or self._replaced(watched, job):
                return LogPage(offset, b"")
            return await self._logs.page(job, offset, limit)

    async def suspend(self, watched: Watched) -> None:
        """Its pods are ended and its finished indexes kept."""
        await self._set_suspended(watched, suspended=True)

    async def resume(self, watched: Watched) -> None:
        """Its time limit begins again."""
        await self._set_suspended(watched, suspended=False)

    async def progress(self, watched: Sequence[Watched]) -> Mapping[str, Progress]:
        """From the stream of Jobs."""
        jobs = await self.jobs_watch.current()
        return {run.run_key: progress(job) for run in watched if (job := jobs.get(run.run_key)) is not None}

    async def explain_waiting(self, watched: Sequence[Watched]) -> Mapping[str, str]:
        """From the pods that do not start, or from the events of a Job that gets none."""
        jobs = await self.jobs_watch.current()
        found = [job for run in watched if (job := jobs.get(run.run_key)) is not None and not job.ended]
        reasons = await asyncio.gather(*(self._inspector.why_waiting(job) for job in found))
        return {job.run_key: bounded(reason) for job, reason in zip(found, reasons, strict=True) if reason}

    async def secrets(self, watched: Watched) -> frozenset[str]:
        """From the Secret the Job owns."""
        name = manifest.secrets_name(watched.run_key)
        with self._port_errors():
            try:
                document = await self._api.get(self._api.path("secrets", name))
            except ApiRefusal as refusal:
                if refusal.code == 404:
                    return frozenset()
                raise
        return manifest.remembered_secrets(document)

    async def test_connection(self) -> Mapping[str, JsonValue]:
        """The server's version. Raises `EngineRefused` with the rights that are missing."""
        with self._port_errors():
            version = await self._api.get("/version")
            missing = await missing_rights(self._api)
        if missing:
            names = ", ".join(map(str, missing))
            reason = f"the account lacks rights in namespace {self._api.namespace}: {names}"
            raise EngineRefused(self._api.name, reason, field="connection")
        return {
            "version": str(version.get("gitVersion", "")),
            "namespace": self._api.namespace,
            "rights": [str(right) for right in NEEDED],
        }

    async def close(self) -> None:
        """End the stream; what runs in the cluster runs on."""
        await self.jobs_watch.stop()
        await self._api.close()

    async def _create(self, body: dict[str, Any]) -> Job:
        """The Job of this key, created now or by another copy of the submit."""
        name, run_key = body["metadata"]["name"], body["metadata"]["labels"][manifest.RUN_KEY]
        try:
            return read_job(await self._api.create(self._api.path("jobs"), body))
        except ApiRefusal as refusal:
            if not _exists(refusal):
                raise submit_error(self._api.name, refusal) from refusal
        with self._port_errors():
            job = await self._read(name)
        if job is None:
            raise EngineUnavailable(self._api.name, f"Job {name} was deleted a moment ago")
        if job.run_key != run_key or job.runs_as:
            reason = f"a Job {name} that is not this run's is in namespace {self._api.namespace}"
            field = "run_key" if name == run_key else "work.job_name"
            raise EngineRefused(self._api.name, reason, field=field, value=name)
        return job

    async def _create_owned(self, job: Job, owned: Sequence[tuple[str, dict[str, Any]]]) -> None:
        for kind, body in owned:
            try:
                await self._api.create(self._api.path(kind), manifest.owned_by(body, job.name, job.uid))
            except ApiRefusal as refusal:
                if _exists(refusal):
                    await self._check_owner(job, kind, body["metadata"]["name"])
                    continue
                with self._port_errors():
                    await self._delete(job)
                raise submit_error(self._api.name, refusal) from refusal

    async def _check_owner(self, job: Job, kind: str, name: str) -> None:
        """What is there already is ours, or goes with an earlier owner that is being collected."""
        with self._port_errors():
            document = await self._api.get(self._api.path(kind, name))
        owners = document.get("metadata", {}).get("ownerReferences") or ()
        if job.uid not in [owner.get("uid") for owner in owners]:
            raise EngineUnavailable(self._api.name, f"{kind} {name} belongs to another object and is in the way")

    async def _release(self, job: Job) -> Job:
        with self._port_errors():
            for _ in range(MAX_CONFLICTS):
                released = await self._change(job, RELEASED, {"suspend": False})
                if released is not None:
                    return released
                found = await self._read(job.name)
                if found is None:
                    raise EngineUnavailable(self._api.name, f"Job {job.name} was deleted before it was released")
                job = found
                if _settled(job):
                    return job
        raise self._contended(job.name)

    async def _change(self, job: Job, mark: str, spec: Mapping[str, Any]) -> Job | None:
        """Set the mark and these fields unless the Job changed since it was read: then None."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        metadata = {"resourceVersion": job.version, "annotations": {mark: now}}
        try:
            changed = await self._api.patch(self._api.path("jobs", job.name), {"metadata": metadata, "spec": spec})
        except ApiRefusal as refusal:
            if refusal.code in (404, 409):
                return None
            raise
        return read_job(changed)

    async def _set_suspended(self, watched: Watched, *, suspended: bool) -> None:
        with self._port_errors():
            for _ in range(MAX_CONFLICTS):
                job = await self._find(watched)
                if job is None or job.cancelled or job.sealed:
                    return
                if job.ended:
                    if suspended:
                        raise EngineRefused(self._api.name, "it has ended", field="run_key", value=job.name)
                    return
                if job.suspended == suspended or not job.released:
                    return
                if await self._change(job, SUSPENDED if suspended else RESUMED, {"suspend": suspended}) is not None:
                    return
        raise self._contended(watched.run_key)

    async def _take_key(self, job: Job) -> Job:
        """The Job with its key taken, or sealed because a seal took it before."""
        holder = manifest.owned_by(manifest.key_holder(job.run_key, job.name), job.name, job.uid)
        with self._port_errors():
            try:
                await self._api.create(self._api.path("jobs"), holder)
            except ApiRefusal as refusal:
                if not _exists(refusal):
                    raise
                found = await self._read(job.run_key)
                if found is not None and found.sealed:
                    return await self._seal(job)
                await self._check_owner(job, "jobs", job.run_key)
        return job

    async def _seal_absent(self, run_key: str) -> bool:
        """Create the tombstone. False: something has the name."""
        keep = self._placement.key_retention_seconds
        try:
            await self._api.create(self._api.path("jobs"), manifest.tombstone(run_key, keep))
        except ApiRefusal as refusal:
            if _exists(refusal):
                return False
            raise
        return True

    async def _seal_waiting(self, run_key: str) -> None:
        """End the Jobs of a sealed key that have names of their own: none of them can be released any more."""
        selector = f"{manifest.RUN_KEY}={run_key}"
        async for page in self._api.pages(self._api.path("jobs"), labelSelector=selector):
            for document in page.get("items", ()):
                await self._seal(read_job(document))

    async def _seal(self, job: Job) -> Job:
        for _ in range(MAX_CONFLICTS):
            if _settled(job):
                return job
            if (sealed := await self._change(job, SEALED, manifest.STOP)) is not None:
                return sealed
            found = await self._read(job.name)
            if found is None:
                return job
            job = found
        raise self._contended(job.name)

    async def _find(self, watched: Watched) -> Job | None:
        """The Job of a run: by its handle, or by its key."""
        _, _, name = (watched.handle or "").rpartition("/")[0].rpartition("/")
        if name and (job := await self._read(name)) is not None and job.run_key == watched.run_key and not job.runs_as:
            return job
        job = await self._read(watched.run_key)
        return await self._read(job.runs_as) if job is not None and job.runs_as else job

    async def _read(self, name: str) -> Job | None:
        try:
            return read_job(await self._api.get(self._api.path("jobs", name)))
        except ApiRefusal as refusal:
            if refusal.code == 404:
                return None
            raise
        except ValueError as error:
            raise EngineUnavailable(self._api.name, bounded(f"Job {name} cannot be read: {error}")) from error

    async def _delete(self, job: Job) -> None:
        try:
            await self._api.delete(self._api.path("jobs", job.name), job.uid)
        except ApiRefusal as refusal:
            if refusal.code not in (404, 409):
                raise

    async def _observe(self, run: Watched, job: Job | None) -> Observation:
        with self._port_errors():
            if job is None or self._replaced(run, job):
                async with self._lookups:
                    job = await self._find(run)
            if job is None:
                return await self._inspector.lost(run)
            if job.sealed:
                return self._inspector.unknown(run, "sealed: it never runs")
            if self._replaced(run, job):
                return self._inspector.unknown(run, f"it was deleted, and another Job has its name (uid {job.uid})")
            return await self._inspector.observe(run, job, self._handle(job))

    def _handle(self, job: Job) -> Handle:
        return f"{self._api.namespace}/{job.name}/{job.uid}"

    def _replaced(self, run: Watched, job: Job) -> bool:
        return run.handle is not None and run.handle != self._handle(job)

    def _contended(self, run_key: str) -> EngineUnavailable:
        return EngineUnavailable(self._api.name, f"Job {run_key} changed {MAX_CONFLICTS} times while it was written")

    @contextmanager
    def _port_errors(self) -> Generator[None]:
        """What the server refuses here says nothing of the run."""
        try:
            yield
        except ApiRefusal as refusal:
            raise EngineUnavailable(self._api.name, str(refusal)) from refusal


def _settled(job: Job) -> bool:
    """Whether nothing is left to do for the submit: it was released, or never will be."""
    return job.released or job.cancelled or job.sealed or job.ended or job.phase is Phase.KILLED


def _exists(refusal: ApiRefusal) -> bool:
    return refusal.code == 409 and refusal.reason == "AlreadyExists"
