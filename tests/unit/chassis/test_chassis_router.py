"""How a batch is cut into calls."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from signalbox_chassis.messaging.received import Received, Record
from signalbox_chassis.messaging.router import HandlerTwice, Router, gather
from signalbox_chassis.persistence.database import UnitOfWork
from signalbox_contracts.envelope import Event
from signalbox_contracts.topics import topic

WORK = cast("UnitOfWork", None)
NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Data(BaseModel, frozen=True):
    number: int


class Made(Event[Data], frozen=True):
    type: Literal["made"] = "made"


class Changed(Event[Data], frozen=True):
    type: Literal["changed"] = "changed"


class Ended(Event[Data], frozen=True):
    type: Literal["ended"] = "ended"


MESSAGES: dict[str, type[Event[Data]]] = {"M": Made, "C": Changed, "E": Ended}


def batch_of(cases: Sequence[tuple[str, bytes | None]]) -> list[Received[Any]]:
    return [
        Received(
            MESSAGES[kind].of(Data(number=number), subject="x", source="test", time=NOW, id=number),
            Record(topic("tasks.v1"), 0, number, 0, key, (), b""),
        )
        for number, (kind, key) in enumerate(cases)
    ]


def cut(*cases: str) -> list[str]:
    """`Ma` is a `Made` with key a; each call is told as its type and the numbers of its events."""
    calls = gather(batch_of([(case[0], case[1:].encode()) for case in cases]))
    return [f"{message.__name__[0]}{''.join(events[n].id for n in range(len(events)))}" for message, events in calls]


batches = st.lists(st.tuples(st.sampled_from("MCE"), st.sampled_from([b"a", b"b", b"c", None])), max_size=60)


@given(batches)
def test_every_event_is_in_exactly_one_call_of_its_type(cases: list[tuple[str, bytes | None]]) -> None:
    batch = batch_of(cases)
    calls = gather(batch)
    assert sorted((id(r) for _, events in calls for r in events)) == sorted(map(id, batch))
    assert all(type(received.event) is message for message, events in calls for received in events)
    assert all(events for _, events in calls)


@given(batches)
def test_within_a_key_the_order_of_the_batch_is_kept(cases: list[tuple[str, bytes | None]]) -> None:
    """A cancel handled before the request it cancels would be lost."""
    handled = [received for _, events in gather(batch_of(cases)) for received in events]
    for key in {key for _, key in cases}:
        offsets = [received.record.offset for received in handled if received.record.key == key]
        assert offsets == sorted(offsets)


@given(batches)
def test_a_new_call_is_begun_only_where_the_order_demands_it(cases: list[tuple[str, bytes | None]]) -> None:
    """Where every key sees one type only, there is one call a type: a thousand facts are one statement."""
    of_key: dict[bytes | None, str] = {}
    uniform = [(of_key.setdefault(key, kind), key) for kind, key in cases]
    assert len(gather(batch_of(uniform))) == len({kind for kind, _ in uniform})


@pytest.mark.parametrize(
    ("cases", "calls"),
    [
        ((), []),
        (("Ma", "Mb", "Ma"), ["M012"]),
        (("Ma", "Cb", "Mc"), ["M02", "C1"]),
        (("Ma", "Ca", "Ma"), ["M0", "C1", "M2"]),
        (("Ma", "Ca", "Mb", "Ma", "Mc"), ["M02", "C1", "M34"]),
        (("Ma", "Ca", "Ea", "Cb", "Ma"), ["M0", "C13", "E2", "M4"]),
    ],
)
def test_examples_of_cuts(cases: Sequence[str], calls: list[str]) -> None:
    assert cut(*cases) == calls


async def test_each_handler_gets_its_events_in_one_call() -> None:
    router, calls = Router(), list[str]()

    def note(name: str, batch: Sequence[Received[Any]]) -> None:
        calls.append(f"{name} {' '.join(received.id for received in batch)}")

    @router.on(Made)
    async def made(work: UnitOfWork, events: Sequence[Received[Made]]) -> None:
        note("made", events)

    @router.on(Changed)
    async def changed(work: UnitOfWork, events: Sequence[Received[Changed]]) -> None:
        note("changed", events)

    await router.handle(WORK, batch_of([("M", b"a"), ("C", b"b"), ("M", b"c")]))
    assert calls == ["made 0 2", "changed 1"]
    assert (made.__name__, changed.__name__) == ("made", "changed"), "decorating leaves the function as it is"


def test_an_event_that_a_handler_does_not_want_is_not_handled() -> None:
    router = Router()

    @router.on(Made, only=lambda event: event.data.number > 0)
    async def made(work: UnitOfWork, events: Sequence[Received[Made]]) -> None: ...

    first, second, other = (received.event for received in batch_of([("M", None), ("M", None), ("C", None)]))
    assert made
    assert [router.handles(event) for event in (first, second, other)] == [False, True, False]


async def test_what_a_handler_raises_ends_the_batch() -> None:
    router = Router()

    @router.on(Made)
    async def made(work: UnitOfWork, events: Sequence[Received[Made]]) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await router.handle(WORK, batch_of([("M", b"a")]))
    assert made


def test_a_second_handler_of_one_message_is_refused() -> None:
    router = Router()

    async def handler(work: UnitOfWork, events: Sequence[Received[Made]]) -> None: ...

    router.on(Made)(handler)
    with pytest.raises(HandlerTwice, match="Made"):
        router.on(Made)(handler)
    (received, other) = batch_of([("M", None), ("C", None)])
    assert router.handles(received.event)
    assert not router.handles(other.event)
