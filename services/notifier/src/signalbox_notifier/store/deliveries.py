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
SELECT DISTINCT channel_id FROM delivery d
WHERE ((state IN ('pending', 'retrying') AND next_try_at <= now()) OR (state = 'sending' AND lease_until < now()))
    AND NOT EXISTS (SELECT FROM channel_state s WHERE s.id = d.channel_id AND s.paused_until > now())
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
        AND NOT EXISTS (SELECT FROM channel_state WHERE id = $1 AND paused_until > now())
    ORDER BY next_try_at, created_at LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING id, channel_id, subscription_id, incident_id, plan_id, event_id, event_type, title, message, traceparent,
    attempts, throttled
"""  # noqa: S608
_FINISH = """
WITH finished AS (
    UPDATE delivery SET state = $3, next_try_at = now() + make_interval(secs => $4), lease_until = NULL,
        sent_at = CASE WHEN $3 = 'sent' THEN now() END, version = version + 1, throttled = throttled + $6
    WHERE id = $1 AND state = 'sending' AND attempts = $2 RETURNING id
)
INSERT INTO delivery_try (delivery_id, number, state, answer) SELECT id, $2, $3, left($5, 2000) FROM finished
ON CONFLICT DO NOTHING RETURNING delivery_id
"""
# The newest message about an incident says all that those before it said: one that no try has failed yet is left out.
# A notice of a failure is replaced by a later failure only ($5), not by one of how the incident went on.
_SUPERSEDE = """
WITH older AS (
    SELECT id FROM delivery
    WHERE incident_id = $1 AND channel_id = $2 AND id <> $3 AND state IN ('pending', 'retrying')
        AND attempts = throttled AND ($5 OR event_type IN ('incident.updated', 'incident.recovered'))
    ORDER BY id FOR UPDATE SKIP LOCKED
), dropped AS (
    UPDATE delivery d SET state = 'dropped', version = version + 1 FROM older WHERE d.id = older.id
    RETURNING d.id, d.attempts
)
INSERT INTO delivery_try (delivery_id, number, state, answer)
SELECT id, attempts + 1, 'dropped', $4 FROM dropped ON CONFLICT DO NOTHING
"""
_PAUSE = """
INSERT INTO channel_state AS s (id, paused_until) VALUES ($1, now() + make_interval(secs => $2))
ON CONFLICT (id) DO UPDATE SET paused_until = greatest(s.paused_until, excluded.paused_until)
"""
_LATE = """
SELECT d.channel_id, extract(epoch FROM now() - min(d.next_try_at))::float8 AS seconds FROM delivery d
WHERE d.state IN ('pending', 'retrying') AND d.next_try_at <= now()
    AND NOT EXISTS (SELECT FROM channel_state s WHERE s.id = d.channel_id AND s.paused_until > now())
GROUP BY 1
UNION ALL
SELECT channel_id, extract(epoch FROM now() - min(lease_until))::float8 + $1 FROM delivery
WHERE state = 'sending' AND lease_until < now() GROUP BY 1
"""
# The numbers of the tries go on; the tries before do not count any more, so that a failure is retried as a first one.
_RESEND = """
UPDATE delivery SET state = 'pending', next_try_at = now(), version = version + 1, throttled = attempts
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
    throttled: int = 0
    """The tries before this one that do not count: answered with 429, or made before the delivery was resent."""


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
    connection: Connection, claimed: Claimed, state: str, answer: str, *, retry_seconds: float = 0.0,
    throttled: bool = False,
) -> bool:  # fmt: skip
    """Record how a try ended; False when another process has taken the delivery over."""
    id = await connection.fetchval(_FINISH, claimed.id, claimed.attempts, state, retry_seconds, answer, int(throttled))
    return id is not None


async def pause(connection: Connection, channel_id: str, seconds: float) -> None:
    """Send nothing to a channel for so long."""
    await connection.execute(_PAUSE, channel_id, seconds)


async def supersede(
    connection: Connection, incident_id: UUID, channel_id: str, newest: UUID, *, is_failure: bool
) -> None:
    """Leave out the messages about an incident that a newer one replaces before they were sent.

    A failure is left out only for a newer failure (`is_failure`).
    """
    reason = f"replaced by {newest} before it was sent"
    await connection.execute(_SUPERSEDE, incident_id, channel_id, newest, reason, is_failure)


async def lateness(connection: Connection) -> dict[str, float]:
    """For how long the oldest due message of each channel waits, in seconds. A channel that asked for a pause is not
    late."""
    late: dict[str, float] = {}
    for row in await connection.fetch(_LATE, LEASE_SECONDS):
        late[row["channel_id"]] = max(late.get(row["channel_id"], 0.0), row["seconds"])
    return late


async def raise_late_alarm(connection: Connection) -> datetime | None:
    """Keep that messages are late; since when, for the one process that is the first, None for others."""
    return await connection.fetchval("INSERT INTO late_alarm DEFAULT VALUES ON CONFLICT DO NOTHING RETURNING since")


async def clear_late_alarm(connection: Connection) -> bool:
    """Messages are in time again; whether they were late."""
    return await connection.fetchval("DELETE FROM late_alarm RETURNING true") is True


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
