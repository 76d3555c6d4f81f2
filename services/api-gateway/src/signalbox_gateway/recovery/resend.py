"""Resends requests, commands and definitions that their readers may have lost.

Kafka may have been wiped, or a reader restored from a backup. The same message is sent from the outbox with the same
id, so a reader that handled it drops it. In normal operation nothing is resent.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final, cast
from uuid import UUID

from aiokafka import TopicPartition

from signalbox_chassis.messaging.connection import Kafka, consumer
from signalbox_chassis.messaging.consumer import Consumer
from signalbox_chassis.persistence.connection import Connection
from signalbox_chassis.persistence.database import Database
from signalbox_chassis.runtime.clock import Clock
from signalbox_contracts.messages.definitions import DefinitionSnapshot
from signalbox_contracts.topics import topic
from signalbox_contracts.wire import decode
from signalbox_gateway.definitions import publish

_DEFINITIONS: Final = topic("definitions.v1")
ALL_AGAIN_SECONDS: Final = 600.0
MAX_RESENT: Final = 200
"""Plans, and operations, that one transaction resends."""

# A plan the planner has not answered for.
_UNANSWERED_PLANS: Final = f"""
UPDATE plan SET queried_at = now(), queries = queries + 1
WHERE id IN (
    SELECT id FROM plan WHERE version = 0
      AND coalesce(queried_at, created_at) + least($1 * 2 ^ queries, 600) * interval '1 second' < now()
    ORDER BY created_at LIMIT {MAX_RESENT} FOR UPDATE SKIP LOCKED)
RETURNING id, created_at
"""  # noqa: S608
_AGAIN: Final = """
UPDATE outbox SET sent_at = NULL
WHERE day = ANY($1::date[]) AND topic = 'requests.v1' AND key = ANY($2::bytea[]) AND sent_at IS NOT NULL
"""
# Operations that nobody has answered, each after a wait that doubles, so that those without an answer do not displace
# newer ones. A log is followed for a minute only: a later request would follow a log that nobody reads.
_UNANSWERED: Final = f"""
UPDATE operation SET resent_at = now(), resends = resends + 1
WHERE id IN (
    SELECT o.id FROM operation o
    WHERE o.requested_at > now() - interval '1 hour'
      AND coalesce(o.resent_at, o.requested_at) + $1 * 2 ^ o.resends * interval '1 second' < now()
      AND o.operation <> 'logs.follow' AND NOT EXISTS (SELECT FROM operation_answer a WHERE a.operation_id = o.id)
    ORDER BY o.requested_at LIMIT {MAX_RESENT} FOR UPDATE SKIP LOCKED)
RETURNING target, requested_at
"""  # noqa: S608
_COMMAND_AGAIN: Final = """
UPDATE outbox SET sent_at = NULL
WHERE day = $1 AND topic IN ('requests.v1', 'operations.v1') AND key = $2 AND sent_at IS NOT NULL
  AND created_at >= $3::timestamptz AND created_at < $3::timestamptz + interval '10 seconds'
"""


# A transaction's rows have its time or a later one; none takes two seconds to commit; else it is only published twice.
_KNOWN: Final = """
SELECT (SELECT count(*) FROM definition WHERE NOT deleted) AS known,
    least(now(), (SELECT min(created_at) FROM outbox WHERE topic = 'definitions.v1' AND sent_at IS NULL))
    - interval '2 seconds' AS before
"""


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
            plans = await work.connection.fetch(_UNANSWERED_PLANS, self.answer_seconds / 6)
            await resend_plans(work.connection, {row["id"]: row["created_at"] for row in plans})
            operations = await work.connection.fetch(_UNANSWERED, self.answer_seconds / 3)
            for row in operations:
                key = row["target"].removeprefix("plan:").encode()
                await work.connection.execute(_COMMAND_AGAIN, row["requested_at"].date(), key, row["requested_at"])
        self.database.on_publish(["requests.v1", "operations.v1"])
        return len(plans) == MAX_RESENT or len(operations) == MAX_RESENT

    async def definitions(self) -> None:
        """Publish definitions again that are missing on their topic, or are not there in their newest form."""
        made: Any = consumer(self.kafka)
        reader = cast("Consumer", made)
        try:
            await reader.start()
            partitions = [TopicPartition(_DEFINITIONS.full_name(self.topic_prefix), 0)]
            reader.assign(partitions)
            # each was published at least once: fewer records mean that the topic was wiped
            known, before = await self._known()
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

    async def _known(self) -> tuple[int, datetime]:
        """How many definitions there are, and since when there may be some that the relay has not sent yet."""
        async with self.database.connection() as connection:
            row = await connection.fetchrow(_KNOWN)
        assert row is not None
        return row["known"], row["before"]


async def resend_plans(connection: Connection, plans: Mapping[UUID, datetime]) -> None:
    """Send everything that was asked about these plans once more; by when they were made."""
    if not plans:
        return
    first, today = min(plans.values()).date(), await connection.fetchval("SELECT (now() AT TIME ZONE 'UTC')::date")
    days = [
        date.fromordinal(day) for day in range(max(first.toordinal(), today.toordinal() - 7), today.toordinal() + 1)
    ]
    await connection.execute(_AGAIN, days, [str(plan).encode() for plan in plans])


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
