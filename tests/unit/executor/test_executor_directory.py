"""Which adapter is there for an engine, and when one that was replaced is closed."""

from typing import Any, cast

import pytest

from signalbox_contracts.definitions.engine import Engine as EngineDefinition
from signalbox_contracts.definitions.engine import ScriptedConnection
from signalbox_executor.engines.port import Engine
from signalbox_executor.engines.registry import Directory
from signalbox_executor.store.engines import Registered


class Fake:
    def __init__(self) -> None:
        self.closed = False

    async def close(self) -> None:
        self.closed = True


def at(revision: int) -> Registered:
    connection = ScriptedConnection(url=f"http://127.0.0.1:{revision}")
    definition = EngineDefinition(id="one", name="one", connection=connection)
    return Registered("one", revision, definition, deleted=False, may_ask=True)


def directory(*, patience_seconds: float) -> tuple[Directory, list[Fake]]:
    made: list[Fake] = []

    def open_engine(definition: EngineDefinition) -> Engine | None:
        if str(cast("Any", definition.connection).url).endswith(":9"):
            return None
        made.append(Fake())
        return cast("Engine", made[-1])

    return Directory(open_engine, patience_seconds=patience_seconds), made


async def test_an_adapter_that_was_replaced_stays_open_for_the_calls_under_way() -> None:
    known, made = directory(patience_seconds=60)
    await known.update([at(1)])
    await known.update([at(2)])
    await known.update([at(2)])
    assert known.get("one") is cast("Engine", made[1])
    assert [one.closed for one in made] == [False, False]
    await known.stop()
    assert [one.closed for one in made] == [True, True]
    assert known.get("one") is None


async def test_it_is_closed_once_they_must_have_ended() -> None:
    known, made = directory(patience_seconds=0)
    await known.update([at(1)])
    await known.update([at(2)])
    assert [one.closed for one in made] == [False, False]
    await known.update([at(2)])
    assert [one.closed for one in made] == [True, False]


@pytest.mark.parametrize("patience_seconds", [0, 60])
async def test_what_became_of_a_kind_nobody_here_can_talk_to_is_not_there_any_more(patience_seconds: float) -> None:
    known, made = directory(patience_seconds=patience_seconds)
    await known.update([at(1)])
    await known.update([at(9)])
    assert known.get("one") is None
    await known.stop()
    assert made[0].closed
