"""The compacted topic of definitions, read to its end before a service listens to anything else, then followed.

There is no group and no offset: every process reads the whole topic at start. Handlers must therefore be guarded by the
definition's revision (`WHERE revision < $1`); the inbox is not used.
"""

import asyncio
import logging
from typing import Any, cast

from aiokafka import TopicPartition

from signalbox_chassis.messaging.connection import Kafka, consumer
from signalbox_chassis.messaging.consumer import Consumer
from signalbox_chassis.messaging.received import Record, read
from signalbox_chassis.messaging.settle import Settler
from signalbox_chassis.runtime.tasks import cancel
from signalbox_contracts.messages.definitions import DefinitionSnapshot
from signalbox_contracts.topics import Topic

log = logging.getLogger(__name__)
BATCH = 500


class DefinitionsFeed:
    """Follows one compacted topic. `revision` is the newest revision whose effect is committed."""

    def __init__(self, kafka: Kafka, topic: Topic, settler: Settler, *, topic_prefix: str = "signalbox.") -> None:
        self._kafka = kafka
        self._topic = topic
        self._name = topic.full_name(topic_prefix)
        self._settler = settler
        self._consumer: Consumer | None = None
        self._task: asyncio.Task[None] | None = None
        self._moved = asyncio.Condition()
        self.revision = 0

    async def start(self) -> None:
        """Return when everything written before this call has been applied. Raises KafkaError; may be called again."""
        made: Any = consumer(self._kafka, fetch_max_wait_ms=200)
        reader = cast("Consumer", made)
        try:
            await reader.start()
            await self._read_to_end(reader)
        except BaseException:
            await reader.stop()
            raise
        self._consumer = reader
        self._task = asyncio.create_task(self._follow(reader), name="definitions")

    async def stop(self) -> None:
        await cancel(self._task)
        if self._consumer is not None:
            await self._consumer.stop()

    async def seen(self, revision: int, timeout_seconds: float) -> bool:
        """Wait until this revision is applied; False when it is not in time."""
        try:
            async with asyncio.timeout(timeout_seconds), self._moved:
                await self._moved.wait_for(lambda: self.revision >= revision)
        except TimeoutError:
            return False
        return True

    async def _read_to_end(self, consumer: Consumer) -> None:
        partitions = [TopicPartition(self._name, number) for number in range(self._topic.partitions)]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        ends = await consumer.end_offsets(partitions)
        # positions, not empty polls, say when it is over: compaction leaves gaps, and a poll may be early
        while [tp for tp in partitions if await consumer.position(tp) < ends[tp]]:
            await self._poll(consumer, 200)

    def consumers(self) -> dict[str, Consumer]:
        """For the watchdog."""
        return {} if self._consumer is None else {"definitions": self._consumer}

    async def _follow(self, consumer: Consumer) -> None:
        while True:
            try:
                await self._poll(consumer, 1000)
            except Exception as error:
                log.warning("definitions are read again: %r", error)
                await asyncio.sleep(1)

    async def _poll(self, consumer: Consumer, timeout_ms: int) -> None:
        """Apply what is there; what cannot be applied is fetched again, and its error raised."""
        batches = await consumer.getmany(timeout_ms=timeout_ms, max_records=BATCH)
        failed: Exception | None = None
        for partition, raws in batches.items():
            records = [
                Record(self._topic, raw.partition, raw.offset, raw.timestamp, raw.key, tuple(raw.headers), raw.value)
                for raw in raws
            ]
            try:
                await self._settler.settle(records)
                await self._advance(records)
            except Exception as error:
                consumer.seek(partition, raws[0].offset)
                failed = error
        if failed:
            raise failed

    async def _advance(self, records: list[Record]) -> None:
        async with self._moved:
            self.revision = max([self.revision, *(_revision(record) for record in records)])
            self._moved.notify_all()


def _revision(record: Record) -> int:
    try:
        event: Any = read(record)
    except ValueError:
        return 0  # parked by the settler
    return event.data.revision if isinstance(event, DefinitionSnapshot) else 0
