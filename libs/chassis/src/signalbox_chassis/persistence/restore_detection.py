"""Whether this database is the one the service wrote to last, or one that was restored to a moment ago.

A restored owner counts its versions up again from where the backup was, so what it says next would look old to its
readers, or carry the id of something they have heard. So every version is raised above all that was ever said: `floor`
is the time in hundredths of a second, and no aggregate has a hundred versions a second. What was read since the backup
is read again: the groups are put back behind the last pulse the database remembers, and the inbox drops what it knows.
Until it is read to where it was, nothing is done of what the tables say: it may have been called off since.

The mark is one row. Its writer's transaction id is in it and must be the one PostgreSQL shows (`xmin`): rows that were
dumped, copied or replicated have another. A failover or a recovery to a point in time begins a new timeline, a new
cluster has another identifier. A disk put back to a snapshot shows nothing of this: then `UPDATE life SET place = ''`
says so by hand.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, cast

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import CommitFailedError, IllegalGenerationError, UnknownMemberIdError
from aiokafka.structs import OffsetAndMetadata, OffsetAndTimestamp

from signalbox_chassis.persistence.database import Database, UnitOfWork

log = logging.getLogger(__name__)
AfterRestore = Callable[[UnitOfWork, int], Awaitable[None]]
"""Raise every version to this floor and say everything again, in the transaction that notices the restore."""
PULSE_SECONDS: Final = 5.0
REWIND: Final = timedelta(hours=1)
"""How far before the last pulse messages are read again: a reader may have been that far behind."""
RAISE_SECONDS: Final = 120.0
LOOK_SECONDS: Final = 0.2
SAY_SECONDS: Final = 5.0

_PLACE: Final = (
    "(SELECT system_identifier FROM pg_control_system()) || '/' || left(pg_walfile_name(pg_current_wal_lsn()), 8)"
)
_XID: Final = "pg_current_xact_id()::text::bigint % 4294967296"
_OURS: Final = f"l.place = {_PLACE} AND l.written_by = l.xmin::text::bigint"
# INVARIANT the row is written by nothing but this module, so that its own transaction id is always in it.
_PULSE: Final = f"""
INSERT INTO life AS l (place, written_by) VALUES ({_PLACE}, {_XID})
ON CONFLICT (single) DO UPDATE SET seen_at = now(), written_by = {_XID} WHERE {_OURS}
RETURNING floor
"""  # noqa: S608
_RESTORED: Final = f"""
UPDATE life l SET place = {_PLACE}, written_by = {_XID}, seen_at = now(), rewind_from = least(rewind_from, seen_at),
    floor = greatest(floor + 1, (extract(epoch FROM clock_timestamp()) * 100)::bigint)
WHERE NOT ({_OURS}) RETURNING floor
"""  # noqa: S608
_READ_AGAIN: Final = f"""
UPDATE life l SET rewind_from = NULL, seen_at = now(), written_by = {_XID} WHERE l.floor = $1 AND {_OURS}
RETURNING floor
"""  # noqa: S608
GOES_ON: Final = f"NOT EXISTS (SELECT FROM life l WHERE NOT ({_OURS}) OR l.rewind_from IS NOT NULL)"
"""A condition of SQL, false from a restore until what came since the backup is read again, in any process."""


class Life:
    """A part of a service, started before anything is read or said. `groups` are consumer groups and their topics.

    `replay` comes before anything is done.
    """

    def __init__(
        self,
        database: Database,
        after_restore: AfterRestore,
        *,
        bootstrap: str,
        groups: Mapping[str, Sequence[TopicPartition]],
        end: Callable[[], None],
    ) -> None:
        self._database = database
        self._after_restore = after_restore
        self._bootstrap = bootstrap
        self._groups = groups
        self._end = end
        self._floor: int | None = None
        self._ends: dict[str, dict[TopicPartition, int]] | None = None
        """Where the groups must come to again, if it was us who put them back."""

    async def start(self) -> None:
        """Return when versions and groups are right for this database."""
        async with self._database.unit_of_work() as work:
            if await work.connection.fetchval(_PULSE) is None:
                await work.connection.execute(f"SET LOCAL statement_timeout = '{RAISE_SECONDS:.0f}s'")
                floor: int | None = await work.connection.fetchval(_RESTORED)
                if floor is not None:  # else another replica has just done it
                    log.warning("this database was restored: versions go on from %d", floor)
                    await self._after_restore(work, floor)
            self._floor = await work.connection.fetchval("SELECT floor FROM life")
        wait = 0.5
        while (since := await self._rewind_from()) is not None:
            if await self._rewind(since):
                return
            await asyncio.sleep(wait)  # members that have not noticed yet end themselves; or another reads it again
            wait = min(wait * 1.5, 5.0)

    async def replay(self, begin_reading: Callable[[], Awaitable[None]]) -> None:
        """Return when what came since the backup is read again, by whoever has put the groups back."""
        if self._ends is None:
            return
        await begin_reading()
        for group, ends in self._ends.items():
            await self._until_read(group, ends)
        async with self._database.connection() as connection:
            if await connection.fetchval(_READ_AGAIN, self._floor) is None:
                log.critical("this database was restored again: beginning anew")
                self._end()
                return
        self._ends = None
        log.warning("all is read that came since the backup")

    async def stop(self) -> None:
        pass

    async def pulse(self) -> None:
        """One pass: remember that we live. In a database that was restored under us: begin anew, by ending."""
        async with self._database.connection() as connection:
            if await connection.fetchval(_PULSE) != self._floor:  # or another replica has seen it, and begun anew
                log.critical("this database was restored while we ran: beginning anew")
                self._end()

    async def _rewind_from(self) -> datetime | None:
        async with self._database.connection() as connection:
            return await connection.fetchval("SELECT rewind_from FROM life")

    async def _rewind(self, since: datetime) -> bool:
        """Put every group back and note where it must come to; False while one has members."""
        ends: dict[str, dict[TopicPartition, int]] = {}
        at_ms = int((since - REWIND).timestamp() * 1000)
        for group, partitions in self._groups.items():
            made: Any = AIOKafkaConsumer(bootstrap_servers=self._bootstrap, group_id=group, enable_auto_commit=False)
            try:
                await made.start()
                made.assign(list(partitions))
                await _put_back(made, partitions, at_ms)
                ends[group] = await _ends_of(made, partitions)
            except (CommitFailedError, IllegalGenerationError, UnknownMemberIdError) as error:
                log.info("%s is still in use: %r", group, error)
                return False
            finally:
                await made.stop()
        self._ends = ends
        return True

    async def _until_read(self, group: str, ends: Mapping[TopicPartition, int]) -> None:
        client = AIOKafkaAdminClient(bootstrap_servers=self._bootstrap)
        await client.start()
        say_at = 0.0
        try:
            while left := _left(await client.list_consumer_group_offsets(group), ends):
                if time.monotonic() >= say_at:
                    log.warning("%s has %d messages to read again before anything goes on", group, left)
                    say_at = time.monotonic() + SAY_SECONDS
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            await client.close()


def _left(committed: Mapping[TopicPartition, OffsetAndMetadata], ends: Mapping[TopicPartition, int]) -> int:
    """How many messages lie between; -1 is said of a partition of which nothing was ever committed."""
    read = {at: max(0, offset.offset) for at, offset in committed.items()}
    return sum(max(0, end - read.get(at, 0)) for at, end in ends.items())


async def _ends_of(consumer: Any, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
    """The ends of the partitions that have anything in them."""
    firsts = cast("dict[TopicPartition, int]", await consumer.beginning_offsets(partitions))
    ends = cast("dict[TopicPartition, int]", await consumer.end_offsets(partitions))
    return {at: end for at, end in ends.items() if firsts[at] < end}


async def _put_back(consumer: Any, partitions: Sequence[TopicPartition], at_ms: int) -> None:
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
