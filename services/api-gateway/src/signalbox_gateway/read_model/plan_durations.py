"""How long items of a plan took, and what its engines take at once."""

from collections.abc import Sequence
from uuid import UUID

from signalbox_chassis.persistence.connection import Connection

MAX_SAMPLES = 2000
_OWN = """
SELECT extract(epoch FROM (record::jsonb ->> 'ended_at')::timestamptz - (record::jsonb ->> 'started_at')::timestamptz)
    AS seconds
FROM task WHERE plan_id = $1 AND state = 'SUCCEEDED' AND record::jsonb ->> 'started_at' IS NOT NULL
ORDER BY seq DESC LIMIT $2
"""
_BEFORE = """
SELECT (item::jsonb -> 'expected' ->> 'seconds')::float8 AS seconds
FROM task WHERE plan_id = $1 AND decision = 'run' AND item::jsonb -> 'expected' ->> 'seconds' IS NOT NULL
ORDER BY position LIMIT $2
"""
_ENGINES = "SELECT DISTINCT item::jsonb ->> 'engine' AS engine FROM task WHERE plan_id = $1 AND item IS NOT NULL"


async def own_seconds(connection: Connection, plan: UUID) -> list[float]:
    """Durations of the plan's items that succeeded, the newest ones."""
    return [float(row["seconds"]) for row in await connection.fetch(_OWN, plan, MAX_SAMPLES)]


async def earlier_seconds(connection: Connection, plan: UUID) -> list[float]:
    """How long the last run of each item took before this plan, where the preview found that."""
    return [float(row["seconds"]) for row in await connection.fetch(_BEFORE, plan, MAX_SAMPLES)]


async def engines_of(connection: Connection, plan: UUID) -> Sequence[str]:
    """The engines that the plan's items run on."""
    return [row["engine"] for row in await connection.fetch(_ENGINES, plan) if row["engine"]]
