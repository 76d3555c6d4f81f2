"""Limits as they are kept by running executors: time in each state, slots, starts a minute, and one probe at a time."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest

from signalbox_chassis.runtime.tasks import cancel
from signalbox_contracts.definitions.rules import Retries, Rules, TimeLimits
from signalbox_contracts.definitions.work import ScriptedWork
from signalbox_contracts.states import TASKS_HOLDING_A_SLOT, TaskState
from support.executor import Stand, ensure, rules_of, spec
from support.service_fixture import until

ACTIVE = [state.value for state in TASKS_HOLDING_A_SLOT]


def scripted(**script: Any) -> ScriptedWork:
    return ScriptedWork(script=script)


async def in_state(stand: Stand, state: str, count: int) -> None:
    async def there() -> bool:
        return (await stand.states()).get(state, 0) >= count

    await until(there, seconds=60, why=f"{count} tasks {state}")


@asynccontextmanager
async def sampled(stand: Stand, query: str, *args: Any) -> AsyncGenerator[Counter[str]]:
    """The highest number seen of each name the query counts, looked at every few milliseconds."""
    peaks: Counter[str] = Counter()

    async def sample() -> None:
        async with stand.connection() as connection:
            while True:
                for row in await connection.fetch(query, *args):
                    peaks[row["name"]] = max(peaks[row["name"]], row["n"])
                peaks["looks"] += 1
                await asyncio.sleep(0.003)

    sampling = asyncio.create_task(sample())
    try:
        yield peaks
    finally:
        await cancel(sampling)


async def test_each_state_has_a_time_limit_and_what_follows_depends_on_the_state(executors: Stand) -> None:
    plan = uuid4()
    often = Retries(max_attempts=100, delay_seconds=0.2, max_delay_seconds=0.2)
    tasks = [
        spec(plan, 0, "paused", time_limits=TimeLimits(queued_seconds=0.4)),
        spec(plan, 1, work=scripted(lose_requests=1000), time_limits=TimeLimits(submitting_seconds=0.3)),
        spec(plan, 2, work=scripted(never_ends=True), time_limits=TimeLimits(running_seconds=0.3)),
        spec(
            plan, 3, work=scripted(never_ends=True, ignore_cancels=1000),
            time_limits=TimeLimits(running_seconds=0.3, cancelling_seconds=0.4),
        ),
        spec(plan, 4, work=scripted(exit_code=1), retries=often, time_limits=TimeLimits(total_seconds=4.0)),
        spec(plan, 5, work=scripted(never_ends=True), time_limits=TimeLimits(total_seconds=0.5)),
    ]  # fmt: skip
    await executors.register(breaker={"failures": 1000})
    await executors.register("paused", intake="paused")
    async with executors.running():
        await executors.send(rules_of(plan), ensure(plan, tasks))
        await in_state(executors, "FAILED", 5)
        await in_state(executors, "UNKNOWN", 1)
    found = await executors.rows("SELECT position, state, cause, attempt, stop_cause FROM task ORDER BY position")
    ends = {row["position"]: (row["state"], row["cause"], row["stop_cause"]) for row in found}
    assert ends[0] == ("FAILED", "timed_out", None), "never sent"
    assert ends[1] == ("FAILED", "timed_out", None), "its key was sealed"
    assert ends[2] == ("FAILED", "timed_out", "timed_out"), "stopped"
    assert ends[3][::2] == ("UNKNOWN", "timed_out"), "asked to stop, and still there"
    assert ends[4][0] == "FAILED"
    assert ends[5] == ("FAILED", "timed_out", "timed_out")
    assert next(row["attempt"] for row in found if row["position"] == 4) > 1, "tried until its whole time was up"
    assert not [key for key, count in (await executors.starts()).items() if count > 1]


async def test_two_executors_never_exceed_the_limits_of_engine_and_plan_and_reach_them(executors: Stand) -> None:
    """INVARIANT: limits hold at every moment over all replicas. They are sampled from outside, from committed rows."""
    small, big = uuid4(), uuid4()
    await executors.register(concurrency=8)
    other = executors.spawn()
    query = """
        SELECT 'engine' AS name, count(*)::int AS n FROM task WHERE state = ANY ($1)
        UNION ALL SELECT plan_id::text, count(*)::int FROM task WHERE state = ANY ($1) GROUP BY plan_id
    """
    async with executors.running(), sampled(executors, query, ACTIVE) as peaks:
        work = scripted(run_seconds=0.05)
        await executors.send(
            rules_of(small, Rules(limit=3)), ensure(small, [spec(small, n, work=work) for n in range(40)]),
            rules_of(big), ensure(big, [spec(big, n, work=work) for n in range(80)]),
        )  # fmt: skip
        await in_state(executors, "SUCCEEDED", 120)
    assert other.poll() is None
    assert peaks["engine"] == 8
    assert peaks[str(small)] == 3
    assert peaks["looks"] > 100


async def test_an_open_breaker_lets_one_start_through_at_a_time_and_closes_with_the_first_answer(
    executors: Stand,
) -> None:
    plan = uuid4()
    await executors.register(breaker={"failures": 2, "open_seconds": 0.3})
    query = """
        SELECT 'starting' AS name, count(*)::int AS n FROM task
        WHERE state IN ('CLAIMED', 'SUBMITTING') AND EXISTS (SELECT FROM engine WHERE breaker = 'open')
    """
    async with executors.running():
        await executors.send(rules_of(plan), ensure(plan, [spec(plan, 0, work=scripted(down_seconds=600))]))

        async def opened() -> bool:
            return await executors.value("SELECT breaker FROM engine") == "open"

        await until(opened, why="the breaker opened")
        async with sampled(executors, query) as peaks:
            await executors.send(ensure(plan, [spec(plan, n) for n in range(1, 30)]))
            await in_state(executors, "QUEUED", 28)
            await executors.engine_is_back()
            await in_state(executors, "SUCCEEDED", 30)
    assert peaks["starting"] == 1
    assert await executors.value("SELECT breaker FROM engine") == "closed"


@pytest.mark.parametrize(("per_second", "at_once", "count"), [(10, 3, 20), (50, 2, 100)])
async def test_starts_a_minute_hold_in_every_stretch_of_time_and_are_used(
    executors: Stand, per_second: int, at_once: int, count: int
) -> None:
    """The claim comes round when there are tokens again, not only every `claim_seconds`."""
    plan = uuid4()
    await executors.register(starts_per_minute=per_second * 60, starts_at_once=at_once)
    async with executors.running(claim_seconds=0.5):
        await executors.send(rules_of(plan), ensure(plan, [spec(plan, n) for n in range(count)]))
        await in_state(executors, "SUCCEEDED", count)
    moves = [move for fact in await executors.facts() for task in fact.data.tasks for move in task.transitions]
    times = sorted(move.at.timestamp() for move in moves if move.state is TaskState.CLAIMED)
    assert len(times) == count
    travel = 0.01  # the tokens' clock is that of the claim; what is said of it may be rounded
    for first, begin in enumerate(times):
        for last, end in enumerate(times[first:], start=first):
            assert last - first + 1 <= at_once + per_second * (end - begin + travel)
    least = (count - at_once) / per_second
    assert least - travel < times[-1] - times[0] < 8 * least + 5, "neither faster nor at the loop alone's pace (25 s)"
