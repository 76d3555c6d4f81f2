"""Wake-ups between notifiers through Redis. They carry nothing: what is lost costs a little time, and no event."""

import asyncio
import logging
from collections.abc import Callable

from redis.asyncio import Redis
from redis.exceptions import RedisError

from signalbox_chassis.runtime.tasks import cancel

log = logging.getLogger(__name__)
RETRY_SECONDS = 2.0


class RedisWakeUps:
    """Sends a wake-up for each commit here, at most one in flight, and calls `wake` for each that comes."""

    def __init__(self, url: str, channel: str, wake: Callable[[], None]) -> None:
        self._redis: Redis | None = (
            Redis.from_url(url, socket_timeout=5, socket_connect_timeout=2) if url else None  # pyright: ignore[reportUnknownMemberType]
        )
        self._channel, self._wake = channel, wake
        self._due = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def send(self) -> None:
        """Wake the hub here and those elsewhere."""
        self._wake()
        self._due.set()

    async def start(self) -> None:
        if self._redis is not None:
            self._tasks = [asyncio.create_task(self._publish()), asyncio.create_task(self._listen())]

    async def stop(self) -> None:
        await cancel(*self._tasks)
        if self._redis is not None:
            await self._redis.aclose()

    async def _publish(self) -> None:
        assert self._redis is not None
        while True:
            await self._due.wait()
            self._due.clear()
            try:
                await self._redis.publish(self._channel, b"1")  # pyright: ignore[reportUnknownMemberType]
            except (RedisError, OSError):
                await asyncio.sleep(RETRY_SECONDS)

    async def _listen(self) -> None:
        assert self._redis is not None
        while True:
            try:
                async with self._redis.pubsub() as subscription:  # pyright: ignore[reportUnknownMemberType]
                    await subscription.subscribe(self._channel)  # pyright: ignore[reportUnknownMemberType]
                    while True:
                        message = await subscription.get_message(ignore_subscribe_messages=True, timeout=4.0)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
                        if message is not None:
                            self._wake()
            except (RedisError, OSError) as error:
                log.warning("Redis does not wake the live feed: %s; it looks by itself", type(error).__name__)
                await asyncio.sleep(RETRY_SECONDS)
