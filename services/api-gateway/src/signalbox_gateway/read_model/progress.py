"""How far tasks are, as their executor last published it."""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from pydantic_core import from_json

from signalbox_chassis.persistence.connection import Connection
from signalbox_contracts.messages.tasks import TaskProgressData

# INVARIANT a newer attempt, or a newer sequence of the same attempt, replaces what is there: events may come twice.
_WRITE: Final = """
INSERT INTO task_progress AS p (task_id, attempt, sequence, record)
SELECT * FROM unnest($1::uuid[], $2::int[], $3::bigint[], $4::text[]) ORDER BY 1
ON CONFLICT (task_id) DO UPDATE SET attempt = excluded.attempt, sequence = excluded.sequence, record = excluded.record
WHERE (p.attempt, p.sequence) < (excluded.attempt, excluded.sequence)
"""
_LOAD: Final = "SELECT task_id, record FROM task_progress WHERE task_id = ANY($1)"
_KEPT: Final[Any] = {
    "at": True, "attempt": True, "fraction": True, "message": True, "steps": True, "waiting": True,
    "workers": {"__all__": {"worker", "phase", "error"}},
}  # fmt: skip


async def write_progress(connection: Connection, progress: Sequence[TaskProgressData]) -> None:
    """Keep the newest of each task."""
    newest: dict[UUID, TaskProgressData] = {}
    for one in progress:
        seen = newest.get(one.task_id)
        if seen is None or (seen.attempt, seen.sequence) < (one.attempt, one.sequence):
            newest[one.task_id] = one
    rows = list(newest.values())
    await connection.execute(
        _WRITE, [one.task_id for one in rows], [one.attempt for one in rows], [one.sequence for one in rows],
        [one.model_dump_json(include=_KEPT) for one in rows],
    )  # fmt: skip


async def load_progress(connection: Connection, task_ids: Sequence[UUID]) -> dict[UUID, dict[str, Any]]:
    """How far these tasks are, those of which anything was published."""
    rows = await connection.fetch(_LOAD, list(task_ids))
    return {row["task_id"]: {"workers": [], **from_json(row["record"])} for row in rows}
