"""From CLAIMED to RUNNING: intent, sends, record. Each matches state and fence in the row it writes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from signalbox_chassis.persistence.connection import Connection
from signalbox_chassis.runtime import crash_points
from signalbox_contracts.messages.plans import WaitReason
from signalbox_executor.store.rows import COLUMNS, UNPUBLISHED, Task, move, tasks_of
from signalbox_executor.store.waiting import STALE_SECONDS

# INVARIANT id, state = CLAIMED and fence. A cancel finishes CLAIMED rows itself, so there is no flag to look at here.
_INTENT: Final = """
UPDATE task t SET state = 'SUBMITTING', sends = 1, version = t.version + 1, state_at = now(), submitted_at = now(),
       started_at = NULL, cause = NULL, error = NULL, exit_code = NULL, phase = NULL, reason = '',
       pending_transitions = {move}, published = false
FROM unnest($1::uuid[], $2::bigint[]) AS o (id, fence)
WHERE t.id = o.id AND t.state = 'CLAIMED' AND t.fence = o.fence
RETURNING t.id
""".replace("{move}", move("'SUBMITTING'"))

# INVARIANT raised before each further copy leaves: `sends` = 1 proves that one copy is all there ever was. A copy that
# surely never left, or was answered "later", is not counted again ($3 = 0).
_RAISE_SENDS: Final = """
UPDATE task SET sends = sends + $3 WHERE id = $1 AND state = 'SUBMITTING' AND fence = $2
RETURNING cancel_requested_at IS NOT NULL AND kill AS to_stop,
          submitted_at + submitting_seconds * interval '1 second' <= now() AS overdue
"""

# INVARIANT id, state = SUBMITTING and fence. From here on the task has no owner: it is observed, not driven.
_RECORD: Final = """
UPDATE task t SET state = 'RUNNING', handle = o.handle, phase = 'submitted', owner = NULL, version = t.version + 1,
       state_at = now(), observed_at = now(), reason = '', waiting = NULL,
       pending_transitions = {move}, published = false
FROM unnest($1::uuid[], $2::bigint[], $3::text[]) AS o (id, fence, handle)
WHERE t.id = o.id AND t.state = 'SUBMITTING' AND t.fence = o.fence
RETURNING t.id
""".replace("{move}", move("'RUNNING'"))


# INVARIANT state = SUBMITTING and fence. Until the task is recorded or settled, the reason stays; only another reason,
# or a time that passed a while ago, is written again: a short back-off that is repeated costs no fact each time.
_WRITE_REASON: Final = (
    """
UPDATE task t SET version = t.version + 1, pending_transitions = {unpublished}, published = true,
       waiting = jsonb_strip_nulls(jsonb_build_object('why', $3::text, 'holder', 'engine:' || t.engine_id,
         'since_at', CASE WHEN t.waiting ->> 'why' = $3 THEN t.waiting -> 'since_at' ELSE to_jsonb(now()) END,
         'until_at', now() + $5::float8 * interval '1 second', 'detail', left($4, 2000)))
WHERE t.id = $1 AND t.state = 'SUBMITTING' AND t.fence = $2
  AND (t.waiting ->> 'why' IS DISTINCT FROM $3
       OR (t.waiting ->> 'until_at')::timestamptz < now() - interval '{stale} seconds')
RETURNING {columns}
""".replace("{columns}", COLUMNS)
    .replace("{unpublished}", UNPUBLISHED)
    .replace("{stale}", str(STALE_SECONDS))
)


@dataclass(frozen=True, slots=True)
class Resend:
    """What the row says before another copy of a submit leaves."""

    to_stop: bool
    overdue: bool


async def intend(connection: Connection, claims: Sequence[tuple[UUID, int]]) -> list[UUID]:
    """Say that these (id, fence) are about to be sent. What is not returned is not ours any more: touch nothing."""
    in_order = sorted(claims)
    ids, fences = [id for id, _ in in_order], [fence for _, fence in in_order]
    return [row["id"] for row in await connection.fetch(_INTENT, ids, fences)]


async def raise_sends(connection: Connection, task_id: UUID, fence: int, *, copies: int = 1) -> Resend | None:
    """Count one more copy; None if the task is not ours any more."""
    row = await connection.fetchrow(_RAISE_SENDS, task_id, fence, copies)
    return Resend(row["to_stop"], bool(row["overdue"])) if row else None


async def record(connection: Connection, started: Sequence[tuple[UUID, int, str]]) -> list[UUID]:
    """Write the engine's names of runs (id, fence, handle). What is not returned is not ours any more."""
    in_order = sorted(started)
    ids, fences, handles = [one[0] for one in in_order], [one[1] for one in in_order], [one[2] for one in in_order]
    recorded = [row["id"] for row in await connection.fetch(_RECORD, ids, fences, handles)]
    crash_points.point("executor.recording")
    return recorded


async def write_reason(
    connection: Connection, task_id: UUID, fence: int, why: WaitReason, detail: str, *, seconds: float | None = None
) -> list[Task]:
    """Write into the row why its engine has not taken it; nothing if it is there already.

    `seconds`: how long until the next copy may leave, where the engine itself asks to wait.
    """
    return tasks_of(await connection.fetch(_WRITE_REASON, task_id, fence, why, detail, seconds))
