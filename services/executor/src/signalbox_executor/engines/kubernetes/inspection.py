"""Reading more of a run than its Job says: pods when it ended, and reasons when it does not start."""

import asyncio
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from signalbox_executor.engines.kubernetes.api import ApiRefusal, KubernetesApi
from signalbox_executor.engines.kubernetes.events import newest_failure, newest_pod_failure
from signalbox_executor.engines.kubernetes.job import DEADLINE_EXCEEDED, Job
from signalbox_executor.engines.kubernetes.outcome import Outcome, outcome
from signalbox_executor.engines.kubernetes.pods import JOB_NAME_LABEL, Pod, read_pod, why_waiting
from signalbox_executor.engines.port import EngineUnavailable, Handle, Observation, Phase, Watched, bounded

MAX_AT_ONCE: Final = 8
MAX_REMEMBERED: Final = 5_000
STUCK_AFTER_SECONDS: Final = 2.0
LOOK_AGAIN_SECONDS: Final = 5.0
_NO_JOB: Final = "no such Job: not submitted, or deleted"


@dataclass
class Stuck:
    """What a Job that does not start was last seen to wait for."""

    first_seen: float
    looked_at: float = 0.0
    reason: str = ""


@dataclass
class Inspector:
    """Remembers, by the uid of a Job, its outcome or what it waits for: each is asked for once, or once in a while."""

    api: KubernetesApi
    _outcomes: OrderedDict[str, Outcome] = field(default_factory=OrderedDict[str, Outcome])
    _stuck: OrderedDict[str, Stuck] = field(default_factory=OrderedDict[str, Stuck])
    _at_once: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_AT_ONCE))

    async def observe(self, run: Watched, job: Job, handle: Handle) -> Observation:
        """What is to be reported of this Job. Raises `EngineUnavailable` if an ended one cannot be read completely."""
        now = datetime.now(UTC)
        if not job.ended:
            return Observation(run_key=run.run_key, phase=job.phase, handle=handle, at=now, started_at=job.started_at)
        end = await self._outcome(job)
        return Observation(
            run_key=run.run_key, phase=end.phase, handle=handle, at=now, exit_code=end.exit_code, result=end.result,
            cause=end.cause, message=bounded(end.message), started_at=job.started_at, ended_at=job.ended_at,
        )  # fmt: skip

    async def lost(self, run: Watched) -> Observation:
        """Of a Job the cluster does not know: with the reason where the namespace itself is one."""
        try:
            namespace = await self.api.get(f"/api/v1/namespaces/{self.api.namespace}")
        except ApiRefusal as refusal:
            gone = refusal.code == 404
            return self.unknown(
                run,
                f"namespace {self.api.namespace} does not exist" if gone else "no such Job: not submitted, or deleted",
            )
        phase = namespace.get("status", {}).get("phase")
        if phase == "Terminating":
            return self.unknown(run, f"namespace {self.api.namespace} is being deleted")
        return self.unknown(run, "no such Job: not submitted, or deleted")

    def unknown(self, run: Watched, message: str) -> Observation:
        return Observation(
            run_key=run.run_key, phase=Phase.LOST, handle=None, at=datetime.now(UTC), message=bounded(message)
        )

    async def pods(self, job_name: str) -> list[Pod]:
        """The pods of a Job, as many as there are; one that cannot be read is left out."""
        found: list[Pod] = []
        async for page in self.api.pages(self.api.path("pods"), labelSelector=f"{JOB_NAME_LABEL}={job_name}"):
            found += [pod for document in page.get("items", ()) if (pod := read_pod(document)) is not None]
        return found

    async def _outcome(self, job: Job) -> Outcome:
        known = self._outcomes.get(job.uid)
        if known is None:
            async with self._at_once:
                try:
                    pods = await self.pods(job.name)
                except ApiRefusal as refusal:
                    raise EngineUnavailable(self.api.name, f"its pods cannot be read: {refusal}") from refusal
                waited_for = await self._waited_for(job)
            known = outcome(job, pods, waited_for)
            _remember(self._outcomes, job.uid, known)
            self._stuck.pop(job.uid, None)
        return known

    async def _waited_for(self, job: Job) -> str:
        """Why a Job that ran out of time had not begun; its pods are gone by then, their events are not."""
        if job.reason != DEADLINE_EXCEEDED or job.cancelled or job.succeeded:
            return ""
        stuck = self._stuck.get(job.uid)
        if stuck is not None:
            return stuck.reason
        return await newest_failure(self.api, job.uid) or await newest_pod_failure(self.api, job.name)

    async def why_waiting(self, job: Job) -> str:
        """Empty for a Job whose pods run. A Job is looked at after a moment, and then not too often."""
        if job.phase is not Phase.SUBMITTED and job.ready:
            self._stuck.pop(job.uid, None)
            return ""
        now = time.monotonic()
        stuck = self._stuck.get(job.uid) or Stuck(now)
        _remember(self._stuck, job.uid, stuck)
        if now - stuck.first_seen < STUCK_AFTER_SECONDS or now - stuck.looked_at < LOOK_AGAIN_SECONDS:
            return stuck.reason
        if self._at_once.locked():
            return stuck.reason
        stuck.looked_at = now
        async with self._at_once:
            try:
                stuck.reason = await self._reason(job)
            except ApiRefusal as refusal:
                stuck.reason = f"why it waits cannot be read: {refusal}"
        return stuck.reason

    async def _reason(self, job: Job) -> str:
        """From the pods; from the events of a pod that does not say itself; from those of the Job if it has none."""
        pods = await self.pods(job.name)
        pending = [pod for pod in pods if pod.phase == "Pending"]
        if not pods:
            return await newest_failure(self.api, job.uid)
        return why_waiting(pods) or (await newest_failure(self.api, pending[0].uid) if pending else "")


def _remember(kept: "OrderedDict[str, Outcome] | OrderedDict[str, Stuck]", uid: str, value: Outcome | Stuck) -> None:
    kept[uid] = value  # pyright: ignore[reportArgumentType]
    while len(kept) > MAX_REMEMBERED:
        kept.popitem(last=False)
