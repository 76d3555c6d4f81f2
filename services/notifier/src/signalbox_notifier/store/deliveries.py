"""Rows of deliveries and their tries."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from signalbox_chassis.persistence.connection import Connection

LEASE_SECONDS = 90
"""A delivery that a dead process was sending is sent once more after this: longer than any try."""
# The same event, subscription and channel make one delivery, whoever inserts it.
_ADD = """
INSERT INTO delivery (id, channel_id, subscription_id, incident_id, plan_id, event_id, event_type, title, message,
                      traceparent, next_try_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, now()) ON CONFLICT (id) DO NOTHING RETURNING id
"""
_CHANNELS = """
SELECT DISTINCT channel_id FROM delivery
WHERE (state IN ('pending', 'retrying') AND next_try_at <= now()) OR (state = 'sending' AND lease_until < now())
LIMIT 500
"""
# INVARIANT delivery.one_sender: a delivery is sent by whoever moved it to `sending`, until the lease is over.
_CLAIM = f"""
UPDATE delivery SET state = 'sending', attempts = attempts + 1, version = version + 1,
    lease_until = now() + interval '{LEASE_SECONDS} seconds'
WHERE id = (
    SELECT id FROM delivery
    WHERE channel_id = $1 AND ((state IN ('pending', 'retrying') AND next_try_at <= now())
                               OR (state = 'sending' AND lease_until < now()))
    ORDER BY next_try_at LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING id, channel_id, subscription_id, incident_id, plan_id, event_id, event_type, title, message, traceparent,
    attempts
"""  # noqa: S608
_FINISH = """
WITH finished AS (
    UPDATE delivery SET state = $3, next_try_at = now() + make_interval(secs => $4), lease_until = NULL,
        sent_at = CASE WHEN $3 = 'sent' THEN now() END, version = version + 1
    WHERE id = $1 AND state = 'sending' AND attempts = $2 RETURNING id
)
INSERT INTO delivery_try (delivery_id, number, state, answer) SELECT id, $2, $3, left($5, 2000) FROM finished
ON CONFLICT DO NOTHING RETURNING delivery_id
"""
_RESEND = """
UPDATE delivery SET state = 'pending', next_try_at = now(), version = version + 1
WHERE channel_id = $1 AND id = ANY($2) AND state IN ('dead', 'dropped', 'sent') RETURNING id
"""
_UNPUBLISHED = """
SELECT id, channel_id, subscription_id, incident_id, plan_id, event_id, event_type, title, state, attempts,
    next_try_at, sent_at, created_at, version, traceparent
FROM delivery WHERE published < version ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDelivery:
    """A message for one channel."""

    id: UUID
    channel_id: str
    subscription_id: str | None
    incident_id: UUID | None
    plan_id: UUID | None
    event_id: str
    event_type: str
    title: str
    message: str
    """JSON of `rendering.Message`."""
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery this process sends now. `attempts` counts this try."""

    id: UUID
    channel_id: str
    subscription_id: str | None
    incident_id: UUID | None
    plan_id: UUID | None
    event_id: str | None
    event_type: str | None
    title: str
    message: str
    traceparent: str | None
    attempts: int


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """What is published of a delivery, with its tries (number, at, state, answer)."""

    id: UUID
    channel_id: str
    subscription_id: str | None
    incident_id: UUID | None
    plan_id: UUID | None
    event_id: str | None
    event_type: str | None
    title: str
    state: str
    attempts: int
    next_try_at: datetime | None
    sent_at: datetime | None
    created_at: datetime
    version: int
    traceparent: str | None
    tries: tuple[tuple[int, datetime, str, str], ...]


async def add(connection: Connection, delivery: NewDelivery) -> bool:
    """Keep a delivery to be sent; False when it exists."""
    one = delivery
    id = await connection.fetchval(
        _ADD, one.id, one.channel_id, one.subscription_id, one.incident_id, one.plan_id, one.event_id, one.event_type,
        one.title, one.message, one.traceparent,
    )  # fmt: skip
    return id is not None


async def channels_due(connection: Connection) -> list[str]:
    """Channels that have something to send now."""
    return [row["channel_id"] for row in await connection.fetch(_CHANNELS)]


async def claim(connection: Connection, channel_id: str) -> Claimed | None:
    """Take the next due delivery of a channel."""
    row = await connection.fetchrow(_CLAIM, channel_id)
    return None if row is None else Claimed(**row)


async def finish(
    connection: Connection, claimed: Claimed, state: str, answer: str, *, retry_seconds: float = 0.0
) -> bool:
    """Record how a try ended; False when another process has taken the delivery over."""
    id = await connection.fetchval(_FINISH, claimed.id, claimed.attempts, state, retry_seconds, answer)
    return id is not None


async def resend(connection: Connection, channel_id: str, ids: Sequence[UUID]) -> int:
    """Send these again; how many there were that had ended."""
    return len(await connection.fetch(_RESEND, channel_id, list(ids)))


async def take_unpublished(connection: Connection, limit: int = 200) -> list[DeliveryRow]:
    """Deliveries with a change nobody was informed of; they are marked as published."""
    rows = await connection.fetch(_UNPUBLISHED, limit)
    ids = [row["id"] for row in rows]
    tried = await connection.fetch(
        "SELECT delivery_id, number, at, state, answer FROM delivery_try WHERE delivery_id = ANY($1) ORDER BY number",
        ids,
    )
    await connection.execute("UPDATE delivery SET published = version WHERE id = ANY($1)", ids)
    tries: dict[UUID, list[tuple[int, datetime, str, str]]] = {}
    for row in tried:
        tries.setdefault(row["delivery_id"], []).append((row["number"], row["at"], row["state"], row["answer"]))
    return [DeliveryRow(**row, tries=tuple(tries.get(row["id"], ())[-100:])) for row in rows]


async def prune(connection: Connection, keep_days: int, limit: int = 5000) -> int:
    """Delete old deliveries that have ended, with their tries; how many."""
    rows = await connection.fetch(
        "DELETE FROM delivery WHERE ctid = ANY(ARRAY(SELECT ctid FROM delivery"
        " WHERE created_at < now() - make_interval(days => $1) AND state IN ('sent', 'dead', 'dropped')"
        " ORDER BY created_at LIMIT $2)) RETURNING id",
        keep_days, limit,
    )  # fmt: skip
    await connection.execute("DELETE FROM delivery_try WHERE delivery_id = ANY($1)", [row["id"] for row in rows])
    return len(rows)
