"""Ends a process that could make progress but does not; the supervisor starts it again.

aiokafka can stand still after a broker restart without any error (aio-libs/aiokafka issue 1154). Waiting for a database
or a broker that is down is not standing still: restarting would not help, so it does not count.
"""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence

from prometheus_client import Gauge

from signalbox_chassis.messaging.connection import broker_addresses
from signalbox_chassis.messaging.consumer import Consumer
from signalbox_chassis.messaging.relay import Relay
from signalbox_chassis.messaging.settle import Settler

log = logging.getLogger(__name__)
_LAG = Gauge("signalbox_consumer_lag_messages", "Messages not yet handled", ["subscriber"])
_SINCE = Gauge("signalbox_seconds_since_progress", "Seconds since a subscriber last settled a batch", ["subscriber"])


def end_process() -> None:
    """Exit at once: what hangs might hang an orderly stop as well, and a crash loses nothing."""
    os._exit(70)


class Watchdog:
    """`look` is one pass; run it every few seconds."""

    def __init__(
        self,
        consumers: Callable[[], Mapping[str, Consumer]],
        settlers: Mapping[str, Settler],
        relay: Relay,
        bootstrap: str,
        *,
        stuck_seconds: float,
        end: Callable[[], None],
    ) -> None:
        self._consumers = consumers
        self._settlers = settlers
        self._relay = relay
        self._addresses = broker_addresses(bootstrap)
        self._stuck_seconds = stuck_seconds
        self._end = end
        self._idle_since = dict.fromkeys(settlers, time.monotonic())
        self._reachable_since: float | None = None

    async def look(self) -> None:
        """Measure lag and ages; end the process when they stand still although Kafka answers."""
        now = time.monotonic()
        if not await reachable(self._addresses):
            self._reachable_since = None
            return
        self._reachable_since = self._reachable_since or now
        consumers = self._consumers()
        self._idle_since |= {name: now for name in self._settlers if name not in consumers}
        stuck = [name for name, consumer in consumers.items() if await self._stands_still(name, consumer, now)]
        unsent_age = min(self._relay.oldest_seconds, now - self._relay.progress_at)
        if self._relay.active and unsent_age > self._stuck_seconds:
            stuck.append("relay")
        if stuck and now - self._reachable_since > self._stuck_seconds:
            log.critical("no progress for %.0f s although Kafka answers: %s", self._stuck_seconds, ", ".join(stuck))
            self._end()

    async def _stands_still(self, name: str, consumer: Consumer, now: float) -> bool:
        lag = await lag_of(consumer)
        if lag is not None:
            _LAG.labels(name).set(lag)
        if lag == 0 and not self._settlers[name].settling:
            self._idle_since[name] = now
        moved_at = max(self._idle_since[name], self._settlers[name].progress_at)
        _SINCE.labels(name).set(now - moved_at)
        return now - moved_at > self._stuck_seconds


async def lag_of(consumer: Consumer) -> int | None:
    """Messages after what was fetched, over this consumer's partitions; None when the broker does not say."""
    partitions = list(consumer.assignment())
    if not partitions:
        return 0
    try:
        async with asyncio.timeout(10):
            ends = await consumer.end_offsets(partitions)
            return sum([max(0, ends[tp] - await consumer.position(tp)) for tp in partitions])
    except Exception as error:
        log.info("lag unknown: %r", error)
        return None


async def reachable(addresses: Sequence[tuple[str, int]]) -> bool:
    """Whether any of these brokers takes a connection."""
    for host, port in addresses:
        try:
            async with asyncio.timeout(2):
                _, writer = await asyncio.open_connection(host, port)
            writer.close()
        except (OSError, TimeoutError):
            continue
        return True
    return False
