"""Spark: a real standalone master and worker with the start fence; the tests' application stamps a file."""

import asyncio
import os
import shutil
import signal
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from engines.harness import EngineHarness, WorkRequest, lines_in, until
from engines.spark.claims import ClaimServer
from engines.spark.cluster import SparkCluster
from engines.spark.distribution import compiled_jobs
from signalbox_contracts.definitions.work import SparkWork, Work
from signalbox_executor.engines.port import Engine, Submission

ENDLESS_SECONDS = 600


class Harness(EngineHarness):
    kind = "spark"
    plain_logs = False
    lost_answer_point = "spark.answered"
    begins_late = True

    def __init__(self, folder: Path, cluster: SparkCluster, claims: ClaimServer | None) -> None:
        self.folder = folder
        self.cluster = cluster
        self.claims = claims
        self.stamps = folder / "stamps"
        self.connection = cluster.connection(start_url=claims.url if claims else None)
        self.settings = {"SIGNALBOX_BLOB_URL": (folder / "blobs").as_uri()}

    @classmethod
    @contextmanager
    def started(cls, folder: Path) -> Generator[Self]:
        with (
            ClaimServer((folder / "blobs").as_uri()) as claims,
            SparkCluster(folder / "cluster") as cluster,
        ):
            yield cls(folder, cluster, claims)
        shutil.rmtree(folder / "cluster", ignore_errors=True)

    def work(self, key: str, request: WorkRequest, *, seconds: int = 0) -> Work:
        seconds = ENDLESS_SECONDS if request.endless else seconds
        arguments = [str(self.stamps / key), str(request.exit_code), str(seconds), key, request.log]
        if request.result is not None:
            results = self.folder / "results"
            results.mkdir(exist_ok=True)
            (results / key).write_text(request.result)
            arguments.append(str(results / key))
        conf = {"spark.driver.memory": "much"} if request.refused else {}
        return SparkWork(
            application=str(compiled_jobs()), main_class="probe.App", arguments=tuple(arguments), conf=conf
        )  # fmt: skip

    def wrong_work(self) -> tuple[Work, str]:
        return SparkWork(application="/nowhere/a.jar"), "work.main_class"

    async def submit_without_answer(self, submission: Submission) -> None:
        """Another executor sends it and dies: its adapter is closed as soon as the master has a driver more."""
        before = set(await asyncio.to_thread(self.cluster.drivers))
        other = await self.open()
        submitting = asyncio.create_task(other.submit(submission))

        async def accepted() -> bool:
            return set(await asyncio.to_thread(self.cluster.drivers)) > before

        await until(accepted, "the master has the driver")
        submitting.cancel()
        await asyncio.gather(submitting, return_exceptions=True)
        await other.close()

    async def starts(self, key: str) -> int:
        return lines_in(self.stamps / key)

    async def out_of_reach(self) -> Engine:
        return await self.open(url="http://127.0.0.1:1", web_url="http://127.0.0.1:1")

    async def end_all(self) -> None:
        await asyncio.to_thread(self.cluster.kill_all)

    # ------------------------------------------------------------------ crash points

    @contextmanager
    def late(self, key: str) -> Generator[None]:
        """A frozen master accepts connections and reads nothing: a request arrives when it wakes."""
        pid = self.cluster.master.pid
        assert pid
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def forget(self, key: str) -> None:
        """Without recovery a master that restarts knows no driver of before."""
        self.cluster.master.kill()
        self.cluster.start_master()
        self.cluster.wait_for_worker()

    def clean(self, key: str) -> None:
        with suppress(AssertionError):
            self.cluster.kill_all()
