"""Rows of the live feed. The sequence of a plan grows under the lock of its row, so reading by it misses nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from pydantic_core import from_json

from signalbox_chassis.persistence.connection import Connection

MAX_ROWS = 5000
"""Events one read returns."""
MAX_PRUNED_ROWS = 10_000
"""Events one statement deletes: one that takes too long is cancelled, and deletes nothing."""
KEEP_EVENTS = 20_000
"""Events of one plan that are kept; an older `after` needs a snapshot."""
_ENSURE = """
INSERT INTO plan (id, version, summary)
SELECT id, 0, '{"name": "", "project": "default", "target": null, "labels": {}, "event_date": null}'
FROM unnest($1::uuid[]) AS n (id) ORDER BY id ON CONFLICT DO NOTHING
"""
_ADVANCE = """
UPDATE plan p SET feed_sequence = p.feed_sequence + n.events, fed_at = clock_timestamp()
FROM unnest($1::uuid[], $2::bigint[]) AS n (id, events) WHERE p.id = n.id RETURNING p.id, p.feed_sequence - n.events
    AS base
"""
_INSERT = """
INSERT INTO live_event (plan_id, sequence, body) SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::text[])
"""
_READ = """
SELECT e.plan_id, e.sequence, e.body FROM unnest($1::uuid[], $2::bigint[]) AS n (id, after)
JOIN live_event e ON e.plan_id = n.id AND e.sequence > n.after ORDER BY e.plan_id, e.sequence LIMIT $3
"""
_CHANGED = "SELECT id, feed_sequence FROM plan WHERE fed_at >= $1 ORDER BY fed_at LIMIT 20000"
_FIRST_SINCE = """
SELECT plan_id, min(sequence) - 1 AS after FROM live_event WHERE plan_id = ANY($1) AND fed_at >= $2 GROUP BY plan_id
"""
_BOUNDS = """
SELECT p.feed_sequence, (SELECT min(sequence) FROM live_event e WHERE e.plan_id = p.id) AS oldest, p.summary
FROM plan p WHERE p.id = $1
"""
_PRUNE = """
DELETE FROM live_event WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM live_event WHERE fed_at < now() - make_interval(secs => $1) ORDER BY fed_at LIMIT $2))
"""
_PRUNE_LONG = """
DELETE FROM live_event WHERE ctid = ANY(ARRAY(
    SELECT e.ctid FROM plan p JOIN live_event e ON e.plan_id = p.id AND e.sequence <= p.feed_sequence - $1
    WHERE p.feed_sequence > $1 AND p.fed_at > now() - interval '10 minutes' LIMIT $2))
"""


@dataclass(frozen=True, slots=True)
class LiveRow:
    """One event of a plan; `body` is JSON."""

    plan_id: UUID
    sequence: int
    body: str


@dataclass(frozen=True, slots=True)
class Bounds:
    """The newest sequence of a plan, and the oldest that is kept; None when none is."""

    newest: int
    oldest: int | None
    project: str


async def append(connection: Connection, events: Mapping[UUID, Sequence[str]]) -> None:
    """Add events of these plans, each plan's in order. The caller holds no lock of a plan with a greater id."""
    ids = sorted(id for id, found in events.items() if found)
    if not ids:
        return
    await connection.execute(_ENSURE, ids)
    await connection.fetch("SELECT FROM plan WHERE id = ANY($1) ORDER BY id FOR UPDATE", ids)
    rows = await connection.fetch(_ADVANCE, ids, [len(events[id]) for id in ids])
    base = {row["id"]: row["base"] for row in rows}
    numbered = [(id, base[id] + n, body) for id in ids for n, body in enumerate(events[id], 1)]
    await connection.execute(_INSERT, *map(list, zip(*numbered, strict=True)))


async def read(connection: Connection, after: Mapping[UUID, int], limit: int = MAX_ROWS) -> list[LiveRow]:
    """The events of these plans after a sequence each."""
    rows = await connection.fetch(_READ, list(after), list(after.values()), limit)
    return [LiveRow(row["plan_id"], row["sequence"], row["body"]) for row in rows]


async def changed(connection: Connection, since: datetime) -> dict[UUID, int]:
    """Plans with events since an instant, and the newest sequence of each."""
    return {row["id"]: row["feed_sequence"] for row in await connection.fetch(_CHANGED, since)}


async def first_since(connection: Connection, ids: Sequence[UUID], since: datetime) -> dict[UUID, int]:
    """The sequence before the first event since an instant, by plan."""
    rows = await connection.fetch(_FIRST_SINCE, list(ids), since)
    return {row["plan_id"]: row["after"] for row in rows}


async def bounds(connection: Connection, plan_id: UUID) -> Bounds | None:
    """What is kept of a plan's events; None for an unknown plan."""
    row = await connection.fetchrow(_BOUNDS, plan_id)
    return None if row is None else Bounds(row["feed_sequence"], row["oldest"], from_json(row["summary"])["project"])


async def prune(connection: Connection, keep_seconds: float) -> bool:
    """Delete what is old, or past what is kept of a plan; True when there may be more."""
    done = [
        await connection.execute(_PRUNE_LONG, KEEP_EVENTS, MAX_PRUNED_ROWS),
        await connection.execute(_PRUNE, keep_seconds, MAX_PRUNED_ROWS),
    ]
    return any(int(one.split()[-1]) == MAX_PRUNED_ROWS for one in done)
