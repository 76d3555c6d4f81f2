"""Observing many runs costs few calls."""

import asyncio
from collections.abc import Sequence

import pytest

from engines.flink.runs import FlinkBench
from engines.harness import until
from signalbox_contracts.ids import run_key_hash128
from signalbox_executor.engines.port import Observation, Phase, Submission, Watched

pytestmark = [pytest.mark.engine, pytest.mark.timeout(1200)]


@pytest.mark.parametrize("jobs", [pytest.param(30), pytest.param(200, marks=pytest.mark.long)])
async def test_many_jobs_are_observed_with_two_calls_at_most(bench: FlinkBench, jobs: int) -> None:
    submissions = [bench.new_submission(config={"records": "1"}) for _ in range(jobs)]
    await submit_all(bench, submissions)
    calls: list[str] = []
    engine = bench.another(calls=calls)
    watched = [bench.watched(one) for one in submissions]
    seen = await engine.observe(watched)
    assert len(seen) == jobs
    assert len(calls) == 1
    await engine.observe([*watched, Watched("sb-nobody-1", 1)])
    assert len(calls) == 3

    async def all_ended() -> bool:
        found = await engine.observe(watched)
        return all(one.phase is Phase.SUCCEEDED for one in found.values())

    await until(all_ended, "every job succeeded", timeout_seconds=60 + 2 * jobs)
    assert sum(len(bench.starts(one.run_key)) for one in submissions) == jobs


@pytest.mark.parametrize("jobs", [pytest.param(12), pytest.param(200, marks=pytest.mark.long)])
async def test_jobs_that_fail_together_cost_two_calls_a_pass_and_each_gets_its_reason(
    bench: FlinkBench, jobs: int
) -> None:
    """Their exceptions are read job by job, but beside the passes: none waits for more than one of them."""
    submissions = [bench.new_submission(config={"fail-at": "7"}) for _ in range(jobs)]
    await submit_all(bench, submissions)

    async def all_failed() -> bool:
        states = await asyncio.to_thread(bench.cluster.jobs)
        return all(states.get(run_key_hash128(one.run_key)) == "FAILED" for one in submissions)

    await until(all_failed, "every job failed", timeout_seconds=60 + 2 * jobs)
    passes: list[str] = []
    engine = bench.another(calls=passes)
    left, ends = {one.run_key: bench.watched(one) for one in submissions}, dict[str, Observation]()

    async def all_seen() -> bool:
        before = len(passes)
        found = await engine.observe(list(left.values()))
        assert len(passes) - before <= 2
        ends.update(found)
        for key in found:
            del left[key]
        return not left

    await until(all_seen, "the end of every job is seen", timeout_seconds=60)
    for one in submissions:
        assert ends[one.run_key].phase is Phase.FAILED
        assert "record 7 cannot be read" in ends[one.run_key].message


async def submit_all(bench: FlinkBench, submissions: Sequence[Submission]) -> None:
    at_once = asyncio.Semaphore(8)

    async def submit(submission: Submission) -> None:
        async with at_once:
            await bench.submit_patiently(submission)

    await asyncio.gather(*(submit(one) for one in submissions))
