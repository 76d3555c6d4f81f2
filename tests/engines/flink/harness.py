"""Flink: a real session cluster, the tests' JAR on a web server; the job stamps a file each time it begins."""

import asyncio
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from engines.flink.cluster import FlinkCluster
from engines.flink.distribution import compiled_jobs
from engines.flink.jars import JarServer
from engines.harness import EngineHarness, WorkRequest, until
from signalbox_contracts.definitions.work import FlinkWork, Work
from signalbox_contracts.ids import run_key_hash128
from signalbox_executor.engines.port import Engine, Submission


class Harness(EngineHarness):
    kind = "flink"
    plain_logs = False
    lost_answer_point = "flink.answered"
    under_way_point = "executor.throttled"
    begins_late = True

    def __init__(self, folder: Path, cluster: FlinkCluster, jars: JarServer) -> None:
        self.folder = folder
        self.cluster = cluster
        self.stamps = folder / "stamps"
        self.connection = {"kind": "flink", "url": cluster.url}
        self.settings = {"SIGNALBOX_BLOB_URL": (folder / "blobs").as_uri()}
        self._jar_url = jars.put("jobs.jar", compiled_jobs(cluster.version))

    @classmethod
    @contextmanager
    def started(cls, folder: Path) -> Generator[Self]:
        with FlinkCluster(folder / "cluster", slots=16) as cluster, JarServer(folder / "jars") as jars:
            yield cls(folder, cluster, jars)
        shutil.rmtree(folder / "cluster", ignore_errors=True)

    def work(self, key: str, request: WorkRequest) -> Work:
        config: dict[str, Any] = {"stamp": str(self.stamps), "records": "10", "log": request.log}
        if request.endless:
            config |= {"records": "100000000", "per-second": "10"}
        if request.exit_code:
            config |= {"fail-at": "5"}
        if request.late:
            config |= {"main-waits-for": str(self._accepts(key))}
        entry = "probe.Nobody" if request.refused else "probe.Job"
        return FlinkWork(jar_url=self._jar_url, entry_class=entry, config=config)

    def wrong_work(self) -> tuple[Work, str]:
        return FlinkWork(jar_url=self._jar_url, entry_class="probe.Nobody"), "work.entry_class"

    async def submit_without_answer(self, submission: Submission) -> None:
        """Another executor sends it and dies: its adapter is closed as soon as Flink has the job."""
        other = await self.open()
        submitting = asyncio.create_task(other.submit(submission))

        async def accepted() -> bool:
            jobs = await asyncio.to_thread(self.cluster.jobs)
            return run_key_hash128(submission.run_key) in jobs

        await until(accepted, "Flink has the job")
        submitting.cancel()
        await asyncio.gather(submitting, return_exceptions=True)
        await other.close()

    async def starts(self, key: str) -> int:
        lines = self.stamps.read_text().splitlines() if self.stamps.exists() else []
        return sum(line.startswith(f"{run_key_hash128(key)} 0 ") for line in lines)

    async def out_of_reach(self) -> Engine:
        return await self.open(url="http://127.0.0.1:1")

    async def end_all(self) -> None:
        await asyncio.to_thread(self.cluster.cancel_all)

    # ------------------------------------------------------------------ crash points

    @contextmanager
    def late(self, key: str) -> Generator[None]:
        """Flink answers when `main` has ended, and `main` waits for a file."""
        try:
            yield
        finally:
            self._accepts(key).touch()

    def _accepts(self, key: str) -> Path:
        return self.folder / f"{key}.accepts"

    def forget(self, key: str) -> None:
        """Without high availability a JobManager that restarts knows no job of before."""
        self.cluster.job_manager.kill()
        self.cluster.start_job_manager()
        self.cluster.wait_for_slots()

    def clean(self, key: str) -> None:
        self.cluster.cancel(run_key_hash128(key))
