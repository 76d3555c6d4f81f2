"""A person's decision about one UNKNOWN attempt: adopt a run, retry, or fail."""

from dataclasses import dataclass
from typing import Final

from pydantic import JsonValue

from signalbox_chassis.persistence.connection import Connection
from signalbox_contracts.messages.operations import TaskResolveData
from signalbox_executor.store.rows import COLUMNS, Task, move, task_of

# INVARIANT state = UNKNOWN and the attempt the person looked at: a word that arrives late says nothing of the next
# attempt. A cancel in the row wins over `retry` and `fail`; what is adopted runs, and is stopped by the cancel then. A
# stop that was given up is asked anew of an adopted run. The attempt that is tried again counts as a fault of the
# infrastructure: it uses up none of the user's.
_RESOLVE: Final = """
WITH before AS MATERIALIZED (
  SELECT id, handle, handle_url FROM task WHERE id = $1 AND state = 'UNKNOWN' AND attempt = $2 FOR UPDATE
), changed AS (
  UPDATE task t SET
    version = t.version + 1, state_at = now(), reason = $5, waiting = NULL, exit_code = NULL, result = NULL,
    stop_intent_at = NULL,
    (state, attempt, infrastructure_faults, sends, handle, handle_url, phase, stop_cause, cause, error, not_before,
     queued_at, ended_at, pending_transitions, published) = (
      SELECT d.next, t.attempt + d.again::int, t.infrastructure_faults + d.again::int,
             CASE WHEN d.again THEN 0 ELSE t.sends END,
             CASE WHEN NOT d.again THEN COALESCE($4, t.handle) END,
             CASE WHEN NOT d.again AND $4 IS NULL THEN t.handle_url END,
             CASE WHEN d.next = 'RUNNING' THEN 'submitted' WHEN NOT d.again THEN t.phase END,
             CASE WHEN NOT d.again THEN t.stop_cause END,
             CASE d.next WHEN 'CANCELLED' THEN 'cancelled' WHEN 'RUNNING' THEN NULL ELSE 'resolved' END,
             CASE WHEN d.next <> 'RUNNING' THEN $5 END,
             CASE WHEN d.again THEN now() ELSE t.not_before END,
             CASE WHEN d.again THEN now() ELSE t.queued_at END,
             CASE WHEN d.next IN ('FAILED', 'CANCELLED') THEN now() END,
             {move}, true
      FROM (SELECT n.next, n.next = 'QUEUED' AS again FROM (SELECT CASE
              WHEN $3::text = 'adopt' THEN 'RUNNING'
              WHEN t.cancel_requested_at IS NOT NULL THEN 'CANCELLED'
              WHEN $3 = 'retry' THEN 'QUEUED'
              ELSE 'FAILED' END AS next) n) d)
  FROM before
  WHERE t.id = before.id AND t.state = 'UNKNOWN' AND t.attempt = $2
  RETURNING {columns}, before.handle AS handle_before, before.handle_url AS handle_url_before
), history AS (
  INSERT INTO attempt (task_id, attempt, handle, handle_url, submitted_at, started_at, cause, error)
  SELECT c.id, $2, c.handle_before, c.handle_url_before, c.submitted_at, c.started_at, c.cause, c.error
  FROM changed c WHERE c.state <> 'RUNNING'
  ON CONFLICT DO NOTHING
)
SELECT * FROM changed
""".replace("{columns}", COLUMNS).replace(
    "{move}", move("d.next", reason="$5::text", attempt="t.attempt + d.again::int")
)


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a person's word changed."""

    task: Task
    handle_before: str | None

    def details(self, attempt: int) -> JsonValue:
        """Before and after, for whoever asks what was done."""
        task = self.task
        return {
            "task": str(task.id),
            "before": {"state": "UNKNOWN", "attempt": attempt, "handle": self.handle_before},
            "after": {"state": task.state.value, "attempt": task.attempt, "handle": task.handle},
        }


async def resolve(connection: Connection, data: TaskResolveData, reason: str) -> Resolved | None:
    """Carry a person's word out; None if the task is not UNKNOWN in that attempt (any more)."""
    row = await connection.fetchrow(_RESOLVE, data.task_id, data.attempt, data.decision, data.handle, reason)
    return Resolved(task_of(row), row["handle_before"]) if row else None
