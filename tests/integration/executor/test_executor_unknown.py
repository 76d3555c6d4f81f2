"""UNKNOWN: it waits and says so, a policy decides, or a person about one attempt; what nobody may decide is refused."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, Literal
from uuid import UUID, uuid4

import aiohttp
import pytest

from signalbox_chassis.persistence.connection import Connection
from signalbox_contracts.definitions.engine import ScriptedConnection
from signalbox_contracts.definitions.rules import Retries, TimeLimits
from signalbox_contracts.definitions.work import ScriptedWork
from signalbox_contracts.ids import run_key
from signalbox_contracts.messages.operations import TaskResolve, TaskResolveData
from signalbox_contracts.messages.plans import WaitReason
from signalbox_contracts.messages.states import OperationResult, Outcome
from signalbox_contracts.messages.task_commands import TaskSpec
from signalbox_contracts.messages.tasks import EndCause, Phase, TaskRecord
from signalbox_contracts.states import TaskState
from signalbox_executor.lifecycle import Budget, Verdict
from signalbox_executor.lifecycle import Outcome as Seen
from signalbox_executor.store import finish, resolve, stop, submit
from signalbox_executor.store.claim import Claim
from support.executor import Stand, Store, ensure, operation, rules_of, spec
from support.proofs import proves
from support.service_fixture import until

Decision = Literal["adopt", "retry", "fail"]


def scripted(**script: Any) -> ScriptedWork:
    return ScriptedWork(script=script)


# --- the statement, against rows as they may be


@pytest.fixture
async def me(store: Store) -> UUID:
    await store.engine(concurrency=1000)
    return await store.worker()


async def unknown(store: Store, me: UUID, **changes: Any) -> Claim:
    """A task that ran as `h1` and is UNKNOWN now."""
    await store.plan(1, **changes)
    [one] = await store.claim(me)
    async with store.connection() as connection:
        await submit.intend(connection, [(one.task.id, one.task.fence)])
        await submit.record(connection, [(one.task.id, one.task.fence, "h1")])
        assert len(await finish.write_observed(connection, [lost(one)])) == 1
    return one


def lost(one: Claim, outcome: Seen = Seen.UNKNOWN, attempt: int = 1) -> finish.AttemptResult:
    verdict = Verdict(
        outcome=outcome, phase=Phase.LOST, cause=EndCause.LOST, budget=Budget.INFRASTRUCTURE, reason="not known"
    )
    return finish.AttemptResult(task_id=one.task.id, attempt=attempt, verdict=verdict)


def word(one: Claim, decision: Decision, attempt: int = 1, handle: str | None = None) -> TaskResolveData:
    return TaskResolveData(
        operation_id=uuid4(), actor="user:ann", reason="looked at the host", plan_id=one.task.plan_id,
        task_id=one.task.id, attempt=attempt, decision=decision, handle=handle,
    )  # fmt: skip


async def resolves_row(store: Store, resolution: TaskResolveData) -> resolve.Resolved | None:
    async with store.connection() as connection:
        return await resolve.resolve(connection, resolution, "because")


async def row(store: Store, one: Claim) -> Any:
    [found] = await store.rows("SELECT * FROM task WHERE id = $1", one.task.id)
    return found


async def history(store: Store, one: Claim) -> list[tuple[Any, ...]]:
    found = await store.rows("SELECT attempt, handle, cause, error FROM attempt WHERE task_id = $1", one.task.id)
    return [tuple(one.values()) for one in found]


async def test_an_unknown_task_says_that_a_person_or_which_policy_decides(store: Store, me: UUID) -> None:
    await store.engine("e2", revision=2, concurrency=10, on_unknown="retry")
    held = [await unknown(store, me), await unknown(store, me, engine="e2", on_unknown="hold")]
    decided = [await unknown(store, me, on_unknown="fail"), await unknown(store, me, engine="e2")]
    details: list[str] = []
    for one in (*held, *decided):
        waiting = json.loads((await row(store, one))["waiting"])
        assert (waiting["why"], waiting["holder"]) == ("person", f"engine:{one.task.engine_id}")
        details.append(waiting["detail"])
    assert details[:2] == ["attempt 1: not known"] * 2
    assert [detail.removeprefix("attempt 1: not known; ") for detail in details[2:]] == [
        f"policy {policy} decides by itself if it is not seen again" for policy in ("fail", "retry")
    ]


async def test_adopting_makes_it_run_under_the_handle_that_was_named_or_the_one_it_had(store: Store, me: UUID) -> None:
    named, had = await unknown(store, me), await unknown(store, me)
    one, two = (
        await resolves_row(store, word(named, "adopt", handle="h2")),
        await resolves_row(store, word(had, "adopt")),
    )
    assert one is not None
    assert two is not None
    found = await row(store, named)
    assert (found["state"], found["attempt"], found["handle"], found["phase"], found["waiting"], found["error"]) == (
        "RUNNING", 1, "h2", "submitted", None, None,
    )  # fmt: skip
    assert (await row(store, had))["handle"] == "h1"
    assert one.details(1) == {
        "task": str(named.task.id),
        "before": {"state": "UNKNOWN", "attempt": 1, "handle": "h1"},
        "after": {"state": "RUNNING", "attempt": 1, "handle": "h2"},
    }
    assert await history(store, named) == [], "the attempt goes on"


async def test_a_retry_queues_the_next_attempt_whatever_the_budgets_say_and_uses_up_none_of_the_works(
    store: Store, me: UUID
) -> None:
    one = await unknown(store, me, retries=Retries(max_attempts=1, infrastructure_attempts=0))
    assert await resolves_row(store, word(one, "retry")) is not None
    found = await row(store, one)
    assert (found["state"], found["attempt"], found["infrastructure_faults"], found["sends"]) == ("QUEUED", 2, 1, 0)
    assert (found["handle"], found["phase"], found["waiting"]) == (None, None, None)
    assert await history(store, one) == [(1, "h1", "resolved", "because")]
    [again] = await store.claim(me)
    assert (again.task.id, again.task.attempt) == (one.task.id, 2), "at once"


async def test_failing_ends_it_with_the_persons_reason(store: Store, me: UUID) -> None:
    one = await unknown(store, me)
    assert await resolves_row(store, word(one, "fail")) is not None
    found = await row(store, one)
    assert (found["state"], found["cause"], found["error"]) == ("FAILED", "resolved", "because")
    assert found["ended_at"] is not None
    assert await history(store, one) == [(1, "h1", "resolved", "because")]


@pytest.mark.parametrize(("decision", "state"), [("retry", "CANCELLED"), ("fail", "CANCELLED"), ("adopt", "RUNNING")])
async def test_a_cancel_in_the_row_wins_and_stops_what_is_adopted(
    store: Store, me: UUID, decision: Decision, state: str
) -> None:
    """INVARIANT: decided in the statement that writes the row. Else work starts after its cancel was recorded."""
    one = await unknown(store, me)
    async with store.connection() as connection:
        assert len(await stop.cancel(connection, one.task.plan_id, [], kill=True, reason="no more")) == 1
    assert await resolves_row(store, word(one, decision)) is not None
    assert (await row(store, one))["state"] == state
    async with store.connection() as connection:
        stops = await stop.intend_stops(connection, "e1", limit=10)
    assert len(stops) == (decision == "adopt")


@proves("executor.store.resolve: state = UNKNOWN")
async def test_a_word_on_an_attempt_never_touches_the_next_one_nor_anything_that_is_not_unknown(
    store: Store, me: UUID
) -> None:
    """INVARIANT: state and attempt. A word on "the task" that arrives late ends a later attempt that runs."""
    one = await unknown(store, me)
    decisions: tuple[Decision, ...] = ("adopt", "retry", "fail")
    for decision in decisions:
        assert await resolves_row(store, word(one, decision, attempt=2)) is None
    assert await resolves_row(store, word(one, "retry")) is not None
    for state in ("QUEUED", "CLAIMED", "SUBMITTING", "RUNNING", "UNKNOWN", "FAILED"):
        before = await row(store, one)
        assert (before["state"], before["attempt"]) == (state, 2)
        for decision in decisions:
            assert await resolves_row(store, word(one, decision, attempt=1)) is None
            if state != "UNKNOWN":
                assert await resolves_row(store, word(one, decision, attempt=2)) is None
        assert await row(store, one) == before
        await _on(store, me, one, state)


async def _on(store: Store, me: UUID, one: Claim, state: str) -> None:
    """One state further."""
    found = await row(store, one)
    async with store.connection() as connection:
        match state:
            case "QUEUED":
                assert len(await store.claim(me)) == 1
            case "CLAIMED":
                assert len(await submit.intend(connection, [(one.task.id, found["fence"])])) == 1
            case "SUBMITTING":
                assert len(await submit.record(connection, [(one.task.id, found["fence"], "h2")])) == 1
            case "RUNNING":
                assert len(await finish.write_observed(connection, [lost(one, attempt=2)])) == 1
            case _:
                await resolve.resolve(connection, word(one, "fail", attempt=2), "because")


@pytest.mark.parametrize("decision", ["adopt", "retry", "fail"])
async def test_a_person_and_an_observation_never_both_decide(store: Store, me: UUID, decision: Decision) -> None:
    async def person(connection: Connection) -> int:
        return int(await resolve.resolve(connection, word(one, decision), "because") is not None)

    async def observer(connection: Connection) -> int:
        return len(await finish.write_observed(connection, [lost(one, Seen.SUCCEEDED)]))

    one = await unknown(store, me)
    assert await raced(store, observer, person) == (1, 0)
    assert (await row(store, one))["state"] == "SUCCEEDED"
    one = await unknown(store, me)
    # what is adopted runs in the same attempt: that it has ended is then seen, and true
    assert await raced(store, person, observer) == (1, int(decision == "adopt"))


async def raced(
    store: Store, first: Callable[[Connection], Awaitable[int]], second: Callable[[Connection], Awaitable[int]]
) -> tuple[int, int]:
    """How many rows each changed: the second starts while the first holds the row, and waits for it."""
    async with store.connection() as one, store.connection() as two:
        pid = await two.fetchval("SELECT pg_backend_pid()")
        async with one.transaction():
            changed = await first(one)
            waiting = asyncio.ensure_future(second(two))
            async with asyncio.timeout(60):
                while not await store.value("SELECT cardinality(pg_blocking_pids($1)) > 0", pid):
                    assert not waiting.done(), "it did not wait: they do not race for a row"
        return changed, await waiting


# --- the whole way: executor, engine, messages


async def in_state(stand: Stand, state: str, count: int = 1) -> None:
    async def there() -> bool:
        return (await stand.states()).get(state, 0) >= count

    await until(there, why=f"{count} tasks {state}")


async def answers(stand: Stand, *requests: TaskResolve) -> list[OperationResult]:
    """The one result of each."""
    found: dict[UUID, list[OperationResult]] = {}

    async def answered() -> bool:
        found.clear()
        for one in await stand.states_published(OperationResult):
            found.setdefault(one.data.operation_id, []).append(one)
        return all(one.data.operation_id in found for one in requests)

    await until(answered, seconds=20, why="the operations were answered")
    assert all(len(found[one.data.operation_id]) == 1 for one in requests)
    return [found[one.data.operation_id][0] for one in requests]


def resolves(plan: UUID, task: TaskSpec, decision: Decision, attempt: int = 1, **more: Any) -> TaskResolve:
    return operation(
        TaskResolve, f"task:{task.task_id}", plan_id=plan, task_id=task.task_id, attempt=attempt, decision=decision,
        **{"reason": "looked at the host", **more},
    )  # fmt: skip


async def published_records(stand: Stand, task: TaskSpec) -> list[TaskRecord]:
    """What was said of a task, in order."""
    records = [one for fact in await stand.facts() for one in fact.data.tasks if one.task_id == task.task_id]
    return sorted(records, key=lambda record: record.version)


@pytest.mark.parametrize("remembers_keys", [True, False], ids=["it forgets", "it cannot tell copies apart"])
@proves("F16", "F35")
async def test_each_policy_of_engine_or_task_decides_what_becomes_of_unknown(
    executors: Stand, remembers_keys: bool
) -> None:
    """`retry` may run the work twice, as the starts show: that is the user's to allow."""
    plan = uuid4()
    connection = ScriptedConnection(url=executors.engine_url, remembers_keys=remembers_keys)
    work = scripted(run_seconds=60, **({"forget_seconds": 0.2} if remembers_keys else {"lose_answers": 1}))
    once = Retries(delay_seconds=0, max_delay_seconds=0, infrastructure_attempts=1)
    tasks = [
        spec(plan, 0, "holds", work=work),
        spec(plan, 1, "holds", work=work),
        spec(plan, 2, "fails", work=work),
        spec(plan, 3, "retries", work=work, retries=once),
        spec(plan, 4, "retries", work=work, retries=once, on_unknown="fail"),
    ]
    for revision, (id, policy) in enumerate((("holds", "hold"), ("fails", "fail"), ("retries", "retry")), start=1):
        await executors.register(id, revision=revision, on_unknown=policy, concurrency=1, connection=connection)
    async with executors.running():
        await executors.send(rules_of(plan), ensure(plan, tasks, revision=3))
        await in_state(executors, "FAILED", 3)
        await in_state(executors, "UNKNOWN")
    found = await executors.rows("SELECT position, state, attempt, cause FROM task ORDER BY position")
    assert [tuple(row.values()) for row in found] == [
        (0, "UNKNOWN", 1, None),
        (1, "QUEUED", 1, None),  # what is held keeps the engine's only slot
        (2, "FAILED", 1, "lost"),
        (3, "FAILED", 2, "lost"),
        (4, "FAILED", 1, "lost"),
    ]
    sent = [(0, 1), (2, 1), (3, 1), (3, 2), (4, 1)]
    assert await executors.starts() == {run_key(tasks[number].task_id, attempt): 1 for number, attempt in sent}
    last = (await published_records(executors, tasks[0]))[-1]
    assert last.waiting is not None
    assert (last.waiting.why, last.waiting.holder) == (WaitReason.PERSON, "engine:holds")
    assert last.waiting.detail.startswith("attempt 1: ")


async def test_a_run_that_a_person_names_is_adopted_and_its_end_is_seen(executors: Stand) -> None:
    plan = uuid4()
    task = spec(plan, 0, work=scripted(run_seconds=0.5, lose_answers=1))
    await executors.register(connection=ScriptedConnection(url=executors.engine_url, remembers_keys=False))
    async with executors.running():
        await executors.send(rules_of(plan), ensure(plan, [task]))
        await in_state(executors, "UNKNOWN")
        request = resolves(plan, task, "adopt", handle="run-1")
        await executors.send(request)
        [answer] = await answers(executors, request)
        await in_state(executors, "SUCCEEDED")
    assert (answer.data.outcome, answer.data.operation) == (Outcome.DONE, "task.resolve")
    assert answer.data.details == {
        "task": str(task.task_id),
        "before": {"state": "UNKNOWN", "attempt": 1, "handle": None},
        "after": {"state": "RUNNING", "attempt": 1, "handle": "run-1"},
    }
    moves = [move for record in await published_records(executors, task) for move in record.transitions]
    [decided] = [move for move in moves if "user:ann" in move.reason]
    assert (decided.state, decided.reason) == (
        TaskState.RUNNING, "resolved by user:ann (adopt run-1): looked at the host",
    )  # fmt: skip
    assert await executors.starts() == {run_key(task.task_id, 1): 1}


async def test_a_person_tries_again_and_a_word_that_comes_late_or_on_nothing_is_refused(executors: Stand) -> None:
    plan = uuid4()
    task = spec(plan, 0, work=scripted(run_seconds=60, lose_answers=1), retries=Retries(max_attempts=1))
    nothing = spec(plan, 1)
    await executors.register(connection=ScriptedConnection(url=executors.engine_url, remembers_keys=False))
    async with executors.running():
        await executors.send(rules_of(plan), ensure(plan, [task]))
        await in_state(executors, "UNKNOWN")
        again, late = resolves(plan, task, "retry"), resolves(plan, task, "fail")
        await executors.send(again, late, resolves(plan, nothing, "fail"))
        done, refused = await answers(executors, again, late)

        async def second() -> bool:
            return await executors.value("SELECT state || attempt FROM task") == "UNKNOWN2"

        await until(second, why="the second attempt is UNKNOWN as well")
        fails, ended, absent = (
            resolves(plan, task, "fail", 2), resolves(plan, task, "retry", 2), resolves(plan, nothing, "fail"),
        )  # fmt: skip
        await executors.send(fails, ended, absent)
        failed, over, missing = await answers(executors, fails, ended, absent)
    assert (done.data.outcome, done.data.reason) == (
        Outcome.DONE, "attempt 1 was UNKNOWN; the task is QUEUED in attempt 2",
    )  # fmt: skip
    assert refused.data.outcome is Outcome.REFUSED
    assert refused.data.reason.startswith("it is about attempt 1, and the task is ")
    assert failed.data.outcome is Outcome.DONE
    assert (over.data.outcome, over.data.reason) == (
        Outcome.REFUSED, "the task is FAILED, not UNKNOWN: nothing is to be decided",
    )  # fmt: skip
    assert (missing.data.outcome, missing.data.reason) == (Outcome.REFUSED, f"there is no task {nothing.task_id}")
    last = (await published_records(executors, task))[-1]
    assert (last.state, last.cause, last.error) == (
        TaskState.FAILED, EndCause.RESOLVED, "resolved by user:ann (fail): looked at the host",
    )  # fmt: skip
    assert await executors.starts() == {run_key(task.task_id, attempt): 1 for attempt in (1, 2)}


async def test_adopting_a_run_the_engine_does_not_know_gives_the_policy_its_patience_anew(executors: Stand) -> None:
    plan, patience = uuid4(), 1.0
    task = spec(plan, 0, work=scripted(run_seconds=60, forget_seconds=0.1))
    await executors.register()
    async with executors.running(unknown_seconds=patience):
        await executors.send(rules_of(plan), ensure(plan, [task]))
        await in_state(executors, "UNKNOWN")

        async def long_ago() -> bool:
            return await executors.value("SELECT state_at + $1 * interval '1 s' < now() FROM task", patience)

        await until(long_ago, why="it was UNKNOWN for longer than a policy waits")
        request = resolves(plan, task, "adopt")
        await executors.send(request)
        await answers(executors, request)
        await executors.register(revision=2, on_unknown="fail")
        await in_state(executors, "FAILED")
    moves = [move for record in await published_records(executors, task) for move in record.transitions]
    assert [move.state for move in moves][-4:] == ["UNKNOWN", "RUNNING", "UNKNOWN", "FAILED"]
    assert (moves[-1].at - moves[-2].at).total_seconds() >= patience


async def test_a_run_that_does_not_stop_stays_unknown_until_a_person_decides(executors: Stand) -> None:
    plan = uuid4()
    limits = TimeLimits(running_seconds=0.2, cancelling_seconds=0.3)
    task = spec(plan, 0, work=scripted(never_ends=True, ignore_cancels=1000), time_limits=limits)
    await executors.register()
    async with executors.running():
        await executors.send(rules_of(plan), ensure(plan, [task]))
        await in_state(executors, "UNKNOWN")
        version = await executors.value("SELECT version FROM task")
        await observed_again(executors, 4)
        assert await executors.value("SELECT version FROM task") == version, "it is seen, and nothing is news"
        adopt = resolves(plan, task, "adopt")
        await executors.send(adopt)
        await answers(executors, adopt)

        async def unknown_again() -> bool:
            return await executors.value("SELECT state = 'UNKNOWN' AND version > $1 + 1 FROM task", version)

        await until(unknown_again, why="it was asked to stop once more, and did not")
        fail = resolves(plan, task, "fail")
        await executors.send(fail)
        [answer] = await answers(executors, fail)
    assert answer.data.outcome is Outcome.DONE
    assert await executors.states() == {"FAILED": 1}


async def observed_again(stand: Stand, times: int) -> None:
    """The engine was asked so often from now on."""

    async def looks() -> int:
        async with aiohttp.ClientSession() as session, session.get(f"{stand.engine_url}/counts") as answer:
            return int((await answer.json())["calls"]["observe"])

    before = await looks()

    async def enough() -> bool:
        return await looks() >= before + times

    await until(enough, why=f"{times} more looks")
