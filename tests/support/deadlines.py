"""Waiting for a condition. A wait that runs out raises DeadlineExceeded, which is no failed assertion.

A busy machine can be too slow for a deadline, and never makes a wrong value right. So CI repeats a test that ended with
DeadlineExceeded once (`make test` and `make test-more`), and prints it as flaky. It never repeats a failed assertion.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable


class DeadlineExceeded(Exception):
    """A condition did not hold in time."""


async def wait_until(
    condition: Callable[[], Awaitable[bool]], *, seconds: float = 30, why: str = "", poll_seconds: float = 0.02
) -> None:
    """Return when the condition holds. Raises DeadlineExceeded with `why` when it does not in time."""
    give_up_at = time.monotonic() + seconds
    while not await condition():
        if time.monotonic() > give_up_at:
            raise DeadlineExceeded(f"not within {seconds:g} s: {why or condition.__qualname__}")
        await asyncio.sleep(poll_seconds)


def block_until(
    condition: Callable[[], bool],
    *,
    seconds: float = 30,
    why: str | Callable[[], str] = "",
    poll_seconds: float = 0.05,
) -> None:
    """`wait_until` for code without an event loop. `why` may be made when needed: the end of a log, say."""
    give_up_at = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > give_up_at:
            reason = why() if callable(why) else why
            raise DeadlineExceeded(f"not within {seconds:g} s: {reason or condition.__qualname__}")
        time.sleep(poll_seconds)
