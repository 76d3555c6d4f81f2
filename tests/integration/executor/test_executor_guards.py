"""Every guarded statement against the one it races with: stepped by hand, the rows each of them changed counted.

A statement that waits for a row lock goes on with the row as the other one left it: there the guards decide.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from pydantic import SecretStr

from signalbox_chassis.persistence.connection import Connection
from signalbox_chassis.persistence.database import Database
from signalbox_chassis.runtime.wake_ups import WakeUps
from signalbox_contracts.definitions.rules import Retries, Rules
from signalbox_contracts.ids import run_key
from signalbox_contracts.messages.task_commands import PlanRulesData
from signalbox_contracts.messages.tasks import EndCause, Phase
from signalbox_contracts.states import TaskState
from signalbox_executor.engines.port import Observation, Watched
from signalbox_executor.lifecycle import Budget, Outcome, Verdict
from signalbox_executor.membership import Membership
from signalbox_executor.observer import Observer
from signalbox_executor.settings import ExecutorSettings
from signalbox_executor.store import claim, finish, observe, rules, stop, submit, workers
from signalbox_executor.store.claim import Claim
from signalbox_executor.store.rows import Task
from support.executor import Store, spec
from support.proofs import proves

Statement = Callable[[Connection], Awaitable[Any]]


@pytest.fixture
async def me(store: Store) -> UUID:
    await store.engine(concurrency=1000)
    return await store.worker()


async def claimed(store: Store, me: UUID, **changes: Any) -> Claim:
    await store.plan(1, **changes)
    [one] = await store.claim(me)
    return one


async def submitting(store: Store, me: UUID, **changes: Any) -> Claim:
    one = await claimed(store, me, **changes)
    async with store.connection() as connection:
        assert len(await submit.intend(connection, [(one.task.id, one.task.fence)])) == 1
    return one


async def running(store: Store, me: UUID, **changes: Any) -> Claim:
    one = await submitting(store, me, **changes)
    async with store.connection() as connection:
        assert len(await submit.record(connection, [(one.task.id, one.task.fence, "h1")])) == 1
    return one


async def row(store: Store, one: Claim) -> Any:
    [found] = await store.rows("SELECT * FROM task WHERE id = $1", one.task.id)
    return found


def ending(one: Claim, outcome: Outcome = Outcome.OVER, attempt: int = 1, **changes: Any) -> finish.AttemptResult:
    fields: dict[str, Any] = {"phase": Phase.FAILED, "cause": EndCause.FAILED, "budget": Budget.ATTEMPT, **changes}
    verdict = Verdict(outcome=outcome, **fields)
    return finish.AttemptResult(task_id=one.task.id, attempt=attempt, fence=one.task.fence, verdict=verdict)


def cancel(one: Claim, *, kill: bool = True) -> Statement:
    return lambda connection: stop.cancel(connection, one.task.plan_id, [], kill=kill, reason="no more")


def intend(one: Claim) -> Statement:
    return lambda connection: submit.intend(connection, [(one.task.id, one.task.fence)])


def record(one: Claim) -> Statement:
    return lambda connection: submit.record(connection, [(one.task.id, one.task.fence, "h")])


def observed(one: Claim, outcome: Outcome = Outcome.OVER, **changes: Any) -> Statement:
    return lambda connection: finish.write_observed(connection, [ending(one, outcome, **changes)])


async def raced(store: Store, first: Statement, second: Statement) -> tuple[int, int]:
    """How many rows each changed: the second starts while the first holds the row, and waits for it."""
    async with store.connection() as one, store.connection() as two:
        pid = await two.fetchval("SELECT pg_backend_pid()")
        async with one.transaction():
            changed = await first(one)
            waiting = asyncio.create_task(_run(second, two))
            async with asyncio.timeout(60):
                while not await store.value("SELECT cardinality(pg_blocking_pids($1)) > 0", pid):
                    assert not waiting.done(), "it did not wait: they do not race for a row"
        return len(changed), len(await waiting)


async def _run(statement: Statement, connection: Connection) -> list[Task]:
    return await statement(connection)


@proves("executor.store.stop: one UPDATE that finishes", "executor.store.submit: id, state = CLAIMED")
async def test_a_cancel_and_an_intent_never_both_win(store: Store, me: UUID) -> None:
    """INVARIANT: the intent matches CLAIMED, the cancel finishes CLAIMED itself. Else work starts after its cancel."""
    one = await claimed(store, me)
    assert await raced(store, cancel(one), intend(one)) == (1, 0)
    assert (await row(store, one))["state"] == "CANCELLED"
    two = await claimed(store, me)
    assert await raced(store, intend(two), cancel(two)) == (1, 1)
    found = await row(store, two)
    assert (found["state"], found["cancel_requested_at"] is not None) == ("SUBMITTING", True), "flagged, not ended"


async def test_a_cancel_that_comes_while_a_retry_is_being_written_wins(store: Store, me: UUID) -> None:
    """INVARIANT: what follows an attempt is decided from the row as it is written, not as it was read."""
    one = await running(store, me, retries=Retries(max_attempts=3))
    assert await raced(store, cancel(one), observed(one)) == (1, 1)
    assert (await row(store, one))["state"] == "CANCELLED"
    two = await running(store, me, retries=Retries(max_attempts=3))
    assert await raced(store, observed(two), cancel(two)) == (1, 1), "it saw RUNNING and finds QUEUED: ended at once"
    assert (await row(store, two))["state"] == "CANCELLED"


async def test_a_claim_and_a_cancel_of_the_same_row(store: Store, me: UUID) -> None:
    plan = await store.plan(1)
    async with store.connection() as one, one.transaction():
        assert len(await stop.cancel(one, plan, [], kill=True, reason="")) == 1
        assert await store.claim(me) == [], "skipped, not waited for"
    assert await store.states() == {"CANCELLED": 1}


async def test_two_observers_write_one_end(store: Store, me: UUID) -> None:
    one = await running(store, me)
    assert await raced(store, observed(one, Outcome.SUCCEEDED), observed(one)) == (1, 0)
    assert (await row(store, one))["state"] == "SUCCEEDED"


@proves("executor.store.finish: state + attempt in the written row")
async def test_an_observation_of_the_last_attempt_never_touches_the_next(store: Store, me: UUID) -> None:
    """INVARIANT: state + attempt. The same write repeated after a lost commit answer would end attempt 2."""
    one = await running(store, me, retries=Retries(max_attempts=3))
    assert await _on(store, observed(one)) == 1
    [again] = await store.claim(me)
    assert again.task.attempt == 2
    await _on(store, intend(again))
    await _on(store, record(again))
    assert await _on(store, observed(one)) == 0, "what was seen of attempt 1"
    assert await _on(store, observed(again, attempt=2)) == 1


async def test_a_terminal_row_never_moves(store: Store, me: UUID) -> None:
    one = await running(store, me)
    assert await _on(store, observed(one, Outcome.SUCCEEDED)) == 1
    before = await row(store, one)
    statements: list[Statement] = [
        observed(one), observed(one, Outcome.UNKNOWN), observed(one, Outcome.RUNNING), cancel(one), intend(one),
        record(one), lambda c: finish.write_settled(c, ending(one)), lambda c: finish.write_rejected(c, ending(one)),
        lambda c: stop.intend_stops(c, "e1", limit=10), lambda c: stop.expire(c, limit=10),
        lambda c: claim.give_back(c, me, [one], ""),
    ]  # fmt: skip
    assert [await _on(store, statement) for statement in statements] == [0] * len(statements)
    assert await row(store, one) == before


@proves("executor.store.submit: id, state = SUBMITTING", "executor.store.workers: fence + 1")
async def test_whoever_lost_its_row_to_a_take_over_writes_nothing_more(store: Store, me: UUID) -> None:
    """INVARIANT: state + fence. State alone lets a stale worker record a run that is not the row's any more."""
    first, second = await claimed(store, me), await submitting(store, me)
    other = await store.worker()
    await store.expire(me)
    async with store.connection() as connection, connection.transaction():
        assert len(await workers.take_over(connection, other, me) or ()) == 2
    assert await _on(store, intend(first)) == 0
    assert await _on(store, record(second)) == 0
    assert await _on(store, lambda c: finish.write_rejected(c, ending(second))) == 0
    assert await _on(store, lambda c: finish.write_settled(c, ending(second))) == 0
    async with store.connection() as connection:
        assert await submit.raise_sends(connection, second.task.id, second.task.fence) is None
        rows = await workers.own_rows(connection, other, submitting=[first.task.id], limit=10)
    [theirs] = [claim.claim_of(found) for found in rows]
    assert theirs.task.fence == second.task.fence + 1
    assert await _on(store, record(theirs)) == 1
    assert (await row(store, second))["owner"] is None


async def test_a_take_over_and_a_record_of_the_same_row(store: Store, me: UUID) -> None:
    one = await submitting(store, me)
    other = await store.worker()
    await store.expire(me)

    async def take(connection: Connection) -> list[UUID]:
        async with connection.transaction():
            return await workers.take_over(connection, other, me) or []

    assert await raced(store, record(one), take) == (1, 0), "recorded first: nothing to take"
    two_owner = await store.worker()
    two = await submitting(store, two_owner)
    await store.expire(two_owner)

    async def take_two(connection: Connection) -> list[UUID]:
        return await workers.take_over(connection, other, two_owner) or []

    assert await raced(store, take_two, record(two)) == (1, 0)


async def test_only_a_live_worker_takes_over_and_only_from_one_that_is_not(store: Store, me: UUID) -> None:
    """INVARIANT: the taker's own row is locked and live. A dead taker would own rows nobody sweeps again."""
    await claimed(store, me)
    dead, live = await store.worker(lease_seconds=-1), await store.worker()
    async with store.connection() as connection:
        async with connection.transaction():
            assert await workers.take_over(connection, live, me) is None, "the victim lives"
        await store.expire(me)
        async with connection.transaction():
            assert await workers.take_over(connection, dead, me) is None, "the taker is dead"
        assert me in await workers.expired(connection, live)
        async with connection.transaction():
            assert len(await workers.take_over(connection, live, me) or ()) == 1
        assert not await workers.renew(connection, me, lease_seconds=60), "dead for good"
        assert await workers.renew(connection, live, lease_seconds=60)


@proves("executor.store.workers: a lease that ran out")
async def test_a_lease_that_ran_out_is_not_renewed(store: Store, me: UUID) -> None:
    await store.expire(me)
    async with store.connection() as connection:
        assert not await workers.renew(connection, me, lease_seconds=60)


async def test_two_workers_that_take_each_other_over_do_not_deadlock(store: Store, me: UUID) -> None:
    """INVARIANT: the two rows are locked in id order, whoever is the victim."""
    ids = [await store.worker(lease_seconds=-1) for _ in range(2)]

    async def take(mine: UUID, victim: UUID) -> list[UUID] | None:
        async with store.connection() as connection, connection.transaction():
            return await workers.take_over(connection, mine, victim)

    for _ in range(20):
        assert await asyncio.gather(take(*ids), take(*reversed(ids)), take(me, ids[0])) == [None, None, []]


@proves(
    "executor.store.finish: a refusal ends the attempt",
    "executor.store.submit: raised before each further copy",
    "executor.store.finish: a sealed key has no run",
)
async def test_a_refusal_ends_the_attempt_only_if_its_copy_is_the_only_one(store: Store, me: UUID) -> None:
    """INVARIANT: sends = 1. An older copy may still be accepted: ending the attempt would leave an orphan."""
    refused: dict[str, Any] = {"cause": EndCause.REFUSED, "budget": Budget.NONE, "phase": Phase.LOST}
    one, two = await submitting(store, me), await submitting(store, me)
    assert await _on(store, lambda c: finish.write_rejected(c, ending(one, **refused))) == 1
    assert (await row(store, one))["state"] == "FAILED"
    async with store.connection() as connection:
        assert await submit.raise_sends(connection, two.task.id, two.task.fence) is not None
    assert await _on(store, lambda c: finish.write_rejected(c, ending(two, **refused))) == 0
    unknown = ending(two, Outcome.UNKNOWN, phase=Phase.LOST, cause=None, budget=Budget.NONE)
    assert await _on(store, lambda c: finish.write_settled(c, unknown)) == 1
    assert (await row(store, two))["state"] == "UNKNOWN"


async def test_faults_of_the_infrastructure_do_not_use_up_attempts_and_have_a_bound(store: Store, me: UUID) -> None:
    one = await running(store, me, retries=Retries(max_attempts=2, infrastructure_attempts=2, delay_seconds=0))
    causes = [EndCause.LOST, EndCause.LOST, EndCause.FAILED, EndCause.LOST]
    budgets = [Budget.INFRASTRUCTURE, Budget.INFRASTRUCTURE, Budget.ATTEMPT, Budget.INFRASTRUCTURE]
    ends: list[tuple[str, int, int]] = []
    for number, (cause, budget) in enumerate(zip(causes, budgets, strict=True), start=1):
        assert await _on(store, observed(one, attempt=number, cause=cause, budget=budget)) == 1
        found = await row(store, one)
        ends.append((found["state"], found["attempt"], found["infrastructure_faults"]))
        if found["state"] == "QUEUED":
            assert (found["handle"], found["sends"], found["owner"]) == (None, 0, None)
            [one] = await store.claim(me)
            await _on(store, intend(one))
            await _on(store, record(one))
    assert ends == [("QUEUED", 2, 1), ("QUEUED", 3, 2), ("QUEUED", 4, 2), ("FAILED", 4, 2)]
    history = await store.rows("SELECT attempt, cause FROM attempt ORDER BY attempt")
    assert [(found["attempt"], found["cause"]) for found in history] == list(enumerate(map(str, causes), start=1))


async def test_a_cancel_without_kill_lets_the_run_end_but_tries_no_more(store: Store, me: UUID) -> None:
    one = await running(store, me, retries=Retries(max_attempts=3))
    assert await _on(store, cancel(one, kill=False)) == 1
    assert await _on(store, cancel(one, kill=False)) == 0, "said already"
    assert await _on(store, lambda c: stop.intend_stops(c, "e1", limit=10)) == 0, "nobody asked to stop it"
    assert await _on(store, cancel(one, kill=True)) == 1
    assert await _on(store, lambda c: stop.intend_stops(c, "e1", limit=10)) == 1
    assert await _on(store, lambda c: stop.intend_stops(c, "e1", limit=10)) == 0
    async with store.connection() as connection:
        [stop_row] = await stop.stopping(connection, "e1")
        assert stop_row.watched.handle == "h1"
    assert await _on(store, observed(one, phase=Phase.KILLED, cause=EndCause.KILLED)) == 1
    assert (await row(store, one))["state"] == "CANCELLED"


@proves("executor.store.observe: the lease has its own end")
async def test_an_engine_is_observed_by_one_worker_until_its_lease_ends(store: Store, me: UUID) -> None:
    """INVARIANT: the lease has its own end. One that lives as long as its worker is stuck behind a hanging observer."""
    other = await store.worker()
    async with store.connection() as connection:

        async def acquire(worker: UUID) -> int | None:
            return await observe.acquire(connection, "e1", worker, lease_seconds=60)

        assert await acquire(me) == 1
        assert await acquire(other) is None
        assert await acquire(me) == 2, "its own next pass"
        assert not await observe.holds(connection, "e1", me, 1), "the pass before lost it"
        await connection.execute("UPDATE engine_lease SET lease_until = now() - interval '1 second'")
        assert await acquire(other) == 3, "the holder lives, its observer hangs"
        await store.expire(other)
        assert await acquire(me) == 4, "the holder is dead"
        assert await observe.holds(connection, "e1", me, 4)
        assert not await observe.holds(connection, "e1", other, 3)


@proves("executor.store.stop: state = QUEUED in the row")
async def test_time_limits_end_what_waits_and_stop_what_runs(store: Store, me: UUID) -> None:
    limits = {"queued_seconds": 10, "running_seconds": 10, "cancelling_seconds": 5}
    late = await store.plan(1, engine="e9", time_limits=limits)
    slow = await running(store, me, time_limits=limits)
    assert await _on(store, lambda c: stop.expire(c, limit=10)) == 0
    await store.rows("UPDATE task SET queued_at = now() - interval '11 s', not_before = now() - interval '11 s',"
                     " started_at = now() - interval '11 s', submitted_at = now() - interval '11 s'")  # fmt: skip
    assert await _on(store, lambda c: stop.expire(c, limit=10)) == 1
    assert await store.value("SELECT cause FROM task WHERE plan_id = $1", late) == "timed_out"
    assert await _on(store, lambda c: stop.intend_stops(c, "e1", limit=10)) == 1
    assert (await row(store, slow))["stop_cause"] == "timed_out"
    assert await _on(store, lambda c: stop.give_up_stopping(c, "e1")) == 0
    await store.rows("UPDATE task SET stop_intent_at = now() - interval '6 s'")
    assert await _on(store, lambda c: stop.give_up_stopping(c, "e1")) == 1
    assert (await row(store, slow))["state"] == "UNKNOWN"


async def test_an_engine_whose_clock_is_behind_has_no_run_stopped_before_its_time(store: Store, me: UUID) -> None:
    """Without it each attempt is stopped as it begins, counts as timed out, and is tried again until none is left."""
    slow = await running(store, me, time_limits={"running_seconds": 600})
    await store.rows("UPDATE task SET started_at = now() - interval '1 hour'")
    assert await _on(store, lambda c: stop.intend_stops(c, "e1", limit=10)) == 0
    await store.rows("UPDATE task SET submitted_at = now() - interval '11 minutes'")
    assert await _on(store, lambda c: stop.intend_stops(c, "e1", limit=10)) == 1
    assert (await row(store, slow))["stop_cause"] == "timed_out"


async def test_an_engine_whose_clock_is_ahead_has_its_runs_stopped_in_time(store: Store, me: UUID) -> None:
    """Without it a time limit of ten minutes is one of an hour and ten minutes where that clock is an hour ahead."""
    slow = await running(store, me, time_limits={"running_seconds": 600})
    ahead = datetime.now(UTC) + timedelta(hours=1)
    seen = replace(ending(slow, Outcome.RUNNING, phase=Phase.RUNNING, cause=None), started_at=ahead)
    assert await _on(store, lambda c: finish.write_observed(c, [seen])) == 1
    await store.rows(
        "UPDATE task SET submitted_at = submitted_at - interval '11 minutes',"
        " started_at = started_at - interval '11 minutes'"
    )
    assert await _on(store, lambda c: stop.intend_stops(c, "e1", limit=10)) == 1
    assert (await row(store, slow))["stop_cause"] == "timed_out"


@proves("executor.store.accept: the id is derived")
async def test_a_task_is_accepted_once_and_keeps_what_was_requested_first(store: Store, me: UUID) -> None:
    plan = await store.plan(2)
    await store.tasks(plan, [spec(plan, 0, priority=99), spec(plan, 5)])
    found = await store.rows("SELECT position, priority, version FROM task ORDER BY position")
    assert [tuple(one.values()) for one in found] == [(0, 50, 1), (1, 50, 1), (5, 50, 1)]


@proves("executor.store.rows: one version always has the same")
async def test_every_move_raises_the_version_and_is_allowed(store: Store, me: UUID) -> None:
    one = await running(store, me)
    assert (one.task.version, one.task.state) == (2, TaskState.CLAIMED)
    assert (await row(store, one))["version"] == 4
    assert await _on(store, observed(one, Outcome.UNKNOWN, phase=Phase.LOST, cause=None)) == 1
    assert await _on(store, observed(one, Outcome.RUNNING, phase=Phase.RUNNING, cause=None)) == 1
    assert (await row(store, one))["version"] == 6


def claims(worker: UUID, *, group: str = "default") -> Statement:
    async def statement(connection: Connection) -> list[Claim]:
        async with connection.transaction():
            return await claim.claim(connection, worker, group=group, reachable=["e1", "e2"], limit=10)

    return statement


@proves("executor.store.claim: claims of one group")
async def test_claims_of_one_group_go_one_by_one_whatever_plans_they_serve(
    store: Store, me: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    """INVARIANT: an engine's tasks are counted under a lock. Else two claims both find the last slot free."""
    monkeypatch.setattr(claim, "MAX_PLANS", 1)
    await store.engine(revision=2, concurrency=1)
    await store.plan(1)
    other = await store.worker()

    async def of_another_plan(connection: Connection) -> list[Claim]:
        await store.plan(1, rules=Rules(priority=90))
        return await claims(other)(connection)

    assert await raced(store, claims(me), of_another_plan) == (1, 0)


@proves("executor.store.claim: a plan's limit holds over engine groups")
async def test_a_plan_over_two_groups_keeps_its_limit(store: Store, me: UUID) -> None:
    """INVARIANT: the plan's row is locked before its tasks are counted. The groups' locks do not see each other."""
    await store.engine("e2", group="other")
    plan = await store.plan(1, rules=Rules(limit=1))
    await store.tasks(plan, [spec(plan, 1, "e2")])
    assert await raced(store, claims(me), claims(await store.worker(), group="other")) == (1, 0)


@proves("executor.store.claim: an engine's limits cannot change")
async def test_a_claim_that_waited_for_new_rules_obeys_them(store: Store, me: UUID) -> None:
    """INVARIANT: the limit is that of the row just locked. One read before starts work after a pause was confirmed."""
    plan = await store.plan(2, rules=Rules(limit=2))

    async def lower(connection: Connection) -> list[UUID]:
        await rules.save_rules(connection, PlanRulesData(plan_id=plan, version=2, rules=Rules(limit=0)))
        return [plan]

    assert await raced(store, lower, claims(me)) == (1, 0)


@proves("executor.store.rules: only newer rules")
async def test_older_rules_change_nothing(store: Store, me: UUID) -> None:
    """INVARIANT: only newer rules replace older ones. Else a pause that was confirmed is undone by a late message."""
    plan = await store.plan(1)
    await store.rules(plan, Rules(limit=0), version=3)
    await store.rules(plan, Rules(), version=2)
    assert await store.claim(me) == []
    await store.rules(plan, Rules(), version=4)
    assert len(await store.claim(me)) == 1


@proves("executor.store.claim: state = QUEUED in the claimed row")
async def test_an_unknown_task_keeps_its_slot(store: Store, me: UUID) -> None:
    """INVARIANT: UNKNOWN counts against every limit: its run may live."""
    one = await running(store, me, rules=Rules(limit=1))
    assert await _on(store, observed(one, Outcome.UNKNOWN, phase=Phase.LOST, cause=None)) == 1
    await store.tasks(one.task.plan_id, [spec(one.task.plan_id, 1)])
    assert await store.claim(me) == [], "the plan's limit"
    await store.rules(one.task.plan_id, Rules(), version=2)
    await store.engine(revision=2, concurrency=1)
    assert await store.claim(me) == [], "the engine's limit"


async def test_a_full_engine_holds_no_other_engine_back(store: Store, me: UUID) -> None:
    """INVARIANT: an engine's limit counts its own tasks. Else one that is silent stops all the others."""
    await store.engine(revision=2, concurrency=1)
    await store.engine("e2", concurrency=1)
    plan = await store.plan(2)
    await store.tasks(plan, [spec(plan, 9, "e2")])
    assert {one.task.engine_id for one in await store.claim(me)} == {"e1", "e2"}
    await store.tasks(plan, [spec(plan, 10, "e2")])
    await store.rows("UPDATE task SET state = 'SUCCEEDED', owner = NULL WHERE engine_id = 'e2' AND state = 'CLAIMED'")
    assert [one.task.engine_id for one in await store.claim(me)] == ["e2"], "e1 is full"


async def test_a_row_that_is_cancelled_while_a_claim_picks_it_stays_cancelled(
    store: Store, me: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    """INVARIANT: the claim's UPDATE checks QUEUED in the row itself: it was picked from an older picture.

    The claim is held, by a lock of ours, between its pick and its write.
    """
    picked = "), locked AS MATERIALIZED (\n  SELECT t.id FROM task t WHERE "
    statement: Any = vars(claim)["_CLAIM"]
    assert statement.count(picked) == 1
    pause = f"), held AS MATERIALIZED (SELECT pg_advisory_xact_lock(7), count(*) FROM picked{picked}"  # noqa: S608
    monkeypatch.setattr(claim, "_CLAIM", statement.replace(picked, pause + "(SELECT count(*) FROM held) = 1 AND "))  # noqa: S608
    plan = await store.plan(1)

    async def cancels(connection: Connection) -> list[Task]:
        await connection.execute("SELECT pg_advisory_xact_lock(7)")
        return await stop.cancel(connection, plan, [], kill=True, reason="no more")

    assert await raced(store, cancels, claims(me)) == (1, 0)
    assert await store.states() == {"CANCELLED": 1}


@proves("executor.store.workers: a worker finds its own rows")
async def test_a_worker_finds_its_own_rows_that_nobody_drives(store: Store, me: UUID) -> None:
    """INVARIANT: the answer of a commit may be lost. The worker's live lease would keep the row from all others."""
    lost, driven = await submitting(store, me), await claimed(store, me)
    await running(store, me)
    async with store.connection() as connection:
        rows = await workers.own_rows(connection, me, submitting=[driven.task.id], limit=10)
        assert [row["id"] for row in rows] == [lost.task.id]
        assert await workers.own_rows(connection, await store.worker(), submitting=[], limit=10) == []


async def test_the_lease_of_one_engine_is_not_that_of_another(store: Store, me: UUID) -> None:
    """INVARIANT: one lease an engine. One that is silent holds up its own observer and nobody else's."""
    other = await store.worker()
    async with store.connection() as connection:
        assert await observe.acquire(connection, "e1", me, lease_seconds=60) == 1
        assert await observe.acquire(connection, "e2", other, lease_seconds=60) == 1


def seen(key: str, phase: Phase, *, cause: EndCause | None = None) -> Observation:
    return Observation(run_key=key, phase=phase, handle=None, at=datetime.now(UTC), cause=cause)


@proves("executor.store.observe: read before the engine is asked")
async def test_what_is_recorded_while_the_engine_is_asked_is_not_taken_for_lost(store: Store, me: UUID) -> None:
    """INVARIANT: first the rows, then the engine. An answer from before a submit does not know its run."""
    early = await running(store, me)

    class Answers:
        """The engine has one run; as it answers, another begins."""

        async def observe(self, watched: Sequence[Watched]) -> dict[str, Observation]:
            key = run_key(early.task.id, 1)
            there = {key: seen(key, Phase.SUCCEEDED, cause=EndCause.COMPLETED)}
            lost = {one.run_key: seen(one.run_key, Phase.LOST) for one in watched}
            late.append(await running(store, me))
            return {**lost, **there}

    late: list[Claim] = []
    database = Database(store.url, schema=store.schema, pool_size=2, application="test")
    member = Membership(id=me)
    nothing: Any = SimpleNamespace(recording=False)
    settings = ExecutorSettings(kafka_bootstrap="no:1", database_schema=store.schema, database_url=SecretStr(store.url))
    try:
        async with database.connection() as connection:
            fence = await observe.acquire(connection, "e1", me, lease_seconds=60)
        assert fence is not None
        adapter: Any = Answers()
        await Observer(database, nothing, member, settings, nothing, WakeUps()).poll_all("e1", adapter, fence)
    finally:
        await database.stop()
    assert (await row(store, early))["state"] == "SUCCEEDED"
    assert (await row(store, late[0]))["state"] == "RUNNING"


async def _on(store: Store, statement: Statement) -> int:
    async with store.connection() as connection:
        return len(await statement(connection))
