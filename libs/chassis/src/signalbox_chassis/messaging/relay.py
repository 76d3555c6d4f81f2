"""The relay: outbox rows become Kafka messages, in order, by a raw idempotent producer.

One relay a service is active at a time (session advisory lock on a connection of its own); that is for order and
economy, not for safety: two at once would only repeat messages, and ids and versions absorb that. There is no
high-water mark: ids are handed out before commit, so a slow transaction's rows appear behind one and would be skipped.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast
from zlib import crc32

import asyncpg
import prometheus_client
from aiokafka import AIOKafkaProducer
from aiokafka.errors import InvalidTopicError, KafkaError, MessageSizeTooLargeError
from aiokafka.partitioner import murmur2  # pyright: ignore[reportUnknownVariableType]
from aiokafka.producer.message_accumulator import BatchBuilder
from opentelemetry.trace import Span, SpanKind
from prometheus_client import Gauge, Histogram

from signalbox_chassis.messaging.connection import Kafka, producer
from signalbox_chassis.messaging.outbox import unpack_headers
from signalbox_chassis.observability import telemetry
from signalbox_chassis.observability.telemetry import Telemetry
from signalbox_chassis.persistence.connection import Connection, Row, connect, connect_arguments
from signalbox_chassis.persistence.database import Database
from signalbox_chassis.runtime import crash_points
from signalbox_chassis.runtime.isolation import describe_fault, note_fault
from signalbox_chassis.runtime.loops import Loop
from signalbox_chassis.runtime.test_signals import signals
from signalbox_contracts.topics import TOPICS

log = logging.getLogger(__name__)
_SENT = prometheus_client.Counter("signalbox_outbox_sent_total", "Messages acknowledged by Kafka", ["topic"])
_RENEWED = prometheus_client.Counter(
    "signalbox_relay_producers_total", "Producers made: more than one means Kafka failed us"
)
_UNSENT_AGE = Gauge("signalbox_outbox_oldest_seconds", "Age of the oldest unsent outbox row")
_LAG = Histogram("signalbox_outbox_seconds", "Age of the oldest row of a batch when Kafka acknowledged it")

FACTS_SECONDS = 0.02
"""How long facts may gather: each message wakes every reader, while somebody waits for the command beside it."""
FACTS = frozenset(topic.name for topic in TOPICS if topic.kind == "facts")
TRY_LOCK_SECONDS = 0.5
"""How often a standby asks for the lock."""
HOLDER_FROZEN_SECONDS = 20.0
"""A standby sends without the lock when rows are this old: repeats are harmless, a frozen holder is not."""
SEND_TIMEOUT_SECONDS = 30.0
"""aiokafka's idempotent producer never gives up a batch, and its `stop` waits for it: every wait has a limit here."""

_UNSENT = (
    "SELECT id, day, topic, key, headers, value, created_at FROM outbox WHERE sent_at IS NULL ORDER BY id LIMIT $1"
)
_UNSENT_ELSE = _UNSENT.replace("IS NULL ORDER", "IS NULL AND topic <> ALL ($2) ORDER")
_TRY_LOCK = "SELECT pg_try_advisory_lock($1, $2)"
# INVARIANT: a row is marked only after Kafka acknowledged it.
_MARK = "UPDATE outbox SET sent_at = now() WHERE sent_at IS NULL AND id = ANY($1::bigint[]) AND day = ANY($2::date[])"
# INVARIANT: what can never be sent is kept, with its reason, before it counts as sent. It has no partition: -1.
_PUT_ASIDE = """
INSERT INTO dead_letter (id, topic, partition_number, record_offset, record_at, key, headers, value, error, state)
SELECT gen_random_uuid(), topic, -1, id, created_at, key, '[]', value, 'cannot be sent: ' || $3::text, 'DROPPED'
FROM outbox WHERE sent_at IS NULL AND id = $1 AND day = $2
"""
_UNSENDABLE = (MessageSizeTooLargeError, InvalidTopicError, ValueError)
"""A record larger than the broker takes, a name no topic can have, headers that are none."""
_OLDEST = (
    "SELECT extract(epoch FROM clock_timestamp() - created_at) FROM outbox WHERE sent_at IS NULL ORDER BY id LIMIT 1"
)


@dataclass(frozen=True)
class RelaySettings:
    kafka: Kafka
    topic_prefix: str = "signalbox."
    batch: int = 500
    poll_seconds: float = 0.25
    send_timeout_seconds: float = SEND_TIMEOUT_SECONDS


class Relay:
    """Sends what the outbox holds. `wake` after a commit; without it rows wait at most one poll.

    Commands go at once. Facts go at once when none went a moment ago and no command went with them, else a moment
    later, together: no order is kept between topics.
    """

    def __init__(self, database: Database, settings: RelaySettings, tracing: Telemetry) -> None:
        self._database = database
        self._settings = settings
        self._tracing = tracing
        self._producer: AIOKafkaProducer | None = None
        self._connection: Connection | None = None
        self._holds_lock = False
        self._try_lock_at = 0.0
        self.oldest_seconds = 0.0
        """Age of the oldest unsent row, as of the last look."""
        self.progress_at = time.monotonic()
        """When rows were last sent, or there were none to send, on the monotonic clock."""
        self._loop = Loop("relay", self._pass, settings.poll_seconds, max_backoff_seconds=2.0)
        self._facts_due: asyncio.TimerHandle | None = None
        self._facts_sent_at = 0.0
        self._age_loop = Loop("relay age", self._look_at_age, 2.0)

    @property
    def active(self) -> bool:
        return self._holds_lock and self._connection is not None and not self._connection.is_closed()

    def wake(self, topics: Iterable[str]) -> None:
        """Send what was just committed on these topics."""
        with_command = not all(topic in FACTS for topic in topics)
        if self._facts_due is None and any(topic in FACTS for topic in topics):
            wait = FACTS_SECONDS
            if not with_command:
                wait += self._facts_sent_at - time.monotonic()
            if wait > 0:
                self._facts_due = asyncio.get_running_loop().call_later(wait, self._send_facts)
            else:
                self._send_facts()
        if with_command:
            self._loop.wake()

    def _send_facts(self) -> None:
        self._facts_due = None
        self._facts_sent_at = time.monotonic()
        self._loop.wake()

    async def start(self) -> None:
        self._database.on_publish = self.wake
        await self._loop.start()
        await self._age_loop.start()

    async def stop(self) -> None:
        """Send what is there if that is quickly done, then let go."""
        await self._age_loop.stop()
        await self._loop.stop()
        if self._facts_due is not None:
            self._facts_due.cancel()
            self._facts_due = None
        try:
            async with asyncio.timeout(5):
                while await self._pass():
                    pass
        except Exception as error:
            log.info("rows left for the next relay: %s", error)
        await self._drop_producer()
        if self._connection is not None:
            self._connection.terminate()

    @property
    def troubles(self) -> Mapping[str, str]:
        """Why messages are not sent, while that keeps failing."""
        return {**self._loop.troubles, **self._age_loop.troubles}

    async def _pass(self) -> bool:
        """Send one batch; True if there may be more."""
        try:
            connection = await self._connection_to_send()
            if connection is None:
                return False
            rows = await self._unsent(connection)
            if not rows:
                self.progress_at = time.monotonic()
                return False
            await self._send_isolated(connection, rows)
            crash_points.point("relay.sent")
            await connection.execute(_MARK, [row["id"] for row in rows], list({row["day"] for row in rows}))
            crash_points.point("relay.marked")
            self.progress_at = time.monotonic()
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError, KafkaError) as error:
            await self._give_up_connections(error)
            raise
        signals.fire("relay.sent")
        return len(rows) == self._settings.batch

    async def _unsent(self, connection: Connection) -> list[Row]:
        """The next rows to send: all, but for facts that still gather."""
        if self._facts_due is None:
            return await connection.fetch(_UNSENT, self._settings.batch)
        return await connection.fetch(_UNSENT_ELSE, self._settings.batch, list(FACTS))

    async def _connection_to_send(self) -> Connection | None:
        """The relay's connection if it may send: it holds the lock, or the holder lets rows grow old (it is frozen)."""
        if self._connection is None or self._connection.is_closed():
            self._holds_lock = False
            schema = self._database.schema
            self._connection = await connect(self._database.url, **connect_arguments(schema, f"{schema} relay"))
        if not self._holds_lock and time.monotonic() >= self._try_lock_at:
            self._try_lock_at = time.monotonic() + TRY_LOCK_SECONDS
            key = crc32(self._database.schema.encode()) % 2**31
            self._holds_lock = bool(await self._connection.fetchval(_TRY_LOCK, crc32(b"relay") % 2**31, key))
        if self._holds_lock or self.oldest_seconds > HOLDER_FROZEN_SECONDS:
            return self._connection
        return None

    async def _send_isolated(self, connection: Connection, rows: Sequence[Row]) -> None:
        """Send rows; one that Kafka can never take is put aside, and the others leave."""
        try:
            await self._send(rows)
        except _UNSENDABLE as error:
            await self._drop_producer()  # after a refused batch its sequence numbers have a gap
            if len(rows) == 1:
                note_fault("relay", error)
                await connection.execute(_PUT_ASIDE, rows[0]["id"], rows[0]["day"], describe_fault(error))
                return
            middle = len(rows) // 2
            await self._send_isolated(connection, rows[:middle])
            await self._send_isolated(connection, rows[middle:])

    async def _send(self, rows: Sequence[Row]) -> None:
        """Send rows in order and wait for every acknowledgement, 30 s at most."""
        producer = await self._ready_producer()
        spans: list[Span] = []
        try:
            async with asyncio.timeout(self._settings.send_timeout_seconds):
                acks: list[Any] = [
                    await producer.send_batch(batch, topic, partition=partition)
                    for topic, partition, batch in await self._batches(producer, rows, spans)
                ]
                await asyncio.gather(*acks)
        finally:
            for span in spans:
                span.end()
        _count(rows)

    async def _batches(
        self, producer: AIOKafkaProducer, rows: Sequence[Row], spans: list[Span]
    ) -> list[tuple[str, int, BatchBuilder]]:
        """Rows gathered into Kafka batches, in order within a partition: about half the cost of sending one by one."""
        batches: list[tuple[str, int, BatchBuilder]] = []
        filling: dict[tuple[str, int], BatchBuilder] = {}
        for row in rows:
            topic = self._settings.topic_prefix + row["topic"]
            partition = partition_of(row["key"], await producer.partitions_for(topic))
            headers = self._headers(row, spans)
            batch = filling.get((topic, partition))
            if batch is None or not batch.append(timestamp=None, key=row["key"], value=row["value"], headers=headers):
                batch = filling[topic, partition] = producer.create_batch()  # an empty one takes any record
                batch.append(timestamp=None, key=row["key"], value=row["value"], headers=headers)
                batches.append((topic, partition, batch))
        return batches

    def _headers(self, row: Row, spans: list[Span]) -> list[tuple[str, bytes]]:
        """The stored headers; when traces are recorded, those of a `send` span that begins when the row was written."""
        headers = unpack_headers(row["headers"])
        if not self._tracing.recording:
            return headers
        stored = {name: value.decode() for name, value in headers if name in telemetry.TRACE_HEADERS}
        span = self._tracing.tracer.start_span(
            f"send {row['topic']}",
            context=telemetry.extract(stored),
            kind=SpanKind.PRODUCER,
            start_time=int(row["created_at"].timestamp() * 1e9),
        )
        spans.append(span)
        rest = [pair for pair in headers if pair[0] not in telemetry.TRACE_HEADERS]
        return [*rest, *((name, value.encode()) for name, value in telemetry.headers_of(span).items())]

    async def _ready_producer(self) -> AIOKafkaProducer:
        if self._producer is None:
            made = producer(
                self._settings.kafka,
                enable_idempotence=True,
                acks="all",
                linger_ms=1,
                max_batch_size=262_144,
                max_request_size=1_048_576,
                request_timeout_ms=10_000,
                metadata_max_age_ms=30_000,
            )
            try:
                async with asyncio.timeout(10):
                    await made.start()
            except BaseException:
                await _end(made)
                raise
            self._producer = made
            _RENEWED.inc()
        return self._producer

    async def _give_up_connections(self, error: BaseException) -> None:
        """After any failure start over with fresh connections: cheaper than knowing which of them still works."""
        log.warning("relay starts over: %s: %s", type(error).__name__, error)
        if isinstance(error, KafkaError | TimeoutError | ConnectionError):
            await self._drop_producer()
        if self._connection is not None and not isinstance(error, KafkaError):
            self._connection.terminate()
            self._connection, self._holds_lock, self._try_lock_at = None, False, 0.0

    async def _drop_producer(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            await _end(producer)

    async def _look_at_age(self) -> None:
        async with self._database.connection() as connection:
            self.oldest_seconds = float(await connection.fetchval(_OLDEST) or 0.0)
        _UNSENT_AGE.set(self.oldest_seconds)


async def _end(producer: AIOKafkaProducer) -> None:
    """Stop; after 3 s cancel what hangs. A producer that lost its broker would flush for ever, and send late."""
    try:
        async with asyncio.timeout(3):
            await producer.stop()
    except Exception as error:
        log.info("producer cut off: %s", type(error).__name__)
        sender: asyncio.Task[None] | None = producer._sender.sender_task  # pyright: ignore[reportPrivateUsage] -- no public way
        if sender is not None:
            sender.cancel()
        await producer.client.close()


def _count(rows: Sequence[Row]) -> None:
    for topic, count in Counter(row["topic"] for row in rows).items():
        _SENT.labels(topic).inc(count)
    _LAG.observe(max(0.0, time.time() - rows[0]["created_at"].timestamp()))


_hash_of = lru_cache(maxsize=65_536)(cast("Callable[[bytes], int]", murmur2))


def partition_of(key: bytes, partitions: Collection[int]) -> int:
    """Kafka's own choice (murmur2, as Java's), remembered: hashing a key in Python costs as much as sending."""
    return (_hash_of(key) & 0x7FFFFFFF) % len(partitions)
