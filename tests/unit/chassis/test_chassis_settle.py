"""Settling without servers: whose trace goes on, and when a batch counts as progress."""

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox_chassis.messaging.dead_letters import DeadLetters
from signalbox_chassis.messaging.received import Received, Record
from signalbox_chassis.messaging.router import Router
from signalbox_chassis.messaging.settle import RetryLater, Settler, trace_of
from signalbox_chassis.observability.telemetry import Telemetry, extract
from signalbox_chassis.persistence.database import Database, UnitOfWork
from signalbox_contracts.messages.operations import DeadLetterDrop
from signalbox_contracts.samples import samples
from signalbox_contracts.topics import topic
from signalbox_contracts.wire import encode

HOP = "00-" + "a" * 32 + "-" + "1" * 16 + "-01"
ORIGIN = "00-" + "b" * 32 + "-" + "2" * 16 + "-01"
Headers = tuple[tuple[str, bytes | None], ...]


def record(*headers: tuple[str, bytes | None], value: bytes | None = b"", offset: int = 0) -> Record:
    return Record(topic("operations.v1"), 0, offset, 0, b"k", headers, value)


@pytest.mark.parametrize(
    ("headers", "origin", "trace"),
    [
        ((("traceparent", HOP.encode()),), (ORIGIN, "o=1"), {"traceparent": HOP}),
        (
            (("traceparent", HOP.encode()), ("tracestate", b"h=1")),
            (ORIGIN, None),
            {"traceparent": HOP, "tracestate": "h=1"},
        ),
        ((), (ORIGIN, "o=1"), {"traceparent": ORIGIN, "tracestate": "o=1"}),
        ((), (ORIGIN, None), {"traceparent": ORIGIN}),
        ((), (None, "o=1"), {}),
        ((("tracestate", b"h=1"),), (ORIGIN, None), {"traceparent": ORIGIN}),
        ((("tracestate", b"h=1"),), (None, None), {}),
        ((("traceparent", None),), (ORIGIN, None), {"traceparent": ORIGIN}),
        ((("traceparent", b"nonsense"),), (ORIGIN, None), {"traceparent": ORIGIN}),
        ((("traceparent", b"\xff" * 55),), (None, None), {}),
        ((("traceparent", HOP.encode()), ("tracestate", b"h" * 513)), (None, None), {"traceparent": HOP}),
        ((("traceparent", b"01" + HOP[2:].encode() + b"-" + b"x" * 1000),), (None, None), {}),
        ((("baggage", b"b=1"),), (None, None), {}),
    ],
)
def test_the_hops_trace_is_taken_before_the_origins_and_only_a_valid_one(
    headers: Headers, origin: tuple[str | None, str | None], trace: dict[str, str]
) -> None:
    assert trace_of(record(*headers), *origin) == trace


@given(
    st.lists(st.tuples(st.sampled_from(["traceparent", "tracestate", "other"]), st.none() | st.binary(max_size=700)))
)
def test_no_header_however_odd_breaks_the_trace_or_travels_on_unbounded(
    headers: list[tuple[str, bytes | None]],
) -> None:
    trace = trace_of(record(*headers), ORIGIN, None)
    assert trace["traceparent"] == ORIGIN or extract(trace)
    assert sum(map(len, trace.values())) <= 640


class FakeDatabase:
    """Units of work around nothing."""

    @asynccontextmanager
    async def unit_of_work(self) -> AsyncGenerator[UnitOfWork]:
        yield cast("UnitOfWork", None)

    async def ping(self) -> None: ...


class FakeDeadLetters:
    def __init__(self) -> None:
        self.parked: list[int] = []

    async def park(self, work: UnitOfWork, record: Record, received: object, error: BaseException) -> None:
        self.parked.append(record.offset)


def settler(router: Router, dead_letters: FakeDeadLetters, retry_seconds: float = 30.0) -> Settler:
    return Settler(
        cast("Database", FakeDatabase()),
        router,
        cast("DeadLetters", dead_letters),
        Telemetry("test"),
        retry_seconds=retry_seconds,
        use_inbox=False,
    )


def drops(count: int) -> list[Record]:
    event = next(sample.event for sample in samples() if isinstance(sample.event, DeadLetterDrop))
    return [record(value=encode(event).value, offset=offset) for offset in range(count)]


async def test_each_message_of_a_batch_settled_one_by_one_is_progress() -> None:
    """The watchdog took a long batch for a process that stands still, and the next process met the same batch."""
    router, dead_letters, seen = Router(), FakeDeadLetters(), list[float]()
    under_test = settler(router, dead_letters)

    @router.on(DeadLetterDrop)
    async def drop(work: UnitOfWork, events: Sequence[Received[Any]]) -> None:
        seen.append(under_test.progress_at)
        if len(events) > 1 or events[0].record.offset == 1:
            raise ZeroDivisionError

    under_test.progress_at = long_ago = time.monotonic() - 1000
    await under_test.settle(drops(3))
    assert drop
    assert seen[:2] == [long_ago, long_ago], "the whole batch, and the first message"
    assert min(seen[2:]) > long_ago + 900, "the second and third message"
    assert dead_letters.parked == [1]


async def test_a_fault_that_passes_is_waited_out_and_one_that_stays_gives_the_batch_back() -> None:
    router, dead_letters, faults = Router(), FakeDeadLetters(), [ConnectionResetError(), TimeoutError()]

    @router.on(DeadLetterDrop)
    async def drop(work: UnitOfWork, events: Sequence[Received[Any]]) -> None:
        if faults:
            raise faults.pop()

    await settler(router, dead_letters).settle(drops(1))
    assert drop
    assert faults == []
    faults += [ConnectionResetError() for _ in range(100)]
    with pytest.raises(RetryLater, match="ConnectionResetError"):
        await settler(router, dead_letters, retry_seconds=0.0).settle(drops(2))
    assert dead_letters.parked == []
