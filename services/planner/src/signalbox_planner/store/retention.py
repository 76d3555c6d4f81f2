"""Deletes plans that ended long ago: the plan's row first, its items and pages after it in batches.

`pruned_plan` names the plans whose rows are still to be deleted, so that a crash in between leaves nothing behind, and
a plan is never seen with a part of its items.
"""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from signalbox_chassis.persistence.connection import Connection
from signalbox_chassis.persistence.state_list import state_list
from signalbox_contracts.states import PLAN_ENDS

MAX_PLANS: Final = 200
_ENDS: Final = state_list(PLAN_ENDS)

# INVARIANT retention never deletes a plan that may still change, that is to be republished, or whose failures a retry
# is copying.
_OLD: Final = f"""
FROM plan p WHERE p.ended_at < now() - make_interval(days => $1) AND p.state IN {_ENDS}
  AND NOT EXISTS (SELECT FROM republish_request r WHERE r.plan_id = p.id)
  AND NOT EXISTS (SELECT FROM plan c WHERE c.copy_position IS NOT NULL AND c.state NOT IN {_ENDS})
"""  # noqa: S608
_TAKE: Final = f"""
WITH old AS (SELECT p.id {_OLD} ORDER BY p.ended_at LIMIT {MAX_PLANS} FOR UPDATE SKIP LOCKED),
gone AS (DELETE FROM plan WHERE id IN (SELECT id FROM old) RETURNING id)
INSERT INTO pruned_plan SELECT id FROM gone ON CONFLICT DO NOTHING RETURNING plan_id
"""  # noqa: S608
_PRUNED: Final = f"SELECT plan_id FROM pruned_plan ORDER BY plan_id LIMIT {MAX_PLANS} FOR UPDATE SKIP LOCKED"  # noqa: S608
_MANY_ROWS: Final = ("item", "decided_item", "resolved_page", "plan_transition", "step", "request_page")
_FEW_ROWS: Final = ("plan_pipeline", "plan_selection", "occupied_object", "plan_start", "pruned_plan")
_DELETE: Final = (
    "DELETE FROM {table} WHERE ctid = ANY(ARRAY(SELECT ctid FROM {table} WHERE plan_id = ANY($1) LIMIT $2))"
)
_COUNTS: Final = {
    "plans": f"SELECT count(*) {_OLD}",
    "items": f"SELECT count(*) FROM item WHERE plan_id IN (SELECT p.id {_OLD} UNION SELECT plan_id FROM pruned_plan)",  # noqa: S608
}


async def count(connection: Connection, days: int) -> dict[str, int]:
    """What `prune` would delete, by kind."""
    return {kind: await connection.fetchval(query, days) for kind, query in _COUNTS.items()}


async def prune(connection: Connection, days: int, batch: int) -> dict[str, int]:
    """Delete some plans and about `batch` rows of theirs, in one short transaction; how many rows of each kind."""
    async with connection.transaction():
        plans = await connection.fetch(_TAKE, days)
        pruned = [row["plan_id"] for row in await connection.fetch(_PRUNED)]
        items = await _delete_rows(connection, pruned, batch) if pruned else 0
    return {"plans": len(plans), "items": items, "rows": len(pruned)}


async def _delete_rows(connection: Connection, plans: Sequence[UUID], batch: int) -> int:
    """Delete up to `batch` rows of these plans; the plans are done when none is left. Returns how many were items."""
    left, items = batch, 0
    for table in _MANY_ROWS:
        done = await connection.execute(_DELETE.format(table=table), plans, left)
        gone = int(done.split()[-1])
        items += gone if table == "item" else 0
        left -= gone
        if left <= 0:
            return items
    for table in _FEW_ROWS:
        await connection.execute(f"DELETE FROM {table} WHERE plan_id = ANY($1)", plans)  # noqa: S608
    return items
