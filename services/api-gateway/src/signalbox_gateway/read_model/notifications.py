"""Incidents and deliveries: rows from the notifier's facts, and what the API reads of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from pydantic_core import from_json

from signalbox_chassis.persistence.connection import Connection, Row
from signalbox_contracts.messages.deliveries import DeliveryRecord
from signalbox_contracts.messages.states import IncidentRecord
from signalbox_gateway.read_model.queries import After, Answer, Page, Where
from signalbox_gateway.read_model.rows import columns

# INVARIANT an older version changes nothing. `opened_at` is set once: the list is ordered by it.
_INCIDENTS: Final = """
INSERT INTO incident AS i (id, version, state, severity, project, plan_id, opened_at, last_at, record)
SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::uuid[], $7::timestamptz[],
    $8::timestamptz[], $9::text[]) AS n (id, version, state, severity, project, plan_id, opened_at, last_at, record)
ORDER BY id
ON CONFLICT (id) DO UPDATE SET version = excluded.version, state = excluded.state, severity = excluded.severity,
    project = excluded.project, plan_id = excluded.plan_id, last_at = excluded.last_at, record = excluded.record
WHERE i.version < excluded.version
"""
_DELIVERIES: Final = """
INSERT INTO delivery AS d (id, version, channel_id, incident_id, plan_id, event_type, state, created_at, record)
SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::uuid[], $5::uuid[], $6::text[], $7::text[],
    $8::timestamptz[], $9::text[])
  AS n (id, version, channel_id, incident_id, plan_id, event_type, state, created_at, record) ORDER BY id
ON CONFLICT (id) DO UPDATE SET version = excluded.version, state = excluded.state, record = excluded.record
WHERE d.version < excluded.version
"""
_OVERDUE: Final = """
SELECT COALESCE(extract(epoch FROM now() - min((record::jsonb->>'next_try_at')::timestamptz)), 0)::float8 FROM (
    SELECT record FROM delivery WHERE state <> 'sent' AND state IN ('pending', 'retrying')
        AND created_at > now() - interval '4 days'
    ORDER BY created_at DESC, id DESC LIMIT 1000) AS unsent
"""
ENDED_DELIVERIES: Final = ("sent", "dead", "dropped")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryFilter:
    """Which deliveries; several values of one field mean any of them."""

    channel: Sequence[str] = ()
    state: Sequence[str] = ()
    event_type: Sequence[str] = ()
    plan: Sequence[UUID] = ()
    incident: Sequence[UUID] = ()


async def write_incidents(connection: Connection, records: Iterable[tuple[IncidentRecord, str]]) -> None:
    """Each record with its project; of several of one incident the newest counts."""
    newest: dict[UUID, tuple[IncidentRecord, str]] = {}
    for record, project in records:
        seen = newest.get(record.incident_id)
        if seen is None or seen[0].version < record.version:
            newest[record.incident_id] = record, project
    rows = [
        (
            one.incident_id, one.version, one.state.value, one.severity, project, one.plan_id, one.first_at,
            one.last_at, one.model_dump_json(),
        )
        for one, project in newest.values()
    ]  # fmt: skip
    if rows:
        await connection.execute(_INCIDENTS, *columns(rows))


async def write_deliveries(connection: Connection, records: Iterable[DeliveryRecord]) -> None:
    newest: dict[UUID, DeliveryRecord] = {}
    for record in records:
        seen = newest.get(record.delivery_id)
        if seen is None or seen.version < record.version:
            newest[record.delivery_id] = record
    rows = [
        (
            one.delivery_id, one.version, one.channel_id, one.incident_id, one.plan_id, one.event_type or "",
            one.state.value, one.created_at, one.model_dump_json(),
        )
        for one in newest.values()
    ]  # fmt: skip
    if rows:
        await connection.execute(_DELIVERIES, *columns(rows))


async def incidents(
    connection: Connection, *, state: Sequence[str] = (), severity: Sequence[str] = (), project: Sequence[str] = (),
    plan: Sequence[UUID] = (), limit: int, after: After | None = None,
) -> Page:  # fmt: skip
    """Incidents, the newest first."""
    where = Where()
    where.any_of("i.state", "text", state)
    where.any_of("i.severity", "text", severity)
    where.any_of("i.project", "text", project)
    where.any_of("i.plan_id", "uuid", plan)
    return await _page(connection, "incident i", "i.opened_at", "i.id", where, limit, after, _incident)


async def incident(connection: Connection, id: UUID) -> Answer | None:
    row = await connection.fetchrow("SELECT i.* FROM incident i WHERE i.id = $1", id)
    return _incident(row) if row is not None else None


async def deliveries(
    connection: Connection, wanted: DeliveryFilter, *, limit: int, after: After | None = None
) -> Page:  # fmt: skip
    """Deliveries with their tries, the newest first."""
    where = Where()
    where.any_of("d.channel_id", "text", wanted.channel)
    where.any_of("d.state", "text", wanted.state)
    where.any_of("d.event_type", "text", wanted.event_type)
    where.any_of("d.plan_id", "uuid", wanted.plan)
    where.any_of("d.incident_id", "uuid", wanted.incident)
    return await _page(connection, "delivery d", "d.created_at", "d.id", where, limit, after, _delivery)


async def delivery(connection: Connection, id: UUID) -> Answer | None:
    row = await connection.fetchrow("SELECT d.* FROM delivery d WHERE d.id = $1", id)
    return _delivery(row) if row is not None else None


async def delivery_channels(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, tuple[str, str]]:
    """Channel and state of these deliveries, those that are known."""
    rows = await connection.fetch("SELECT id, channel_id, state FROM delivery WHERE id = ANY($1)", list(ids))
    return {row["id"]: (row["channel_id"], row["state"]) for row in rows}


async def _page(
    connection: Connection, table: str, at: str, id: str, where: Where, limit: int, after: After | None, shown: Any
) -> Page:
    if after is not None:
        where.add(f"({at}, {id}) < (?::timestamptz, ?::uuid)", datetime.fromisoformat(after[0]), UUID(after[1]))
    query = f"SELECT * FROM {table} WHERE {where} ORDER BY {at} DESC, {id} DESC LIMIT {limit + 1:d}"  # noqa: S608
    rows = await connection.fetch(query, *where.values)
    column = at.partition(".")[2]
    last = [rows[limit - 1][column].isoformat(), str(rows[limit - 1]["id"])] if len(rows) > limit else None
    return Page([shown(row) for row in rows[:limit]], last)


def _incident(row: Row) -> Answer:
    record: Answer = from_json(row["record"])
    return {"id": record.pop("incident_id"), "project": row["project"], "opened_at": row["opened_at"], **record}


def _delivery(row: Row) -> Answer:
    record: Answer = from_json(row["record"])
    return {"id": record.pop("delivery_id"), **record}


async def overdue_seconds(connection: Connection) -> float:
    """For how long the message that is due longest is due; 0 for none."""
    return max(0.0, await connection.fetchval(_OVERDUE))


async def raise_alarm(connection: Connection) -> datetime | None:
    """Keep that notifications are late; since when for the gateway that is the first, None for others."""
    return await connection.fetchval(
        "INSERT INTO notification_alarm DEFAULT VALUES ON CONFLICT DO NOTHING RETURNING since"
    )


async def clear_alarm(connection: Connection) -> datetime | None:
    """Notifications are in time; since when they were late, None when they were not."""
    return await connection.fetchval("DELETE FROM notification_alarm RETURNING since")
