"""One bad item stops no other: batches are halved until only the items at fault are left."""

from collections.abc import Sequence

import pytest

from signalbox_chassis.runtime.isolation import Faulty, isolate, readable, storable
from signalbox_chassis.runtime.loops import FailureStreak


class Unavailable(Exception):
    """What a batch raises for a reason that is no item's."""


async def test_the_items_at_fault_are_left_out_and_every_other_is_written_once() -> None:
    written: list[int] = []

    async def write(some: Sequence[int]) -> None:
        if {3, 17} & set(some):
            raise ValueError(f"cannot write {min({3, 17} & set(some))}")
        written.extend(some)

    faulty = await isolate(range(40), write, part="test")
    assert [one.item for one in faulty] == [3, 17]
    assert faulty[0].reason == "ValueError: cannot write 3"
    assert sorted(written) == [n for n in range(40) if n not in (3, 17)]


@pytest.mark.parametrize("error", [ConnectionError("gone"), Unavailable("no answer")])
async def test_a_fault_that_is_no_items_is_raised_and_nothing_is_tried_in_halves(error: Exception) -> None:
    calls: list[int] = []

    async def write(some: Sequence[int]) -> None:
        calls.append(len(some))
        raise error

    with pytest.raises(type(error)):
        await isolate(range(8), write, part="test", raised=(Unavailable,))
    assert calls == [8]


def test_rows_that_cannot_be_read_are_left_out_and_named(caplog: pytest.LogCaptureFixture) -> None:
    assert readable(["1", "x", "3"], int, part="test", name=lambda row: f"row {row}") == [1, 3]
    assert caplog.messages == ["left out of test: row x: ValueError: invalid literal for int() with base 10: 'x'"]


def test_a_reason_holds_nothing_that_postgresql_cannot_store() -> None:
    assert Faulty(1, ValueError("a\0b\ud800")).reason == "ValueError: a\N{REPLACEMENT CHARACTER}b?"
    assert storable(None) is None


def test_a_streak_is_trouble_only_when_it_lasts(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = 100.0
    monkeypatch.setattr("signalbox_chassis.runtime.loops.time.monotonic", lambda: clock)
    streak = FailureStreak("observe e1")
    for _ in range(5):
        streak.failed(ValueError("no"))
    assert streak.trouble == ""
    clock = 111.0
    streak.failed(ValueError("no"))
    assert streak.trouble == "ValueError: no"
    streak.succeeded()
    assert streak.trouble == ""
