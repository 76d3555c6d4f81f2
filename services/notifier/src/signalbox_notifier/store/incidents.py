"""Rows of incidents, and of what each channel was sent about them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from signalbox_chassis.persistence.connection import Connection, Row
from signalbox_notifier.incidents import Incident, Message

_COLUMNS = (
    "id", "grouping", "fingerprint", "state", "severity", "title", "project", "plan_id", "labels", "occurrences",
    "round", "first_at", "last_at", "acknowledged_by", "snoozed_until", "recovered_at", "note", "version",
)  # fmt: skip
_LIST = ", ".join(_COLUMNS)
_SAVE = f"""
INSERT INTO incident ({_LIST}) VALUES ({", ".join(f"${n}" for n in range(1, len(_COLUMNS) + 1))})
ON CONFLICT (id) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in _COLUMNS[1:])}
"""  # noqa: S608
_SAVE_MESSAGE = """
INSERT INTO incident_message AS m (incident_id, channel_id, subscription_id, round, occurrences, sequence, update_at)
VALUES ($1, $2, $3, $4, $5, 1, NULL)
ON CONFLICT (incident_id, channel_id) DO UPDATE SET round = excluded.round, occurrences = excluded.occurrences,
    sequence = m.sequence + 1, update_at = NULL,
    message_ref = CASE WHEN m.round = excluded.round THEN m.message_ref ELSE '' END
RETURNING sequence, message_ref
"""
_DUE_MESSAGES = """
SELECT m.incident_id, m.channel_id, m.subscription_id FROM incident_message m
WHERE m.update_at <= now() ORDER BY m.update_at LIMIT $1 FOR UPDATE SKIP LOCKED
"""


@dataclass(frozen=True, slots=True)
class DueUpdate:
    """A channel that has to be told how an incident went on."""

    incident_id: UUID
    channel_id: str
    subscription_id: str


async def lock(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, Incident]:
    """The incidents that exist, locked in id order."""
    rows = await connection.fetch(
        f"SELECT {_LIST} FROM incident WHERE id = ANY($1) ORDER BY id FOR UPDATE",  # noqa: S608
        sorted(set(ids)),
    )
    return {row["id"]: _incident(row) for row in rows}


async def lock_open(connection: Connection, groupings: Sequence[str]) -> list[Incident]:
    """The incidents of these groups that have not recovered, locked in id order."""
    rows = await connection.fetch(
        f"SELECT {_LIST} FROM incident WHERE grouping = ANY($1) AND state <> 'RECOVERED' ORDER BY id FOR UPDATE",  # noqa: S608
        sorted(set(groupings)),
    )
    return [_incident(row) for row in rows]


async def lock_snoozed(connection: Connection, limit: int = 100) -> list[Incident]:
    """Incidents whose snooze is over."""
    rows = await connection.fetch(
        f"SELECT {_LIST} FROM incident WHERE state = 'SNOOZED' AND snoozed_until <= now() ORDER BY id LIMIT $1"  # noqa: S608
        " FOR UPDATE SKIP LOCKED",
        limit,
    )
    return [_incident(row) for row in rows]


async def save(connection: Connection, incidents: Sequence[Incident]) -> None:
    """Save these incidents, which are locked or new."""
    await connection.executemany(_SAVE, [_values(one) for one in incidents])


async def messages(connection: Connection, incident_id: UUID) -> dict[str, Message]:
    """What each channel was sent about an incident, by channel."""
    rows = await connection.fetch(
        "SELECT channel_id, round, occurrences, update_at FROM incident_message WHERE incident_id = $1", incident_id
    )
    return {row["channel_id"]: Message(row["round"], row["occurrences"], row["update_at"]) for row in rows}


async def save_message(
    connection: Connection, incident: Incident, channel_id: str, subscription_id: str
) -> tuple[int, str]:
    """The channel is told of the incident as it is now; the number of that message and the one it replaces."""
    row = await connection.fetchrow(
        _SAVE_MESSAGE, incident.id, channel_id, subscription_id, incident.round, incident.occurrences
    )
    assert row is not None
    return row["sequence"], row["message_ref"]


async def schedule_update(connection: Connection, incident_id: UUID, channel_id: str, seconds: float) -> None:
    """Tell the channel how the incident went on, so many seconds from now, unless that is planned."""
    await connection.execute(
        "UPDATE incident_message SET update_at = now() + make_interval(secs => $3)"
        " WHERE incident_id = $1 AND channel_id = $2 AND update_at IS NULL",
        incident_id, channel_id, seconds,
    )  # fmt: skip


async def wake_updates(connection: Connection, incident_id: UUID) -> None:
    """Tell every channel of the incident how it went on, now."""
    await connection.execute("UPDATE incident_message SET update_at = now() WHERE incident_id = $1", incident_id)


async def take_due_updates(connection: Connection, limit: int = 100) -> list[DueUpdate]:
    """Updates whose time has come; locked."""
    rows = await connection.fetch(_DUE_MESSAGES, limit)
    return [DueUpdate(row["incident_id"], row["channel_id"], row["subscription_id"]) for row in rows]


async def clear_update(connection: Connection, incident_id: UUID, channel_id: str, again_at: datetime | None) -> None:
    """No update is due now; the next one perhaps at `again_at`."""
    await connection.execute(
        "UPDATE incident_message SET update_at = $3 WHERE incident_id = $1 AND channel_id = $2",
        incident_id, channel_id, again_at,
    )  # fmt: skip


async def remember_message(connection: Connection, incident_id: UUID, channel_id: str, message_ref: str) -> None:
    """The channel's own name of the message, to edit it later."""
    await connection.execute(
        "UPDATE incident_message SET message_ref = $3 WHERE incident_id = $1 AND channel_id = $2",
        incident_id, channel_id, message_ref,
    )  # fmt: skip


async def message_ref(connection: Connection, incident_id: UUID | None, channel_id: str) -> str:
    """The channel's own name of the message about this incident; empty when there is none."""
    if incident_id is None:
        return ""
    found = await connection.fetchval(
        "SELECT message_ref FROM incident_message WHERE incident_id = $1 AND channel_id = $2", incident_id, channel_id
    )
    return found or ""


async def take_unpublished(connection: Connection, limit: int = 200) -> list[Incident]:
    """Incidents with a change nobody was informed of; they are marked as published."""
    rows = await connection.fetch(
        f"SELECT {_LIST} FROM incident WHERE published < version ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED",  # noqa: S608
        limit,
    )
    await connection.execute("UPDATE incident SET published = version WHERE id = ANY($1)", [row["id"] for row in rows])
    return [_incident(row) for row in rows]


def _values(incident: Incident) -> list[Any]:
    values = [getattr(incident, name) for name in _COLUMNS]
    values[_COLUMNS.index("labels")] = json.dumps(incident.labels)
    return values


def _incident(row: Row) -> Incident:
    return Incident(**{**{name: row[name] for name in _COLUMNS}, "labels": json.loads(row["labels"])})
