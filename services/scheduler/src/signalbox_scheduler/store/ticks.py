"""Rows of ticks and backfills."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from uuid import UUID

from signalbox_chassis.persistence.connection import Connection
from signalbox_contracts.messages.operations import ScheduleBackfillData

# INVARIANT tick.once: one row per schedule and instant, whoever inserts it. Only the inserter publishes it.
_INSERT = """
INSERT INTO tick (id, schedule_id, due_at, event_date, outcome, cause, detail)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::date[], $5::text[], $6::text[], $7::text[])
ON CONFLICT (id) DO NOTHING RETURNING id
"""
# A backfill also fires what was skipped before, and never what has fired.
_BACKFILL = """
INSERT INTO tick AS t (id, schedule_id, due_at, event_date, outcome, cause, detail)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::date[], $5::text[], $6::text[], $7::text[])
ON CONFLICT (id) DO UPDATE SET outcome = 'FIRED', cause = excluded.cause, detail = excluded.detail, noticed_at = now()
WHERE t.outcome = 'SKIPPED' RETURNING id
"""
# INVARIANT tick.published: what `store` left is published by the one who takes it, whatever became of the schedule:
# of one that is stopped after a new revision has started it again, and never if it is deleted before that.
_TAKE_STORED = """
SELECT t.id, t.schedule_id, t.due_at, t.event_date, t.outcome, t.cause, t.detail, s.revision, s.definition
FROM tick t JOIN schedule s ON s.id = t.schedule_id
WHERE t.unpublished AND s.problem = '' AND NOT s.project = ANY ($2)
ORDER BY t.noticed_at LIMIT $1 FOR UPDATE OF t SKIP LOCKED
"""
_KEEP_BACKFILL = """
INSERT INTO backfill (id, schedule_id, cursor_at, until_at, remaining, command)
VALUES ($1, $2, $3::timestamptz - interval '1 microsecond', $4, $5, $6) ON CONFLICT DO NOTHING
"""
_TAKE_BACKFILL = """
SELECT b.id, b.schedule_id, b.cursor_at, b.until_at, b.remaining, b.command, b.fired, b.present FROM backfill b
LEFT JOIN schedule s ON s.id = b.schedule_id
WHERE s.project IS NULL OR NOT s.project = ANY ($1) ORDER BY b.id LIMIT 1 FOR UPDATE OF b SKIP LOCKED
"""
_MOVE_BACKFILL = """
UPDATE backfill SET cursor_at = CASE WHEN $6 THEN cursor_at ELSE $2 END,
    until_at = CASE WHEN $6 THEN $2::timestamptz - interval '1 microsecond' ELSE until_at END,
    remaining = remaining - $3, fired = fired + $4, present = present + $5
WHERE id = $1
"""
_PRUNE = """
DELETE FROM tick WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM tick WHERE noticed_at < now() - make_interval(days => $1) ORDER BY noticed_at LIMIT $2))
"""


_FIRST_INSTANT = datetime(1, 1, 3, tzinfo=UTC)
"""Before it a microsecond, a time zone or a clock change may leave the calendar."""


@dataclass(frozen=True, slots=True)
class Tick:
    """One decided instant of a schedule."""

    id: UUID
    schedule_id: str
    due_at: datetime
    event_date: date
    outcome: str
    cause: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class StoredTick:
    """A tick that is not published yet, and its schedule as it is now."""

    tick: Tick
    revision: int
    definition: str


@dataclass(frozen=True, slots=True)
class Backfill:
    """A range whose ticks are being fired."""

    id: UUID
    schedule_id: str
    cursor_at: datetime
    until_at: datetime
    remaining: int
    command: str
    fired: int
    present: int


async def insert(connection: Connection, ticks: Sequence[Tick], *, backfill: bool = False) -> set[UUID]:
    """Keep these ticks; the ids of those that are new, or that a backfill fires now."""
    columns = ("id", "schedule_id", "due_at", "event_date", "outcome", "cause", "detail")
    values = ([getattr(tick, column) for tick in ticks] for column in columns)
    return {row["id"] for row in await connection.fetch(_BACKFILL if backfill else _INSERT, *values)}


async def take_stored(connection: Connection, limit: int, *, frozen: Sequence[str] = ()) -> list[StoredTick]:
    """Lock up to `limit` ticks that `store` left, of schedules that are not stopped in projects that are not frozen."""
    rows = [dict(row) for row in await connection.fetch(_TAKE_STORED, limit, list(frozen))]
    return [
        StoredTick(revision=row.pop("revision"), definition=row.pop("definition"), tick=Tick(**row)) for row in rows
    ]


async def mark_published(connection: Connection, ids: Sequence[UUID]) -> None:
    """Record that these stored ticks are published."""
    if ids:
        await connection.execute("UPDATE tick SET unpublished = false WHERE id = ANY($1)", list(ids))


async def keep_backfill(connection: Connection, data: ScheduleBackfillData) -> None:
    """Remember a backfill until all its ticks have fired. The same operation twice is one."""
    from_at = max(data.from_at, _FIRST_INSTANT)
    await connection.execute(
        _KEEP_BACKFILL, data.operation_id, data.schedule_id, from_at, data.until_at, data.at_most,
        data.model_dump_json(),
    )  # fmt: skip


async def take_backfill(connection: Connection, *, frozen: Sequence[str] = ()) -> Backfill | None:
    """Lock the next backfill of a schedule whose project is not frozen."""
    row = await connection.fetchrow(_TAKE_BACKFILL, list(frozen))
    return None if row is None else Backfill(**row)


async def move_backfill(
    connection: Connection, backfill: Backfill, instant: datetime, *, newest_first: bool, fired: int, present: int
) -> None:
    """Record how far a backfill has come."""
    await connection.execute(_MOVE_BACKFILL, backfill.id, instant, fired + present, fired, present, newest_first)


async def end_backfill(connection: Connection, backfill_id: UUID) -> None:
    """Forget a backfill that is complete."""
    await connection.execute("DELETE FROM backfill WHERE id = $1", backfill_id)


async def prune(connection: Connection, keep_days: int, limit: int = 5000) -> int:
    """Delete up to `limit` old ticks; how many went."""
    return int((await connection.execute(_PRUNE, keep_days, limit)).split()[-1])
