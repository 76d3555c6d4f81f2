"""Observing many runs costs few calls."""

import asyncio

import pytest

from engines.flink.runs import FlinkBench
from engines.harness import until
from signalbox_executor.engines.port import Phase, Watched

pytestmark = [pytest.mark.engine, pytest.mark.timeout(1200)]


@pytest.mark.parametrize("jobs", [pytest.param(30), pytest.param(200, marks=pytest.mark.long)])
async def test_many_jobs_are_observed_with_two_calls_at_most(bench: FlinkBench, jobs: int) -> None:
    submissions = [bench.new_submission(config={"records": "1"}) for _ in range(jobs)]
    at_once = asyncio.Semaphore(8)

    async def submit(number: int) -> None:
        async with at_once:
            await bench.submit_patiently(submissions[number])

    await asyncio.gather(*(submit(number) for number in range(jobs)))
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
