"""The whole path: commands in, runs on a real engine, facts out; and kill -9 among many tasks."""

import signal
from collections import Counter
from typing import Any
from uuid import UUID, uuid4

import pytest
from prometheus_client import REGISTRY

from signalbox_contracts.definitions.rules import Retries, Rules
from signalbox_contracts.definitions.work import ScriptedWork
from signalbox_contracts.ids import run_key
from signalbox_contracts.messages.plans import WaitReason
from signalbox_contracts.messages.task_commands import TaskSpec
from signalbox_contracts.messages.tasks import EndCause
from signalbox_contracts.states import TASK_ENDS, TaskState
from support.executor import Stand, cancel_of, ensure, rules_of, spec
from support.facts import check_history, histories
from support.forked import Forked
from support.proofs import proves
from support.service_fixture import until


def scripted(**script: Any) -> ScriptedWork:
    return ScriptedWork(script=script)


async def ended(stand: Stand, count: int, *, seconds: float = 90) -> None:
    async def all_ended() -> bool:
        done = await stand.states()
        return sum(done.get(state.value, 0) for state in TASK_ENDS) >= count

    await until(all_ended, seconds=seconds, why=f"{count} tasks ended")


async def sent(stand: Stand) -> None:
    async def all_sent() -> bool:
        return not await stand.value("SELECT EXISTS (SELECT FROM outbox WHERE sent_at IS NULL)")

    await until(all_sent, why="every fact sent")


async def in_state(stand: Stand, state: str, count: int = 1) -> None:
    async def there() -> bool:
        return (await stand.states()).get(state, 0) >= count

    await until(there, why=f"{count} tasks {state}")


def measured(engine: str) -> list[float]:
    """How often this process has measured a wait, a submit, a run and an answered submit on the engine."""
    samples: tuple[tuple[str, dict[str, str]], ...] = (
        ("signalbox_run_wait_seconds_count", {}),
        ("signalbox_attempt_seconds_count", {"phase": "submit"}),
        ("signalbox_attempt_seconds_count", {"phase": "run"}),
        ("signalbox_engine_requests_total", {"operation": "submit", "outcome": "ok"}),
    )
    return [REGISTRY.get_sample_value(name, {"engine": engine, **labels}) or 0.0 for name, labels in samples]


async def test_two_hundred_tasks_each_run_once_and_report_it_once(executors: Stand) -> None:
    plan = uuid4()
    tasks = [spec(plan, number, work=scripted(run_seconds=0.05, result={"n": number})) for number in range(200)]
    await executors.register(concurrency=60)
    before = measured(tasks[0].engine)
    async with executors.running():
        await executors.send(rules_of(plan, Rules(limit=40)), ensure(plan, tasks), ensure(plan, tasks))
        await ended(executors, 200)
        await sent(executors)
    await each_ran_once(executors, tasks)
    assert [after - count for after, count in zip(measured(tasks[0].engine), before, strict=True)] == [200] * 4
    history_of = histories(await executors.facts())
    for task in tasks:
        last = history_of[task.task_id][-1]
        assert (last.state, last.result) == (TaskState.SUCCEEDED, {"n": task.position})


@pytest.mark.slow
async def test_kills_among_many_tasks_start_nothing_twice_and_lose_nothing(executors: Stand) -> None:
    """Two executors share the work, each killed at a place of its own; a third goes on.

    Every single point is in `test_executor_crash_points.py`.
    """
    plan = uuid4()
    tasks = [spec(plan, number, work=scripted(run_seconds=0.1)) for number in range(30)]
    await executors.register()
    points = ["executor.claimed", "executor.seen"]
    victims = [executors.spawn(SIGNALBOX_CRASH_AT=point) for point in points]
    await executors.send(rules_of(plan, Rules(limit=4)), ensure(plan, tasks))
    for victim in victims:
        await killed(victim)
    async with executors.running():
        await executors.send(rules_of(plan, Rules(limit=40), version=2))
        await ended(executors, 30)
        await sent(executors)
    await each_ran_once(executors, tasks)


async def killed(victim: Forked) -> None:
    async def dead() -> bool:
        return victim.poll() is not None

    await until(dead, seconds=90, why="killed at its point")
    assert victim.poll() == -signal.SIGKILL


async def each_ran_once(stand: Stand, tasks: list[TaskSpec]) -> None:
    """Assert that every task succeeded, was started once on the engine, and said so once."""
    assert await stand.states() == {"SUCCEEDED": len(tasks)}
    assert await stand.starts() == {run_key(task.task_id, 1): 1 for task in tasks}
    history_of = histories(await stand.facts())
    assert set(history_of) == {task.task_id for task in tasks}
    for history in history_of.values():
        check_history(history)


@proves("F13")
async def test_a_worker_paused_past_its_lease_wakes_to_find_its_tasks_taken(executors: Stand) -> None:
    """What it still has in flight carries the same key, and its writes match no row. Leases run out by themselves here.

    Frozen inside a transaction it holds row locks until PostgreSQL ends its session after 10 s.
    """
    plan = uuid4()
    work = scripted(answer_delay_seconds=3, run_seconds=0.1)
    tasks = [spec(plan, number, work=work) for number in range(5)]
    await executors.register()
    sleeper = executors.spawn()
    await executors.send(rules_of(plan), ensure(plan, tasks))
    await in_state(executors, "SUBMITTING", 5)
    sleeper.send_signal(signal.SIGSTOP)
    async with executors.running():
        await ended(executors, 5)
        sleeper.send_signal(signal.SIGCONT)

        async def came_back() -> bool:
            return await executors.value("SELECT count(*) FROM worker WHERE NOT dead AND lease_until > now()") == 2

        await until(came_back, why="the sleeper took a new id")
        await sent(executors)
    await each_ran_once(executors, tasks)


@proves("F34")
async def test_lost_answers_outages_and_throttling_start_nothing_twice(executors: Stand) -> None:
    plan = uuid4()
    scripts: list[dict[str, Any]] = [
        {"lose_answers": 2},
        {"lose_requests": 2},
        {"throttle": 2},
        {"lose_answers": 1, "refuse": "no", "refuse_after": 1},
    ]
    tasks = [spec(plan, number, work=scripted(**script)) for number, script in enumerate(scripts)]
    await executors.register(breaker={"failures": 1000})
    async with executors.running():
        await executors.send(rules_of(plan), ensure(plan, tasks))
        await ended(executors, 4)
    assert await executors.states() == {"SUCCEEDED": 4}, "the last was refused, but its first copy had arrived"
    assert await executors.starts() == {run_key(task.task_id, 1): 1 for task in tasks}


async def test_retries_refusals_and_what_the_engine_forgot(executors: Stand) -> None:
    plan, twice = uuid4(), Retries(max_attempts=2, delay_seconds=0, max_delay_seconds=0)
    tasks = [
        spec(plan, 0, work=scripted(exit_code=3), retries=twice),
        spec(plan, 1, work=scripted(refuse="no such class"), retries=twice),
        spec(plan, 2, work=scripted(run_seconds=60, forget_seconds=0.2), on_unknown="fail"),
        spec(plan, 3, work=scripted(run_seconds=60, forget_seconds=0.2), on_unknown="hold"),
        spec(plan, 4, engine="nowhere"),
    ]
    await executors.register()
    async with executors.running():
        await executors.send(rules_of(plan), ensure(plan, tasks, known=[UUID(int=1)]))
        await ended(executors, 3)
        await in_state(executors, "UNKNOWN")
        await sent(executors)
    found = await executors.rows("SELECT position, state, attempt, cause, exit_code FROM task ORDER BY position")
    assert [tuple(row.values()) for row in found] == [
        (0, "FAILED", 2, "failed", 3),
        (1, "FAILED", 1, "refused", None),
        (2, "FAILED", 1, "lost", None),
        (3, "UNKNOWN", 1, None, None),
        (4, "QUEUED", 1, None, None),
    ]
    published = await executors.facts()
    assert [fact.data.missing for fact in published if fact.data.missing] == [(UUID(int=1),)]
    assert {fact.data.rules_version for fact in published} == {0, 1}, "rules are confirmed"
    (queued_again,) = [
        task for fact in published for task in fact.data.tasks if task.state is TaskState.QUEUED and task.attempt == 2
    ]
    (first,) = queued_again.attempts
    assert (first.attempt, first.cause, first.exit_code) == (1, EndCause.FAILED, 3)
    assert None not in (first.handle, first.submitted_at), "no fact told of it while it ran"


async def test_a_cancel_ends_what_waits_stops_what_runs_and_is_reported(executors: Stand) -> None:
    plan = uuid4()
    await executors.register()
    async with executors.running():
        tasks = [spec(plan, number, work=scripted(never_ends=True)) for number in range(6)]
        await executors.send(rules_of(plan, Rules(limit=2)), ensure(plan, tasks))
        await in_state(executors, "RUNNING", 2)
        await executors.send(cancel_of(plan))
        await ended(executors, 6)
        await sent(executors)
    assert await executors.states() == {"CANCELLED": 6}
    assert len(await executors.starts()) == 2
    for history in histories(await executors.facts()).values():
        states = Counter(move.state for task in history for move in task.transitions)
        assert states[TaskState.CANCELLED] == 1


async def test_a_held_plan_starts_nothing_once_that_is_confirmed(executors: Stand) -> None:
    plan = uuid4()
    await executors.register()
    async with executors.running():
        await executors.send(rules_of(plan, held=True), ensure(plan, [spec(plan, 0)]))
        await in_state(executors, "QUEUED")
        await executors.send(rules_of(plan, version=2))
        await ended(executors, 1)
        await sent(executors)
    confirmed = [fact.data.rules_version for fact in await executors.facts() if not fact.data.tasks]
    assert confirmed == [1, 2]


@proves("F36")
async def test_an_engine_that_is_down_uses_up_no_attempt_and_opens_its_breaker(executors: Stand) -> None:
    plan = uuid4()
    await executors.register(breaker={"failures": 2, "open_seconds": 0.3})
    async with executors.running():
        await executors.send(rules_of(plan), ensure(plan, [spec(plan, 0, work=scripted(down_seconds=600))]))

        async def opened() -> bool:
            return await executors.value("SELECT breaker FROM engine") == "open"

        await until(opened, why="the breaker opened")
        await executors.engine_is_back()
        await ended(executors, 1)
    found = await executors.rows("SELECT state, attempt, infrastructure_faults FROM task")
    assert [tuple(row.values()) for row in found] == [("SUCCEEDED", 1, 0)]
    assert await executors.value("SELECT breaker FROM engine") == "closed"


async def test_the_breaker_of_an_engine_that_nothing_waits_for_closes_when_the_engine_is_back(
    executors: Stand,
) -> None:
    """Nothing would probe it before the next start, and its alert would stay."""
    await executors.register("back", breaker={"open_seconds": 0.3})
    await executors.register("gone", revision=2, url="http://127.0.0.1:1", breaker={"open_seconds": 0.3})
    async with executors.running():

        async def known() -> bool:
            return await executors.value("SELECT count(*) FROM engine") == 2

        await until(known, why="both engines are known")
        await executors.rows(
            "UPDATE engine SET breaker = 'open', breaker_since = now(), probe_at = now(), failures = 5"
        )

        async def settled() -> bool:
            found = await executors.rows("SELECT id, breaker, failures FROM engine ORDER BY id")
            back, gone = ((row["breaker"], row["failures"]) for row in found)
            return back == ("closed", 0) and gone[0] == "open" and gone[1] > 5

        await until(settled, why="the one that answers is closed, the other was counted as silent once more")


async def test_what_waits_says_what_for_once(executors: Stand) -> None:
    limited, nowhere, forever = uuid4(), uuid4(), scripted(never_ends=True)
    await executors.register(concurrency=5)
    async with executors.running():
        await executors.send(
            rules_of(limited, Rules(limit=1)),
            ensure(limited, [spec(limited, number, work=forever) for number in range(3)]),
            ensure(nowhere, [spec(nowhere, 0, engine="nowhere")]),
        )

        async def explained() -> bool:
            return await executors.value("SELECT count(*) FROM task WHERE waiting IS NOT NULL") == 3

        await until(explained, why="three tasks say why they wait")
        await executors.send(rules_of(nowhere))

        async def explained_anew() -> bool:
            why = await executors.value("SELECT waiting ->> 'why' FROM task WHERE plan_id = $1", nowhere)
            return why == "definition_not_seen"

        await until(explained_anew, why="the reason changed")
        await sent(executors)
    reasons = [
        (task.waiting.why, task.item_key)
        for history in histories(await executors.facts()).values()
        for task in history
        if task.waiting
    ]
    assert sorted(reasons) == [
        (WaitReason.DEFINITION_NOT_SEEN, "item/0"),
        (WaitReason.PLAN_LIMIT, "item/1"),
        (WaitReason.PLAN_LIMIT, "item/2"),
        (WaitReason.RULES_NOT_SEEN, "item/0"),
    ]
