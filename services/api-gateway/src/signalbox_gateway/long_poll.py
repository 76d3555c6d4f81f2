"""Long polling of the read model: woken by commits of this process, polling for commits of others."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, TypeVar
from uuid import UUID

T = TypeVar("T")
LOOK_AGAIN_SECONDS: Final = 0.5
"""Another gateway may have read the fact: its commit wakes nobody here."""


class Waits:
    """Who waits for which plan, task or operation."""

    def __init__(self, *, look_again_seconds: float = LOOK_AGAIN_SECONDS) -> None:
        self.look_again_seconds = look_again_seconds
        self._waiting: dict[UUID, set[asyncio.Event]] = {}

    def notify(self, ids: Iterable[UUID]) -> None:
        """What is known of these has just changed."""
        for id in ids:
            for event in self._waiting.get(id, ()):
                event.set()

    async def until(
        self, id: UUID, look: Callable[[], Awaitable[T]], enough: Callable[[T], bool], *, seconds: float
    ) -> T:
        """What `look` sees as soon as it is enough, else what it sees when time is up."""
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + seconds
        event = asyncio.Event()
        self._waiting.setdefault(id, set()).add(event)
        try:
            while True:
                event.clear()
                seen = await look()
                left = give_up_at - loop.time()
                if enough(seen) or left <= 0:
                    return seen
                try:
                    async with asyncio.timeout(min(left, self.look_again_seconds)):
                        await event.wait()
                except TimeoutError:
                    pass
        finally:
            mine = self._waiting[id]
            mine.discard(event)
            if not mine:
                del self._waiting[id]
