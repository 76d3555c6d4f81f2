"""What starts plans by itself, as its owners published it: ticks and states of schedules, what triggers matched."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from pydantic_core import from_json

from signalbox_chassis.persistence.connection import Connection
from signalbox_contracts.messages.states import ScheduleRecord, SourceRecord, TriggerRecord
from signalbox_contracts.messages.ticks import ScheduleTickedData, ScheduleTickSkippedData
from signalbox_gateway.read_model.queries import After, Answer, Page

# A backfill may fire a tick that was skipped before, or fire one again: the newest plan is shown.
# A tick that fired never becomes a skipped one.
_WRITE_TICKS: Final = """
INSERT INTO tick AS t (id, schedule_id, due_at, event_date, outcome, cause, detail, plan_id, published_at)
SELECT DISTINCT ON (n.id) * FROM unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::date[], $5::text[], $6::text[],
                     $7::text[], $8::uuid[], $9::timestamptz[])
  AS n (id, schedule_id, due_at, event_date, outcome, cause, detail, plan_id, published_at)
ORDER BY n.id, n.outcome, n.published_at DESC
ON CONFLICT (id) DO UPDATE SET outcome = excluded.outcome, cause = excluded.cause, detail = excluded.detail,
    plan_id = excluded.plan_id, published_at = excluded.published_at
WHERE excluded.outcome = 'FIRED' AND (t.outcome = 'SKIPPED'
    OR (t.plan_id <> excluded.plan_id AND t.published_at < excluded.published_at))
"""
_WRITE_STATES: Final = """
INSERT INTO start_state AS s (kind, id, version, record)
SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[])
ON CONFLICT (kind, id) DO UPDATE SET version = excluded.version, record = excluded.record
WHERE s.version < excluded.version
"""
_WRITE_MATCHES: Final = """
INSERT INTO event_match (trigger_id, version, position, source, event_id, event_type, outcome, why, plan_id, at)
SELECT * FROM unnest($1::text[], $2::bigint[], $3::int[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
                     $9::uuid[], $10::timestamptz[])
ON CONFLICT DO NOTHING
"""
# Two ticks may have one instant: the id tells them apart.
_TICKS: Final = """
SELECT t.id AS tick_id, t.due_at, t.event_date, t.outcome, t.cause, t.detail, t.plan_id, p.state AS plan_state
FROM tick t LEFT JOIN plan p ON p.id = t.plan_id
WHERE t.schedule_id = $1 AND ($2::text IS NULL OR t.outcome = $2)
  AND ($3::timestamptz IS NULL OR (t.due_at, t.id) < ($3, $4::uuid)) ORDER BY t.due_at DESC, t.id DESC LIMIT $5
"""
_MATCHES: Final = """
SELECT m.seq, m.trigger_id, m.source, m.event_id, m.event_type, m.outcome, m.why, m.plan_id, p.state AS plan_state, m.at
FROM event_match m LEFT JOIN plan p ON p.id = m.plan_id
WHERE ($1::text IS NULL OR m.source = $1) AND ($2::text IS NULL OR m.trigger_id = $2)
  AND ($3::text IS NULL OR m.outcome = $3) AND ($4::text IS NULL OR m.event_id = $4)
  AND ($5::bigint IS NULL OR m.seq < $5) ORDER BY m.seq DESC LIMIT $6
"""
_BY_HOUR: Final = """
SELECT date_trunc('hour', at) AS hour, source, outcome, count(*) AS events,
    count(DISTINCT plan_id) AS plans FROM event_match
WHERE at > now() - make_interval(hours => $1) GROUP BY 1, 2, 3 ORDER BY 1 DESC, 2, 3 LIMIT 1000
"""


_WRITE_SOURCES: Final = """
INSERT INTO source_hour AS s (source, hour_at, version, received, unclaimed, repeated, last_event_at, lag_seconds)
SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[],
                     $7::timestamptz[], $8::float8[])
ON CONFLICT (source, hour_at) DO UPDATE SET version = excluded.version, received = excluded.received,
    unclaimed = excluded.unclaimed, repeated = excluded.repeated, last_event_at = excluded.last_event_at,
    lag_seconds = excluded.lag_seconds
WHERE s.version < excluded.version
"""
_SOURCES: Final = """
SELECT hour_at AS hour, source, received, unclaimed, repeated, last_event_at, lag_seconds FROM source_hour
WHERE hour_at > now() - make_interval(hours => $1) ORDER BY 1 DESC, 2 LIMIT 1000
"""


@dataclass(frozen=True, slots=True)
class TickRow:
    """One tick as the scheduler published it."""

    data: ScheduleTickedData | ScheduleTickSkippedData
    published_at: datetime

    def values(self) -> tuple[Any, ...]:
        data = self.data
        fired = isinstance(data, ScheduleTickedData)
        cause = data.cause.value if fired else data.why.value
        detail = "" if fired else data.detail
        plan: UUID | None = data.plan_id if fired else None
        outcome = "FIRED" if fired else "SKIPPED"
        return (
            data.tick_id, data.schedule_id, data.due_at, data.event_date, outcome, cause, detail, plan,
            self.published_at,
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchFilter:
    """Which matches a list shows."""

    source: str | None = None
    trigger: str | None = None
    outcome: str | None = None
    event: str | None = None


async def write_ticks(connection: Connection, rows: Sequence[TickRow]) -> None:
    """Keep these ticks."""
    columns = zip(*(row.values() for row in rows), strict=True)
    await connection.execute(_WRITE_TICKS, *(list(column) for column in columns))


async def write_schedules(connection: Connection, records: Sequence[ScheduleRecord]) -> None:
    """Keep the newest state of each schedule."""
    states = [(one.schedule_id, one.version, one.model_dump_json()) for one in records]
    await _write_states(connection, "schedule", states)


async def write_triggers(connection: Connection, records: Sequence[TriggerRecord]) -> None:
    """Keep the newest state of each trigger, and every event it judged."""
    states = [(one.trigger_id, one.version, one.model_dump_json(exclude={"events"})) for one in records]
    await _write_states(connection, "trigger", states)
    rows = [
        (
            one.trigger_id, one.version, position, event.event_source, event.event_id, event.event_type,
            event.outcome.value, event.why, event.plan_id, event.at,
        )
        for one in records
        for position, event in enumerate(one.events)
    ]  # fmt: skip
    if rows:
        await connection.execute(_WRITE_MATCHES, *(list(column) for column in zip(*rows, strict=True)))


async def write_sources(connection: Connection, records: Sequence[SourceRecord]) -> None:
    """Keep the newest counts of each source and hour."""
    newest = {(one.source, one.hour_at): one for one in sorted(records, key=lambda one: one.version)}.values()
    rows = [
        (
            one.source, one.hour_at, one.version, one.received, one.unclaimed, one.repeated, one.last_event_at,
            one.lag_seconds,
        )
        for one in newest
    ]  # fmt: skip
    await connection.execute(_WRITE_SOURCES, *(list(column) for column in zip(*rows, strict=True)))


async def sources_by_hour(connection: Connection, hours: int) -> list[Answer]:
    """What came from each source, by hour."""
    return [dict(row) for row in await connection.fetch(_SOURCES, hours)]


async def _write_states(connection: Connection, kind: str, states: Sequence[tuple[str, int, str]]) -> None:
    newest = {id: (version, record) for id, version, record in sorted(states, key=lambda one: one[1])}
    await connection.execute(
        _WRITE_STATES, [kind] * len(newest), list(newest), [version for version, _ in newest.values()],
        [record for _, record in newest.values()],
    )  # fmt: skip


async def schedule_states(connection: Connection, ids: Sequence[str]) -> dict[str, Answer]:
    """The last published state of these schedules."""
    return await _states(connection, "schedule", ids)


async def trigger_states(connection: Connection, ids: Sequence[str]) -> dict[str, Answer]:
    """The last published state of these triggers."""
    return await _states(connection, "trigger", ids)


async def _states(connection: Connection, kind: str, ids: Sequence[str]) -> dict[str, Answer]:
    rows = await connection.fetch(
        "SELECT id, record FROM start_state WHERE kind = $1 AND id = ANY($2)", kind, list(ids)
    )
    return {row["id"]: from_json(row["record"]) for row in rows}


async def ticks(
    connection: Connection, schedule_id: str, *, outcome: str | None, limit: int, after: After | None
) -> Page:
    """Ticks of a schedule, the newest first, with the state of their plans. `after` is (due_at, id) of the last one."""
    due, id = (datetime.fromisoformat(after[0]), UUID(after[1])) if after else (None, None)
    rows = await connection.fetch(_TICKS, schedule_id, outcome, due, id, limit + 1)
    items = [dict(row) for row in rows]
    last = items[limit - 1] if len(items) > limit else None
    return Page(items[:limit], [last["due_at"].isoformat(), str(last["tick_id"])] if last else None)


async def fired(connection: Connection, schedule_id: str, instants: Sequence[datetime]) -> dict[datetime, str | None]:
    """Those of these instants that have fired, with the state of their newest plan."""
    rows = await connection.fetch(
        "SELECT t.due_at, p.state FROM tick t LEFT JOIN plan p ON p.id = t.plan_id"
        " WHERE t.schedule_id = $1 AND t.due_at = ANY ($2) AND t.outcome = 'FIRED'",
        schedule_id, instants,
    )  # fmt: skip
    return {row["due_at"]: row["state"] for row in rows}


async def matches(connection: Connection, wanted: MatchFilter, *, limit: int, before: int | None) -> Page:
    """What triggers made of events, the newest first."""
    rows = await connection.fetch(
        _MATCHES, wanted.source, wanted.trigger, wanted.outcome, wanted.event, before, limit + 1
    )
    items = [{name: value for name, value in row.items() if name != "seq"} for row in rows]
    return Page(items[:limit], [rows[limit - 1]["seq"]] if len(rows) > limit else None)


async def events_by_hour(connection: Connection, hours: int) -> list[Answer]:
    """How many events of each source had which outcome, by hour."""
    return [dict(row) for row in await connection.fetch(_BY_HOUR, hours)]
