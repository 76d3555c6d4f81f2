"""One coroutine at a time for each key, without keeping locks of keys that nobody uses."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager


class KeyLocks:
    """`async with locks(key)`: copies of one submit inside this process wait for each other."""

    def __init__(self) -> None:
        self._locks: dict[str, tuple[asyncio.Lock, int]] = {}

    @asynccontextmanager
    async def __call__(self, key: str) -> AsyncGenerator[None]:
        lock, users = self._locks.get(key, (asyncio.Lock(), 0))
        self._locks[key] = (lock, users + 1)
        try:
            async with lock:
                yield
        finally:
            lock, users = self._locks[key]
            if users == 1:
                del self._locks[key]
            else:
                self._locks[key] = (lock, users - 1)
