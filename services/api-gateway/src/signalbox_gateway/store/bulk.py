"""SQL of bulk operations: what was requested for many plans or tasks at once, and the result for each."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from signalbox_chassis.persistence.connection import Connection

# An operation that retention has deleted was answered: its answer is not known any more.
_STATE: Final = """
CASE WHEN i.operation_id IS NULL THEN 'refused' WHEN a.state IS NOT NULL THEN a.state
     WHEN o.id IS NULL THEN 'forgotten' ELSE 'pending' END
"""
_JOINED: Final = """
FROM bulk_item i LEFT JOIN operation o ON o.id = i.operation_id
LEFT JOIN operation_answer a ON a.operation_id = i.operation_id
WHERE i.bulk_id = $1
"""
_SAVE: Final = """
INSERT INTO bulk_operation (id, action, filter, actor, reason, total, trace_id, requested_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
"""
_LIST: Final = """
SELECT * FROM bulk_operation WHERE ($1::text IS NULL OR actor = $1)
  AND ($2::timestamptz IS NULL OR (requested_at, id) < ($2, $3::uuid))
ORDER BY requested_at DESC, id DESC LIMIT $4
"""
_COUNTS: Final = f"SELECT {_STATE} AS state, count(*)::int AS items {_JOINED} GROUP BY 1 ORDER BY 1"
_ITEMS: Final = f"""
SELECT * FROM (
    SELECT i.position, i.target, i.name, i.operation_id, i.plan_id, {_STATE} AS state,
        COALESCE(a.answer, i.refusal) AS answer {_JOINED}
) item WHERE position > $2 AND (cardinality($3::text[]) = 0 OR state = ANY($3)) ORDER BY position LIMIT $4
"""  # noqa: S608


class BulkItem(NamedTuple):
    """What was requested for one plan or task. `refusal` says why nothing was; `plan_id` is a plan that was made."""

    bulk_id: UUID
    position: int
    target: str
    name: str
    operation_id: UUID | None
    plan_id: UUID | None
    refusal: str


async def save(
    connection: Connection, id: UUID, action: str, *, filter: str, actor: str, reason: str, trace_id: str | None,
    at: datetime, items: Sequence[BulkItem],
) -> None:  # fmt: skip
    """Store a bulk operation with its items."""
    await connection.execute(_SAVE, id, action, filter, actor, reason, len(items), trace_id, at)
    await connection.copy_records_to_table("bulk_item", records=items, columns=BulkItem._fields)


async def load(connection: Connection, id: UUID) -> dict[str, Any] | None:
    """A bulk operation with the number of its items in each state; None when there is none."""
    row = await connection.fetchrow("SELECT * FROM bulk_operation WHERE id = $1", id)
    if row is None:
        return None
    counts = {found["state"]: found["items"] for found in await connection.fetch(_COUNTS, id)}
    return {**row, "counts": counts}


async def list_newest(
    connection: Connection, *, actor: str | None, limit: int, after: tuple[datetime, UUID] | None
) -> list[dict[str, Any]]:
    """Bulk operations, newest first; with `actor` only those of that account."""
    at, id = after or (None, None)
    rows = await connection.fetch(_LIST, actor, at, id, limit)
    return [dict(row) for row in rows]


async def list_items(
    connection: Connection, id: UUID, *, state: Sequence[str], limit: int, after: int
) -> list[dict[str, Any]]:
    """The items of a bulk operation with their results, by position."""
    rows = await connection.fetch(_ITEMS, id, after, list(state), limit)
    return [dict(row) for row in rows]
