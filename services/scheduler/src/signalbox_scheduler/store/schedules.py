"""Rows of schedules and freezes."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from signalbox_chassis.persistence.connection import Connection, Row
from signalbox_chassis.runtime.isolation import readable
from signalbox_contracts.definitions.freeze import Freeze
from signalbox_contracts.definitions.schedule import Schedule

# INVARIANT cursor.grows: an instant that is decided is never decided again. Only a new rule moves the cursor to now.
_DEFINE = """
INSERT INTO schedule AS s (id, revision, definition, project, deleted, cursor_at, next_fire_at)
SELECT d.id, d.revision, d.definition, d.project, d.deleted, d.defined_at, CASE WHEN NOT d.deleted THEN now() END
FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::boolean[], $6::timestamptz[], $7::boolean[])
  AS d (id, revision, definition, project, deleted, defined_at, same_rule)
ON CONFLICT (id) DO UPDATE SET
    revision = excluded.revision, definition = excluded.definition, project = excluded.project,
    deleted = excluded.deleted, problem = '', version = s.version + 1,
    next_fire_at = CASE WHEN NOT excluded.deleted THEN now() END,
    next_due_at = NULL, on_time_until = NULL,
    cursor_at = CASE WHEN (SELECT d.same_rule FROM unnest($1::text[], $7::boolean[]) AS d (id, same_rule)
                           WHERE d.id = excluded.id)
                THEN s.cursor_at ELSE greatest(s.cursor_at, now()) END
WHERE s.revision < excluded.revision
"""
_KNOWN = "SELECT id, definition, deleted, problem FROM schedule WHERE id = ANY($1)"
# A schedule that is deleted while it is stopped or cannot be read has no tick any more: its stored one did not happen.
# Ticks before their schedule: `fire` locks them in this order.
_DELETE_STORED_TICKS = """
DELETE FROM tick WHERE unpublished AND schedule_id = $1
  AND EXISTS (SELECT FROM schedule WHERE id = $1 AND revision < $2)
"""
_DELETE = """
UPDATE schedule SET revision = $2, deleted = true, next_fire_at = NULL, published = version
WHERE id = $1 AND revision < $2
"""
# SKIP LOCKED: any number of schedulers share the due schedules, none waits for another.
# A tick that is there was stored before, or fired by a backfill. A subquery, not a join: a plan made while `tick` was
# small would read all of it for ever.
_STORE_ON_TIME = """
WITH due AS (
    SELECT id, next_tick_id, next_due_at, next_event_date, next_fire_at FROM schedule
    WHERE next_fire_at <= now() AND now() <= on_time_until AND cursor_at < next_due_at AND NOT project = ANY ($2)
      AND (SELECT true FROM tick WHERE tick.id = next_tick_id) IS NULL
    ORDER BY next_fire_at LIMIT $1 FOR UPDATE SKIP LOCKED
), stored AS (
    INSERT INTO tick (id, schedule_id, due_at, event_date, outcome, cause, unpublished)
    SELECT next_tick_id, id, next_due_at, next_event_date, 'FIRED', $3, true FROM due
    ON CONFLICT (id) DO NOTHING
)
SELECT extract(epoch FROM now() - next_fire_at)::float8 AS late_seconds FROM due
"""
_DUE = """
SELECT id, revision, definition, deleted, cursor_at,
    (SELECT due_at FROM tick WHERE tick.id = next_tick_id) AS stored_due_at
FROM schedule
WHERE next_fire_at <= now() AND NOT project = ANY ($2)
  AND (on_time_until IS NULL OR on_time_until < now() OR (SELECT true FROM tick WHERE tick.id = next_tick_id))
ORDER BY next_fire_at LIMIT $1 FOR UPDATE SKIP LOCKED
"""
_SECONDS_TO_NEXT = """
SELECT extract(epoch FROM min(next_fire_at) - clock_timestamp())::float8 FROM schedule WHERE next_fire_at > now()
"""
_ADVANCE = """
UPDATE schedule s SET
    cursor_at = a.cursor_at, next_due_at = a.next_due_at, next_fire_at = a.next_fire_at, next_tick_id = a.next_tick_id,
    next_event_date = a.next_event_date, on_time_until = a.on_time_until,
    last_due_at = coalesce(a.last_due_at, s.last_due_at), last_fired_at = coalesce(a.last_fired_at, s.last_fired_at),
    fired = s.fired + a.fired, skipped = s.skipped + a.skipped, version = s.version + 1
FROM unnest($1::text[], $2::timestamptz[], $3::timestamptz[], $4::timestamptz[], $5::timestamptz[],
            $6::timestamptz[], $7::bigint[], $8::bigint[], $9::uuid[], $10::date[], $11::timestamptz[])
  AS a (id, cursor_at, next_due_at, next_fire_at, last_due_at, last_fired_at, fired, skipped, next_tick_id,
        next_event_date, on_time_until)
WHERE s.id = a.id
"""
_FAIL = """
UPDATE schedule SET problem = left($2, 2000), next_fire_at = NULL, next_due_at = NULL,
    version = version + 1
WHERE id = $1 AND revision = $3
"""
_UNPUBLISHED = """
SELECT id, revision, definition, project, next_due_at, last_due_at, last_fired_at, fired, skipped, problem, version
FROM schedule WHERE published < version ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED
"""
_PUBLISHED = """
UPDATE schedule s SET published = p.version FROM unnest($1::text[], $2::bigint[]) AS p (id, version) WHERE s.id = p.id
"""
_FREEZE = """
INSERT INTO freeze_window AS f (id, revision, definition, lifted_at, began_at)
VALUES ($1, $2, $3, CASE WHEN $4 THEN $5::timestamptz END, $5)
ON CONFLICT (id) DO UPDATE SET revision = excluded.revision, definition = excluded.definition,
    began_at = CASE WHEN f.lifted_at IS NULL THEN f.began_at ELSE excluded.began_at END,
    lifted_at = CASE WHEN $4 THEN coalesce(f.lifted_at, excluded.lifted_at) END
WHERE f.revision < excluded.revision
"""
_LIFT = """
UPDATE freeze_window SET revision = $2, lifted_at = coalesce(lifted_at, $3) WHERE id = $1 AND revision < $2
"""


@dataclass(frozen=True, slots=True)
class Defined:
    """One snapshot of a schedule as the feed brought it."""

    id: str
    revision: int
    schedule: Schedule | None
    deleted: bool
    defined_at: datetime


@dataclass(frozen=True, slots=True)
class DueSchedule:
    """A locked schedule whose next tick has come; `stored_due_at` when that tick is stored already."""

    id: str
    revision: int
    definition: str
    deleted: bool
    cursor_at: datetime
    stored_due_at: datetime | None


@dataclass(frozen=True, slots=True)
class Advance:
    """Where a schedule stands after a pass."""

    id: str
    cursor_at: datetime
    next_due_at: datetime | None
    next_fire_at: datetime | None
    last_due_at: datetime | None
    last_fired_at: datetime | None
    fired: int
    skipped: int
    next_tick_id: UUID | None = None
    next_event_date: date | None = None
    on_time_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class ScheduleRow:
    """What is published about a schedule."""

    id: str
    revision: int
    definition: str
    project: str
    next_due_at: datetime | None
    last_due_at: datetime | None
    last_fired_at: datetime | None
    fired: int
    skipped: int
    problem: str
    version: int


@dataclass(frozen=True, slots=True)
class FreezeRow:
    """A freeze, when it was made, and when it was lifted."""

    freeze: Freeze
    began_at: datetime
    lifted_at: datetime | None


async def define(connection: Connection, snapshots: Sequence[Defined]) -> None:
    """Keep these snapshots, the newest of each schedule. An older revision changes nothing."""
    newest = {one.id: one for one in sorted(snapshots, key=lambda one: one.revision)}
    rows = await connection.fetch(_KNOWN, list(newest))
    stored = [row for row in rows if not row["deleted"]]
    known = dict(readable(stored, _named, part="schedules", name=lambda row: row["id"]))
    unreadable = {row["id"] for row in stored} - known.keys()
    stopped = {row["id"] for row in stored if row["problem"]} | unreadable
    for one in newest.values():
        if one.deleted and one.id in stopped:
            await connection.execute(_DELETE_STORED_TICKS, one.id, one.revision)
        if one.schedule is None and one.id in unreadable:
            await connection.execute(_DELETE, one.id, one.revision)
    kept = [one for one in newest.values() if one.schedule is not None]
    gone = [one for one in newest.values() if one.schedule is None and one.id in known]
    definitions = [(one, one.schedule or known[one.id]) for one in (*kept, *gone)]
    if not definitions:
        return
    await connection.execute(
        _DEFINE,
        [one.id for one, _ in definitions],
        [one.revision for one, _ in definitions],
        [schedule.model_dump_json() for _, schedule in definitions],
        [schedule.project for _, schedule in definitions],
        [one.deleted for one, _ in definitions],
        [one.defined_at for one, _ in definitions],
        [one.id in known and _rule(known[one.id]) == _rule(schedule) for one, schedule in definitions],
    )


async def store_on_time(
    connection: Connection, limit: int, *, cause: str, frozen: Sequence[str] = ()
) -> Sequence[float]:
    """Store the next tick of up to `limit` schedules that are due and on time; how late each is, in seconds."""
    rows = await connection.fetch(_STORE_ON_TIME, limit, list(frozen), cause)
    return [row["late_seconds"] for row in rows]


async def take_due(connection: Connection, limit: int, *, frozen: Sequence[str] = ()) -> list[DueSchedule]:
    """Lock up to `limit` schedules of projects that are not frozen, whose tick is stored, late or to be decided."""
    return [DueSchedule(**row) for row in await connection.fetch(_DUE, limit, list(frozen))]


async def seconds_to_next(connection: Connection) -> float | None:
    """Seconds until the next schedule is due; None when none will be."""
    return await connection.fetchval(_SECONDS_TO_NEXT)


async def advance(connection: Connection, moved: Sequence[Advance]) -> None:
    """Record what a pass decided."""
    columns = (
        "id", "cursor_at", "next_due_at", "next_fire_at", "last_due_at", "last_fired_at", "fired", "skipped",
        "next_tick_id", "next_event_date", "on_time_until",
    )  # fmt: skip
    await connection.execute(_ADVANCE, *([getattr(one, column) for one in moved] for column in columns))


async def fail(connection: Connection, schedule_id: str, revision: int, problem: str) -> None:
    """Stop a schedule that cannot be read, or whose ticks cannot be computed. A new revision starts it."""
    await connection.execute(_FAIL, schedule_id, problem, revision)


async def take_unpublished(connection: Connection, limit: int) -> list[ScheduleRow]:
    """Lock up to `limit` schedules with a change nobody has been informed of, and mark them as published."""
    rows = await connection.fetch(_UNPUBLISHED, limit)
    await connection.execute(_PUBLISHED, [row["id"] for row in rows], [row["version"] for row in rows])
    return [ScheduleRow(**row) for row in rows]


async def load(connection: Connection, schedule_id: str) -> Schedule | None:
    """The schedule; None when there is none, or it is deleted. Raises `ValueError` when it cannot be read."""
    text = await connection.fetchval("SELECT definition FROM schedule WHERE id = $1 AND NOT deleted", schedule_id)
    return None if text is None else Schedule.model_validate_json(text)


async def save_freeze(connection: Connection, freeze: Freeze, revision: int, *, lifted: bool, at: datetime) -> None:
    """Keep a freeze; a deleted one was lifted at `at`, and is remembered so that its ticks can say why."""
    await connection.execute(_FREEZE, freeze.id, revision, freeze.model_dump_json(), lifted, at)


async def lift_freeze(connection: Connection, freeze_id: str, revision: int, *, at: datetime) -> None:
    """The freeze is gone, and its last form is not known."""
    await connection.execute(_LIFT, freeze_id, revision, at)


async def freezes(connection: Connection) -> list[FreezeRow]:
    """Every freeze of the last days that can be read, lifted or not."""
    rows = await connection.fetch(
        "SELECT id, definition, began_at, lifted_at FROM freeze_window"
        " WHERE lifted_at IS NULL OR lifted_at > now() - interval '30 days'"
    )
    return readable(rows, _freeze, part="freezes", name=lambda row: row["id"])


async def now(connection: Connection) -> datetime:
    """The database's clock: the only one that schedulers compare with."""
    return await connection.fetchval("SELECT now()")


def _freeze(row: Row) -> FreezeRow:
    return FreezeRow(Freeze.model_validate_json(row["definition"]), row["began_at"], row["lifted_at"])


def _named(row: Row) -> tuple[str, Schedule]:
    return row["id"], Schedule.model_validate_json(row["definition"])


def _rule(schedule: Schedule) -> tuple[object, ...]:
    return schedule.cron, schedule.zone, schedule.starts_at
