"""Every reason why a task waits: provoked, said with its holder, and freed by its remedy."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import pytest

from signalbox_contracts.definitions.rules import Canary, Retries, Rules
from signalbox_contracts.definitions.work import ScriptedWork
from signalbox_contracts.messages.plans import Waiting
from signalbox_executor.store import waiting as store_waiting
from support.executor import Stand, cancel_of, ensure, rules_of, spec
from support.proofs import proves
from support.service_fixture import until

FOREVER = ScriptedWork(script={"never_ends": True})
Step = Callable[[Stand, UUID], Awaitable[None]]


async def waits(stand: Stand, plan: UUID, why: str) -> Waiting:
    """Return what the plan's last task says, once it waits for this."""
    found: list[Any] = []

    async def published() -> bool:
        query = "SELECT waiting::text FROM task WHERE plan_id = $1 AND waiting ->> 'why' = $2 ORDER BY position DESC"
        found[:] = [row["waiting"] for row in await stand.rows(query, plan, why)]
        return bool(found)

    await until(published, seconds=60, why=f"a task says it waits for {why}")
    return Waiting.model_validate_json(found[0])


async def freed(stand: Stand, plan: UUID) -> None:
    """Return when the plan's last task was claimed: it says no more that it waits."""

    async def started() -> bool:
        row = await stand.rows(
            "SELECT state, waiting FROM task WHERE plan_id = $1 ORDER BY position DESC LIMIT 1", plan
        )
        return row[0]["state"] != "QUEUED" and row[0]["waiting"] is None

    await until(started, seconds=60, why="the task was freed")


async def published_in_facts(stand: Stand, plan: UUID, why: str) -> None:
    async def published() -> bool:
        return any(
            task.waiting is not None and task.waiting.why.value == why
            for fact in await stand.facts()
            if fact.data.plan_id == plan
            for task in fact.data.tasks
        )

    await until(published, seconds=60, why=f"a fact says {why}")


@dataclass
class Case:
    """How a task comes to wait, who holds what it waits for, and what frees it."""

    why: str
    holder: str
    provoke: Step
    remedy: Step
    until: bool = False


async def without_rules(stand: Stand, plan: UUID) -> None:
    await stand.send(ensure(plan, [spec(plan, 0)]))


async def give_rules(stand: Stand, plan: UUID) -> None:
    await stand.send(rules_of(plan))


async def pause_plan(stand: Stand, plan: UUID) -> None:
    await stand.send(rules_of(plan, held=True, held_reason="paused by user:ann"), ensure(plan, [spec(plan, 0)]))


async def newer_rules(stand: Stand, plan: UUID) -> None:
    await stand.send(rules_of(plan, version=2))


async def limit_plan(stand: Stand, plan: UUID) -> None:
    await stand.send(rules_of(plan, Rules(limit=1)), ensure(plan, [spec(plan, n, work=FOREVER) for n in range(2)]))


async def raise_limit(stand: Stand, plan: UUID) -> None:
    await stand.send(rules_of(plan, Rules(limit=2), version=2))


async def limit_step(stand: Stand, plan: UUID) -> None:
    both = [spec(plan, n, work=FOREVER, group="part", group_limit=1) for n in range(2)]
    await stand.send(rules_of(plan), ensure(plan, both))


async def end_first(stand: Stand, plan: UUID) -> None:
    [row] = await stand.rows("SELECT id FROM task WHERE plan_id = $1 AND state = 'RUNNING'", plan)
    await stand.send(cancel_of(plan, row["id"]))


async def canary(stand: Stand, plan: UUID) -> None:
    rules = Rules(canary=Canary(first=1))
    await stand.send(rules_of(plan, rules), ensure(plan, [spec(plan, n, work=FOREVER) for n in range(2)]))


async def redefined(stand: Stand, **changes: Any) -> None:
    """The engine has a second revision, and the executor keeps it."""
    await stand.register(revision=2, **changes)

    async def kept() -> bool:
        return await stand.value("SELECT revision FROM engine WHERE id = 'e1'") == 2

    await until(kept, why="the new definition is kept")


async def fill_engine(stand: Stand, plan: UUID) -> None:
    other = uuid4()
    await redefined(stand, concurrency=1)
    await stand.send(rules_of(other), ensure(other, [spec(other, 0, work=FOREVER)]))
    await until(lambda: _running(stand, other), why="the slot is taken")
    await stand.send(rules_of(plan), ensure(plan, [spec(plan, 0)]))


async def _running(stand: Stand, plan: UUID) -> bool:
    return bool(await stand.value("SELECT EXISTS (SELECT FROM task WHERE plan_id = $1 AND state = 'RUNNING')", plan))


async def free_slot(stand: Stand, plan: UUID) -> None:
    [row] = await stand.rows("SELECT DISTINCT plan_id FROM task WHERE plan_id <> $1 AND state = 'RUNNING'", plan)
    await stand.send(cancel_of(row["plan_id"]))


async def go_behind(stand: Stand, plan: UUID) -> None:
    """A full engine, and another plan of higher priority in the queue."""
    await fill_engine(stand, plan)
    urgent = UUID(int=7)
    await stand.send(rules_of(urgent, Rules(priority=90)), ensure(urgent, [spec(urgent, 0)]))


async def slow_starts(stand: Stand, plan: UUID) -> None:
    await redefined(stand, starts_per_minute=6, starts_at_once=1)
    await stand.send(rules_of(plan), ensure(plan, [spec(plan, n) for n in range(2)]))


async def any_rate(stand: Stand, plan: UUID) -> None:
    await stand.register(revision=3)


async def pause_engine(stand: Stand, plan: UUID) -> None:
    await redefined(stand, intake="paused")
    await stand.send(rules_of(plan), ensure(plan, [spec(plan, 0)]))


async def break_engine(stand: Stand, plan: UUID) -> None:
    """The first submit takes it down: the breaker opens, and what comes later waits."""
    await redefined(stand, breaker={"failures": 1, "open_seconds": 1})
    down = ScriptedWork(script={"down_seconds": 600})
    await stand.send(rules_of(plan, Rules(limit=50)), ensure(plan, [spec(plan, 0, work=down)]))
    await until(lambda: _open(stand), why="the breaker opened")
    await stand.send(ensure(plan, [spec(plan, n) for n in range(1, 3)]))


async def _open(stand: Stand) -> bool:
    return await stand.value("SELECT breaker FROM engine") == "open"


async def nothing(stand: Stand, plan: UUID) -> None:
    """It comes by itself."""


async def mend_engine(stand: Stand, plan: UUID) -> None:
    await stand.engine_is_back()


async def foreign_host(stand: Stand, plan: UUID) -> None:
    """An engine of another host, where no executor runs."""
    await stand.register("far", revision=2, connection={"kind": "process", "host_id": "elsewhere"})
    await stand.send(rules_of(plan), ensure(plan, [spec(plan, 0, "far")], revision=2))


async def same_host(stand: Stand, plan: UUID) -> None:
    await stand.register("far", revision=3)


async def future_revision(stand: Stand, plan: UUID) -> None:
    await stand.send(rules_of(plan), ensure(plan, [spec(plan, 0)], revision=9))


async def newest_revision(stand: Stand, plan: UUID) -> None:
    await stand.register("another", revision=9)


async def fail_once(stand: Stand, plan: UUID) -> None:
    retries = Retries(max_attempts=5, delay_seconds=2, max_delay_seconds=2)
    failing = [spec(plan, n, work=ScriptedWork(script={"exit_code": 1}), retries=retries) for n in range(8)]
    await stand.send(rules_of(plan), ensure(plan, failing))


CASES = [
    Case("rules_not_seen", "plan:", without_rules, give_rules),
    Case("plan_paused", "plan:", pause_plan, newer_rules),
    Case("plan_limit", "plan:", limit_plan, raise_limit),
    Case("step_limit", "step:part", limit_step, end_first),
    Case("canary", "plan:", canary, newer_rules),
    Case("engine_limit", "engine:e1", fill_engine, free_slot),
    Case("priority", f"plan:{UUID(int=7)}", go_behind, free_slot),
    Case("start_rate", "engine:e1", slow_starts, any_rate, until=True),
    Case("engine_paused", "engine:e1", pause_engine, any_rate),
    Case("breaker_open", "engine:e1", break_engine, mend_engine, until=True),
    Case("engine_unreachable", "engine:far", foreign_host, same_host),
    Case("definition_not_seen", "engine:e1", future_revision, newest_revision),
    Case("retry_delay", "plan:", fail_once, nothing, until=True),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.why)
@proves("executor.store.waiting: state = QUEUED")
async def test_what_waits_says_why_and_is_freed_by_the_remedy(executors: Stand, case: Case) -> None:
    plan = uuid4()
    await executors.register()
    async with executors.running():
        await case.provoke(executors, plan)
        waiting = await waits(executors, plan, case.why)
        assert waiting.holder.startswith(case.holder)
        assert waiting.detail
        assert (waiting.until_at is not None) == case.until
        await published_in_facts(executors, plan, case.why)
        await case.remedy(executors, plan)
        await freed(executors, plan)


async def test_words_that_are_no_longer_true_are_published_anew_and_since_when_stays(executors: Stand) -> None:
    plan = uuid4()
    await executors.register()
    async with executors.running():
        await executors.send(
            rules_of(plan, Rules(limit=1)), ensure(plan, [spec(plan, n, work=FOREVER) for n in range(3)])
        )
        before = await waits(executors, plan, "plan_limit")
        assert before.detail == "1 of 1 slots are taken"
        await executors.send(rules_of(plan, Rules(limit=2), version=2))

        async def published_again() -> bool:
            return (await waits(executors, plan, "plan_limit")).detail == "2 of 2 slots are taken"

        await until(published_again, seconds=60, why="the new limit is said")
        assert (await waits(executors, plan, "plan_limit")).since_at == before.since_at


async def test_a_probe_that_failed_is_followed_by_the_time_of_the_next(executors: Stand) -> None:
    plan = uuid4()
    async with executors.running():
        await executors.register(
            connection={"kind": "scripted", "url": "http://127.0.0.1:1"}, breaker={"failures": 1, "open_seconds": 1}
        )
        await executors.send(rules_of(plan), ensure(plan, [spec(plan, 0)]))
        await until(lambda: _open(executors), why="the breaker opened")
        await executors.send(ensure(plan, [spec(plan, 1)]))
        first = (await waits(executors, plan, "breaker_open")).until_at
        assert first is not None

        async def moved_on() -> bool:
            now = (await waits(executors, plan, "breaker_open")).until_at
            return now is not None and now > first

        await until(moved_on, seconds=15, why="the next probe is said")


@proves("executor.store.waiting: state = SUBMITTING or RUNNING")
async def test_a_task_that_is_being_submitted_where_no_executor_is_any_more_says_so_until_it_is_recorded(
    executors: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_waiting, "RESTART_SECONDS", 0)
    plan = uuid4()
    await executors.register()
    async with executors.running(engine_timeout_seconds=30.0):
        slow = ScriptedWork(script={"accept_delay_seconds": 8, "never_ends": True})
        await executors.send(rules_of(plan), ensure(plan, [spec(plan, 0, work=slow)]))

        async def sent() -> bool:
            return await executors.value("SELECT state FROM task") == "SUBMITTING"

        await until(sent, why="it was sent")
        await redefined(executors, connection={"kind": "process", "host_id": "elsewhere"})
        waiting = await waits(executors, plan, "engine_unreachable")
        assert waiting.holder == "engine:e1"
        assert waiting.detail == "no executor that runs can reach e1"
        await executors.register(revision=3)
        await until(lambda: _running(executors, plan), why="it runs")
        assert await executors.value("SELECT waiting FROM task") is None


@proves("executor.store.waiting: state = RUNNING in the row")
async def test_a_running_task_that_no_executor_can_see_any_more_says_so_until_one_does(
    executors: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_waiting, "RESTART_SECONDS", 0)
    plan = uuid4()
    await executors.register()
    async with executors.running():
        endless = ScriptedWork(script={"never_ends": True})
        await executors.send(rules_of(plan), ensure(plan, [spec(plan, 0, work=endless)]))
        await until(lambda: _running(executors, plan), why="it runs")
        await redefined(executors, connection={"kind": "process", "host_id": "elsewhere"})
        waiting = await waits(executors, plan, "engine_unreachable")
        assert waiting.detail == "no executor that runs can reach e1"
        await published_in_facts(executors, plan, "engine_unreachable")
        assert await executors.states() == {"RUNNING": 1}
        await executors.register(revision=3)

        async def seen() -> bool:
            return await executors.value("SELECT waiting FROM task") is None

        await until(seen, why="it is seen again")
        assert await executors.states() == {"RUNNING": 1}


@proves("executor.store.submit: state = SUBMITTING and fence")
async def test_a_task_whose_engine_does_not_answer_its_submit_says_so_until_it_does(executors: Stand) -> None:
    plan = uuid4()
    await executors.register(breaker={"failures": 1000})
    async with executors.running():
        down = ScriptedWork(script={"down_seconds": 600, "run_seconds": 600})
        await executors.send(rules_of(plan), ensure(plan, [spec(plan, 0, work=down)]))
        waiting = await waits(executors, plan, "engine_unreachable")
        assert waiting.holder == "engine:e1"
        await published_in_facts(executors, plan, "engine_unreachable")
        await executors.engine_is_back()
        await until(lambda: _running(executors, plan), why="it runs")
        assert await executors.value("SELECT waiting FROM task") is None
