"""A database that was restored to a moment ago, as its executors meet it."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from signalbox_chassis.persistence.database import Database, UnitOfWork
from signalbox_chassis.persistence.restore_detection import RestoreDetector
from signalbox_executor.store import workers
from support.executor import Store
from support.proofs import proves


class Ended(BaseException):
    """What a process does that finds its database restored under it."""


def end() -> None:
    raise Ended


async def raise_nothing(_: UnitOfWork, floor: int) -> None:
    assert floor > 0


@asynccontextmanager
async def detector_on(store: Store) -> AsyncGenerator[RestoreDetector]:
    """A replica of a service that reads nothing."""
    database = Database(store.url, schema=store.schema, pool_size=2, application="test")
    detector = RestoreDetector(database, raise_nothing, kafka="", groups={}, end=end)
    try:
        await detector.start()
        yield detector
    finally:
        await database.stop()


async def restored(store: Store) -> None:
    await store.rows("UPDATE restore_mark SET place = ''")


@proves("executor.store.claim: nothing starts from rows", "F22")
async def test_nothing_is_claimed_of_a_restored_database_before_what_came_since_is_read_again(store: Store) -> None:
    """Without the condition a task that was cancelled since the backup could start before its cancel is read again."""
    await store.engine()
    await store.plan(2)
    worker = await store.worker()
    reads = 0
    async with detector_on(store) as detector:
        await detector.heartbeat()
        assert len(await store.claim(worker, limit=1)) == 1
        await restored(store)
        assert await store.claim(worker) == []
    async with detector_on(store) as detector:
        assert await store.claim(worker) == []

        async def start_reading() -> None:
            nonlocal reads
            reads += 1
            assert await store.claim(worker) == []

        await detector.replay(start_reading)
        assert len(await store.claim(worker)) == 1
        await detector.replay(start_reading)
        assert reads == 1, "there was nothing more to read again"


@proves("executor.store.workers: nothing is sent of rows")
async def test_nothing_is_swept_or_taken_over_in_a_restored_database_before_that(store: Store) -> None:
    """Without the condition what was being submitted at the backup, and cancelled since, would be sent again."""
    await store.engine()
    await store.plan(2)
    me, dead = await store.worker(), await store.worker()
    async with detector_on(store) as detector:
        await detector.heartbeat()
    for worker in (me, dead):
        assert len(await store.claim(worker, limit=1)) == 1
    await store.expire(dead)
    await restored(store)
    async with store.connection() as connection:
        assert await workers.own_rows(connection, me, submitting=[], limit=10) == []
        assert await workers.expired(connection, me) == []
        async with detector_on(store) as detector:
            await detector.replay(nothing_more)
        assert len(await workers.own_rows(connection, me, submitting=[], limit=10)) == 1
        assert await workers.expired(connection, me) == [dead]


async def test_a_replica_ends_also_when_another_was_the_first_to_see_the_restore(store: Store) -> None:
    """Without the floor it would go on with what it remembers, and the groups would never be put back under it."""
    async with detector_on(store) as early, detector_on(store) as late:
        await late.heartbeat()
        await restored(store)
        with pytest.raises(Ended):
            await early.heartbeat()
        async with detector_on(store) as anew:
            with pytest.raises(Ended):
                await late.heartbeat()
            await anew.heartbeat()


@proves("chassis.persistence.restore_detection: only this module writes")
async def test_a_restore_in_the_middle_of_a_replay_begins_it_anew_from_the_earlier_moment(store: Store) -> None:
    """Without the condition the end of the first replay would make the second restore look treated."""
    async with detector_on(store) as detector:
        await detector.heartbeat()
    await store.rows("UPDATE restore_mark SET place = '', seen_at = now() - interval '1 hour'")
    async with detector_on(store) as detector:

        async def meanwhile() -> None:
            await restored(store)

        with pytest.raises(Ended):
            await detector.replay(meanwhile)
    async with detector_on(store) as detector:
        assert await store.value("SELECT rewind_from < now() - interval '59 minutes' FROM restore_mark")
        await detector.replay(nothing_more)
        assert await store.value("SELECT rewind_from IS NULL FROM restore_mark")


async def nothing_more() -> None:
    pass
