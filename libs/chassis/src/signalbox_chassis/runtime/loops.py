"""A loop is a coroutine that does one pass; this module repeats it with jitter, back-off and an orderly end."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from prometheus_client import Counter

from signalbox_chassis.runtime.tasks import cancel

log = logging.getLogger(__name__)
_FAILED = Counter("signalbox_loop_failures_total", "Loop passes that raised", ["loop"])
_PASSED = Counter("signalbox_loop_passes_total", "Loop passes that ended", ["loop"])

OnePass = Callable[[], Awaitable[bool | None]]


def backoff(failures: int, *, first: float, most: float, random_: Callable[[], float] = random.random) -> float:
    """Seconds to wait after the nth failure in a row: exponential with full jitter, between 0 and `most`."""
    return random_() * min(most, first * 2 ** min(failures, 30))


@dataclass
class Loop:
    """Repeats `one_pass` every `every_seconds` ± 10 %, or at once when a pass returns True: it found more to do.

    A pass that raises is logged and repeated after a back-off of at most `max_backoff_seconds`; it goes on. `wake`
    does not cut a back-off short: what wakes often (a commit) would hammer what is down.
    """

    name: str
    one_pass: OnePass
    every_seconds: float
    max_backoff_seconds: float = 30.0
    _wake: asyncio.Event = field(default_factory=asyncio.Event, repr=False)
    _stopping: asyncio.Event = field(default_factory=asyncio.Event, repr=False)
    _task: asyncio.Task[None] | None = field(default=None, repr=False)

    def wake(self) -> None:
        """Run the next pass now, or as soon as a back-off is over."""
        self._wake.set()

    async def start(self) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=f"loop {self.name}")

    async def stop(self) -> None:
        """Let the running pass end, then stop. Twice, or before a start, is harmless."""
        self._stopping.set()
        self._wake.set()
        if self._task is not None:
            try:
                await asyncio.shield(self._task)
            except asyncio.CancelledError:
                await cancel(self._task)
                raise

    async def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            self._wake.clear()
            try:
                more = await self.one_pass()
            except Exception:
                failures += 1
                _FAILED.labels(self.name).inc()
                log.exception("loop pass failed", extra={"loop": self.name, "failures": failures})
                await _rest(self._stopping, backoff(failures, first=0.1, most=self.max_backoff_seconds))
                continue
            failures = 0
            _PASSED.labels(self.name).inc()
            if not more:
                await _rest(self._wake, self.every_seconds * random.uniform(0.9, 1.1))


async def _rest(until: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await until.wait()
    except TimeoutError:
        pass
