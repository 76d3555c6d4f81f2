"""Rate limits: counted in Redis for all gateways together, and in each gateway alone while Redis is away.

Calls are counted in blocks, so that one query to Redis covers many of them. A limit over several gateways is exact to
one block of each. Attempts to log in are counted one by one.
"""

import asyncio
import hashlib
import logging
import time
from dataclasses import dataclass, field
from typing import Any, Final

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import FixedWindowRateLimiter
from redis.asyncio import ConnectionPool

log = logging.getLogger(__name__)
BLOCKS: Final = 50
"""How many blocks a limit is taken in."""
MAX_KEPT: Final = 10_000
REDIS_SECONDS: Final = 0.2
"""How long one query to Redis may take."""
AWAY_SECONDS: Final = 5.0
"""How long Redis is left alone after it failed to answer."""
LOGIN_MINUTES: Final = 5


def redis_fault(error: BaseException) -> str:
    """The kind of fault, and what is wrong with the certificate where it is that."""
    reason = str(error) if "certificate" in str(error) else ""
    return f"{type(error).__name__}: {reason}" if reason else type(error).__name__


@dataclass(slots=True)
class _Block:
    """What is left of a block, until when. None left means that the limit is used up."""

    left: int
    until: float


@dataclass
class Counter:
    """Counts against limits, in Redis or, while that is away, in memory."""

    redis_url: str
    prefix: str = "signalbox:limit"
    _away_until: float = 0.0
    _memory: Any = field(default_factory=lambda: FixedWindowRateLimiter(MemoryStorage()))
    _redis: Any = None
    _pool: ConnectionPool | None = None

    async def hit(self, limit: RateLimitItem, *key: str, cost: int = 1) -> bool:
        """Count; whether the limit allows it."""
        if self.redis_url and time.monotonic() >= self._away_until:
            try:
                shared = self._shared()  # loads its library at the first call: no time in which Redis could answer
                async with asyncio.timeout(REDIS_SECONDS):
                    return bool(await shared.hit(limit, *key, cost=cost))
            except Exception as error:  # its own errors, those of the connection, a timeout: all the same here
                self._away_until = time.monotonic() + AWAY_SECONDS
                log.warning("Redis does not answer (%s): each gateway counts rate limits alone", redis_fault(error))
        return bool(await self._memory.hit(limit, *key, cost=cost))

    async def clear(self, limit: RateLimitItem, *key: str) -> None:
        """Forget what was counted."""
        await self._memory.clear(limit, *key)
        if self.redis_url and time.monotonic() >= self._away_until:
            try:
                async with asyncio.timeout(REDIS_SECONDS):
                    await self._shared().clear(limit, *key)
            except Exception:
                self._away_until = time.monotonic() + AWAY_SECONDS

    async def close(self) -> None:
        """Close the connections to Redis."""
        if self._pool is not None:
            await self._pool.aclose()

    def _shared(self) -> Any:
        if self._redis is None:
            self._pool = ConnectionPool.from_url(self.redis_url, socket_connect_timeout=REDIS_SECONDS)
            options: dict[str, Any] = {"connection_pool": self._pool}
            storage = RedisStorage(
                f"async+{self.redis_url}", implementation="redispy", key_prefix=self.prefix, **options
            )
            self._redis = FixedWindowRateLimiter(storage)
        return self._redis


@dataclass
class RateLimits:
    """The limits of calls and of attempts to log in."""

    counter: Counter
    calls_a_minute: int
    address_calls_a_minute: int
    logins_a_minute: int
    _blocks: dict[str, _Block] = field(default_factory=dict[str, _Block])

    async def call(self, principal: str, address: str) -> float | None:
        """Count a call; for how many seconds nothing more is allowed, None when it is."""
        by_address = await self._call(f"address {address}", self.address_calls_a_minute)
        return by_address if by_address is not None else await self._call(f"principal {principal}", self.calls_a_minute)

    async def anonymous_call(self, address: str) -> float | None:
        """Count a call of somebody who is not known."""
        return await self._call(f"address {address}", self.address_calls_a_minute)

    async def login(self, name: str, address: str, *, known: bool) -> float | None:
        """Count an attempt to log in. `known` says whether the account has logged in from this address before.

        An attacker elsewhere uses up the account's attempts from unknown addresses, never those of its owner.
        """
        account = hashlib.sha256(name.lower().encode()).hexdigest()[:32]
        if not await self.counter.hit(RateLimitItemPerMinute(self.logins_a_minute), "login address", address):
            return 60.0
        each = RateLimitItemPerMinute(self.logins_a_minute, LOGIN_MINUTES)
        if not await self.counter.hit(each, "login account", account, address):
            return 60.0 * LOGIN_MINUTES
        if not known and not await self.counter.hit(self._elsewhere(), "login elsewhere", account):
            return 60.0 * LOGIN_MINUTES
        return None

    async def login_from(self, address: str) -> float | None:
        """Count an attempt to log in whose account is not known yet."""
        return (
            None
            if await self.counter.hit(RateLimitItemPerMinute(self.logins_a_minute), "login address", address)
            else 60.0
        )

    async def logged_in(self, name: str, address: str) -> None:
        """Forget the attempts of who has shown the password."""
        account = hashlib.sha256(name.lower().encode()).hexdigest()[:32]
        each = RateLimitItemPerMinute(self.logins_a_minute, LOGIN_MINUTES)
        await self.counter.clear(each, "login account", account, address)

    def _elsewhere(self) -> RateLimitItem:
        return RateLimitItemPerMinute(2 * self.logins_a_minute, LOGIN_MINUTES)

    async def _call(self, key: str, limit: int) -> float | None:
        block = self._blocks.get(key)
        now = time.monotonic()
        if block is None or block.until <= now or block.left == 0:
            if block is not None and block.until > now and block.left < 0:
                return block.until - now
            block = await self._take(key, limit, now)
        if block.left < 0:
            return block.until - now
        block.left -= 1
        return None

    async def _take(self, key: str, limit: int, now: float) -> _Block:
        size = max(1, limit // BLOCKS)
        item = RateLimitItemPerMinute(limit)
        window_end = now + 60 - time.time() % 60
        for cost in (size, 1):
            if await self.counter.hit(item, key, cost=cost):
                block = _Block(cost, window_end)
                break
        else:
            block = _Block(-1, now + min(5.0, window_end - now))
        if len(self._blocks) > MAX_KEPT:
            self._blocks.clear()
        self._blocks[key] = block
        return block
