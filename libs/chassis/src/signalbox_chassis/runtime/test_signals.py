"""Test signals: what a test waits on instead of sleeping. Nothing happens in production."""

import asyncio
from collections import Counter, defaultdict


class Signals:
    """Counts named moments once armed; `wait` returns when one has been seen often enough."""

    def __init__(self) -> None:
        self.disarm()

    def arm(self) -> None:
        """Count from now on, from nothing. Each test arms anew: what waits belongs to one event loop."""
        self.disarm()
        self.armed = True

    def disarm(self) -> None:
        self.armed = False
        self._seen: Counter[str] = Counter()
        self._waiting: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)

    def fire(self, name: str) -> None:
        if self.armed:
            self._seen[name] += 1
            self._waiting[name].set()

    async def wait(self, name: str, *, times: int = 1, timeout_seconds: float = 30) -> None:
        """Return once `name` was fired `times` times since arming; raises TimeoutError."""
        async with asyncio.timeout(timeout_seconds):
            while self._seen[name] < times:
                self._waiting[name].clear()
                await self._waiting[name].wait()


signals = Signals()
