"""Loops: one pass after another, whatever a pass does, until told to stop."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox_chassis.runtime import loops
from signalbox_chassis.runtime.backoff import backoff
from signalbox_chassis.runtime.loops import Loop

LONG = 3600.0
"""Seconds until the next pass, where a test must not see one that nobody woke."""


class Passes:
    """A pass that counts itself and does what the test says; `reached` waits for the nth."""

    def __init__(self, *does: Callable[[], Awaitable[bool | None]] | bool | Exception | None) -> None:
        self._does = does
        self._changed = asyncio.Condition()
        self.count = 0

    async def __call__(self) -> bool | None:
        self.count += 1
        async with self._changed:
            self._changed.notify_all()
        does = self._does[self.count - 1] if self.count <= len(self._does) else None
        if isinstance(does, Exception):
            raise does
        return await does() if callable(does) else does

    async def reached(self, count: int) -> None:
        async with asyncio.timeout(20), self._changed:
            await self._changed.wait_for(lambda: self.count >= count)


def always(seconds: float) -> Callable[..., float]:
    def back_off(failures: int, *, first_seconds: float, max_seconds: float) -> float:
        return seconds

    return back_off


@given(st.integers(1, 10_000), st.floats(0.001, 10), st.floats(0.001, 1000), st.floats(0, 1))
def test_a_back_off_doubles_up_to_its_maximum(n: int, first: float, maximum: float, random: float) -> None:
    waits = backoff(n, first_seconds=first, max_seconds=maximum, random_=lambda: random)
    longest = backoff(n, first_seconds=first, max_seconds=maximum, random_=lambda: 1.0)
    assert 0 <= waits <= longest <= maximum
    assert longest == min(maximum, first * 2 ** min(n, 30))
    assert longest >= backoff(n - 1, first_seconds=first, max_seconds=maximum, random_=lambda: 1.0)


async def test_a_loop_that_was_not_cancelled_continues_after_a_cancelled_error() -> None:
    """aiokafka raises those of its own tasks: the loop ended, and nothing showed it."""

    async def stray() -> bool:
        raise asyncio.CancelledError

    passes = Passes(stray, True)
    loop = Loop("sweep", passes, LONG, max_backoff_seconds=0.001)
    await loop.start()
    await passes.reached(3)
    await loop.stop()


async def test_a_pass_that_raises_is_logged_and_the_next_one_comes(caplog: pytest.LogCaptureFixture) -> None:
    passes = Passes(ValueError("first"), KeyError("second"), True)
    loop = Loop("sweep", passes, LONG, max_backoff_seconds=0.001)
    with caplog.at_level(logging.ERROR):
        await loop.start()
        await passes.reached(4)
        await loop.stop()
    assert [(r.message, vars(r)["loop"], vars(r)["failures"]) for r in caplog.records] == [
        ("loop pass failed", "sweep", 1),
        ("loop pass failed", "sweep", 2),
    ]


async def test_a_loop_that_keeps_failing_says_why_until_a_pass_succeeds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it a loop whose every pass fails looks healthy to everybody."""
    monkeypatch.setattr(loops, "backoff", always(0.0))
    monkeypatch.setattr(loops, "FAILING_SECONDS", 0.0)
    error = ValueError("no room; password=swordfish")
    passes = Passes(error, error, error, True)
    loop = Loop("sweep", passes, LONG)
    troubles: list[str] = []

    async def watched() -> bool | None:
        troubles.append(loop.trouble)
        return await passes()

    loop.one_pass = watched
    await loop.start()
    await passes.reached(5)
    await loop.stop()
    assert troubles[:3] == ["", "", ""], "a fault that may pass is no trouble yet"
    assert troubles[3].startswith("ValueError: no room")
    assert "swordfish" not in troubles[3]
    assert troubles[4] == loop.trouble == ""


async def test_a_pass_that_found_more_runs_again_at_once_and_then_rests() -> None:
    passes = Passes(True, True, False)
    loop = Loop("sweep", passes, LONG)
    await loop.start()
    await passes.reached(3)
    await loop.stop()
    assert passes.count == 3


async def test_a_loop_that_nobody_wakes_runs_again_by_itself() -> None:
    passes = Passes()
    loop = Loop("sweep", passes, 0.001)
    await loop.start()
    await passes.reached(4)
    await loop.stop()


async def test_wake_runs_the_next_pass_now_also_when_it_comes_during_a_pass() -> None:
    async def wakes_itself() -> None:
        loop.wake()

    passes = Passes(None, wakes_itself)
    loop = Loop("sweep", passes, LONG)
    await loop.start()
    await passes.reached(1)
    loop.wake()
    await passes.reached(3)
    await loop.stop()
    assert passes.count == 3


async def test_wake_does_not_cut_a_back_off_short_but_stop_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every commit wakes the relay: a thousand commits must not be a thousand tries on a dead Kafka."""
    monkeypatch.setattr("signalbox_chassis.runtime.loops.backoff", always(LONG))
    passes = Passes(ValueError("down"))
    loop = Loop("relay", passes, LONG)
    await loop.start()
    await passes.reached(1)
    for _ in range(20):
        loop.wake()
        await asyncio.sleep(0)
    assert passes.count == 1
    async with asyncio.timeout(20):
        await loop.stop()


async def test_a_wake_during_a_back_off_is_not_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("signalbox_chassis.runtime.loops.backoff", always(0.01))

    async def wakes_and_fails() -> None:
        loop.wake()
        raise ValueError("down")

    passes = Passes(wakes_and_fails)
    loop = Loop("relay", passes, LONG)
    await loop.start()
    await passes.reached(2)
    await loop.stop()


async def test_stop_waits_for_the_running_pass_and_starts_no_other() -> None:
    go_on, ended = asyncio.Event(), list[str]()

    async def slow() -> bool:
        await go_on.wait()
        ended.append("pass")
        return True

    passes = Passes(slow)
    loop = Loop("sweep", passes, 0.0)
    await loop.start()
    await passes.reached(1)
    stopping = asyncio.create_task(loop.stop())
    stopping.add_done_callback(lambda _: ended.append("stop"))
    for _ in range(5):
        await asyncio.sleep(0)
    assert ended == []
    go_on.set()
    await stopping
    await asyncio.sleep(0)
    assert ended == ["pass", "stop"]
    assert passes.count == 1


async def test_a_stop_that_is_cut_off_cancels_the_pass() -> None:
    cancelled = asyncio.Event()

    async def hangs() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    passes = Passes(hangs)
    loop = Loop("sweep", passes, LONG)
    await loop.start()
    await passes.reached(1)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await loop.stop()
    assert cancelled.is_set()


async def test_stop_twice_or_before_a_start_and_start_twice_are_harmless() -> None:
    never = Loop("never", Passes(), LONG)
    await never.stop()
    await never.stop()
    passes = Passes()
    loop = Loop("once", passes, LONG)
    await loop.start()
    await loop.start()
    await passes.reached(1)
    began = time.monotonic()
    await loop.stop()
    await loop.stop()
    assert time.monotonic() - began < 20
    assert passes.count == 1, "two starts are one loop"
