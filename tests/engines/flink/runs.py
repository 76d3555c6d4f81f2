"""Flink engines under test, and the jobs they run."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import aiohttp

from engines.flink.cluster import FlinkCluster
from engines.flink.distribution import compiled_jobs
from engines.flink.jars import JarServer
from engines.harness import until
from signalbox_chassis.blobs import Blobs
from signalbox_chassis.runtime.clock import SystemClock
from signalbox_chassis.security.egress import EgressGuard
from signalbox_contracts.artifacts import FlinkRun, flink_run_key
from signalbox_contracts.definitions.work import FlinkWork
from signalbox_contracts.ids import run_key, run_key_hash128
from signalbox_executor.engines.flink.adapter import FlinkEngine, FlinkParts
from signalbox_executor.engines.flink.artifacts import Artifacts, FetchLimits
from signalbox_executor.engines.flink.rest import JobManager
from signalbox_executor.engines.port import ENDS, EngineThrottled, Handle, Observation, Phase, Submission, Watched

ENTRY = "probe.Job"
JAR = "jobs.jar"


@dataclass
class FlinkBench:
    """One cluster, the tests' JAR at a URL, and as many adapters as a test wants."""

    cluster: FlinkCluster
    jars: JarServer
    blobs: Blobs
    folder: Path
    engines: list[FlinkEngine] = field(default_factory=list[FlinkEngine])
    keys: list[str] = field(default_factory=list[str])

    def __post_init__(self) -> None:
        self.jar_url = self.jars.put(JAR, compiled_jobs(self.cluster.version))
        self.engine = self.another()

    def another(
        self,
        *,
        limits: FetchLimits | None = None,
        jar_allow: str = "127.0.0.1",
        calls: list[str] | None = None,
        url: str = "",
    ) -> FlinkEngine:
        """Another adapter, as a second executor has one: the blob store is all they share.

        `calls` gets a line for each call of the JobManager that is made by the task which runs now.
        """
        clock, guard, counting = SystemClock(), EgressGuard("127.0.0.1"), _counting(calls)
        self.job_manager = JobManager(
            url or self.cluster.url, name="flink", open_session=lambda: guard.session(trace_configs=[counting])
        )
        engine = FlinkEngine(
            FlinkParts(
                engine_id="flink",
                job_manager=self.job_manager,
                artifacts=Artifacts(self.blobs, EgressGuard(jar_allow).session, clock, limits or FetchLimits()),
                blobs=self.blobs,
                clock=clock,
                default_jar_url=self.jar_url,
            )
        )
        self.engines.append(engine)
        return engine

    def stamps(self, key: str) -> Path:
        return self.folder / f"{key}.stamps"

    def new_submission(
        self,
        *,
        task_id: UUID | None = None,
        attempt: int = 1,
        target: str | None = None,
        target_version: int = 1,
        **changes: Any,
    ) -> Submission:
        """A new task's submit. `config` is what the job is asked to do; other changes go to its work."""
        task_id = task_id or uuid4()
        key = run_key(task_id, attempt)
        self.keys.append(key)
        config = {"stamp": str(self.stamps(key)), "records": "20", **changes.pop("config", {})}
        work = FlinkWork(jar_url=self.jar_url, entry_class=ENTRY, config=config).model_copy(update=changes)
        return Submission(
            run_key=key, task_id=task_id, attempt=attempt, work=work, target=target, target_version=target_version
        )

    @staticmethod
    def watched(submission: Submission) -> Watched:
        return Watched(submission.run_key, submission.attempt)

    def starts(self, key: str) -> list[str]:
        """What each run of a key wrote when it began: job id, restart and arguments."""
        path = self.stamps(key)
        return [line for line in path.read_text().splitlines() if line.split()[1] == "0"] if path.exists() else []

    async def began(self, submission: Submission) -> None:
        """Return when the job's operators are open and every task runs."""

        async def running() -> bool:
            details: dict[str, list[dict[str, str]]]
            details = self.cluster.get(f"/jobs/{run_key_hash128(submission.run_key)}") or {"vertices": []}
            states = {vertex["status"] for vertex in details["vertices"]}
            return bool(self.starts(submission.run_key)) and states == {"RUNNING"}

        await until(running, f"the tasks of {submission.run_key} run")

    async def seen(self, submission: Submission, phases: Collection[Phase] = ENDS) -> Observation:
        """Observe until the run is in one of these phases."""
        observations: list[Observation] = []
        watched = self.watched(submission)

        async def there() -> bool:
            found = (await self.engine.observe([watched])).get(submission.run_key)
            observations.extend([found] if found else [])
            return bool(observations) and observations[-1].phase in phases

        await until(there, f"{submission.run_key} in one of {', '.join(phases)}; last {observations[-1:]}")
        return observations[-1]

    async def submit_patiently(self, submission: Submission) -> Handle:
        """Submit as the executor does: again when the engine asks to come later."""
        while True:
            try:
                return await self.engine.submit(submission)
            except EngineThrottled as throttled:
                await asyncio.sleep(throttled.retry_after_seconds)

    async def jar_of(self, submission: Submission) -> str:
        """The checksum of the JAR a run was given."""
        content = await self.blobs.read(flink_run_key("flink", submission.run_key))
        return FlinkRun.model_validate_json(content).jar_sha256

    @staticmethod
    async def until(condition: Callable[[], Awaitable[bool]], what: str) -> None:
        await until(condition, what)

    async def end_all(self) -> None:
        """Leave nothing running that this test started."""
        running: Sequence[str] = [
            key for key in self.keys if self.cluster.jobs().get(run_key_hash128(key), "") in ("RUNNING", "CREATED")
        ]
        for key in running:
            await self.engine.cancel(Watched(key, 1))


def _counting(calls: list[str] | None) -> aiohttp.TraceConfig:
    trace = aiohttp.TraceConfig()
    task = asyncio.current_task() if calls is not None else None  # without `calls` there may be no loop

    async def note(_: object, __: object, request: aiohttp.TraceRequestStartParams) -> None:
        if calls is not None and asyncio.current_task() is task:
            calls.append(f"{request.method} {request.url.path}")

    trace.on_request_start.append(note)
    return trace
