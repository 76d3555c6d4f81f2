"""Cancels at every state of a task, and while it is being submitted: real executors, and what the engine has run."""

import asyncio
import random
import signal
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import pytest

from signalbox_contracts.definitions.rules import OnUnknown, Retries, TimeLimits
from signalbox_contracts.definitions.work import ScriptedWork
from signalbox_contracts.ids import run_key
from signalbox_contracts.messages.task_commands import TaskSpec
from signalbox_contracts.states import TASK_ENDS
from signalbox_executor.store import stop
from support.executor import Stand, cancel_of, ensure, rules_of, spec
from support.proofs import proves
from support.service_fixture import until

ENDS = [state.value for state in TASK_ENDS]
ONCE, NO_LIMITS = Retries(), TimeLimits()
LATER = Retries(max_attempts=3, delay_seconds=86_400, max_delay_seconds=86_400)
"""The second attempt is so far away that a cancel always comes between the two."""
AT_ONCE = Retries(max_attempts=3, delay_seconds=0, max_delay_seconds=0)


@dataclass(frozen=True, kw_only=True)
class Case:
    """A task that is cancelled when its row says `when`, and what becomes of it."""

    name: str
    when: str
    script: dict[str, Any]
    ends: str
    starts: tuple[int, ...] = (1,)
    """How many starts the engine may have."""
    arrived: bool = False
    """Cancelled only after the engine has its start. A held run is released when its row has the cancel.

    One that is then forgotten is released when it is RUNNING.
    """
    retries: Retries = ONCE
    limits: TimeLimits = NO_LIMITS
    on_unknown: OnUnknown = "fail"
    engine: str = "e1"

    def spec(self, plan: UUID) -> TaskSpec:
        return spec(
            plan, 0, self.engine, work=ScriptedWork(script=self.script), retries=self.retries,
            time_limits=self.limits, on_unknown=self.on_unknown,
        )  # fmt: skip


FOREVER: dict[str, Any] = {"never_ends": True}
DEAF = TimeLimits(running_seconds=0.2, cancelling_seconds=0.2)
"""A run that does not hear its first stops is soon UNKNOWN."""

ALIKE = [
    Case(
        name="unknown for good", when="state = 'UNKNOWN'", script={"held": True, "forget_at_end": True},
        ends="CANCELLED",
    ),
    Case(
        name="between attempts", when="state = 'QUEUED' AND attempt = 2", retries=LATER, script={"exit_code": 1},
        ends="CANCELLED",
    ),
    Case(name="succeeded", when="state = 'SUCCEEDED'", script={}, ends="SUCCEEDED"),
    Case(name="failed", when="state = 'FAILED'", script={"exit_code": 1}, ends="FAILED"),
]  # fmt: skip
"""What becomes of these does not depend on whether the cancel kills."""
KILLED = [
    Case(name="queued", when="state = 'QUEUED'", engine="paused", script=FOREVER, ends="CANCELLED", starts=(0,)),
    Case(
        name="told to wait by the engine", when="state = 'SUBMITTING'", script={"throttle": 1000},
        ends="CANCELLED", starts=(0,),
    ),
    Case(
        name="requests lost", when="state = 'SUBMITTING' AND sends > 1", script={"lose_requests": 1000},
        ends="CANCELLED", starts=(0,),
    ),
    Case(
        name="before it is accepted", when="state = 'SUBMITTING'", script={"accept_delay_seconds": 3, **FOREVER},
        ends="CANCELLED", starts=(0, 1),  # 0: the cancel came between the row and the request
    ),
    Case(
        name="before the answer", when="state = 'SUBMITTING'", arrived=True,
        script={"answer_delay_seconds": 3, **FOREVER}, ends="CANCELLED",
    ),
    Case(
        name="answers lost", when="state = 'SUBMITTING' AND sends > 1", arrived=True,
        script={"lose_answers": 1000, **FOREVER}, ends="CANCELLED",
    ),
    Case(
        name="ended before the answer", when="state = 'SUBMITTING'", arrived=True,
        script={"answer_delay_seconds": 3}, ends="SUCCEEDED",
    ),
    Case(
        name="refused after the cancel", when="state = 'SUBMITTING' AND sends > 1",
        script={"lose_requests": 24, "refuse": "no", "refuse_after": 24}, ends="CANCELLED", starts=(0,),
    ),
    Case(name="running", when="state = 'RUNNING'", script=FOREVER, ends="CANCELLED"),
    Case(
        name="running, slow to stop", when="state = 'RUNNING'", script={"stop_seconds": 0.7, **FOREVER},
        ends="CANCELLED",
    ),
    Case(
        name="running, stops unheard", when="state = 'RUNNING'", script={"ignore_cancels": 3, **FOREVER},
        ends="CANCELLED",
    ),
    Case(
        name="succeeds before it hears", when="state = 'RUNNING'",
        script={"held": True, "ignore_cancels": 1000}, ends="SUCCEEDED",
    ),
    Case(
        name="fails before it hears", when="state = 'RUNNING'", retries=AT_ONCE,
        script={"held": True, "ignore_cancels": 1000, "exit_code": 1}, ends="CANCELLED",
    ),
    Case(
        name="unknown, and seen again", when="state = 'UNKNOWN'", limits=DEAF,
        script={"held": True, "ignore_cancels": 1000, "exit_code": 1}, ends="CANCELLED",
    ),
    *ALIKE,
]  # fmt: skip
LET_END = [
    Case(name="queued", when="state = 'QUEUED'", engine="paused", script={}, ends="CANCELLED", starts=(0,)),
    Case(
        name="told to wait by the engine", when="state = 'SUBMITTING'", script={"throttle": 8}, ends="SUCCEEDED",
    ),
    Case(
        name="requests lost", when="state = 'SUBMITTING' AND sends > 1", script={"lose_requests": 3},
        ends="SUCCEEDED",
    ),
    Case(
        name="answers lost", when="state = 'SUBMITTING' AND sends > 1", arrived=True,
        script={"lose_answers": 3, "run_seconds": 0.3}, ends="SUCCEEDED",
    ),
    Case(
        name="before the answer, then fails", when="state = 'SUBMITTING'", arrived=True, retries=AT_ONCE,
        script={"answer_delay_seconds": 3, "held": True, "exit_code": 1}, ends="CANCELLED",
    ),
    Case(
        name="refused after the cancel", when="state = 'SUBMITTING' AND sends > 1",
        script={"lose_requests": 24, "refuse": "no", "refuse_after": 24}, ends="CANCELLED", starts=(0,),
    ),
    Case(name="running, succeeds", when="state = 'RUNNING'", script={"held": True}, ends="SUCCEEDED"),
    Case(
        name="running, fails", when="state = 'RUNNING'", script={"held": True, "exit_code": 1},
        retries=AT_ONCE, ends="CANCELLED",
    ),
    *ALIKE,
]  # fmt: skip


async def runs(stand: Stand) -> dict[str, str]:
    """The phase of every run the engine ever accepted and still knows, by run key."""
    async with aiohttp.ClientSession() as session:
        keys = list(await stand.starts())
        async with session.post(f"{stand.engine_url}/observe", json={"run_keys": keys}) as answer:
            return {key: run["phase"] for key, run in (await answer.json())["runs"].items()}


async def nothing_lives(stand: Stand) -> None:
    """Assert that no run is left on the engine that nobody watches."""
    phases = await runs(stand)
    assert not [key for key, phase in phases.items() if phase not in ("succeeded", "failed", "killed")]


async def all_ended(stand: Stand, count: int, *, seconds: float = 60) -> None:
    async def ended() -> bool:
        return await stand.value("SELECT count(*) FROM task WHERE state = ANY ($1)", ENDS) >= count

    await until(ended, seconds=seconds, why=f"{count} tasks ended")


async def cancelled_when(stand: Stand, case: Case, *, kill: bool) -> UUID:
    """Ask for the task of a case, and for its cancel as soon as its row is as the case wants it."""
    plan = uuid4()
    task = case.spec(plan)
    await stand.send(rules_of(plan), ensure(plan, [task]))
    forgotten = case.script.get("forget_at_end")
    if forgotten:  # before its start is recorded, it would be started once more
        await released(stand, task.task_id, when="state = 'RUNNING'")

    async def there() -> bool:
        row = await stand.value(f"SELECT {case.when} FROM task WHERE id = $1", task.task_id)  # noqa: S608
        return bool(row) and (not case.arrived or run_key(task.task_id, 1) in await stand.starts())

    await until(there, seconds=60, why=f"{case.name}: {case.when}")
    await stand.send(cancel_of(plan, kill=kill))
    if case.script.get("held") and not forgotten:
        await released(stand, task.task_id, when="cancel_requested_at IS NOT NULL")
    return task.task_id


async def released(stand: Stand, task: UUID, *, when: str) -> None:
    """Let the held run of a task end, once the task's row is as `when` says."""

    async def recorded() -> bool:
        return bool(await stand.value(f"SELECT {when} FROM task WHERE id = $1", task))  # noqa: S608

    await until(recorded, seconds=60, why=when)
    await stand.release(task)


@pytest.mark.parametrize("kill", [True, False], ids=["kill", "let-end"])
@proves("executor.store.stop: the intent is in the row", "F15")
async def test_a_cancel_at_any_state_ends_the_task_truly_and_leaves_nothing_running(
    executors: Stand, *, kill: bool
) -> None:
    """INVARIANT: CANCELLED only without a successful run, and never while a run lives."""
    cases = KILLED if kill else LET_END
    await executors.register(breaker={"failures": 1000})
    await executors.register("paused", intake="paused")
    async with executors.running(unknown_seconds=15.0, engine_timeout_seconds=30.0):
        ids = await asyncio.gather(*(cancelled_when(executors, case, kill=kill) for case in cases))
        await all_ended(executors, len(cases), seconds=120)
        states = {row["id"]: row["state"] for row in await executors.rows("SELECT id, state FROM task")}
        starts = await executors.starts()
        for case, id in zip(cases, ids, strict=True):
            assert (case.name, states[id]) == (case.name, case.ends)
            started = [starts.get(run_key(id, attempt), 0) for attempt in (1, 2, 3)]
            assert (case.name, started[1:], started[0] in case.starts) == (case.name, [0, 0], True), started
        await nothing_lives(executors)


@pytest.mark.parametrize("kill", [True, False], ids=["kill", "let-end"])
@pytest.mark.parametrize(("point", "started"), [("executor.after_intent", 0), ("executor.before_record", 1)])
async def test_a_cancel_while_the_submitting_executor_is_dead_is_obeyed_by_the_next(
    executors: Stand, point: str, started: int, *, kill: bool
) -> None:
    """What may have been sent is sealed, or adopted and stopped; nothing is believed to have ended unseen."""
    plan = uuid4()
    task = spec(plan, 0, work=ScriptedWork(script=FOREVER if kill else {"run_seconds": 0.1}))
    await executors.register()
    victim = executors.spawn(SIGNALBOX_CRASH_AT=point)
    await executors.send(rules_of(plan), ensure(plan, [task]))

    async def dead() -> bool:
        return victim.poll() is not None

    await until(dead, seconds=120, why="killed at its point")
    assert victim.poll() == -signal.SIGKILL
    assert await executors.states() == {"SUBMITTING": 1}
    async with executors.connection() as connection:
        assert len(await stop.cancel(connection, plan, [], kill=kill, reason="no more")) == 1
    async with executors.running():
        await all_ended(executors, 1)
    assert await executors.states() == {"CANCELLED" if kill else "SUCCEEDED": 1}
    assert await executors.starts() == ({run_key(task.task_id, 1): 1} if started or not kill else {})
    await nothing_lives(executors)


def harried(chance: random.Random, number: int, plan: UUID, now: datetime) -> tuple[TaskSpec, datetime, bool]:
    """A task, when it is cancelled (shortly before or after it may start), and whether that is to kill it.

    One in twenty may start much later than its cancel: a busy machine would otherwise be too late for every one.
    """
    starts_at, kill = now + timedelta(seconds=0.02 * number), chance.random() < 0.7
    trouble = chance.choice(
        ({}, {"lose_answers": 1}, {"lose_requests": 1}, {"throttle": 1}, {"accept_delay_seconds": 0.2},
         {"answer_delay_seconds": 0.2})
    )  # fmt: skip
    course = chance.choice(({"never_ends": True} if kill else {}, {"run_seconds": 0.2}, {"exit_code": 1}))
    work = ScriptedWork(script={**trouble, **course})
    task = spec(
        plan, number, work=work, retries=AT_ONCE, not_before_at=starts_at + timedelta(seconds=0 if number % 20 else 15)
    )
    return task, starts_at + timedelta(seconds=chance.uniform(-0.2, 0.6)), kill


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
@proves("F15")
async def test_cancels_that_race_with_submits_leave_each_task_truly_ended(executors: Stand, seed: int) -> None:
    """INVARIANT: no key is started twice, nothing lives on the engine, and no cancelled task's run has succeeded."""
    chance, plan = random.Random(seed), uuid4()
    await executors.register(breaker={"failures": 1000}, concurrency=200)
    other = executors.spawn()
    async with executors.running():
        await until(lambda: _reads_all(executors, plan), seconds=90, why="two executors at work, their groups at rest")
        now = datetime.now(UTC) + timedelta(seconds=3)
        tasks = [harried(chance, number, plan, now) for number in range(200)]
        await executors.send(ensure(plan, [task for task, _, _ in tasks]))
        await cancelled_in_time(executors, plan, tasks)
        await all_ended(executors, 200, seconds=120)
    assert other.poll() is None
    starts, phases = await executors.starts(), await runs(executors)
    assert not [key for key, count in starts.items() if count > 1]
    await nothing_lives(executors)
    ends: Counter[tuple[str, bool]] = Counter()
    for row in await executors.rows("SELECT id, state, attempt FROM task"):
        keys = [run_key(row["id"], attempt) for attempt in range(1, row["attempt"] + 1)]
        succeeded = [phases.get(key) for key in keys].count("succeeded")
        assert succeeded == (row["state"] == "SUCCEEDED"), dict(row)
        ends[row["state"], any(key in starts for key in keys)] += 1
    unstarted, stopped, done = ends["CANCELLED", False], ends["CANCELLED", True], ends["SUCCEEDED", True]
    assert min(unstarted, stopped, done) >= 1, f"the cancels came too early or too late to race: {ends}"


async def _reads_all(stand: Stand, plan: UUID) -> bool:
    """Whether two executors live, and the rules said now are read."""
    live = await stand.value("SELECT count(*) FROM worker WHERE NOT dead AND lease_until > now()")
    if live == 2 and not await stand.value("SELECT count(*) FROM plan_rules WHERE plan_id = $1", plan):
        await stand.send(rules_of(plan))
    return live == 2 and bool(await stand.value("SELECT count(*) FROM plan_rules WHERE plan_id = $1", plan))


async def cancelled_in_time(stand: Stand, plan: UUID, tasks: list[tuple[TaskSpec, datetime, bool]]) -> None:
    """Send each cancel when its time has come."""
    waiting = sorted(tasks, key=lambda one: one[1])
    while waiting:
        now = datetime.now(UTC)
        due = [one for one in waiting if one[1] <= now]
        waiting = waiting[len(due) :]
        await stand.send_all([cancel_of(plan, task.task_id, kill=kill) for task, _, kill in due])
