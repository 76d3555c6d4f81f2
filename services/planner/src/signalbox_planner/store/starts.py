"""Rows of plans that a schedule or trigger started, of events that were matched, and of debounced events."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from signalbox_chassis.persistence.connection import Connection
from signalbox_chassis.persistence.state_list import state_list
from signalbox_contracts.states import PLAN_ENDS

_ENDS: Final = state_list(PLAN_ENDS)
# INVARIANT overlap.serial: decisions about one source are made one after the other.
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('start:' || $1, 0))"
_ACTIVE = f"""
SELECT s.plan_id, s.queued FROM plan_start s JOIN plan p ON p.id = s.plan_id
WHERE s.source = $1 AND p.state NOT IN {_ENDS} ORDER BY s.created_at, s.plan_id
"""  # noqa: S608
_ADD = """
INSERT INTO plan_start (plan_id, source, queued, request, concurrency) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT DO NOTHING
"""
_FORGET = f"""
DELETE FROM plan_start WHERE plan_id = ANY(ARRAY(
    SELECT s.plan_id FROM plan_start s JOIN plan p ON p.id = s.plan_id WHERE p.state IN {_ENDS} LIMIT $1))
"""  # noqa: S608
_NEXT = """
SELECT * FROM (
    SELECT DISTINCT ON (s.source) s.plan_id, s.source, s.request, s.concurrency FROM plan_start s
    WHERE s.queued ORDER BY s.source, s.created_at, s.plan_id) AS first
WHERE (SELECT count(*) FROM plan_start o WHERE o.source = first.source AND NOT o.queued) < first.concurrency
LIMIT 50
"""
# The first of a source is left out where none of it runs: it is started.
_BEHIND_ENDED = f"""
SELECT s.plan_id, s.source FROM plan_start s JOIN plan p ON p.id = s.plan_id
WHERE s.queued AND p.state NOT IN {_ENDS}
  AND NOT EXISTS (SELECT FROM plan b WHERE b.id = p.previous AND b.state NOT IN {_ENDS})
  AND EXISTS (SELECT FROM plan_start o WHERE o.source = s.source AND o.plan_id <> s.plan_id
              AND (NOT o.queued OR (o.created_at, o.plan_id) < (s.created_at, s.plan_id)))
ORDER BY s.created_at LIMIT $1
"""  # noqa: S608
_SEEN = """
INSERT INTO trigger_event (trigger_id, source, event_id, expires_at)
SELECT t.trigger_id, t.source, t.event_id, now() + make_interval(secs => t.seconds)
FROM unnest($1::text[], $2::text[], $3::text[], $4::float8[]) AS t (trigger_id, source, event_id, seconds)
ON CONFLICT (trigger_id, source, event_id) DO UPDATE SET expires_at = excluded.expires_at
WHERE trigger_event.expires_at <= now()
RETURNING trigger_id, source, event_id
"""
_COUNT = """
INSERT INTO trigger_count AS t (id, matched, not_matched, last_matched_at, version) VALUES ($1, $2, $3, $4, 1)
ON CONFLICT (id) DO UPDATE SET matched = t.matched + excluded.matched,
    not_matched = t.not_matched + excluded.not_matched, version = t.version + 1,
    last_matched_at = greatest(t.last_matched_at, excluded.last_matched_at)
RETURNING matched, not_matched, last_matched_at, version
"""
_DEBOUNCE = """
INSERT INTO debounced_event AS d (trigger_id, key, event, due_at)
VALUES ($1, $2, $3, now() + make_interval(secs => $4))
ON CONFLICT (trigger_id, key) DO UPDATE SET event = excluded.event, due_at = excluded.due_at
"""
# A trigger that exists and cannot be read keeps its events.
_DUE = """
SELECT trigger_id, key FROM debounced_event e
WHERE due_at <= now() AND (trigger_id = ANY ($2) OR NOT EXISTS (
    SELECT FROM definition d WHERE d.kind = 'trigger' AND d.id = e.trigger_id AND NOT d.deleted))
ORDER BY due_at LIMIT $1
"""
_TAKE = """
DELETE FROM debounced_event WHERE (trigger_id, key) IN (
    SELECT trigger_id, key FROM debounced_event
    WHERE (trigger_id, key) IN (SELECT * FROM unnest($1::text[], $2::text[])) AND due_at <= now()
    FOR UPDATE SKIP LOCKED)
RETURNING trigger_id, event
"""
_POSTPONE = """
UPDATE debounced_event SET due_at = now() + make_interval(secs => $3)
WHERE (trigger_id, key) IN (SELECT * FROM unnest($1::text[], $2::text[])) AND due_at <= now()
"""


@dataclass(frozen=True, slots=True)
class Started:
    """The plans of one source that have not ended, oldest first: those that run, and those that wait for them."""

    active: tuple[UUID, ...]
    queued: tuple[UUID, ...]


@dataclass(frozen=True, slots=True)
class QueuedStart:
    """A plan whose turn has come."""

    plan_id: UUID
    source: str
    request: str
    concurrency: int


@dataclass(frozen=True, slots=True)
class TriggerCount:
    """What a trigger has matched so far."""

    matched: int
    not_matched: int
    last_matched_at: datetime | None
    version: int


async def lock_source(connection: Connection, source: str) -> Started:
    """The unended plans of a source; nobody else decides about it until the transaction ends."""
    await connection.execute(_LOCK, source)
    rows = await connection.fetch(_ACTIVE, source)
    return Started(
        tuple(row["plan_id"] for row in rows if not row["queued"]),
        tuple(row["plan_id"] for row in rows if row["queued"]),
    )


async def add(
    connection: Connection, plan_id: UUID, source: str, *, queued: bool, request: str = "", concurrency: int = 1
) -> None:
    """Remember what started this plan. `request` is kept while it waits for the previous one."""
    await connection.execute(_ADD, plan_id, source, queued, request, concurrency)


async def unqueue(connection: Connection, plan_id: UUID) -> None:
    """The plan runs now."""
    await connection.execute("UPDATE plan_start SET queued = false, request = '' WHERE plan_id = $1", plan_id)


async def forget_ended(connection: Connection, max_rows: int = 1000) -> int:
    """Forget plans that have ended; how many."""
    return int((await connection.execute(_FORGET, max_rows)).split()[-1])


async def next_queued(connection: Connection) -> Sequence[QueuedStart]:
    """The first waiting plan of each source that has fewer running than the plan allows."""
    return [QueuedStart(**row) for row in await connection.fetch(_NEXT)]


async def behind_ended(connection: Connection, max_rows: int = 100) -> list[tuple[UUID, str]]:
    """Waiting plans whose reason names a plan that has ended, as (plan, source)."""
    return [(row["plan_id"], row["source"]) for row in await connection.fetch(_BEHIND_ENDED, max_rows)]


async def take_events(connection: Connection, seen: Sequence[tuple[str, str, str, float]]) -> set[tuple[str, str, str]]:
    """Remember (trigger, source, event id) for so many seconds; returns those that were not remembered."""
    columns = list(zip(*seen, strict=True)) if seen else [(), (), (), ()]
    rows = await connection.fetch(_SEEN, *(list(column) for column in columns))
    return {(row["trigger_id"], row["source"], row["event_id"]) for row in rows}


async def count(
    connection: Connection, trigger_id: str, *, matched: int, not_matched: int, last_matched_at: datetime | None
) -> TriggerCount:
    """Add to what a trigger has matched."""
    row = await connection.fetchrow(_COUNT, trigger_id, matched, not_matched, last_matched_at)
    assert row is not None
    return TriggerCount(row["matched"], row["not_matched"], row["last_matched_at"], row["version"])


async def debounce(connection: Connection, trigger_id: str, key: str, event: str, seconds: float) -> None:
    """Keep the last event of a quiet spell; a newer one replaces it and starts the spell again."""
    await connection.execute(_DEBOUNCE, trigger_id, key, event, seconds)


async def due_debounced(connection: Connection, known: Sequence[str], max_rows: int = 100) -> list[tuple[str, str]]:
    """Events whose quiet spell is over, as (trigger id, key): of `known` triggers, and of those that are gone."""
    return [(row["trigger_id"], row["key"]) for row in await connection.fetch(_DUE, max_rows, list(known))]


async def take_debounced(connection: Connection, keys: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Take those of these that are still due, as (trigger id, event)."""
    ids, names = [id for id, _ in keys], [name for _, name in keys]
    return [(row["trigger_id"], row["event"]) for row in await connection.fetch(_TAKE, ids, names)]


async def postpone_debounced(connection: Connection, keys: Sequence[tuple[str, str]], seconds: float) -> None:
    """Try these again later."""
    await connection.execute(_POSTPONE, [id for id, _ in keys], [name for _, name in keys], seconds)


async def prune_events(connection: Connection, max_rows: int = 5000) -> int:
    """Forget events whose time to be told apart is over; how many."""
    done = await connection.execute(
        "DELETE FROM trigger_event WHERE ctid = ANY(ARRAY("
        " SELECT ctid FROM trigger_event WHERE expires_at <= now() LIMIT $1))",
        max_rows,
    )
    return int(done.split()[-1])
