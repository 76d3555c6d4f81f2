"""Rows of events that wait: in a batch, for the end of a freeze, for their turn; and counts by source and hour."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from signalbox_chassis.persistence.connection import Connection

BATCH_BYTES: Final = 128 * 1024
"""A batch is closed when its events are so large together: the plan's request has to fit into one message."""
MAX_DELAYED: Final = 1000
"""Starts of one trigger that wait for their turn."""

# INVARIANT batch.once: an event is deleted from its batch by the transaction that starts the plan.
_FULL: Final = """
SELECT DISTINCT b.trigger_id, b.key FROM (
  SELECT trigger_id, key, count(*) AS n, sum(octet_length(event)) AS bytes, min(received_at) AS first_at
  FROM batched_event GROUP BY 1, 2) b
JOIN unnest($1::text[], $2::int[], $3::float8[]) AS t (id, max_events, max_seconds) ON t.id = b.trigger_id
WHERE b.n >= t.max_events OR b.bytes >= $4 OR b.first_at <= now() - make_interval(secs => t.max_seconds)
LIMIT 50
"""
_LOCK: Final = "SELECT pg_advisory_xact_lock(hashtextextended('events:' || $1, 0))"
_TAKE_BATCH: Final = """
DELETE FROM batched_event WHERE trigger_id = $1 AND key = $2 AND seq IN (
  SELECT seq FROM (
    SELECT seq, sum(octet_length(event)) OVER (ORDER BY seq) - octet_length(event) AS before FROM batched_event
    WHERE trigger_id = $1 AND key = $2 ORDER BY seq LIMIT $3) AS sized
  WHERE before < $4)
RETURNING seq, event, received_at
"""
# A trigger that exists and cannot be read keeps its events.
_IS_GONE: Final = """
NOT EXISTS (SELECT FROM definition d WHERE d.kind = 'trigger' AND d.id = e.trigger_id AND NOT d.deleted)
"""
_ORPHANS: Final = f"""
DELETE FROM batched_event WHERE ctid = ANY(ARRAY(SELECT ctid FROM batched_event e WHERE {_IS_GONE} LIMIT $1))
"""  # noqa: S608
MAX_FORGOTTEN: Final = 5000
"""Events of triggers that are gone which one statement deletes."""
_HOLDING: Final = f"""
SELECT DISTINCT trigger_id FROM held_event e WHERE trigger_id = ANY ($1) OR {_IS_GONE} ORDER BY 1 LIMIT 1000
"""  # noqa: S608
_UNDECIDED: Final = """
SELECT seq, extract(epoch FROM now() - received_at)::float8 AS age FROM held_event
WHERE trigger_id = $1 AND starts IS NULL ORDER BY seq
"""
_DECIDE: Final = """
UPDATE held_event h SET starts = d.starts FROM unnest($2::bigint[], $3::boolean[]) AS d (seq, starts)
WHERE h.trigger_id = $1 AND h.seq = d.seq
"""
# INVARIANT held.once: a held event is deleted by the transaction that starts its plan.
_RELEASE: Final = """
DELETE FROM held_event WHERE trigger_id = $1 AND seq IN (
  SELECT seq FROM held_event WHERE trigger_id = $1 AND starts IS NOT NULL ORDER BY seq LIMIT $2)
RETURNING seq, event, freeze_id, starts
"""
MAX_RELEASED: Final = 200
"""Held events that one transaction decides."""
_PACE: Final = """
INSERT INTO trigger_pace AS p (trigger_id, next_at)
VALUES ($1, now() + make_interval(secs => $2::float8 * $3::int))
ON CONFLICT (trigger_id) DO UPDATE
SET next_at = greatest(p.next_at, now()) + make_interval(secs => $2::float8 * $3::int)
RETURNING next_at - make_interval(secs => $2::float8 * $3::int) AS due_at
"""
_DELAY: Final = """
INSERT INTO delayed_start (plan_id, trigger_id, due_at, request)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::text[]) ON CONFLICT DO NOTHING
"""
_DUE: Final = """
SELECT plan_id FROM delayed_start WHERE due_at <= now() AND NOT trigger_id = ANY ($2) ORDER BY due_at LIMIT $1
"""
_TAKE_DELAYED: Final = """
DELETE FROM delayed_start WHERE plan_id IN (
  SELECT plan_id FROM delayed_start WHERE plan_id = ANY ($1) AND due_at <= now() FOR UPDATE SKIP LOCKED)
RETURNING request, due_at
"""
_POSTPONE: Final = """
UPDATE delayed_start SET due_at = now() + make_interval(secs => $2) WHERE plan_id = ANY ($1) AND due_at <= now()
"""
_COUNT: Final = """
INSERT INTO source_count AS c (source, hour_at, received, unclaimed, repeated, last_event_at, version)
SELECT s.source, date_trunc('hour', now()), s.received, s.unclaimed, s.repeated, s.last_event_at, 1
FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::timestamptz[])
  AS s (source, received, unclaimed, repeated, last_event_at)
ORDER BY s.source
ON CONFLICT (source, hour_at) DO UPDATE SET received = c.received + excluded.received, version = c.version + 1,
    unclaimed = c.unclaimed + excluded.unclaimed, repeated = c.repeated + excluded.repeated,
    last_event_at = greatest(c.last_event_at, excluded.last_event_at)
RETURNING source, hour_at, received, unclaimed, repeated, last_event_at, version
"""


@dataclass(frozen=True, slots=True)
class HeldEvent:
    """An event that came during a freeze."""

    seq: int
    event: str
    freeze_id: str
    starts: bool


@dataclass(frozen=True, slots=True)
class SourceCount:
    """What came from a source in this hour so far."""

    source: str
    hour_at: datetime
    received: int
    unclaimed: int
    repeated: int
    last_event_at: datetime
    version: int


@dataclass(frozen=True, slots=True, order=True)
class SourceArrivals:
    """What one batch brought from a source. `received` counts the repeated ones too."""

    source: str
    received: int
    unclaimed: int
    repeated: int
    last_event_at: datetime


async def lock_trigger(connection: Connection, trigger_id: str) -> None:
    """Nobody else closes batches or decides held events of this trigger until the transaction ends."""
    await connection.execute(_LOCK, trigger_id)


async def add_to_batches(connection: Connection, trigger_id: str, events: Sequence[tuple[str, str]]) -> None:
    """Keep events, each with the key of its batch."""
    await connection.execute(
        "INSERT INTO batched_event (trigger_id, key, event)"
        " SELECT $1, k, e FROM unnest($2::text[], $3::text[]) WITH ORDINALITY AS t (k, e, n) ORDER BY n",
        trigger_id, [key for key, _ in events], [event for _, event in events],
    )  # fmt: skip


async def full_batches(
    connection: Connection, triggers: Mapping[str, tuple[int, float]]
) -> Sequence[tuple[str, str]]:  # fmt: skip
    """Batches whose time has come, as (trigger, key). `triggers`: their most events and seconds."""
    limits = triggers.values()
    rows = await connection.fetch(
        _FULL, list(triggers), [events for events, _ in limits], [seconds for _, seconds in limits], BATCH_BYTES
    )
    return [(row["trigger_id"], row["key"]) for row in rows]


async def take_batch(connection: Connection, trigger_id: str, key: str, max_events: int) -> list[str]:
    """Take the oldest events of a batch, as many as one plan may have."""
    rows = await connection.fetch(_TAKE_BATCH, trigger_id, key, max_events, BATCH_BYTES)
    return [row["event"] for row in sorted(rows, key=lambda row: row["seq"])]


async def forget_batches(connection: Connection) -> bool:
    """Drop batched events of triggers that are gone, `MAX_FORGOTTEN` at most; True when there may be more."""
    done = await connection.execute(_ORPHANS, MAX_FORGOTTEN)
    return int(done.split()[-1]) == MAX_FORGOTTEN


async def hold(connection: Connection, trigger_id: str, freeze_id: str, events: Sequence[str]) -> None:
    """Keep events until a freeze ends."""
    await connection.execute(
        "INSERT INTO held_event (trigger_id, freeze_id, event)"
        " SELECT $1, $2, e FROM unnest($3::text[]) WITH ORDINALITY AS t (e, n) ORDER BY n",
        trigger_id, freeze_id, list(events),
    )  # fmt: skip


async def holding(connection: Connection, known: Sequence[str]) -> list[str]:
    """The triggers that have held events: of the `known` ones, which can be read, and of those that are gone."""
    rows = await connection.fetch(_HOLDING, list(known))
    return [row["trigger_id"] for row in rows]


async def undecided(connection: Connection, trigger_id: str) -> list[tuple[int, float]]:
    """Held events of a trigger that no policy has looked at, oldest first: number, age in seconds."""
    return [(row["seq"], row["age"]) for row in await connection.fetch(_UNDECIDED, trigger_id)]


async def decide_held(connection: Connection, trigger_id: str, starts: Sequence[tuple[int, bool]]) -> None:
    """Keep which held events start. A later page follows this decision, however long the pages take."""
    await connection.execute(_DECIDE, trigger_id, [seq for seq, _ in starts], [start for _, start in starts])


async def release(connection: Connection, trigger_id: str) -> list[HeldEvent]:
    """Take the oldest decided events of a trigger, at most `MAX_RELEASED`."""
    rows = await connection.fetch(_RELEASE, trigger_id, MAX_RELEASED)
    return sorted((HeldEvent(**row) for row in rows), key=lambda one: one.seq)


async def reserve(connection: Connection, trigger_id: str, seconds: float, count: int) -> datetime:
    """Take the next `count` turns of a trigger, `seconds` apart; when the first of them is."""
    return await connection.fetchval(_PACE, trigger_id, seconds, count)


async def delayed(connection: Connection, trigger_id: str) -> int:
    """How many starts of a trigger wait for their turn."""
    return await connection.fetchval("SELECT count(*) FROM delayed_start WHERE trigger_id = $1", trigger_id)


async def delay(connection: Connection, trigger_id: str, starts: Sequence[tuple[UUID, datetime, str]]) -> None:
    """Keep starts until their turn: plan, instant, request."""
    await connection.execute(
        _DELAY, [plan for plan, _, _ in starts], [trigger_id] * len(starts), [due for _, due, _ in starts],
        [request for _, _, request in starts],
    )  # fmt: skip


async def due_delayed(connection: Connection, frozen: Sequence[str], max_rows: int = 100) -> list[UUID]:
    """The starts whose turn has come, but for those of `frozen` triggers."""
    return [row["plan_id"] for row in await connection.fetch(_DUE, max_rows, list(frozen))]


async def take_delayed(connection: Connection, plans: Sequence[UUID]) -> list[str]:
    """Take those of these that still wait, as requests."""
    rows = await connection.fetch(_TAKE_DELAYED, list(plans))
    return [row["request"] for row in sorted(rows, key=lambda row: row["due_at"])]


async def postpone_delayed(connection: Connection, plans: Sequence[UUID], seconds: float) -> None:
    """Try these again later."""
    await connection.execute(_POSTPONE, list(plans), seconds)


async def count_sources(connection: Connection, counts: Sequence[SourceArrivals]) -> list[SourceCount]:
    """Add to the counts of this hour."""
    columns = zip(
        *((one.source, one.received, one.unclaimed, one.repeated, one.last_event_at) for one in sorted(counts)),
        strict=True,
    )
    return [SourceCount(**row) for row in await connection.fetch(_COUNT, *(list(column) for column in columns))]


async def prune_sources(connection: Connection, keep_days: int = 30, limit: int = 5000) -> int:
    """Delete counts of long ago; how many."""
    done = await connection.execute(
        "DELETE FROM source_count WHERE ctid = ANY(ARRAY(SELECT ctid FROM source_count"
        " WHERE hour_at < now() - make_interval(days => $1) LIMIT $2))",
        keep_days, limit,
    )  # fmt: skip
    return int(done.split()[-1])
