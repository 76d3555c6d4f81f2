"""Detects that this database was restored from an older copy, and makes the service catch up.

A restored owner would count its versions up from where the backup was. Its readers would take the next facts for old
ones. So every version is raised above all published ones: `version_floor` is the time in hundredths of a second, and no
aggregate has a hundred versions a second. The service reads again what came since the backup: the consumer groups are
put back behind the last heartbeat that the database remembers, and the inbox drops what it knows. Task processing stays
suspended until the replay is complete: a newer cancel may be pending.

The mark is one row of `restore_mark`. It holds its writer's transaction id, which must be the one PostgreSQL shows
(`xmin`): rows that were dumped, copied or replicated have another. A failover or a recovery to a point in time begins a
new timeline, and a new cluster has another identifier. A disk that was put back to a snapshot shows nothing of this:
then `UPDATE restore_mark SET place = ''` reports it by hand.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, cast

from aiokafka import TopicPartition
from aiokafka.errors import CommitFailedError, IllegalGenerationError, UnknownMemberIdError
from aiokafka.structs import OffsetAndMetadata, OffsetAndTimestamp

from signalbox_chassis.messaging.connection import Kafka, admin_client, consumer
from signalbox_chassis.persistence.database import Database, UnitOfWork

log = logging.getLogger(__name__)
AfterRestore = Callable[[UnitOfWork, int], Awaitable[None]]
"""Raises every version to this floor and republishes everything, in the transaction that detects the restore."""
HEARTBEAT_SECONDS: Final = 5.0
REWIND: Final = timedelta(hours=1)
"""How far before the last heartbeat messages are read again: a reader may have been that far behind."""
RAISE_SECONDS: Final = 120.0
POLL_SECONDS: Final = 0.2
LOG_SECONDS: Final = 5.0

_PLACE: Final = (
    "(SELECT system_identifier FROM pg_control_system()) || '/' || left(pg_walfile_name(pg_current_wal_lsn()), 8)"
)
_XID: Final = "pg_current_xact_id()::text::bigint % 4294967296"
_OURS: Final = f"l.place = {_PLACE} AND l.written_by = l.xmin::text::bigint"
# INVARIANT: only this module writes the row, so its own transaction id is always in it.
_HEARTBEAT: Final = f"""
INSERT INTO restore_mark AS l (place, written_by) VALUES ({_PLACE}, {_XID})
ON CONFLICT (single) DO UPDATE SET seen_at = now(), written_by = {_XID} WHERE {_OURS}
RETURNING version_floor
"""  # noqa: S608
_RESTORED: Final = f"""
UPDATE restore_mark l SET place = {_PLACE}, written_by = {_XID}, seen_at = now(),
    rewind_from = least(rewind_from, seen_at),
    version_floor = greatest(version_floor + 1, (extract(epoch FROM clock_timestamp()) * 100)::bigint)
WHERE NOT ({_OURS}) RETURNING version_floor
"""  # noqa: S608
_READ_AGAIN: Final = f"""
UPDATE restore_mark l SET rewind_from = NULL, seen_at = now(), written_by = {_XID}
WHERE l.version_floor = $1 AND {_OURS}
RETURNING version_floor
"""  # noqa: S608
REPLAY_COMPLETE: Final = f"NOT EXISTS (SELECT FROM restore_mark l WHERE NOT ({_OURS}) OR l.rewind_from IS NOT NULL)"
"""A condition in SQL. It is false from a restore until what came since the backup is read again, in any process."""


class RestoreDetector:
    """A part of a service that starts before the service reads or publishes anything.

    `groups` maps consumer groups to their partitions. `replay` runs before the service works on anything.
    """

    def __init__(
        self,
        database: Database,
        after_restore: AfterRestore,
        *,
        kafka: Kafka,
        groups: Mapping[str, Sequence[TopicPartition]],
        end: Callable[[], None],
    ) -> None:
        self._database = database
        self._after_restore = after_restore
        self._kafka = kafka
        self._groups = groups
        self._end = end
        self._floor: int | None = None
        self._ends: dict[str, dict[TopicPartition, int]] | None = None
        """The offsets that the groups must reach again, when this process put them back."""

    async def start(self) -> None:
        """Return when versions and consumer groups fit this database."""
        async with self._database.unit_of_work() as work:
            if await work.connection.fetchval(_HEARTBEAT) is None:
                await work.connection.execute(f"SET LOCAL statement_timeout = '{RAISE_SECONDS:.0f}s'")
                version_floor: int | None = await work.connection.fetchval(_RESTORED)
                if version_floor is not None:  # else another replica has done it
                    log.warning("this database was restored: versions continue from %d", version_floor)
                    await self._after_restore(work, version_floor)
            self._floor = await work.connection.fetchval("SELECT version_floor FROM restore_mark")
        wait = 0.5
        while (since := await self._rewind_from()) is not None:
            if await self._rewind(since):
                return
            await asyncio.sleep(wait)  # members that run on will end themselves, or another process replays
            wait = min(wait * 1.5, 5.0)

    async def replay(self, start_reading: Callable[[], Awaitable[None]]) -> None:
        """Return when what came since the backup is read again, if this process put the groups back."""
        if self._ends is None:
            return
        await start_reading()
        for group, ends in self._ends.items():
            await self._until_read(group, ends)
        async with self._database.connection() as connection:
            if await connection.fetchval(_READ_AGAIN, self._floor) is None:
                log.critical("this database was restored again: this process ends and starts over")
                self._end()
                return
        self._ends = None
        log.warning("everything that came since the backup is read again")

    async def stop(self) -> None:
        pass

    async def heartbeat(self) -> None:
        """One pass: update the mark. End this process when the database was restored while it ran."""
        async with self._database.connection() as connection:
            if (
                await connection.fetchval(_HEARTBEAT) != self._floor
            ):  # or another replica has detected it and started over
                log.critical("this database was restored while this process ran: it ends and starts over")
                self._end()

    async def _rewind_from(self) -> datetime | None:
        async with self._database.connection() as connection:
            return await connection.fetchval("SELECT rewind_from FROM restore_mark")

    async def _rewind(self, since: datetime) -> bool:
        """Put every group back and note the offsets it must reach. False while a group has members."""
        ends: dict[str, dict[TopicPartition, int]] = {}
        at_ms = int((since - REWIND).timestamp() * 1000)
        for group, partitions in self._groups.items():
            made: Any = consumer(self._kafka, group_id=group)
            try:
                await made.start()
                made.assign(list(partitions))
                await _rewind_offsets(made, partitions, at_ms)
                ends[group] = await _ends_of(made, partitions)
            except (CommitFailedError, IllegalGenerationError, UnknownMemberIdError) as error:
                log.info("%s is still in use: %r", group, error)
                return False
            finally:
                await made.stop()
        self._ends = ends
        return True

    async def _until_read(self, group: str, ends: Mapping[TopicPartition, int]) -> None:
        client = admin_client(self._kafka)
        await client.start()
        log_at = 0.0
        try:
            while left := _left(await client.list_consumer_group_offsets(group), ends):
                if time.monotonic() >= log_at:
                    log.warning("%s has %d messages to read again before work continues", group, left)
                    log_at = time.monotonic() + LOG_SECONDS
                await asyncio.sleep(POLL_SECONDS)
        finally:
            await client.close()


def _left(committed: Mapping[TopicPartition, OffsetAndMetadata], ends: Mapping[TopicPartition, int]) -> int:
    """How many messages lie between. A partition without a committed offset counts from its beginning."""
    read = {at: max(0, offset.offset) for at, offset in committed.items()}
    return sum(max(0, end - read.get(at, 0)) for at, end in ends.items())


async def _ends_of(consumer: Any, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
    """The ends of the partitions that have anything in them."""
    firsts = cast("dict[TopicPartition, int]", await consumer.beginning_offsets(partitions))
    ends = cast("dict[TopicPartition, int]", await consumer.end_offsets(partitions))
    return {at: end for at, end in ends.items() if firsts[at] < end}


async def _rewind_offsets(consumer: Any, partitions: Sequence[TopicPartition], at_ms: int) -> None:
    found = cast(
        "dict[TopicPartition, OffsetAndTimestamp | None]",
        await consumer.offsets_for_times(dict.fromkeys(partitions, at_ms)),
    )
    back: dict[TopicPartition, int] = {}
    for partition in partitions:
        first, committed = found.get(partition), await consumer.committed(partition)
        if first is not None and committed is not None and first.offset < committed:
            back[partition] = first.offset
    if back:
        await consumer.commit(back)
        log.warning("%d partitions are read again", len(back))
