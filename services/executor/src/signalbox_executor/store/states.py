"""The states of engines: as they are now, and as they were published last."""

import json
from collections.abc import Sequence
from typing import Final

from signalbox_chassis.persistence.connection import Connection, Row
from signalbox_chassis.runtime.isolation import readable
from signalbox_contracts.messages.states import EngineRecord
from signalbox_executor.store.rows import with_states

# One replica at a time is enough; nobody waits for the lock.
_ALONE: Final = "SELECT pg_try_advisory_xact_lock(hashtextextended(current_schema() || '/engine-state', 0))"

_NOW: Final = with_states("""
WITH counts AS MATERIALIZED (
  SELECT engine_id, count(*) FILTER (WHERE state = 'UNKNOWN')::int AS unknown,
         count(*) FILTER (WHERE state <> 'QUEUED')::int AS active,
         count(*) FILTER (WHERE state = 'QUEUED')::int AS queued
  FROM task WHERE state IN {live} GROUP BY 1
)
SELECT e.id, e.revision, e.failures, e.breaker_since, e.concurrency, e.last_answer_at, e.last_error,
  CASE WHEN e.breaker = 'closed' THEN 'closed' WHEN e.probe_at <= now() THEN 'half_open' ELSE 'open' END AS breaker,
  CASE WHEN e.intake = 'draining' AND COALESCE(c.active, 0) = 0 THEN 'drained'
       WHEN e.intake = 'open' AND EXISTS (
         SELECT FROM freeze_window f WHERE f.from_at <= now() AND f.until_at > now() AND f.projects = '{}'
           AND (f.engines = '{}' OR e.id = ANY (f.engines))) THEN 'frozen'
       ELSE e.intake END AS intake,
  COALESCE(c.active, 0) AS active, COALESCE(c.queued, 0) AS queued, COALESCE(c.unknown, 0) AS unknown,
  COALESCE(s.version, 0) AS version, s.published::text AS published
FROM engine e LEFT JOIN counts c ON c.engine_id = e.id LEFT JOIN engine_state s ON s.engine_id = e.id
WHERE NOT e.deleted ORDER BY e.id
""")

_SAVE_PUBLISHED: Final = """
INSERT INTO engine_state (engine_id, version, published)
SELECT * FROM unnest($1::text[], $2::bigint[], $3::jsonb[])
ON CONFLICT (engine_id) DO UPDATE SET version = excluded.version, published = excluded.published
"""


async def engine_records(connection: Connection) -> list[tuple[EngineRecord, EngineRecord | None]]:
    """Each engine as it is, under its next version, and as it was published last; none if another replica does so."""
    if not await connection.fetchval(_ALONE):
        return []
    return readable(await connection.fetch(_NOW), _now_and_published, part="engine states")


def _now_and_published(row: Row) -> tuple[EngineRecord, EngineRecord | None]:
    now = EngineRecord.model_validate(
        {
            "engine_id": row["id"],
            "version": row["version"] + 1,
            "definitions_revision": row["revision"],
            "breaker": row["breaker"],
            "breaker_since_at": row["breaker_since"],
            "failures": row["failures"],
            "intake": row["intake"],
            "slots": row["concurrency"],
            "slots_used": row["active"],
            "queued": row["queued"],
            "unknown": row["unknown"],
            "last_answer_at": row["last_answer_at"],
            "last_error": row["last_error"],
        }
    )
    before = json.loads(row["published"] or "null")
    return now, EngineRecord.model_validate(before) if before is not None else None


async def published(connection: Connection) -> list[EngineRecord]:
    """The state of each engine that was published last."""
    rows = await connection.fetch(
        "SELECT published::text AS published FROM engine_state WHERE published <> 'null' ORDER BY engine_id"
    )
    return [EngineRecord.model_validate_json(row["published"]) for row in rows]


async def save_published(connection: Connection, records: Sequence[EngineRecord]) -> None:
    """Remember what was published."""
    await connection.execute(
        _SAVE_PUBLISHED,
        [record.engine_id for record in records],
        [record.version for record in records],
        [record.model_dump_json() for record in records],
    )
