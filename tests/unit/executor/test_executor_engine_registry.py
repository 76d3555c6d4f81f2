"""Which adapter is there for an engine, when one that was replaced is closed, and what one bad engine may do."""

import asyncio
from collections.abc import Collection
from typing import Any, cast

import pytest

from signalbox_contracts.definitions.engine import Engine as EngineDefinition
from signalbox_contracts.definitions.engine import FlinkConnection, HttpAccess, ScriptedConnection
from signalbox_contracts.definitions.secrets import SECRET_PLACES
from signalbox_executor.engines.kind import EngineNotOpened
from signalbox_executor.engines.port import Engine
from signalbox_executor.engines.registry import KINDS, EngineRegistry
from signalbox_executor.store.engines import Registered


class Fake:
    def __init__(self) -> None:
        self.closed = False

    async def close(self) -> None:
        self.closed = True


def registered(revision: int, id: str = "one") -> Registered:
    connection = ScriptedConnection(url=f"http://127.0.0.1:{revision}")
    definition = EngineDefinition(id=id, name=id, connection=connection)
    return Registered(id, revision, definition, deleted=False, may_ask=True)


def registry(*, close_after_seconds: float = 60) -> tuple[EngineRegistry, list[Fake]]:
    """Revision 9 has no adapter here, revision 8 is a bug of its adapter."""
    made: list[Fake] = []

    async def open_engine(definition: EngineDefinition) -> Engine:
        url = str(cast("Any", definition.connection).url)
        if url.endswith(":9"):
            raise EngineNotOpened("nobody here can talk to it")
        if url.endswith(":8"):
            raise RuntimeError("a bug")
        made.append(Fake())
        return cast("Engine", made[-1])

    return EngineRegistry(open_engine, close_after_seconds=close_after_seconds), made


async def test_an_adapter_that_was_replaced_stays_open_for_the_calls_under_way() -> None:
    engines, made = registry()
    await engines.update([registered(1)])
    await engines.update([registered(2)])
    await engines.update([registered(2)])
    assert engines.get("one") is cast("Engine", made[1])
    assert [one.closed for one in made] == [False, False]
    await engines.stop()
    assert [one.closed for one in made] == [True, True]
    assert engines.get("one") is None


async def test_it_is_closed_once_they_must_have_ended() -> None:
    engines, made = registry(close_after_seconds=0)
    await engines.update([registered(1)])
    await engines.update([registered(2)])
    assert [one.closed for one in made] == [False, False]
    await engines.update([registered(2)])
    assert [one.closed for one in made] == [True, False]


@pytest.mark.parametrize("close_after_seconds", [0, 60])
async def test_an_engine_that_has_no_adapter_any_more_is_gone_and_says_why(close_after_seconds: float) -> None:
    engines, made = registry(close_after_seconds=close_after_seconds)
    await engines.update([registered(1)])
    await engines.update([registered(9)])
    assert engines.get("one") is None
    assert engines.why_not("one") == "nobody here can talk to it"
    await engines.stop()
    assert made[0].closed


async def test_engines_that_take_long_to_open_do_not_wait_for_each_other() -> None:
    """Without it a vault that does not answer costs ten seconds an engine, in which no new engine is seen."""
    opening: list[str] = []
    both = asyncio.Event()

    async def open_engine(definition: EngineDefinition) -> Engine:
        opening.append(definition.id)
        if len(opening) == 2:
            both.set()
        await both.wait()
        return cast("Engine", Fake())

    engines = EngineRegistry(open_engine)
    async with asyncio.timeout(5):
        await engines.update([registered(1, "one"), registered(1, "two")])
    assert None not in (engines.get("one"), engines.get("two"))
    await engines.stop()


async def test_one_engine_that_cannot_be_opened_keeps_no_other_from_it() -> None:
    """Without it a definition its adapter chokes on would take every engine of this executor away."""
    engines, made = registry()
    await engines.update([registered(8, "bad"), registered(1, "good")])
    assert engines.get("good") is cast("Engine", made[0])
    assert (engines.get("bad"), engines.why_not("bad")) == (None, "RuntimeError: a bug")
    await engines.update([registered(2, "bad")])
    assert (engines.get("bad"), engines.why_not("bad")) == (cast("Engine", made[1]), "")


def with_secret(revision: int) -> Registered:
    access = HttpAccess(method="bearer", token="secret://token")
    connection = FlinkConnection(url=f"http://127.0.0.1:{revision}", access=access)
    definition = EngineDefinition(id="one", name="one", connection=connection)
    return Registered("one", revision, definition, deleted=False, may_ask=True)


async def test_an_engine_whose_secret_was_rotated_is_opened_again_without_a_new_definition() -> None:
    """Without it every call fails with the old credentials until someone saves the engine or restarts executors."""
    engines, made = registry()
    vault = {"token": 1}

    async def versions(names: Collection[str]) -> dict[str, int]:
        return {name: vault[name] for name in names if name in vault}

    engines.secret_versions = versions
    await engines.update([with_secret(1)])
    for version, opened in ((1, 1), (2, 2), (2, 2)):
        vault["token"] = version
        await engines.find_rotated()
        await engines.update([with_secret(1)])
        assert len(made) == opened
    assert engines.get("one") is cast("Engine", made[1])
    assert not made[0].closed, "calls are under way"


async def test_a_rotated_secret_that_cannot_be_read_leaves_the_engine_as_it_is_until_it_can() -> None:
    engines, made = registry()
    vault, opens = {"token": 1}, engines.open

    async def versions(names: Collection[str]) -> dict[str, int]:
        return {name: vault[name] for name in names if name in vault}

    async def refuse(definition: EngineDefinition) -> Engine:
        raise EngineNotOpened("the vault cannot be read")

    engines.secret_versions = versions
    await engines.update([with_secret(1)])
    vault["token"], engines.open = 2, refuse
    await engines.find_rotated()
    await engines.update([with_secret(1)])
    assert engines.get("one") is cast("Engine", made[0])
    engines.open = opens
    await engines.update([with_secret(1)])
    assert engines.get("one") is cast("Engine", made[1])


def test_secrets_may_stand_where_a_definition_is_taken_and_nowhere_else() -> None:
    """Otherwise the page of an engine promises what saving a job refuses."""
    assert {kind: one.secret_places for kind, one in KINDS.items() if one.secret_places} == SECRET_PLACES


class Stuck(Fake):
    async def close(self) -> None:
        await super().close()
        raise RuntimeError("it does not close")


async def test_an_adapter_that_cannot_be_closed_keeps_no_engine_from_its_new_definition() -> None:
    """Without it no engine is opened or changed any more until the executor is restarted."""
    made: list[Fake] = []

    async def open_engine(definition: EngineDefinition) -> Engine:
        made.append(Stuck())
        return cast("Engine", made[-1])

    engines = EngineRegistry(open_engine, close_after_seconds=0)
    for revision in (1, 2, 3):
        await engines.update([registered(revision)])
    assert engines.get("one") is cast("Engine", made[2])
    await engines.stop()
    assert all(one.closed for one in made)
