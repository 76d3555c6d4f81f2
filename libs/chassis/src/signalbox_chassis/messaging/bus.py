"""Messages in: FastStream on aiokafka, two batch subscribers a service, offsets moved only after the transaction.

What each setting guards against is measured in `docs/architecture/messaging.md`; none is a matter of taste.
"""

import asyncio
import dataclasses
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal

from faststream import AckPolicy
from faststream.exceptions import NackMessage
from faststream.kafka import KafkaBroker
from prometheus_client import Counter

from signalbox_chassis.messaging.connection import KafkaConnection, end_fetches
from signalbox_chassis.messaging.consumer import Consumer, KafkaRecord
from signalbox_chassis.messaging.received import Record
from signalbox_chassis.messaging.router import Router
from signalbox_chassis.messaging.settle import RetryLater, Settler
from signalbox_chassis.runtime import crash_points
from signalbox_chassis.runtime.test_signals import signals
from signalbox_contracts.topics import Topic

log = logging.getLogger(__name__)
_NACKED = Counter("signalbox_batches_given_back_total", "Batches fetched again because a fault lasted", ["subscriber"])
POLL_SECONDS = 1.0
FULL_FETCH_SECONDS = 0.5
LASTING_FAULT_SECONDS = 2.0


@dataclass(frozen=True)
class Subscription:
    """What one subscriber reads: *control* is commands, *facts* what became true. A cancel never waits for facts."""

    name: Literal["control", "events", "facts"]
    topics: tuple[Topic, ...]
    router: Router
    fetch_min_bytes: int = 1
    """Less than this waits in Kafka for half a second: for followers whom nobody waits for, so that they do not take
    the processor from those who do the work.
    """


@dataclass(frozen=True)
class BusSettings:
    kafka: KafkaConnection
    topic_prefix: str
    group: str
    """Prefix of the consumer groups; `.control` or `.facts` follows."""
    batch_max_messages: int = 200
    session_timeout_seconds: float = 6.0
    fetch_wait_seconds: float = 0.02
    drain_seconds: float = 15.0


class Bus:
    """The subscribers of one service, each with its own consumer group."""

    def __init__(self, settings: BusSettings, subscribers: Sequence[tuple[Subscription, Settler]]) -> None:
        self._settings = settings
        self._subscribers = subscribers
        self._broker: KafkaBroker | None = None
        self._readers: dict[str, Any] = {}

    async def start(self) -> None:
        """Join the groups, once. Raises KafkaError when no broker answers; may then be called again."""
        if self._broker is not None:
            return
        broker = KafkaBroker(
            self._settings.kafka.bootstrap.split(","),  # FastStream takes a text for one address
            security=self._settings.kafka.broker_security(),
            ack_policy=AckPolicy.NACK_ON_ERROR,  # every other policy commits what was not handled
            allow_auto_create_topics=False,
            consumer_only=True,
            apply_types=False,
            graceful_timeout=self._settings.drain_seconds,
            logger=logging.getLogger("faststream"),
            log_level=logging.DEBUG,
        )
        for subscription, settler in self._subscribers:
            self._readers[subscription.name] = self._subscribe(broker, subscription, settler)
        self._broker = broker
        try:
            await broker.start()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Let the running batch end, commit its offsets, leave the groups."""
        broker, self._broker = self._broker, None
        for reader in self.consumers().values():
            await end_fetches(reader)
        self._readers.clear()
        if broker is not None:
            await broker.stop()

    def consumers(self) -> dict[str, Consumer]:
        """The consumers by subscriber name, for the watchdog and readiness."""
        found = {name: reader.consumer for name, reader in self._readers.items()}
        return {name: consumer for name, consumer in found.items() if consumer is not None}

    def _subscribe(self, broker: KafkaBroker, subscription: Subscription, settler: Settler) -> Any:
        settings, topics = self._settings, {t.full_name(self._settings.topic_prefix): t for t in subscription.topics}
        subscriber = broker.subscriber(
            *topics,
            group_id=f"{settings.group}.{subscription.name}",
            batch=True,
            max_records=settings.batch_max_messages,
            auto_offset_reset="earliest",  # the default, latest, misses what was said before the first start
            no_reply=True,  # else a sender's header chooses where an answer goes
            session_timeout_ms=int(settings.session_timeout_seconds * 1000),
            heartbeat_interval_ms=max(100, int(settings.session_timeout_seconds * 1000 / 6)),
            fetch_max_wait_ms=int(settings.fetch_wait_seconds * 1000),
            fetch_min_bytes=subscription.fetch_min_bytes,
            max_partition_fetch_bytes=2 * 1_048_576,
            parser=_parse,
            decoder=_decode,
        )
        subscriber(_handler(subscription.name, topics, settler))
        # FastStream sleeps its poll time again after each empty poll: a message would wait that long for nothing
        subscriber.get_msg = _poll_batches(settings.batch_max_messages, settings.fetch_wait_seconds)  # pyright: ignore[reportAttributeAccessIssue]
        return subscriber


def _handler(name: str, topics: dict[str, Topic], settler: Settler) -> Callable[[list[KafkaRecord]], Any]:
    async def handle(batch: Any) -> None:  # FastStream builds a validator from the annotation
        crash_points.point("bus.received")
        try:
            await settler.settle([_record(topics[raw.topic], raw) for raw in batch])
        except RetryLater as later:
            _NACKED.labels(name).inc()
            log.warning("giving a batch back to Kafka: %s", later)
            raise NackMessage from later
        except Exception as error:  # not even parking worked: FastStream would fetch again at once, for ever
            _NACKED.labels(name).inc()
            log.exception("a batch could be neither handled nor parked")
            await asyncio.sleep(LASTING_FAULT_SECONDS)
            raise NackMessage from error
        crash_points.point("bus.handled")
        signals.fire(f"bus.{name}")

    return handle


def _poll_batches(max_records: int, partial_wait_seconds: float) -> Callable[[Consumer], Any]:
    async def get_msg(consumer: Consumer) -> tuple[KafkaRecord, ...]:
        set_fetch_wait(consumer, partial_wait_seconds)
        polled = await consumer.getmany(timeout_ms=int(POLL_SECONDS * 1000), max_records=max_records)
        return tuple(chain.from_iterable(polled.values()))

    return get_msg


def set_fetch_wait(consumer: Consumer, partial_wait_seconds: float) -> None:
    """How long the broker may hold an empty fetch: long, but for one that leaves partitions out.

    aiokafka keeps one fetch open per broker, without the partitions it still has records of: what arrives there waits
    for that fetch to end. A fetch of all partitions misses nothing however long it waits, and each one costs both sides
    half a millisecond: a service that hears something every second must not ask a hundred times a second.
    """
    fetcher: Any = getattr(consumer, "_fetcher", None)  # there is no public way to change it
    if fetcher is None or "_get_actions_per_node" in vars(fetcher):
        return
    next_actions: Callable[[Any], Any] = fetcher._get_actions_per_node

    def with_its_wait(assignment: Any) -> Any:
        seconds = partial_wait_seconds if fetcher._records else FULL_FETCH_SECONDS
        fetcher._fetch_max_wait_ms = int(seconds * 1000)
        return next_actions(assignment)

    fetcher._get_actions_per_node = with_its_wait


def _record(topic: Topic, raw: KafkaRecord) -> Record:
    return Record(topic, raw.partition, raw.offset, raw.timestamp, raw.key, tuple(raw.headers), raw.value)


async def _parse(batch: tuple[Any, ...], original: Callable[..., Any]) -> Any:
    """Keep FastStream from reading records: a null or non-UTF-8 header would crash it and skip the record."""
    message = await original((dataclasses.replace(batch[0], headers=()),))
    message.raw_message = batch
    return message


async def _decode(message: Any) -> list[KafkaRecord]:
    """Hand the records over unread: the settler decodes each and knows what to do with one that cannot be."""
    return list(message.raw_message)
