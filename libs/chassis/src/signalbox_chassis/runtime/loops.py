"""A loop is a coroutine that does one pass. This module repeats it with jitter, back-off and an orderly end.

A loop whose pass keeps failing is a fault that people must see: `trouble` has its reason, `/readyz` shows it, and the
gauge `signalbox_loop_failing` is 1 until a pass succeeds.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from prometheus_client import Counter, Gauge

from signalbox_chassis.observability.logs import redact
from signalbox_chassis.runtime.backoff import backoff
from signalbox_chassis.runtime.tasks import cancel

log = logging.getLogger(__name__)
_FAILED = Counter("signalbox_loop_failures_total", "Loop passes that raised", ["loop"])
_PASSED = Counter("signalbox_loop_passes_total", "Loop passes that ended", ["loop"])
_FAILING = Gauge("signalbox_loop_failing", "1 while the passes of a loop keep failing", ["loop"])
FAILING_PASSES = 3
FAILING_SECONDS = 10.0
"""A loop keeps failing when so many passes in a row failed, for so long: one fault that passes is no trouble."""
REASON_CHARACTERS = 300

OnePass = Callable[[], Awaitable[bool | None]]


@dataclass
class FailureStreak:
    """Passes that failed one after the other. `reason` is the last one's, without secrets."""

    name: str
    failures: int = 0
    since: float = 0.0
    reason: str = ""

    @property
    def trouble(self) -> str:
        """Why the passes keep failing; empty while they succeed, or failed once or twice."""
        lasting = time.monotonic() - self.since >= FAILING_SECONDS
        return self.reason if self.failures >= FAILING_PASSES and lasting else ""

    def failed(self, error: BaseException) -> None:
        self.since = self.since if self.failures else time.monotonic()
        self.failures += 1
        self.reason = redact(f"{type(error).__name__}: {error}")[:REASON_CHARACTERS]
        _FAILED.labels(self.name).inc()
        _FAILING.labels(self.name).set(1 if self.trouble else 0)

    def succeeded(self) -> None:
        self.failures, self.reason = 0, ""
        _PASSED.labels(self.name).inc()
        _FAILING.labels(self.name).set(0)


@dataclass
class Loop:
    """Repeats `one_pass` every `every_seconds` ± 10 %, or at once when a pass returns True: it found more to do.

    A pass that raises is logged and repeated after a back-off of at most `max_backoff_seconds`. `wake` does not cut a
    back-off short: what wakes often (a commit) would hammer what is down.
    """

    name: str
    one_pass: OnePass
    every_seconds: float
    max_backoff_seconds: float = 30.0
    _wake: asyncio.Event = field(default_factory=asyncio.Event, repr=False)
    _stopping: asyncio.Event = field(default_factory=asyncio.Event, repr=False)
    _task: asyncio.Task[None] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self._streak = FailureStreak(self.name)

    def wake(self) -> None:
        """Run the next pass now, or as soon as a back-off is over."""
        self._wake.set()

    @property
    def trouble(self) -> str:
        """Why the passes of this loop keep failing, without secrets; empty while they succeed."""
        return self._streak.trouble

    @property
    def troubles(self) -> Mapping[str, str]:
        """The same by the loop's name."""
        return {self.name: self.trouble} if self.trouble else {}

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
        while not self._stopping.is_set():
            self._wake.clear()
            try:
                more = await self.one_pass()
            except (Exception, asyncio.CancelledError) as error:
                if isinstance(error, asyncio.CancelledError) and _is_cancelled():
                    raise
                self._streak.failed(error)
                log.exception("loop pass failed", extra={"loop": self.name, "failures": self._streak.failures})
                seconds = backoff(self._streak.failures, first_seconds=0.1, max_seconds=self.max_backoff_seconds)
                await _rest(self._stopping, seconds)
                continue
            self._streak.succeeded()
            if not more:
                await _rest(self._wake, self.every_seconds * random.uniform(0.9, 1.1))


def _is_cancelled() -> bool:
    """Whether somebody cancelled this loop. A library may raise the CancelledError of a task of its own."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


async def _rest(until: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await until.wait()
    except TimeoutError:
        pass
