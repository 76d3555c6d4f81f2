"""Hints that runs changed: kept for runs under way, taken by the worker that observes the engine."""

from uuid import UUID, uuid4

import pytest

from signalbox_executor.store import hints, observe, submit
from support.executor import Store


@pytest.fixture
async def run(store: Store) -> UUID:
    """A task in its first attempt on an engine that gives hints."""
    await store.engine(concurrency=1000)
    await hinted(store, "http://signalbox:8000")
    me = await store.worker()
    await store.plan(1)
    [one] = await store.claim(me)
    async with store.connection() as connection:
        await submit.intend(connection, [(one.task.id, one.task.fence)])
        await submit.record(connection, [(one.task.id, one.task.fence, "h1")])
    return one.task.id


async def hinted(store: Store, url: str | None) -> None:
    await store.rows(
        "UPDATE engine SET definition = jsonb_set(definition, '{connection,notification_url}', to_jsonb($1::text))"
        if url
        else "UPDATE engine SET definition = definition #- '{connection,notification_url}' WHERE $1::text IS NULL",
        url,
    )


async def kept(store: Store) -> list[UUID]:
    return [row["task_id"] for row in await store.rows("SELECT task_id FROM run_hint")]


async def test_only_a_run_under_way_of_an_engine_that_gives_hints_is_kept_and_once(store: Store, run: UUID) -> None:
    before = await store.rows("SELECT * FROM task")
    async with store.connection() as connection:
        await hints.keep(connection, "e1", [(run, 2), (uuid4(), 1)])
        await hints.keep(connection, "e2", [(run, 1)])
        await hinted(store, None)
        await hints.keep(connection, "e1", [(run, 1)])
        assert await kept(store) == []
        await hinted(store, "http://signalbox:8000")
        for _ in range(2):
            await hints.keep(connection, "e1", [(run, 1), (run, 1)])
        assert await kept(store) == [run]
    assert await store.rows("SELECT * FROM task") == before, "a hint changes no task"


async def test_hints_are_taken_by_the_worker_that_observes_the_engine(store: Store, run: UUID) -> None:
    observer, other = await store.worker(), await store.worker()
    async with store.connection() as connection:
        await hints.keep(connection, "e1", [(run, 1)])
        assert await hints.take(connection, ["e2"], other, limit=10) == {}
        await observe.acquire(connection, "e1", observer, lease_seconds=60)
        assert await hints.take(connection, ["e1"], other, limit=10) == {}
        assert await hints.take(connection, ["e1"], observer, limit=10) == {"e1": [run]}
        assert await kept(store) == []


async def test_hints_of_a_dead_observer_are_taken_by_another(store: Store, run: UUID) -> None:
    observer, other = await store.worker(), await store.worker()
    async with store.connection() as connection:
        await observe.acquire(connection, "e1", observer, lease_seconds=60)
        await hints.keep(connection, "e1", [(run, 1)])
        await store.rows("UPDATE worker SET dead = true WHERE id = $1", observer)
        assert await hints.take(connection, ["e1"], other, limit=10) == {"e1": [run]}
