"""Who may start, and when: limits that change, plans on two engine groups, crowds and urgent plans. Two executors.

What is counted is what the engines were told to start: a scripted run lives for exactly as long as its script says,
or until it is released.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import pytest

from signalbox_contracts.definitions.rules import Rules
from signalbox_contracts.definitions.work import ScriptedWork
from signalbox_executor.store import claim
from support.executor import Stand, ensure, rules_of, spec
from support.proofs import proves
from support.scripted import scripted_server
from support.service_fixture import until


def scripted(**script: Any) -> ScriptedWork:
    return ScriptedWork(script=script)


@dataclass(frozen=True)
class Start:
    """A task as its engine started it; `at` is in seconds of the wall clock."""

    task: UUID
    plan: UUID
    at: float


async def starts(stand: Stand, *urls: str) -> list[Start]:
    """Everything these engines started, in order of time: also what no executor lived to record."""
    starts_at: list[tuple[UUID, float]] = []
    async with aiohttp.ClientSession() as session:
        for url in urls or (stand.engine_url,):
            async with session.get(f"{url}/starts") as answer:
                started = (await answer.json())["starts"]
            starts_at += [
                (UUID(key.removeprefix("sb-")[:36]), one["at"]) for key, ones in started.items() for one in ones
            ]
    rows = await stand.rows("SELECT id, plan_id FROM task WHERE id = ANY($1)", [task for task, _ in starts_at])
    plans = {row["id"]: row["plan_id"] for row in rows}
    return sorted((Start(task, plans[task], at) for task, at in starts_at), key=lambda start: start.at)


def living(started: Sequence[Start], *, seconds: float) -> list[int]:
    """How many runs of so many seconds live at the moment of each start, itself among them."""
    return [sum(other.at <= one.at < other.at + seconds for other in started) for one in started]


@asynccontextmanager
async def two_executors(stand: Stand, **changes: Any) -> AsyncGenerator[None]:
    """One here and one as a process of its own, both at work."""
    environment = {f"SIGNALBOX_{name.upper()}": str(value) for name, value in changes.items()}
    other = stand.spawn(**environment)
    async with stand.running(**changes):

        async def both() -> bool:
            return await stand.value("SELECT count(*) FROM worker WHERE NOT dead AND lease_until > now()") == 2

        await until(both, seconds=90, why="two executors at work")
        yield
        assert other.poll() is None


async def in_state(stand: Stand, state: str, count: int, *, seconds: float = 90) -> None:
    async def there() -> bool:
        return (await stand.states()).get(state, 0) >= count

    await until(there, seconds=seconds, why=f"{count} tasks {state}")


async def released(stand: Stand, count: int, engine_id: str = "e1") -> None:
    """Let so many runs of this engine end, if it has so many."""
    running = "SELECT id FROM task WHERE state = 'RUNNING' AND engine_id = $1 ORDER BY position LIMIT $2"
    await stand.release(*(row["id"] for row in await stand.rows(running, engine_id, count)))


async def rules_changed(stand: Stand, plan: UUID, rules: Rules, *, version: int) -> None:
    await stand.send(rules_of(plan, rules, version=version))

    async def kept() -> bool:
        return await stand.value("SELECT version FROM plan_rules WHERE plan_id = $1", plan) == version

    await until(kept, seconds=60, why=f"rules {version} are kept")


@pytest.mark.slow
@proves("F39")
async def test_a_limit_lowered_below_what_runs_kills_nothing_and_starts_nothing_until_there_is_room(
    executors: Stand,
) -> None:
    """INVARIANT: the claim counts what runs against the limit of now. Raised again, it is filled."""
    plan = uuid4()
    await executors.register()
    async with two_executors(executors):
        tasks = [spec(plan, number, work=scripted(held=True)) for number in range(24)]
        await executors.send(rules_of(plan, Rules(limit=10)), ensure(plan, tasks))
        await in_state(executors, "RUNNING", 10)
        await rules_changed(executors, plan, Rules(limit=3), version=2)
        await released(executors, 7)
        await in_state(executors, "SUCCEEDED", 7)
        assert len(await starts(executors)) == 10, "three still run: not one start before there is room"
        await released(executors, 1)
        await in_state(executors, "SUCCEEDED", 8)
        await in_state(executors, "RUNNING", 3)
        assert len(await starts(executors)) == 11
        await rules_changed(executors, plan, Rules(limit=8), version=3)
        await in_state(executors, "RUNNING", 8)
        assert len(await starts(executors)) == 16
        for done in range(9, 25):
            await released(executors, 1)
            await in_state(executors, "SUCCEEDED", done)
            await in_state(executors, "RUNNING", min(8, 24 - done))
            assert len(await starts(executors)) == min(24, done + 8)
    async with aiohttp.ClientSession() as session, session.get(f"{executors.engine_url}/counts") as answer:
        assert "cancel" not in (await answer.json())["calls"], "nothing was stopped"


@pytest.mark.slow
async def test_a_plan_on_two_engine_groups_keeps_its_limit_over_both(executors: Stand, tmp_path: Path) -> None:
    """INVARIANT: the plan's row is locked before its tasks are counted. The groups' claims have no lock in common."""
    plan = uuid4()
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    with scripted_server(folder) as url:
        await executors.register("e1", group="here")
        await executors.register("e2", group="there", url=url)
        there = replace(executors, engine_url=url)
        tasks = [spec(plan, number, f"e{1 + number % 2}", work=scripted(held=True)) for number in range(60)]
        async with two_executors(executors):
            await executors.send(rules_of(plan, Rules(limit=5)), ensure(plan, tasks))
            for turn in range(12):
                await in_state(executors, "RUNNING", 5)
                both = await starts(executors, executors.engine_url, url)
                assert len(both) == 5 * (turn + 1), "room for five, for which both groups compete"
                run = "SELECT id, engine_id FROM task WHERE state = 'RUNNING'"
                running = await executors.rows(run)  # of both at once: what starts next is not released
                await executors.release(*(row["id"] for row in running if row["engine_id"] == "e1"))
                await there.release(*(row["id"] for row in running if row["engine_id"] == "e2"))
                await in_state(executors, "SUCCEEDED", 5 * (turn + 1))
        assert len(await starts(executors, url)) == 30


CROWD = """
    INSERT INTO task (id, plan_id, item_key, position, engine_id, spec, definitions_revision, max_attempts,
                      infrastructure_attempts, priority, queued_at, created_at)
    SELECT gen_random_uuid(), plan_id, 'more/' || n, n, engine_id, spec, 1, 1, 10, priority,
           now() - interval '1 hour', now() - interval '1 hour'
    FROM task, generate_series($2::int, $3::int) AS n WHERE plan_id = $1 AND position = 0
"""


async def crowd(stand: Stand, count: int, rules: Rules, work: ScriptedWork) -> UUID:
    """A plan with so many tasks that are queued for an hour."""
    plan = uuid4()
    await stand.rules(plan, rules)
    await stand.tasks(plan, [spec(plan, 0, work=work)])
    async with stand.connection() as connection:
        await connection.execute("SET statement_timeout = 0")
        for first in range(1, count, 2000):
            await connection.execute(CROWD, plan, first, min(first + 2000, count) - 1, timeout=60)
        await connection.execute("ANALYZE task", timeout=60)
    return plan


@pytest.mark.slow
@proves("F38")
async def test_fifty_thousand_tasks_of_one_plan_hold_up_nobody(executors: Stand) -> None:
    """Ten small plans that come behind them start before the crowd's plan, with its limit 1, has started three more."""
    await executors.register()
    first = await crowd(executors, 50_000, Rules(limit=1), scripted(run_seconds=5))
    small = [uuid4() for _ in range(10)]
    async with two_executors(executors):
        await in_state(executors, "RUNNING", 1)
        for plan in small:
            await executors.send(rules_of(plan), ensure(plan, [spec(plan, number) for number in range(3)]))

        async def all_small_ended() -> bool:
            done = "SELECT count(*) FROM task WHERE state = 'SUCCEEDED' AND plan_id <> $1"
            return await executors.value(done, first) == 30

        await until(all_small_ended, seconds=120, why="the small plans ended")
        row = "SELECT plan_id, extract(epoch FROM min(created_at))::float8 AS at FROM task GROUP BY 1"
        accepted = {row["plan_id"]: row["at"] for row in await executors.rows(row)}
    started = await starts(executors)
    for plan in small:
        mine = [start.at for start in started if start.plan == plan]
        ahead = [start for start in started if start.plan == first and accepted[plan] < start.at < min(mine)]
        assert len(mine) == 3
        assert len(ahead) < 3
    assert max(living([start for start in started if start.plan == first], seconds=5)) == 1


@pytest.mark.slow
async def test_a_bulk_plan_advances_beside_urgent_plans_that_never_end(
    executors: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """INVARIANT: who may start and was passed over for a minute (here two seconds) is next. Else priority decides."""
    await executors.register(concurrency=4)
    monkeypatch.setattr(claim, "STARVED_SECONDS", 2.0)
    work = scripted(run_seconds=0.1)
    bulk = await crowd(executors, 5000, Rules(), work)
    fewest: list[int] = []
    async with executors.running():
        began = await executors.value("SELECT extract(epoch FROM clock_timestamp())::float8")
        at = began
        while at < began + 30:
            waiting, at = (await executors.rows(WAITING, bulk))[0].values()
            fewest.append(waiting)
            for _ in range(10 if waiting < 60 else 0):
                await executors.plan(5, rules=Rules(priority=90), work=work)
        fewest = fewest[1:]
    assert min(fewest) > 0, "the engine was never short of urgent tasks"
    started = [start for start in await starts(executors) if began + 2 < start.at < at]
    turns = [began, *(start.at for start in started if start.plan == bulk), at]
    for early, late in pairwise(turns):
        overtakers = [start for start in started if early + 2 < start.at < late]
        assert len(overtakers) <= 20, "two seconds after its last start it is its turn, a few of them under way"
    assert len(started) > 40
    assert 3 <= len(turns) - 2 <= len(started) / 4, "and no more than that: urgent tasks go first"


WAITING = """
    SELECT count(*)::int AS waiting, extract(epoch FROM clock_timestamp())::float8 AS at
    FROM task WHERE state = 'QUEUED' AND plan_id <> $1
"""
