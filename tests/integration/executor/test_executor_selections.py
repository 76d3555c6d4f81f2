"""Look-ups on engines: found page by page under a lease, answered once and whole, and again for whoever asks again."""

import json
from collections.abc import AsyncGenerator, Callable
from typing import Any
from uuid import UUID, uuid4

import pytest_asyncio

from signalbox_chassis.persistence.database import Database
from signalbox_contracts.definitions.selection import OozieWorkflows, Selection
from signalbox_contracts.messages.task_commands import SelectionResolveData
from signalbox_contracts.messages.tasks import ResolvedItem
from signalbox_executor import selections
from signalbox_executor.engines.capabilities import SelectionPage
from signalbox_executor.engines.port import EngineRefused, EngineUnavailable
from signalbox_executor.engines.registry import EngineRegistry
from signalbox_executor.selections import SelectionResolver
from signalbox_executor.store import selections as store_selections
from support.executor import Store
from support.proofs import proves


class Pages:
    """An engine that finds 450 items in three pages, after so many failures."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.reads: list[str | None] = []
        self.at_read: Callable[[], None] = lambda: None

    async def resolve_selection(self, selection: Selection, page: str | None = None) -> SelectionPage:
        assert isinstance(selection, OozieWorkflows)
        self.reads.append(page)
        self.at_read()
        if selection.name == "wrong":
            raise EngineRefused("e1", "wrong: is not allowed", field="selection.name")
        if page == "1" and self.failures:
            self.failures -= 1
            raise EngineUnavailable("e1", "down")
        number = int(page or 0)
        items = [ResolvedItem(key=f"w{n}", target=f"w{n}") for n in range(number * 150, number * 150 + 150)]
        return SelectionPage(tuple(items), str(number + 1) if number < 2 else None)


class Registry(EngineRegistry):
    def __init__(self, engine: Any) -> None:
        self.engine = engine

    def get(self, engine_id: str) -> Any:
        return self.engine if engine_id == "e1" else None


@pytest_asyncio.fixture
async def database(store: Store) -> AsyncGenerator[Database]:
    database = Database(store.url, schema=store.schema, pool_size=4, application="test")
    yield database
    await database.stop()


async def ask(database: Database, name: str = "nightly", engine: str = "e1") -> UUID:
    data = SelectionResolveData(
        plan_id=uuid4(), selection_id=uuid4(), engine=engine, definitions_revision=1,
        selection=OozieWorkflows(name=name),
    )  # fmt: skip
    async with database.unit_of_work() as work:
        assert await store_selections.keep(work.connection, data, None)
        assert not await store_selections.keep(work.connection, data, None)
    return data.selection_id


def resolver(database: Database, engine: Any) -> SelectionResolver:
    return SelectionResolver(database, Registry(engine), lambda: ["e1"], uuid4)


async def answers(store: Store) -> list[dict[str, Any]]:
    """Every page that was published, in order."""
    rows = await store.rows("SELECT value FROM outbox ORDER BY 1")
    found = [json.loads(bytes(row["value"]))["data"] for row in rows]
    return sorted(found, key=lambda data: (data["selection_id"], data["page"]))


async def test_pages_are_found_and_answered_completely_and_again_when_requested_again(
    store: Store, database: Database
) -> None:
    await store.engine()
    id, engine = await ask(database), Pages()
    await resolver(database, engine).one_pass()
    pages = await answers(store)
    assert [(page["page"], page["pages"], len(page["items"])) for page in pages] == [
        (1, 3, 200),
        (2, 3, 200),
        (3, 3, 50),
    ]
    async with database.unit_of_work() as work:
        ended = await store_selections.ended(work.connection, id)
        assert ended is not None
        await selections.publish(work, ended, repeated=True)
    assert len(await answers(store)) == 6
    assert engine.reads == [None, "1", "2"]


async def test_an_engine_that_does_not_answer_is_asked_again_where_it_stopped(store: Store, database: Database) -> None:
    await store.engine()
    id, engine = await ask(database), Pages(failures=1)
    await resolver(database, engine).one_pass()
    assert await answers(store) == []
    await store.rows("UPDATE selection SET not_before = now() WHERE id = $1", id)
    await resolver(database, engine).one_pass()
    assert len(await answers(store)) == 3
    assert engine.reads == [None, "1", "1", "2"]


async def test_a_refused_selection_and_an_unknown_engine_are_answered_with_the_reason(
    store: Store, database: Database
) -> None:
    await store.engine()
    wrong, nowhere = await ask(database, "wrong"), await ask(database, engine="e9")
    await resolver(database, Pages()).one_pass()
    found = {page["selection_id"]: page["error"] for page in await answers(store)}
    assert "selection.name" in found[str(wrong)]
    assert "no such engine" in found[str(nowhere)]


async def test_a_selection_that_cannot_be_read_is_refused_and_the_others_are_resolved(
    store: Store, database: Database
) -> None:
    """Without it one selection that today's bounds do not allow rolls back the claim of every other, for ever."""
    await store.engine()
    unreadable, readable = await ask(database), await ask(database)
    await store.rows("UPDATE selection SET selection = '{}' WHERE id = $1", unreadable)
    await resolver(database, Pages()).one_pass()
    found = {page["selection_id"]: page.get("error", "") for page in await answers(store)}
    assert found[str(readable)] == ""
    assert "the selection cannot be read" in found[str(unreadable)]


@proves("executor.store.selections: a selection has one owner")
async def test_a_worker_that_lost_its_claim_writes_nothing_more(store: Store, database: Database) -> None:
    """Without the fence two workers would mix their pages."""
    await store.engine()
    id = await ask(database)
    async with database.unit_of_work() as work:
        [lookup] = await store_selections.claim(work.connection, uuid4(), ["e1"], lease_seconds=-1, limit=4)
    await resolver(database, Pages()).one_pass()
    async with database.unit_of_work() as work:
        item = ResolvedItem(key="late", target="late")
        assert not await store_selections.keep_page(work.connection, lookup, 1, [item], None, lease_seconds=60)
        assert await store_selections.finish(work.connection, lookup, error="late") is None
    assert await store.value("SELECT state FROM selection WHERE id = $1", id) == "RESOLVED"
    assert len(await answers(store)) == 3
