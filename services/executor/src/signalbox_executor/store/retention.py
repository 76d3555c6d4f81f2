"""Deletes the tasks of plans that closed long ago: attempts and log positions with them, the plan's rules last.

Rules of a plan that are gone are safe: no task of a plan without rules is ever claimed.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final
from uuid import UUID

from signalbox_chassis.persistence.connection import Connection
from signalbox_executor.store.rows import with_states

MAX_PLANS: Final = 100

# INVARIANT retention deletes nothing that may still run: the plan is closed, and none of its tasks waits or holds a
# slot. A task that came back after a restore reopens its plan.
_OLD: Final = with_states("""
FROM plan_rules p WHERE p.closed AND p.changed_at < now() - make_interval(days => $1)
  AND NOT EXISTS (SELECT FROM task t WHERE t.plan_id = p.plan_id AND t.state = 'QUEUED')
  AND NOT EXISTS (SELECT FROM task t WHERE t.plan_id = p.plan_id AND t.state IN {active})
""")
_OLD_PLANS: Final = f"SELECT p.plan_id {_OLD} ORDER BY p.changed_at LIMIT {MAX_PLANS}"
_TASKS: Final = with_states("SELECT id FROM task WHERE plan_id = ANY($1) AND state IN {ended} AND published LIMIT $2")
_DELETE: Final = with_states("DELETE FROM task WHERE id = ANY($1) AND state IN {ended} RETURNING id")
_OF_TASKS: Final = ("attempt", "log_copy", "log_follow", "run_hint")
_DELETE_RULES: Final = """
DELETE FROM plan_rules p WHERE p.plan_id = ANY($1) AND p.closed
  AND NOT EXISTS (SELECT FROM task t WHERE t.plan_id = p.plan_id)
RETURNING p.plan_id
"""
_COUNTS: Final = {
    "plans": f"SELECT count(*) {_OLD}",
    "tasks": f"SELECT count(*) FROM task WHERE plan_id IN (SELECT p.plan_id {_OLD})",  # noqa: S608
    "attempts": f"SELECT count(*) FROM attempt a JOIN task t ON t.id = a.task_id "  # noqa: S608
    f"WHERE t.plan_id IN (SELECT p.plan_id {_OLD})",
}
DeleteLogs = Callable[[Sequence[UUID]], Awaitable[None]]


async def count(connection: Connection, days: int) -> dict[str, int]:
    """What `prune` would delete, by kind."""
    return {kind: await connection.fetchval(query, days) for kind, query in _COUNTS.items()}


async def prune(connection: Connection, days: int, batch: int, delete_logs: DeleteLogs | None = None) -> dict[str, int]:
    """Delete up to `batch` tasks in one short transaction; how many rows of each kind.

    `delete_logs` removes what the tasks wrote from the blob store. It comes first: a log without a row would stay.
    """
    plans = [row["plan_id"] for row in await connection.fetch(_OLD_PLANS, days)]
    if not plans:
        return {"plans": 0, "tasks": 0, "attempts": 0}
    ids = [row["id"] for row in await connection.fetch(_TASKS, plans, batch)]
    if ids and delete_logs is not None:
        await delete_logs(ids)
    async with connection.transaction():
        gone = [row["id"] for row in await connection.fetch(_DELETE, ids)]
        rows = {table: await _delete_of(connection, table, gone) for table in _OF_TASKS}
        rules = await connection.fetch(_DELETE_RULES, plans) if len(ids) < batch else []
    return {"plans": len(rules), "tasks": len(gone), "attempts": rows["attempt"]}


async def _delete_of(connection: Connection, table: str, ids: Sequence[UUID]) -> int:
    done = await connection.execute(f"DELETE FROM {table} WHERE task_id = ANY($1)", ids)  # noqa: S608
    return int(done.split()[-1])
