"""Hints of engines that runs changed: kept by whichever replica hears of them, taken by the one that observes."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from signalbox_chassis.persistence.connection import Connection
from signalbox_executor.store.rows import with_states

# A hint changes no task. It is kept for a run under way, of an engine that is to give hints, and once a task.
_KEEP: Final = with_states("""
INSERT INTO run_hint (engine_id, task_id)
SELECT t.engine_id, t.id FROM task t JOIN unnest($2::uuid[], $3::int[]) AS h (task_id, attempt)
    ON h.task_id = t.id AND h.attempt = t.attempt
WHERE t.engine_id = $1 AND t.state IN {observed} AND EXISTS (
    SELECT FROM engine e WHERE e.id = $1 AND e.definition -> 'connection' ->> 'notification_url' IS NOT NULL)
ON CONFLICT DO NOTHING
""")
# Not those of engines that another live worker observes: it takes them itself.
_TAKE: Final = """
DELETE FROM run_hint WHERE (engine_id, task_id) IN (
    SELECT h.engine_id, h.task_id FROM run_hint h
    WHERE h.engine_id = ANY ($1) AND NOT EXISTS (
        SELECT FROM engine_lease l JOIN worker w ON w.id = l.holder
        WHERE l.engine_id = h.engine_id AND l.holder <> $2 AND l.lease_until >= clock_timestamp()
          AND NOT w.dead AND w.lease_until > clock_timestamp())
    LIMIT $3)
RETURNING engine_id, task_id
"""


async def keep(connection: Connection, engine_id: str, runs: Sequence[tuple[UUID, int]]) -> None:
    """Keep hints about these attempts, by task; others than those under way on the engine are left out."""
    tasks, attempts = [task for task, _ in runs], [attempt for _, attempt in runs]
    await connection.execute(_KEEP, engine_id, tasks, attempts)


async def take(connection: Connection, engine_ids: Sequence[str], worker: UUID, *, limit: int) -> dict[str, list[UUID]]:
    """Remove hints about runs of these engines; the tasks by engine."""
    found: dict[str, list[UUID]] = {}
    for row in await connection.fetch(_TAKE, list(engine_ids), worker, limit):
        found.setdefault(row["engine_id"], []).append(row["task_id"])
    return found
