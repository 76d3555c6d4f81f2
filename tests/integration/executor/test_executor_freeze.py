"""Freezes on the real claim: nothing is claimed while one holds, and its end brings back what was."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from signalbox_contracts.definitions.freeze import Freeze
from signalbox_contracts.definitions.rules import Rules, TimeLimits
from signalbox_contracts.messages.plans import WaitReason
from signalbox_executor.lifecycle import why_waiting
from signalbox_executor.store import claim, freezes, stop, waiting
from support.executor import Store, spec
from support.proofs import proves
from support.service_fixture import until


def freeze(**changes: Any) -> Freeze:
    values = {"id": "release", "name": "Release", "reason": "release day", "author": "user:ann", **changes}
    return Freeze.model_validate(values)


async def save(store: Store, one: Freeze, revision: int = 1, *, lifted: bool = False) -> None:
    async with store.connection() as connection, connection.transaction():
        await freezes.save(connection, one, revision, lifted=lifted)


async def claimed(store: Store, me: UUID, limit: int = 100) -> list[UUID]:
    return [one.task.plan_id for one in await store.claim(me, limit)]


async def test_a_freeze_holds_everything_one_project_or_one_engine_until_it_is_lifted(store: Store) -> None:
    await store.engine("e1", concurrency=100)
    await store.engine("e2", concurrency=100)
    here, there = await store.plan(2, engine="e1"), await store.plan(2, engine="e2")
    finance = UUID(int=7)
    await store.rules(finance, Rules(), project="finance")
    await store.tasks(finance, [spec(finance, number, "e1") for number in range(2)])
    me = await store.worker()
    await save(store, freeze())
    assert await claimed(store, me) == []
    await save(store, freeze(engines=["e1"]), 2)
    assert await claimed(store, me, 1) == [there]
    await save(store, freeze(projects=["finance"]), 3)
    assert set(await claimed(store, me)) == {here, there}
    await save(store, freeze(), 2, lifted=True)
    assert await claimed(store, me) == [], "an older revision changes nothing"
    await save(store, freeze(), 4, lifted=True)
    assert await claimed(store, me) == [finance, finance]
    await save(store, freeze(), 1)
    assert await store.value("SELECT count(*) FROM freeze_window WHERE until_at > now()") == 0


async def test_a_freeze_holds_from_its_start_to_its_end_and_in_the_windows_of_its_calendar(store: Store) -> None:
    await store.engine(concurrency=100)
    await store.plan(5)
    me, now = await store.worker(), datetime.now(UTC)
    await save(store, freeze(starts_at=now + timedelta(hours=1), ends_at=now + timedelta(hours=2)))
    assert len(await claimed(store, me, 1)) == 1, "it has not begun"
    await save(store, freeze(starts_at=now - timedelta(hours=1), ends_at=now + timedelta(hours=2)), 2)
    assert await claimed(store, me, 1) == []
    await save(store, freeze(ends_at=now - timedelta(seconds=1)), 3)
    assert len(await claimed(store, me, 1)) == 1, "it has ended"
    opened = now - timedelta(minutes=5)
    blackout = {"cron": f"{opened.minute} {opened.hour} * * *", "duration_seconds": 3600}
    await save(store, freeze(calendar=[blackout]), 4)
    assert await claimed(store, me, 1) == []
    assert await store.value("SELECT count(*) FROM freeze_window WHERE from_at > now()") >= 7, "days ahead are known"
    other = opened + timedelta(hours=3)
    await save(store, freeze(calendar=[{**blackout, "cron": f"{other.minute} {other.hour} * * *"}]), 5)
    assert len(await claimed(store, me, 1)) == 1


async def test_windows_of_a_calendar_that_open_together_hold_as_long_as_the_longest(store: Store) -> None:
    """Without it the definition is parked, and what was to be frozen starts."""
    await store.engine(concurrency=100)
    await store.plan(5)
    me, now = await store.worker(), datetime.now(UTC)
    opened = now - timedelta(minutes=5)
    short = {"cron": f"{opened.minute} {opened.hour} * * *", "duration_seconds": 60}
    long = {**short, "duration_seconds": 3600}
    await save(store, freeze(calendar=[short, long, short]))
    assert await claimed(store, me, 1) == []
    hourly = {"cron": f"{opened.minute} * * * *", "duration_seconds": 3 * 3600}
    await save(store, freeze(calendar=[hourly], starts_at=now - timedelta(minutes=1)), 2)
    assert await claimed(store, me, 1) == [], "three windows had opened before the freeze began"
    async with store.connection() as connection, connection.transaction():
        await freezes.extend(connection)
    ends = await store.value("SELECT max(until_at) FROM freeze_window WHERE from_at < now()")
    assert ends > now + timedelta(hours=2)


async def test_a_freeze_that_cannot_be_read_keeps_no_other_calendar_from_going_on(store: Store) -> None:
    """A newer version wrote it, say, before the upgrade was taken back."""
    await save(store, freeze(calendar=[{"cron": "0 3 * * *", "duration_seconds": 60}]))
    await save(store, freeze(id="newer"))
    async with store.connection() as connection, connection.transaction():
        await connection.execute("UPDATE freeze_definition SET definition = '{}' WHERE id = 'newer'")
        await connection.execute("DELETE FROM freeze_window WHERE freeze_id = 'release'")
        await freezes.extend(connection)
    windows = "SELECT count(*) FROM freeze_window WHERE freeze_id = '{}'"
    assert await store.value(windows.format("release")) >= 7
    assert await store.value(windows.format("newer")) == 1, "it holds as it was understood"


@proves("executor.store.claim: freeze.exact")
async def test_a_claim_that_waited_for_a_freeze_to_be_saved_claims_nothing(store: Store) -> None:
    """INVARIANT freeze.exact: without the second look under the engines' locks this claim would go on after it."""
    await store.engine(concurrency=10)
    await store.plan(3)
    me = await store.worker()
    async with store.connection() as saving:
        transaction = saving.transaction()
        await transaction.start()
        await freezes.save(saving, freeze(), 1, lifted=False)
        claiming = asyncio.create_task(store.claim(me))

        async def waits() -> bool:
            return await store.value("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)")

        await until(waits, why="the claim waits for the engine's row")
        await transaction.commit()
    assert await claiming == []


@proves("executor.store.freezes: freeze.exact")
async def test_a_claim_that_was_counting_when_a_freeze_came_commits_before_it(store: Store) -> None:
    """INVARIANT freeze.exact: a freeze that is in force before such a claim commits would be broken by it."""
    await store.engine(concurrency=10)
    await store.plan(3)
    me = await store.worker()
    async with store.connection() as claiming:
        transaction = claiming.transaction()
        await transaction.start()
        assert len(await claim.claim(claiming, me, group="default", reachable=["e1"], limit=1)) == 1
        saving = asyncio.create_task(save(store, freeze()))

        async def waits() -> bool:
            return saving.done() or await store.value("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)")

        await until(waits, why="the freeze waits for the engine's row")
        assert not saving.done(), "the freeze is in force while an older claim has not committed"
        await transaction.commit()
        await saving
    assert await claimed(store, me) == []


async def test_why_a_task_waits_names_the_freeze_and_its_end(store: Store) -> None:
    await store.engine(concurrency=1)
    await store.plan(1, rules=Rules(limit=1))
    ends = datetime.now(UTC) + timedelta(hours=1)
    await save(store, freeze(ends_at=ends))
    async with store.connection() as connection, connection.transaction():
        [queue], now = await waiting.queues(connection, after_seconds=0)
    reason = why_waiting(queue, now=now)
    assert reason is not None
    assert (reason.why, reason.holder, reason.detail) == (
        WaitReason.FROZEN, "freeze:release", "release day, by user:ann",
    )  # fmt: skip
    assert reason.until_at == ends


async def test_a_time_limit_in_the_queue_does_not_count_the_time_of_a_freeze(store: Store) -> None:
    await store.engine(concurrency=1)
    await store.plan(1, time_limits=TimeLimits(queued_seconds=60))
    await save(store, freeze())
    await store.rows(
        "UPDATE task SET (queued_at, created_at, not_before) ="
        " (SELECT h, h, h FROM (SELECT now() - interval '2 hours' AS h) t)"
    )
    await store.rows("UPDATE freeze_window SET from_at = now() - interval '119 minutes 30 seconds'")
    async with store.connection() as connection:
        assert await stop.expire(connection, limit=10) == [], "30 s of 60 are over"
        await store.rows("UPDATE freeze_window SET from_at = now() - interval '1 hour'")
        assert len(await stop.expire(connection, limit=10)) == 1
