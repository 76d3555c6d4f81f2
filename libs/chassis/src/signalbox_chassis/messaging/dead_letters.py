"""Parked messages: kept unchanged in a table, announced on a topic, redriven to the one handler that failed.

States: PARKED → REDRIVING → REDRIVEN, or back to PARKED when it fails again; PARKED → DROPPED. A redrive is asked for
by an operation message, which only marks the rows; a loop does the work, one transaction per message.
"""

import asyncio
import base64
import json
import logging
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from prometheus_client import Counter, Gauge

from signalbox_chassis.messaging import inbox, notices
from signalbox_chassis.messaging.received import Received, Record, read, written_at
from signalbox_chassis.messaging.router import Router
from signalbox_chassis.messaging.transient import Failure, classify
from signalbox_chassis.observability.logs import redact
from signalbox_chassis.persistence.connection import Connection, Row
from signalbox_chassis.persistence.database import Database, UnitOfWork
from signalbox_chassis.runtime.clock import Clock
from signalbox_contracts.ids import dead_letter_id
from signalbox_contracts.messages.dead_letters import DeadLetterOutcome
from signalbox_contracts.messages.operations import DeadLetterDrop, DeadLetterRedrive
from signalbox_contracts.topics import Topic
from signalbox_contracts.wire import Undecodable, UnknownType

log = logging.getLogger(__name__)
_PARKED = Counter("signalbox_parked_total", "Messages parked", ["topic"])
_WAITING = Gauge("signalbox_parked_messages", "Messages parked and not settled")
ERROR_CHARACTERS = 2000
REDRIVE_SECONDS = 30.0

# Parking the same record twice is parking it once; the count says how often it was tried. A letter somebody settled
# stays settled when its record comes again (offsets lost, topics replayed).
_PARK = """
INSERT INTO dead_letter (id, topic, partition_number, record_offset, record_at, key, headers, value, event_type, error)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (id) DO UPDATE SET attempts = dead_letter.attempts + 1, error = excluded.error
RETURNING attempts
"""
_ASK = """
UPDATE dead_letter SET state = $2, operation_id = $3, actor = $4, reason = $5,
    settled_at = CASE WHEN $2 = 'DROPPED' THEN now() END
WHERE id = ANY($1) AND state = 'PARKED' RETURNING *
"""
_SETTLED = "SELECT id FROM dead_letter WHERE id = ANY($1) AND state = 'DROPPED'"
_PARKED_ERROR = """
SELECT error FROM dead_letter WHERE state = 'PARKED' AND topic = $1 AND key = $2 ORDER BY parked_at LIMIT 1
"""
_NEXT = """
SELECT * FROM dead_letter WHERE state = 'REDRIVING' AND NOT id = ANY($1)
ORDER BY parked_at LIMIT 1 FOR UPDATE SKIP LOCKED
"""
_FAILED_AGAIN = """
UPDATE dead_letter SET state = 'PARKED', attempts = attempts + 1, error = $2 WHERE id = $1 AND state = 'REDRIVING'
RETURNING attempts
"""


class DeadLetters:
    """The parked messages of one service. `sources` is filled by the bus: topic name to the topic and its router."""

    def __init__(self, service: str, database: Database, clock: Clock) -> None:
        self._service = service
        self._database = database
        self._clock = clock
        self.sources: dict[str, tuple[Topic, Router]] = {}
        self.wake: Callable[[], None] = lambda: None
        """Called when a redrive was asked for."""

    async def park(
        self, work: UnitOfWork, record: Record, received: Received[Any] | None, error: BaseException
    ) -> None:
        """Put the record aside, whole, with its error; announce it once."""
        letter_id, reason = self.id_of(record), describe(error)
        attempts = await work.connection.fetchval(
            _PARK,
            letter_id,
            record.topic.name,
            record.partition,
            record.offset,
            written_at(record),
            record.key,
            json.dumps([[name, _stored(value)] for name, value in record.headers]),
            record.value,
            received.event.type if received else None,
            reason,
        )
        _PARKED.labels(record.topic.name).inc()
        log.error("parked %s[%d]@%d: %s", record.topic.name, record.partition, record.offset, reason, exc_info=error)
        if attempts == 1:
            notice = notices.parked(self._service, letter_id, record, received, reason, self._clock.now())
            work.publish(notice, cause=received)

    def id_of(self, record: Record) -> UUID:
        """The same record parked twice has one id; a record of a Kafka that was wiped in between another."""
        return dead_letter_id(self._service, record.topic.name, record.partition, record.offset, record.timestamp_ms)

    def answer_operations(self, router: Router) -> None:
        """Let this router take the operations about this service's parked messages."""

        async def redrive(work: UnitOfWork, requests: Sequence[Received[DeadLetterRedrive]]) -> None:
            await self._mark(work, requests, "REDRIVING")

        async def drop(work: UnitOfWork, requests: Sequence[Received[DeadLetterDrop]]) -> None:
            await self._mark(work, requests, "DROPPED")

        router.on(DeadLetterRedrive)(redrive)
        router.on(DeadLetterDrop)(drop)

    async def _mark(
        self, work: UnitOfWork, requests: Sequence[Received[DeadLetterRedrive] | Received[DeadLetterDrop]], state: str
    ) -> None:
        for received in requests:
            data = received.event.data
            if data.service != self._service:
                continue
            ids = list(data.dead_letter_ids)
            work.on_commit(lambda: self.wake())
            found = await work.connection.fetch(_ASK, ids, state, data.operation_id, data.actor, data.reason)
            if state == "DROPPED":
                await self._never_handle(work, found)
                for row in found:
                    self._publish_state(work, row["id"], DeadLetterOutcome.DROPPED, row["attempts"])
            # what this service settled itself, for example with the cancel of its plan, is settled for the asker too
            settled = await work.connection.fetch(_SETTLED, ids) if state == "DROPPED" else []
            missing = set(ids) - {row["id"] for row in (*found, *settled)}
            done = f"{len(found)} {state.lower()}" + (f", {len(missing)} not parked here" if missing else "")
            ok = bool(found or settled)
            work.publish(notices.answered(self._service, received.event, done, ok, self._clock.now()), cause=received)

    async def _never_handle(self, work: UnitOfWork, dropped: Sequence[Row]) -> None:
        """Put dropped events in the inbox, so that a replay of their topic does not handle them after all."""
        readable: list[Received[Any]] = []
        for row in dropped:
            try:
                record = self._record(row)
                readable.append(Received(read(record), record))
            except (ValueError, KeyError):  # unreadable, or of a topic this service no longer reads
                continue
        await inbox.unhandled(work.connection, readable)

    async def redrive_requested(self) -> None:
        """One pass of the loop: handle every message somebody asked to redrive, each in its own transaction."""
        tried: list[UUID] = []
        while (letter_id := await self._redrive_next(tried)) is not None:
            tried.append(letter_id)

    async def _redrive_next(self, tried: Sequence[UUID]) -> UUID | None:
        """Run one handler with its inbox row and its settling in one transaction; None when nothing is left."""
        letter_id: UUID | None = None
        try:
            async with asyncio.timeout(REDRIVE_SECONDS), self._database.unit_of_work() as work:
                row = await work.connection.fetchrow(_NEXT, list(tried))
                if row is None:
                    return None
                letter_id = row["id"]
                await self._handle(work, row)
                await work.connection.execute(
                    "UPDATE dead_letter SET state = 'REDRIVEN', settled_at = now() WHERE id = $1", letter_id
                )
                self._publish_state(work, row["id"], DeadLetterOutcome.REDRIVEN, row["attempts"])
        except Exception as error:
            if letter_id is None or classify(error) in (Failure.PASSING, Failure.REFUSED):
                raise  # the loop tries again; the letter is still asked for
            await self._failed_again(letter_id, error)
        return letter_id

    async def _handle(self, work: UnitOfWork, row: Row) -> None:
        record = self._record(row)
        received: Received[Any] = Received(read(record), record)
        _, router = self.sources[row["topic"]]
        if record.topic.kind == "definitions" or await inbox.unhandled(work.connection, [received]):
            await router.handle(work, [received])

    def _record(self, row: Row) -> Record:
        topic, _ = self.sources[row["topic"]]
        return Record(
            topic=topic,
            partition=row["partition_number"],
            offset=row["record_offset"],
            timestamp_ms=int(row["record_at"].timestamp() * 1000),
            key=row["key"],
            headers=tuple((name, _restored(value)) for name, value in json.loads(row["headers"])),
            value=row["value"],
        )

    async def _failed_again(self, letter_id: UUID, error: BaseException) -> None:
        log.error("redrive of %s failed: %s", letter_id, describe(error), exc_info=error)
        reason = describe(error)
        async with self._database.unit_of_work() as work:
            attempts = await work.connection.fetchval(_FAILED_AGAIN, letter_id, reason)
            if attempts is not None:
                self._publish_state(work, letter_id, DeadLetterOutcome.PARKED, attempts, reason)

    def _publish_state(
        self, work: UnitOfWork, letter_id: UUID, state: DeadLetterOutcome, attempts: int, error: str | None = None
    ) -> None:
        work.publish(notices.parked_state(self._service, letter_id, state, attempts, self._clock.now(), error))

    async def count(self) -> int:
        """Messages parked and not settled."""
        async with self._database.connection() as connection:
            parked = await open_letters(connection)
        _WAITING.set(parked)
        return parked


async def open_letters(connection: Connection) -> int:
    return int(await connection.fetchval("SELECT count(*) FROM dead_letter WHERE state IN ('PARKED', 'REDRIVING')"))


async def parked_error(connection: Connection, topic: str, key: str) -> str | None:
    """Why the oldest message with this key was parked, None if none is."""
    return await connection.fetchval(_PARKED_ERROR, topic, key.encode())


def describe(error: BaseException) -> str:
    """The error in at most 2,000 characters, without secrets, and without what PostgreSQL cannot store."""
    text = str(error) if isinstance(error, Undecodable | UnknownType) else f"{type(error).__name__}: {error}"
    return redact(text.replace("\0", "").encode("utf-8", "replace").decode())[:ERROR_CHARACTERS]


def _stored(value: bytes | None) -> str | None:
    return None if value is None else base64.b64encode(value).decode()


def _restored(value: str | None) -> bytes | None:
    return None if value is None else base64.b64decode(value)
