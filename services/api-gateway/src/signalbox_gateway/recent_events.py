"""The newest events of other systems, read back from their topics. Nothing is committed, no group is joined."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

from aiokafka import TopicPartition

from signalbox_chassis.messaging.connection import Kafka, admin_client, consumer
from signalbox_chassis.messaging.consumer import Consumer, KafkaRecord
from signalbox_chassis.messaging.received import Record, read
from signalbox_contracts.messages.triggers import TriggerEvent
from signalbox_contracts.topics import Topic, source_topic, topic

MAX_EVENTS: Final = 500
READ_SECONDS: Final = 8.0
MAX_BYTES: Final = 32 * 1_048_576


@dataclass
class RecentEvents:
    """Events, the newest first, and how many records of the same stretch are no events."""

    events: list[TriggerEvent] = field(default_factory=list[TriggerEvent])
    unreadable: int = 0
    complete: bool = True
    """Whether the end of every topic was reached in time."""


async def recent_events(kafka: Kafka, topic_prefix: str, sources: Collection[str], count: int) -> RecentEvents:
    """The newest `count` events on the trigger topics. Raises KafkaError or TimeoutError when Kafka does not answer."""
    topics = {one.full_name(topic_prefix): one for one in (topic("triggers.v1"), *map(source_topic, sources))}
    async with asyncio.timeout(READ_SECONDS):
        partitions = await _partitions(kafka, list(topics))
    made: Any = consumer(kafka, request_timeout_ms=5000)
    reader = cast("Consumer", made)
    try:
        async with asyncio.timeout(READ_SECONDS):
            await reader.start()
        raws, complete = await _tail(reader, partitions, count)
    finally:
        await reader.stop()
    raws.sort(key=lambda raw: (raw.timestamp, raw.offset), reverse=True)
    return _events(topics, raws[:count], complete)


async def _partitions(kafka: Kafka, names: Sequence[str]) -> list[TopicPartition]:
    """The partitions of these topics as the broker has them; those of a topic that is not there are none."""
    admin: Any = admin_client(kafka, request_timeout_ms=5000)
    try:
        await admin.start()
        described: list[dict[str, Any]] = await admin.describe_topics(list(names))
    finally:
        await admin.close()
    return [TopicPartition(one["topic"], part["partition"]) for one in described for part in one["partitions"]]


async def _tail(
    consumer: Consumer, partitions: list[TopicPartition], count: int
) -> tuple[list[KafkaRecord], bool]:  # fmt: skip
    """The last `count` records of every partition, and whether that is all of them."""
    found: list[KafkaRecord] = []
    try:
        async with asyncio.timeout(READ_SECONDS):
            consumer.assign(partitions)
            begins, ends = await consumer.beginning_offsets(partitions), await consumer.end_offsets(partitions)
            for one in partitions:
                consumer.seek(one, max(begins[one], ends[one] - count))
            size = 0
            while [one for one in partitions if await consumer.position(one) < ends[one]]:
                for records in (await consumer.getmany(timeout_ms=200, max_records=200)).values():
                    found += records
                    size += sum(len(record.value or b"") for record in records)
                if size > MAX_BYTES:
                    return found, False
    except TimeoutError:
        return found, False
    return found, True


def _events(topics: Mapping[str, Topic], raws: Sequence[KafkaRecord], complete: bool) -> RecentEvents:
    found = RecentEvents(complete=complete)
    for raw in raws:
        record = Record(
            topics[raw.topic], raw.partition, raw.offset, raw.timestamp, raw.key, tuple(raw.headers), raw.value
        )
        try:
            event = read(record)
        except Exception:  # whatever reading raises is the record's own fault
            found.unreadable += 1
            continue
        if isinstance(event, TriggerEvent):
            found.events.append(event)
    return found
