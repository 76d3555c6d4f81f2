"""Processes of the cluster end: no run is taken for ended that is not, and none runs twice."""

import asyncio

import pytest

from engines.flink.runs import FlinkBench
from engines.harness import until
from signalbox_contracts.ids import run_key_hash128
from signalbox_executor.engines.port import EngineUnavailable, Phase
from support.proofs import proves

pytestmark = pytest.mark.engine
ENDLESS = {"records": "100000000", "per-second": "100"}


@proves("executor.engines.flink.records: a run is sent to one incarnation")
async def test_a_killed_job_manager_leaves_its_jobs_lost_and_none_is_sent_again(bench: FlinkBench) -> None:
    """Without high availability Flink forgets job ids: the same id would run a second time."""
    submissions = [bench.new_submission(config=ENDLESS) for _ in range(5)]
    for submission in submissions:
        await bench.submit_patiently(submission)
    for submission in submissions:
        await bench.began(submission)
    watched = [bench.watched(submission) for submission in submissions]
    bench.cluster.job_manager.kill()
    with pytest.raises(EngineUnavailable):
        await bench.engine.observe(watched)
    await asyncio.to_thread(bench.cluster.start_job_manager)
    seen = await bench.engine.observe(watched)
    assert {observation.phase for observation in seen.values()} == {Phase.LOST}
    assert "the JobManager restarted after it got this job" in seen[submissions[0].run_key].message
    for engine in (bench.engine, bench.another()):
        assert await engine.submit(submissions[0]) == run_key_hash128(submissions[0].run_key)
    await asyncio.to_thread(bench.cluster.wait_for_slots)
    again = bench.new_submission(task_id=submissions[0].task_id, attempt=2)
    await bench.engine.submit(again)
    assert (await bench.seen(again)).phase is Phase.SUCCEEDED
    assert [len(bench.starts(submission.run_key)) for submission in submissions] == [1] * 5


async def test_a_main_that_ends_the_job_manager_does_so_once(bench: FlinkBench) -> None:
    """`System.exit` ends the whole JobManager: sent again with each restart, it would end the cluster for ever."""
    submission = bench.new_submission(config={"main": "exit"})
    with pytest.raises(EngineUnavailable):
        await bench.engine.submit(submission)
    bench.cluster.until(lambda: bench.cluster.job_manager.running() is None, "the JobManager ended")
    await asyncio.to_thread(bench.cluster.start_job_manager)
    await bench.another().submit(submission)
    assert bench.cluster.job_manager.running()
    seen = await bench.engine.observe([bench.watched(submission)])
    assert seen[submission.run_key].phase is Phase.LOST
    await asyncio.to_thread(bench.cluster.wait_for_slots)


async def test_a_killed_task_manager_restarts_the_job_and_does_not_double_it(bench: FlinkBench) -> None:
    strategy = {
        "restart-strategy.type": "fixed-delay",
        "restart-strategy.fixed-delay.attempts": "100",
        "restart-strategy.fixed-delay.delay": "200 ms",
    }
    submission = bench.new_submission(config=ENDLESS, flink_configuration=strategy)
    await bench.engine.submit(submission)
    await bench.began(submission)
    bench.cluster.task_manager.kill()
    try:
        seen = await bench.seen(submission, {Phase.SUBMITTED, Phase.RUNNING})
        assert seen.cause is None
    finally:
        await asyncio.to_thread(bench.cluster.start_task_manager)

    async def restarted() -> bool:
        lines = bench.stamps(submission.run_key).read_text().splitlines()
        return any(line.split()[1] != "0" for line in lines)

    await until(restarted, "the job runs again")
    assert (await bench.seen(submission, {Phase.RUNNING})).handle == run_key_hash128(submission.run_key)
    assert len(bench.starts(submission.run_key)) == 1


async def test_a_jar_that_was_deleted_on_the_cluster_is_uploaded_again(bench: FlinkBench) -> None:
    first = bench.new_submission()
    await bench.engine.submit(first)
    for jar in bench.cluster.get("/jars")["files"]:
        await bench.job_manager.delete_jar(jar["id"])
    second = bench.new_submission()

    async def sent() -> bool:
        handle = await bench.submit_patiently(second)
        return handle == run_key_hash128(second.run_key)

    assert await sent()
    assert (await bench.seen(second)).phase is Phase.SUCCEEDED
