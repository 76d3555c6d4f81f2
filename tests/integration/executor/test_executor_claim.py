"""Claiming: limits exact over all replicas, nobody held back by another's saturated plan."""

import asyncio
from collections import Counter
from uuid import UUID

import asyncpg
import pytest

from signalbox_contracts.definitions.rules import Brake, Canary, Rules
from signalbox_contracts.states import TASKS_HOLDING_A_SLOT
from signalbox_executor.store import claim, submit, workers
from support.executor import Store, spec
from support.proofs import proves

ACTIVE = [state.value for state in TASKS_HOLDING_A_SLOT]


async def test_limits_hold_over_four_replicas_and_unknown_counts(store: Store) -> None:
    """INVARIANT: counts are taken after the locks and hold UNKNOWN too. Without it a second run takes a held slot."""
    await store.engine("e1", concurrency=12)
    await store.engine("e2", concurrency=100, group="other")
    limited = await store.plan(60, engine="e1", rules=Rules(limit=5))
    await store.tasks(limited, [spec(limited, n, "e2") for n in range(100, 140)])
    await store.plan(60, engine="e1")
    ids = [await store.worker() for _ in range(4)]
    highest: Counter[str] = Counter()

    async def replica(worker: UUID) -> None:
        for turn in range(12):
            await store.claim(worker, 7, group=("default", "other")[turn % 2])
            rows = await store.rows(
                "SELECT engine_id, plan_id, count(*) AS n FROM task WHERE state = ANY ($1) GROUP BY 1, 2", ACTIVE
            )
            highest["e1"] = max(highest["e1"], sum(row["n"] for row in rows if row["engine_id"] == "e1"))
            highest["plan"] = max(highest["plan"], sum(row["n"] for row in rows if row["plan_id"] == limited))
            # a slot is freed, another is held by a task nobody can tell of
            await store.rows(
                "UPDATE task SET state = CASE WHEN random() < 0.5 THEN 'UNKNOWN' ELSE 'SUCCEEDED' END, owner = NULL"
                " WHERE id IN (SELECT id FROM task WHERE owner = $1 LIMIT 2)",
                worker,
            )

    await asyncio.gather(*(replica(id) for id in ids))
    assert highest["e1"] <= 12
    assert highest["plan"] <= 5
    assert highest["e1"] >= 10, "the limit was never reached: nothing was shown"


async def test_more_saturated_plans_than_one_claim_looks_at_do_not_hide_the_one_that_may_start(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claim, "MAX_PLANS", 5)
    await store.engine(concurrency=1000)
    for _ in range(7):
        await store.plan(2, rules=Rules(limit=1))
    me = await store.worker()
    assert len(await store.claim(me, 1000)) == 5, "plans looked at in one claim"
    assert len(await store.claim(me, 1000)) == 2
    free = await store.plan(1)
    assert [one.task.plan_id for one in await store.claim(me)] == [free]


@pytest.mark.slow
@proves("F38")
async def test_fifty_thousand_queued_tasks_of_a_plan_with_limit_one_hold_nobody_back(store: Store) -> None:
    await store.engine(concurrency=100)
    crowd = await store.plan(1, rules=Rules(limit=1))
    async with store.connection() as connection:
        await connection.execute("SET statement_timeout = 0")
        await connection.execute(
            "INSERT INTO task (id, plan_id, item_key, position, engine_id, spec, definitions_revision, max_attempts,"
            " infrastructure_attempts, priority, queued_at) SELECT gen_random_uuid(), plan_id, 'more/' || n, n,"
            " engine_id, spec, 1, 1, 10, 50, now() - interval '1 hour'"
            " FROM task, generate_series(1, 50000) AS n WHERE plan_id = $1",
            crowd,
            timeout=120,
        )
        await connection.execute("ANALYZE task", timeout=120)
    others = [await store.plan(3) for _ in range(5)]
    me = await store.worker()
    async with asyncio.timeout(5):
        claimed = Counter(one.task.plan_id for one in await store.claim(me))
    assert claimed == {crowd: 1, **dict.fromkeys(others, 3)}
    assert await store.claim(me) == []


async def test_plans_share_an_engine_fairly_and_priority_goes_first(store: Store) -> None:
    await store.engine(concurrency=4)
    long, short = await store.plan(20), await store.plan(20)
    me = await store.worker()
    assert Counter(one.task.plan_id for one in await store.claim(me)) == {long: 2, short: 2}
    await store.rows("UPDATE task SET state = 'SUCCEEDED', owner = NULL WHERE state = 'CLAIMED'")
    urgent = await store.plan(3, rules=Rules(priority=90))
    assert Counter(one.task.plan_id for one in await store.claim(me))[urgent] == 3


@proves("executor.store.claim: priority decides who goes first")
async def test_a_plan_that_is_passed_over_for_long_has_one_start_in_five(store: Store) -> None:
    """INVARIANT: priority says who goes first, not who waits for ever; where all wait for long it still decides most.

    Behind more urgent plans than a claim looks at, too.
    """
    await store.engine(concurrency=1_000)
    patient = await store.plan(50, rules=Rules(priority=1))
    for _ in range(claim.MAX_PLANS + 5):
        await store.plan(1, rules=Rules(priority=90))
    me, order = await store.worker(), list[bool]()

    async def next_is_patient() -> bool:
        [one] = await store.claim(me, limit=1)
        return one.task.plan_id == patient

    assert not any([await next_is_patient() for _ in range(6)]), "not for long enough"
    passed = await store.value("SELECT starved_since FROM plan_rules WHERE plan_id = $1", patient)
    assert passed is not None
    for _ in range(15):
        await store.rows("UPDATE plan_rules SET starved_since = now() - interval '1 hour'")
        order.append(await next_is_patient())
    assert order == [True, False, False, False, False] * 3


async def test_within_a_plan_the_order_is_priority_then_position_or_newest_first(store: Store) -> None:
    await store.engine(concurrency=100)
    me = await store.worker()
    plan = await store.plan(4, rules=Rules(limit=2))
    await store.tasks(plan, [spec(plan, 9, priority=80)])
    assert {one.task.item_key for one in await store.claim(me)} == {"item/9", "item/0"}
    newest = await store.plan(4, rules=Rules(limit=2, order="newest_first"))
    assert {one.task.item_key for one in await store.claim(me) if one.task.plan_id == newest} == {"item/3", "item/2"}


async def test_nothing_is_claimed_without_rules_while_held_or_before_its_time(store: Store) -> None:
    await store.engine()
    me = await store.worker()
    plan = UUID(int=7)
    await store.tasks(plan, [spec(plan, 0)])
    assert await store.claim(me) == [], "no rules"
    await store.rules(plan, Rules(), held=True)
    assert await store.claim(me) == [], "held"
    await store.rules(plan, Rules(limit=0), version=3)
    assert await store.claim(me) == [], "limit 0"
    await store.rules(plan, Rules(), version=2)
    assert await store.claim(me) == [], "older rules change nothing"
    await store.rows("UPDATE task SET not_before = now() + interval '1 hour'")
    await store.rules(plan, Rules(), version=4)
    assert await store.claim(me) == [], "not before its time"
    await store.rows("UPDATE task SET not_before = now()")
    await store.engine(revision=2, intake="paused")
    assert await store.claim(me) == [], "engine paused"
    await store.engine(revision=3)
    assert len(await store.claim(me)) == 1


async def test_a_plan_is_closed_when_nothing_of_it_waits_and_opens_for_what_came_back(store: Store) -> None:
    """INVARIANT: no task waits behind a closed plan. After a restore tasks that had ended wait again, whichever of task
    and close is heard first: they are sent under the same key, to see how they ended. What runs may be tried again.
    """
    await store.engine()
    me = await store.worker()
    plan = UUID(int=7)
    await store.tasks(plan, [spec(plan, 0)])
    await store.rules(plan, Rules(), closed=True)
    assert len(await store.claim(me)) == 1, "one was waiting"
    await store.rules(plan, Rules(), version=2, closed=True)
    assert not await store.value("SELECT closed FROM plan_rules"), "it may be tried again"
    await store.rows("UPDATE task SET state = 'SUCCEEDED', owner = NULL, ended_at = now()")
    await store.rules(plan, Rules(), version=3, closed=True)
    assert await store.value("SELECT closed FROM plan_rules")
    await store.tasks(plan, [spec(plan, 0)])
    assert await store.value("SELECT closed FROM plan_rules"), "it was known"
    await store.tasks(plan, [spec(plan, 1)])
    assert len(await store.claim(me)) == 1, "a new one"


async def test_start_rates_of_engine_and_plan_spend_tokens_that_come_back_with_time(store: Store) -> None:
    await store.engine(concurrency=100, starts_per_minute=6, starts_at_once=5)
    plan = await store.plan(50, rules=Rules(starts_per_minute=6))
    await store.plan(50)
    me = await store.worker()
    claimed = await store.claim(me)
    assert len(claimed) == 5
    assert sum(one.task.plan_id == plan for one in claimed) == 1, "a plan begins with one token"
    assert await store.claim(me) == []
    await store.rows("UPDATE engine SET tokens_at = tokens_at - interval '31 seconds'")
    assert len(await store.claim(me)) == 3


async def test_canary_runs_first_alone_and_the_brake_stops(store: Store) -> None:
    await store.engine(concurrency=100)
    me = await store.worker()
    canary = await store.plan(30, rules=Rules(canary=Canary(first=2)))
    braked = await store.plan(30, rules=Rules(brake=Brake(failure_ratio=0.5, after_items=4), limit=4))

    async def end(plan: UUID, state: str, count: int) -> None:
        await store.rows(
            "UPDATE task SET state = $2, owner = NULL WHERE id IN"
            " (SELECT id FROM task WHERE plan_id = $1 AND state = 'CLAIMED' LIMIT $3)",
            plan,
            state,
            count,
        )

    assert Counter(one.task.plan_id for one in await store.claim(me)) == {canary: 2, braked: 4}
    await end(canary, "SUCCEEDED", 1)
    await end(braked, "FAILED", 2)
    await end(braked, "SUCCEEDED", 2)
    assert await store.claim(me) == [], "one canary still runs; half of four failed"
    await end(canary, "SUCCEEDED", 1)
    assert {one.task.plan_id for one in await store.claim(me)} == {canary}
    second = await store.plan(30, rules=Rules(canary=Canary(first=2)))
    await store.claim(me)
    await end(second, "FAILED", 2)
    assert second not in {one.task.plan_id for one in await store.claim(me)}, "the canaries died"


async def test_a_group_of_a_plan_has_a_limit_of_its_own_and_does_not_hide_the_rest(store: Store) -> None:
    await store.engine(concurrency=100)
    plan = await store.plan(0)
    await store.tasks(plan, [spec(plan, n, group="matrix", group_limit=2) for n in range(50)])
    await store.tasks(plan, [spec(plan, n) for n in range(50, 52)])
    me = await store.worker()
    taken = [*await store.claim(me, 10), *await store.claim(me, 10)]
    assert len(taken) == 4
    assert sum(one.spec.group == "matrix" for one in taken) == 2


@proves("executor.store.claim: this worker lives", "executor.store.workers: locked, not only looked at")
async def test_a_dead_worker_claims_nothing_and_a_claim_makes_its_take_over_wait(store: Store) -> None:
    """INVARIANT: the claim locks its own worker row. Without it a dead id claims and nobody sweeps it again."""
    await store.engine()
    await store.plan(2)
    dead, live = await store.worker(lease_seconds=-1), await store.worker()
    assert await store.claim(dead, 1) == []
    claiming = await store.worker()
    async with store.connection() as one, store.connection() as two:
        async with one.transaction():
            assert len(await claim.claim(one, claiming, group="default", reachable=["e1"], limit=1)) == 1
            await two.execute("SET lock_timeout = '200ms'")
            await store_expires_behind(store, claiming, expected=asyncpg.LockNotAvailableError)
        await store.expire(claiming)
        async with two.transaction():
            assert len(await workers.take_over(two, live, claiming) or ()) == 1, "the claim is taken over, not lost"


async def store_expires_behind(store: Store, worker: UUID, *, expected: type[Exception]) -> None:
    """The lease cannot be ended by a take-over while the claim is open."""
    async with store.connection() as other:
        await other.execute("SET lock_timeout = '200ms'")
        with pytest.raises(expected):
            await other.fetchval("SELECT id FROM worker WHERE id = $1 FOR UPDATE", worker)


@proves("executor.store.claim: state, owner and fence")
async def test_what_is_given_back_is_claimed_again_under_a_new_fence(store: Store) -> None:
    """INVARIANT: state, owner and fence. A slow twin of the first claim must not send the second one's attempt."""
    await store.engine()
    await store.plan(1)
    me = await store.worker()
    [first] = await store.claim(me)
    async with store.connection() as connection:
        assert len(await claim.give_back(connection, me, [first], "stopping")) == 1
        assert await claim.give_back(connection, me, [first], "stopping") == []
        [second] = await store.claim(me)
        assert second.task.fence == first.task.fence + 1
        assert await submit.intend(connection, [(first.task.id, first.task.fence)]) == [], "the twin sends nothing"
        assert len(await submit.intend(connection, [(second.task.id, second.task.fence)])) == 1
        assert await claim.give_back(connection, me, [second], "stopping") == [], "it may have been sent"
