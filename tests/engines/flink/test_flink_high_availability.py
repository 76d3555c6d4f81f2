"""A session cluster whose JobManager recovers its jobs from a real ZooKeeper: runs go on under their ids."""

import asyncio
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest

from engines.flink.cluster import FlinkCluster, zookeeper
from engines.flink.jars import JarServer
from engines.flink.runs import FlinkBench
from engines.harness import until
from signalbox_chassis.blobs import Blobs
from signalbox_contracts.ids import run_key_hash128
from signalbox_executor.engines.port import EngineUnavailable, Phase

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]
ENDLESS = {"records": "100000000", "per-second": "100"}


@pytest.fixture
def recovering(tmp_path: Path) -> Generator[FlinkCluster]:
    with zookeeper(tmp_path / "zookeeper") as quorum:
        settings = {
            "high-availability.type": "zookeeper",
            "high-availability.zookeeper.quorum": quorum,
            "high-availability.storageDir": f"file://{tmp_path / 'recovery'}",
        }
        with FlinkCluster(tmp_path / "flink", settings=settings) as cluster:
            yield cluster


@pytest.fixture
async def bench(recovering: FlinkCluster, tmp_path: Path) -> AsyncGenerator[FlinkBench]:
    with JarServer(tmp_path / "jars") as jars:
        bench = FlinkBench(recovering, jars, Blobs(f"file://{tmp_path / 'blobs'}"), tmp_path)
        try:
            yield bench
        finally:
            await asyncio.gather(*(engine.close() for engine in bench.engines))


async def test_a_job_goes_on_under_its_id_when_its_job_manager_is_killed(bench: FlinkBench) -> None:
    assert (await bench.engine.test_connection())["high_availability"] is True
    submission = bench.new_submission(config=ENDLESS)
    handle = await bench.submit_patiently(submission)
    await bench.began(submission)
    watched = bench.watched(submission)
    bench.cluster.job_manager.kill()
    with pytest.raises(EngineUnavailable):
        await bench.engine.observe([watched])
    await asyncio.to_thread(bench.cluster.start_job_manager)
    seen: set[Phase] = set()

    async def runs_again() -> bool:
        observation = (await bench.engine.observe([watched])).get(submission.run_key)
        seen.update([observation.phase] if observation else [])
        return bench.cluster.jobs() == {handle: "RUNNING"} and len(bench.starts(submission.run_key)) == 2

    await until(runs_again, "the job was recovered")
    for engine in (bench.engine, bench.another()):
        assert await bench.submit_patiently(submission) == await engine.submit(submission) == handle
    assert list(bench.cluster.jobs()) == [handle] == [run_key_hash128(submission.run_key)]
    assert len(bench.starts(submission.run_key)) == 2, "recovered once, and sent by nobody again"
    assert seen <= {Phase.LOST, Phase.SUBMITTED, Phase.RUNNING}, "it may not be recovered yet, and has no end"
    await bench.engine.cancel(watched)
    assert (await bench.seen(submission)).phase is Phase.KILLED
