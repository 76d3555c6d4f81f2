"""Deletes what is past retention from the read model, in bounded batches. Nothing that runs is touched.

A fact that its owner publishes again brings a plan back; the next pass deletes it again.
"""

from typing import Final

from signalbox_chassis.persistence.connection import Connection
from signalbox_chassis.persistence.retention import Retention
from signalbox_chassis.persistence.state_list import state_list
from signalbox_contracts.states import PLAN_ENDS

BATCH_PLANS: Final = 200
BATCH_ROWS: Final = 5000
_ENDED: Final = state_list(PLAN_ENDS)
_OLD_PLANS: Final = f"""
FROM plan WHERE state IN {_ENDED} AND ended_at < now() - make_interval(days => $1)
"""
_OLD_OPERATIONS: Final = """
FROM operation o WHERE requested_at < now() - make_interval(days => $1)
  AND EXISTS (SELECT FROM operation_answer a WHERE a.operation_id = o.id)
"""
_OLD_LETTERS: Final = (
    "FROM parked WHERE state IN ('REDRIVEN', 'DROPPED') AND parked_at < now() - make_interval(days => $1)"
)
_OLD_INCIDENTS: Final = "FROM incident WHERE state = 'recovered' AND last_at < now() - make_interval(days => $1)"
_OLD_DELIVERIES: Final = """
FROM delivery WHERE state IN ('sent', 'dead', 'dropped') AND created_at < now() - make_interval(days => $1)
"""
_OLD_REPROCESSING_JOBS: Final = "FROM reprocessing_job WHERE ended_at < now() - make_interval(days => $1)"
_OLD_BULK: Final = "FROM bulk_operation WHERE requested_at < now() - make_interval(days => $1)"
_COUNTS: Final = {
    "plans": f"SELECT count(*) {_OLD_PLANS}",
    "tasks": f"SELECT count(*) FROM task WHERE plan_id IN (SELECT id {_OLD_PLANS})",  # noqa: S608
    "operations": f"SELECT count(*) {_OLD_OPERATIONS}",
    "parked messages": f"SELECT count(*) {_OLD_LETTERS}",
    "incidents": f"SELECT count(*) {_OLD_INCIDENTS}",
    "deliveries": f"SELECT count(*) {_OLD_DELIVERIES}",
    "reprocessing jobs": f"SELECT count(*) {_OLD_REPROCESSING_JOBS}",
    "bulk operations": f"SELECT count(*) {_OLD_BULK}",
}
_PLANS: Final = f"SELECT id {_OLD_PLANS} ORDER BY ended_at LIMIT {BATCH_PLANS} FOR UPDATE SKIP LOCKED"
_TASKS: Final = """
DELETE FROM task WHERE id IN (SELECT id FROM task WHERE plan_id = ANY($1) LIMIT $2) RETURNING id
"""
_OF_TASKS: Final = ("task_event", "task_attempt")
_OF_PLANS: Final = ("plan_event", "plan_page")
_OPERATIONS: Final = f"""
WITH gone AS (DELETE FROM operation WHERE id IN (SELECT o.id {_OLD_OPERATIONS} LIMIT $2) RETURNING id)
DELETE FROM operation_answer WHERE operation_id IN (SELECT id FROM gone) RETURNING operation_id
"""  # noqa: S608
_LETTERS: Final = f"DELETE FROM parked WHERE id IN (SELECT id {_OLD_LETTERS} LIMIT $2) RETURNING id"  # noqa: S608

_INCIDENTS: Final = f"DELETE FROM incident WHERE id IN (SELECT id {_OLD_INCIDENTS} LIMIT $2) RETURNING id"  # noqa: S608
_DELIVERIES: Final = f"DELETE FROM delivery WHERE id IN (SELECT id {_OLD_DELIVERIES} LIMIT $2) RETURNING id"  # noqa: S608
_REPROCESSING_JOBS: Final = f"""
DELETE FROM reprocessing_job WHERE id IN (SELECT id {_OLD_REPROCESSING_JOBS} LIMIT $2) RETURNING id
"""  # noqa: S608

_BULK: Final = f"SELECT id {_OLD_BULK} ORDER BY requested_at LIMIT 1 FOR UPDATE SKIP LOCKED"
_BULK_ITEMS: Final = """
DELETE FROM bulk_item WHERE (bulk_id, position) IN (
    SELECT bulk_id, position FROM bulk_item WHERE bulk_id = $1 LIMIT $2) RETURNING position
"""


async def count(connection: Connection, days: int) -> dict[str, int]:
    """What a prune would delete, by kind."""
    return {kind: await connection.fetchval(query, days) for kind, query in _COUNTS.items()}


async def prune(connection: Connection, days: int, batch: int = BATCH_ROWS) -> dict[str, int]:
    """Delete one batch, in one short transaction; how many rows of each kind. All zero when nothing is left."""
    async with connection.transaction():
        plans = [row["id"] for row in await connection.fetch(_PLANS, days)]
        tasks = [row["id"] for row in await connection.fetch(_TASKS, plans, batch)] if plans else []
        for table in _OF_TASKS if tasks else ():
            await connection.execute(f"DELETE FROM {table} WHERE task_id = ANY($1)", tasks)  # noqa: S608
        finished = plans if len(tasks) < batch else []
        for table in _OF_PLANS if finished else ():
            await connection.execute(f"DELETE FROM {table} WHERE plan_id = ANY($1)", finished)  # noqa: S608
        if finished:
            await connection.execute("DELETE FROM plan WHERE id = ANY($1)", finished)
        operations = await connection.fetch(_OPERATIONS, days, batch)
        letters = await connection.fetch(_LETTERS, days, batch)
        incidents = await connection.fetch(_INCIDENTS, days, batch)
        deliveries = await connection.fetch(_DELIVERIES, days, batch)
        reprocessing_jobs = await connection.fetch(_REPROCESSING_JOBS, days, batch)
        bulk = await _prune_bulk(connection, days, batch)
    return {
        "plans": len(finished), "tasks": len(tasks), "operations": len(operations), "parked messages": len(letters),
        "incidents": len(incidents), "deliveries": len(deliveries), "reprocessing jobs": len(reprocessing_jobs),
        "bulk operations": bulk,
    }  # fmt: skip


async def _prune_bulk(connection: Connection, days: int, batch: int) -> int:
    """Delete items of the oldest bulk operation that is past retention, and the operation with the last of them."""
    id = await connection.fetchval(_BULK, days)
    if id is None:
        return 0
    if len(await connection.fetch(_BULK_ITEMS, id, batch)) < batch:
        await connection.execute("DELETE FROM bulk_operation WHERE id = $1", id)
    return 1


RETENTION: Final = Retention(count=count, prune=prune)
