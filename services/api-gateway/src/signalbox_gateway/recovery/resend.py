"""Resends requests, commands and definitions that their readers may have lost.

Kafka may have been wiped, or a reader restored from a backup. The same message is sent from the outbox with the same
id, so a reader that handled it drops it. In normal operation nothing is resent.
"""

import time
from dataclasses import dataclass
from typing import Any, Final, cast

from aiokafka import TopicPartition

from signalbox_chassis.messaging.connection import Kafka, consumer
from signalbox_chassis.messaging.consumer import Consumer
from signalbox_chassis.persistence.database import Database
from signalbox_chassis.runtime.clock import Clock
from signalbox_contracts.messages.definitions import DefinitionSnapshot
from signalbox_contracts.topics import topic
from signalbox_contracts.wire import decode
from signalbox_gateway.definitions import publish
from signalbox_gateway.store import resend as store

_DEFINITIONS: Final = topic("definitions.v1")
ALL_AGAIN_SECONDS: Final = 600.0


@dataclass
class Resender:
    """The loops. `answer_seconds` is how long an owner may be silent."""

    database: Database
    clock: Clock
    kafka: Kafka
    topic_prefix: str
    answer_seconds: float
    _end: int | None = None
    _read_at: float = 0.0

    async def requests(self) -> bool:
        """Resend requests and commands that nobody answered."""
        async with self.database.unit_of_work() as work:
            plans = await store.take_unanswered_plans(work.connection, seconds=self.answer_seconds / 6)
            await store.resend_plans(work.connection, plans)
            operations = await store.take_unanswered_operations(work.connection, seconds=self.answer_seconds / 3)
            for row in operations:
                await store.resend_command(work.connection, row["target"], row["requested_at"])
        self.database.on_publish(["requests.v1", "operations.v1"])
        return store.MAX_RESENT in (len(plans), len(operations))

    async def definitions(self) -> None:
        """Publish definitions again that are missing on their topic, or are not there in their newest form."""
        made: Any = consumer(self.kafka)
        reader = cast("Consumer", made)
        try:
            await reader.start()
            partitions = [TopicPartition(_DEFINITIONS.full_name(self.topic_prefix), 0)]
            reader.assign(partitions)
            # each was published at least once: fewer records mean that the topic was wiped
            async with self.database.connection() as connection:
                known, before = await store.count_definitions(connection)
            (end,) = (await reader.end_offsets(partitions)).values()
            fewer = self._end is None or end < self._end or end < known
            read_all = fewer or time.monotonic() - self._read_at > ALL_AGAIN_SECONDS
            if read_all:
                there = await _revisions(reader, partitions[0], end)
                async with self.database.unit_of_work() as work:
                    await publish.lock(work.connection)
                    later = await publish.republish_newer(work, there, at=self.clock.now(), before=before)
                self._read_at = time.monotonic()
                end = None if later else end
            self._end = end
        finally:
            await reader.stop()


async def _revisions(consumer: Consumer, partition: TopicPartition, end: int) -> dict[str, int]:
    """The newest revision on the topic of each definition."""
    await consumer.seek_to_beginning(partition)
    found: dict[str, int] = {}
    while await consumer.position(partition) < end:
        for records in (await consumer.getmany(timeout_ms=500)).values():
            for raw in records:
                event = _read(raw)
                if isinstance(event, DefinitionSnapshot):
                    name = f"{event.data.kind}:{event.data.id}"
                    found[name] = max(found.get(name, 0), event.data.revision)
    return found


def _read(raw: Any) -> Any:
    try:
        return decode(_DEFINITIONS, raw.value, key=raw.key, headers=tuple(raw.headers))
    except ValueError:
        return None  # whoever reads the topic parks it
