"""What is known of the parts of tasks' runs: which of their tries began or ended."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from pydantic_core import from_json, to_json

from signalbox_chassis.persistence.connection import Connection
from signalbox_notifier.steps import Known

# INVARIANT a report that came before changes nothing: an attempt's reports are kept in the order of their sequence.
_SAVE = """
INSERT INTO task_step AS s (task_id, plan_id, attempt, sequence, steps)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::integer[], $4::bigint[], $5::text[]) ORDER BY 1
ON CONFLICT (task_id) DO UPDATE SET attempt = excluded.attempt, sequence = excluded.sequence, steps = excluded.steps
WHERE (s.attempt, s.sequence) < (excluded.attempt, excluded.sequence)
"""


@dataclass(frozen=True, slots=True)
class KnownSteps:
    """The parts of one task's run, as of one report of one attempt."""

    plan_id: UUID
    attempt: int
    sequence: int
    steps: Known


async def load(connection: Connection, task_ids: Sequence[UUID]) -> dict[UUID, KnownSteps]:
    """What is known of these tasks, locked in id order."""
    rows = await connection.fetch(
        "SELECT * FROM task_step WHERE task_id = ANY($1) ORDER BY task_id FOR UPDATE", sorted(set(task_ids))
    )
    return {
        row["task_id"]: KnownSteps(
            row["plan_id"], row["attempt"], row["sequence"],
            {name: (attempt, stage) for name, (attempt, stage) in from_json(row["steps"]).items()},
        )
        for row in rows
    }  # fmt: skip


async def save(connection: Connection, known: Mapping[UUID, KnownSteps]) -> None:
    """Keep what is known of these tasks."""
    ids = sorted(known)
    rows = [known[id] for id in ids]
    await connection.execute(
        _SAVE, ids, [row.plan_id for row in rows], [row.attempt for row in rows], [row.sequence for row in rows],
        [to_json(row.steps).decode() for row in rows],
    )  # fmt: skip
