"""Signals: what a test waits on."""

import asyncio

import pytest

from signalbox_chassis.runtime.test_signals import Signals


async def test_wait_returns_when_the_moment_came_often_enough_before_or_after() -> None:
    signals = Signals()
    signals.arm()
    signals.fire("sent")
    await signals.wait("sent")
    waiting = asyncio.create_task(signals.wait("sent", times=3))
    signals.fire("sent")
    await asyncio.sleep(0)
    signals.fire("other")
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waiting.done()
    signals.fire("sent")
    await waiting


async def test_two_who_wait_for_the_same_moment_both_return() -> None:
    signals = Signals()
    signals.arm()
    waiting = [asyncio.create_task(signals.wait("sent", times=times)) for times in (1, 2)]
    for _ in range(2):
        await asyncio.sleep(0)
        signals.fire("sent")
    await asyncio.gather(*waiting)


async def test_what_never_comes_is_a_time_out() -> None:
    signals = Signals()
    signals.arm()
    with pytest.raises(TimeoutError):
        await signals.wait("never", timeout_seconds=0.01)


async def test_unarmed_nothing_is_counted() -> None:
    signals = Signals()
    signals.fire("sent")
    signals.arm()
    with pytest.raises(TimeoutError):
        await signals.wait("sent", timeout_seconds=0.01)


def test_armed_again_it_counts_anew_also_in_another_event_loop() -> None:
    """One `signals` serves all tests of a process, and each of them has an event loop of its own."""
    signals = Signals()

    async def fired_while_waiting() -> None:
        signals.arm()
        waiting = asyncio.create_task(signals.wait("sent"))
        await asyncio.sleep(0)
        assert not waiting.done()
        signals.fire("sent")
        await waiting

    asyncio.run(fired_while_waiting())
    asyncio.run(fired_while_waiting())
