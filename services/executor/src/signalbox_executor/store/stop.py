"""Cancel and stop: what was not sent ends at once; what may run is asked to end, and believed only when seen ended."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from signalbox_chassis.persistence.connection import Connection
from signalbox_contracts.ids import run_key
from signalbox_executor.engines.port import Watched
from signalbox_executor.store.freezes import FROZEN_TIME
from signalbox_executor.store.rows import COLUMNS, UNPUBLISHED, Task, move, tasks_of, undecided, with_states

# INVARIANT one UPDATE that finishes QUEUED and CLAIMED itself, and only flags the rest: a flag on a CLAIMED row would
# stay for ever, and a SUBMITTING row that is written CANCELLED leaves an orphan. Rows are locked in id order.
_CANCEL: Final = with_states(
    """
WITH wanted AS MATERIALIZED (
  SELECT id FROM task
  WHERE plan_id = $1 AND (cardinality($2::uuid[]) = 0 OR id = ANY ($2))
    AND state NOT IN {ended}
    AND (state IN {unsent} OR cancel_requested_at IS NULL OR ($3 AND NOT kill))
  ORDER BY id FOR UPDATE
)
UPDATE task t SET
  version = t.version + 1, kill = t.kill OR $3, cancel_requested_at = COALESCE(t.cancel_requested_at, now()),
  cancel_reason = $4, reason = $4, owner = CASE WHEN t.state NOT IN {unsent} THEN t.owner END,
  waiting = CASE WHEN t.state NOT IN {unsent} THEN t.waiting END,
  cause = CASE WHEN t.state IN {unsent} THEN 'cancelled' ELSE t.cause END,
  ended_at = CASE WHEN t.state IN {unsent} THEN now() END,
  state_at = CASE WHEN t.state IN {unsent} THEN now() ELSE t.state_at END,
  pending_transitions = CASE WHEN t.state IN {unsent} THEN {move} ELSE {unpublished} END, published = true,
  state = CASE WHEN t.state IN {unsent} THEN 'CANCELLED' ELSE t.state END
FROM wanted
WHERE t.id = wanted.id AND t.state NOT IN {ended}
RETURNING {columns}
""".replace("{columns}", COLUMNS)
    .replace("{unpublished}", UNPUBLISHED)
    .replace("{move}", move("'CANCELLED'", reason="$4::text"))
)

# A task that waited longer than it may ends without ever having been sent. INVARIANT state = QUEUED in the row.
# The time it was frozen does not count; what that is is only computed for rows that are late without it.
_EXPIRE: Final = (
    """
WITH late AS MATERIALIZED (
  SELECT id FROM task
  WHERE state = 'QUEUED' AND (queued_seconds IS NOT NULL OR total_seconds IS NOT NULL)
    AND now() >= LEAST(GREATEST(queued_at, not_before) + queued_seconds * interval '1 second',
                       created_at + total_seconds * interval '1 second')
    AND now() >= LEAST(GREATEST(queued_at, not_before) + queued_seconds * interval '1 second',
                       created_at + total_seconds * interval '1 second') + {frozen_time}
  ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED
)
UPDATE task t SET state = 'FAILED', cause = 'timed_out', reason = 'waited longer than its time limit', waiting = NULL,
       error = 'waited longer than its time limit', version = t.version + 1, state_at = now(), ended_at = now(),
       pending_transitions = {move}, published = true
FROM late WHERE t.id = late.id AND t.state = 'QUEUED'
RETURNING {columns}
""".replace("{columns}", COLUMNS)
    .replace("{move}", move("'FAILED'", reason="'waited longer than its time limit'"))
    .replace("{frozen_time}", FROZEN_TIME)
)

# INVARIANT the intent is in the row before the call leaves: several engines cannot say "killed", and a stop whose
# answer was lost must be known. Bound to the attempt: it never stops the next one. `started_at` is by the engine's
# clock: no run began before it was sent, however far that clock is behind.
_OVERDUE: Final = with_states(
    """
UPDATE task t SET stop_intent_at = now(), version = t.version + 1,
       pending_transitions = {unpublished}, published = true,
       stop_cause = CASE WHEN t.cancel_requested_at IS NOT NULL AND t.kill THEN 'cancelled' ELSE 'timed_out' END
WHERE t.id IN (
    SELECT id FROM task
    WHERE engine_id = $1 AND state IN {observed} AND stop_intent_at IS NULL
      AND ((cancel_requested_at IS NOT NULL AND kill)
           OR now() >= LEAST(GREATEST(COALESCE(started_at, state_at), submitted_at)
                               + running_seconds * interval '1 second',
                             created_at + total_seconds * interval '1 second'))
    ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED)
  AND t.state IN {observed} AND t.stop_intent_at IS NULL
RETURNING {columns}
""".replace("{columns}", COLUMNS).replace("{unpublished}", UNPUBLISHED)
)

# Repeated until seen terminal: the rows that are to stop, whoever recorded it.
_STOPPING: Final = with_states("""
SELECT id, attempt, handle FROM task
WHERE engine_id = $1 AND state IN {observed} AND stop_intent_at IS NOT NULL
ORDER BY stop_intent_at, id
""")

_NOT_ENDED: Final = "'asked to stop, and not seen ended within its time limit'"
# A run that does not end although it was asked to is not known to have ended: UNKNOWN, with its slot, for a person.
_STUBBORN: Final = (
    """
UPDATE task t SET state = 'UNKNOWN', version = t.version + 1, state_at = now(), reason = {reason},
       waiting = {undecided}, pending_transitions = {move}, published = true
WHERE t.engine_id = $1 AND t.state = 'RUNNING' AND t.cancelling_seconds IS NOT NULL
  AND t.stop_intent_at + t.cancelling_seconds * interval '1 second' <= now() AND t.phase <> 'lost'
RETURNING {columns}
""".replace("{columns}", COLUMNS)
    .replace("{move}", move("'UNKNOWN'", reason=_NOT_ENDED))
    .replace("{undecided}", undecided(_NOT_ENDED))
    .replace("{reason}", _NOT_ENDED)
)


@dataclass(frozen=True, slots=True)
class Stop:
    """A run that is to stop."""

    task_id: UUID
    watched: Watched


async def cancel(
    connection: Connection, plan_id: UUID, task_ids: Sequence[UUID], *, kill: bool, reason: str
) -> list[Task]:
    """Cancel these tasks of a plan, or all of them if none is named; returns those that changed."""
    return tasks_of(await connection.fetch(_CANCEL, plan_id, list(task_ids), kill, reason))


async def expire(connection: Connection, *, limit: int) -> list[Task]:
    """Fail tasks that waited longer than they may."""
    return tasks_of(await connection.fetch(_EXPIRE, limit))


async def intend_stops(connection: Connection, engine_id: str, *, limit: int) -> list[Task]:
    """Record which runs of an engine are to stop: cancelled, or past a time limit."""
    return tasks_of(await connection.fetch(_OVERDUE, engine_id, limit))


async def stopping(connection: Connection, engine_id: str) -> list[Stop]:
    """The runs of an engine that are to stop and were not seen ended: no more than it has slots."""
    rows = await connection.fetch(_STOPPING, engine_id)
    return [Stop(row["id"], Watched(run_key(row["id"], row["attempt"]), row["attempt"], row["handle"])) for row in rows]


async def give_up_stopping(connection: Connection, engine_id: str) -> list[Task]:
    """Say UNKNOWN of runs that were asked to stop long ago."""
    return tasks_of(await connection.fetch(_STUBBORN, engine_id))
