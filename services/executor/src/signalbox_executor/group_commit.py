"""Group commit: batches small writes of concurrent coroutines into one transaction.

While one transaction is under way, the next batch gathers.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")


class GroupCommitter(Generic[Item]):
    """`add` returns when the write that carried the item has committed, and raises what that write raised."""

    def __init__(self, write: Callable[[Sequence[Item]], Awaitable[None]], *, max_items: int = 100) -> None:
        self._write = write
        self._max_items = max_items
        self._waiting: list[tuple[Item, asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None

    async def add(self, item: Item) -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, done))
        if self._writer is None:
            self._writer = asyncio.create_task(self._run(), name="group commit")
        await done

    async def settle(self) -> None:
        """Return when nothing is being written any more."""
        if self._writer is not None:
            await self._writer

    async def _run(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[: self._max_items], self._waiting[self._max_items :]
                error: BaseException | None = None
                try:
                    await self._write([item for item, _ in batch])
                except Exception as failure:
                    error = failure
                for _, done in batch:
                    if not done.done():
                        done.set_exception(error) if error else done.set_result(None)
        finally:
            self._writer = None
