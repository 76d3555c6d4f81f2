"""The one UPDATE that writes what became of an attempt: still there, unknown, succeeded, or over.

What follows an attempt that is over is a CASE on the row's *own* cancel flag and attempt, never on what was read
earlier: a retry decided on an old cancel flag starts work after its cancel.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from uuid import UUID

from pydantic import JsonValue

from signalbox_chassis.persistence.connection import Connection
from signalbox_chassis.runtime.isolation import storable
from signalbox_contracts.messages.tasks import EndCause, Phase
from signalbox_executor.lifecycle import Outcome, Verdict
from signalbox_executor.store.rows import COLUMNS, UNPUBLISHED, Task, move, tasks_of, undecided, with_states


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptResult:
    """A verdict about one attempt, with what its guard compares."""

    task_id: UUID
    attempt: int
    verdict: Verdict
    fence: int = 0
    handle: str | None = None
    handle_url: str | None = None
    exit_code: int | None = None
    result: JsonValue = None
    started_at: datetime | None = None
    silent: bool = False
    """The run is over and wrote nothing: there is no log to keep."""


# `started_at` is by the engine's clock: no run began after it was seen to run, however far that clock is ahead.
_WRITE: Final = with_states("""
WITH o AS MATERIALIZED (
  SELECT e.key::uuid AS id, o.* FROM jsonb_each($1::jsonb) AS e CROSS JOIN LATERAL jsonb_to_record(e.value) AS o (
    attempt integer, fence bigint, outcome text, phase text, cause text, budget text, delay_seconds double precision,
    reason text, handle text, handle_url text, exit_code integer, result jsonb, started_at timestamptz)
), changed AS (
  UPDATE task t SET
    version = t.version + 1, owner = NULL, reason = o.reason, cause = o.cause, exit_code = o.exit_code,
    observed_at = now(), error = CASE WHEN o.outcome = 'over' THEN o.reason END,
    started_at = COALESCE(
      t.started_at, CASE WHEN o.started_at IS NOT NULL OR o.phase = 'running' THEN LEAST(o.started_at, now()) END),
    (state, state_at, attempt, infrastructure_faults, sends, handle, handle_url, phase, stop_intent_at, stop_cause,
     not_before, waiting, queued_at, result, ended_at, pending_transitions, published) = (
      SELECT d.next,
             CASE WHEN d.next = t.state THEN t.state_at ELSE now() END,
             t.attempt + d.again::int,
             t.infrastructure_faults + (d.again AND o.budget = 'infrastructure')::int,
             CASE WHEN d.again THEN 0 ELSE t.sends END,
             CASE WHEN NOT d.again THEN COALESCE(o.handle, t.handle) END,
             CASE WHEN NOT d.again THEN COALESCE(o.handle_url, t.handle_url) END,
             CASE WHEN NOT d.again THEN o.phase END,
             CASE WHEN NOT d.again THEN t.stop_intent_at END,
             CASE WHEN NOT d.again THEN t.stop_cause END,
             CASE WHEN d.again THEN now() + o.delay_seconds * interval '1 second' ELSE t.not_before END,
             CASE WHEN d.again THEN jsonb_build_object('why', 'retry_delay', 'holder', 'plan:' || t.plan_id, 'since_at',
                 now(), 'until_at', now() + o.delay_seconds * interval '1 second', 'detail', o.reason)
                  WHEN d.next = 'UNKNOWN' THEN {undecided} END,
             CASE WHEN d.again THEN now() ELSE t.queued_at END,
             CASE WHEN d.next = 'SUCCEEDED' THEN o.result END,
             CASE WHEN d.next IN {ended} THEN now() END,
             CASE WHEN d.next = t.state THEN {unpublished} ELSE {move} END, true
      FROM (SELECT n.next, n.next = 'QUEUED' AS again FROM (SELECT CASE
              WHEN o.outcome = 'running' THEN 'RUNNING'
              WHEN o.outcome = 'unknown' THEN 'UNKNOWN'
              WHEN o.outcome = 'succeeded' THEN 'SUCCEEDED'
              WHEN t.cancel_requested_at IS NOT NULL OR o.cause = 'cancelled' THEN 'CANCELLED'
              WHEN t.created_at + t.total_seconds * interval '1 second' <= now() THEN 'FAILED'
              WHEN o.budget = 'attempt' AND t.attempt - t.infrastructure_faults < t.max_attempts THEN 'QUEUED'
              WHEN o.budget = 'infrastructure' AND t.infrastructure_faults < t.infrastructure_attempts THEN 'QUEUED'
              ELSE 'FAILED' END AS next) n) d)
  FROM o
  WHERE t.id = o.id AND {guard}
  RETURNING {columns}
), history AS (
  INSERT INTO attempt
    (task_id, attempt, handle, handle_url, submitted_at, started_at, cause, exit_code, error, log_done)
  SELECT c.id, o.attempt, COALESCE(o.handle, c.handle), COALESCE(o.handle_url, c.handle_url), c.submitted_at,
         c.started_at, o.cause, o.exit_code, c.error,
         o.silent AND NOT EXISTS (SELECT FROM log_copy l WHERE l.task_id = c.id AND l.attempt = o.attempt)
  FROM changed c CROSS JOIN LATERAL jsonb_to_record($1::jsonb -> c.id::text) AS o (
    attempt integer, outcome text, cause text, handle text, handle_url text, exit_code integer, silent boolean)
  WHERE o.outcome IN ('succeeded', 'over')
  ON CONFLICT DO NOTHING
)
SELECT * FROM changed
""")

_STATEMENT: Final = (
    _WRITE.replace("{unpublished}", UNPUBLISHED)
    .replace("{move}", move("d.next", reason="o.reason", attempt="t.attempt + d.again::int"))
    .replace("{undecided}", undecided("o.reason"))
)
# INVARIANT state + attempt in the written row: what was seen of one attempt never touches another, and a terminal row
# never pending_transitions. The observer's fence is only the second wall.
_OBSERVED: Final = with_states(
    _STATEMENT.replace("{columns}", COLUMNS).replace("{guard}", "t.state IN {observed} AND t.attempt = o.attempt")
)
# INVARIANT a refusal ends the attempt only while the one copy that was refused is the only one ever sent.
_REJECTED: Final = _STATEMENT.replace("{columns}", COLUMNS).replace(
    "{guard}", "t.state = 'SUBMITTING' AND t.fence = o.fence AND t.sends = 1"
)
# INVARIANT a sealed key has no run and never will: whatever was sent, the attempt is over, and only its driver says so.
_SEALED: Final = _STATEMENT.replace("{columns}", COLUMNS).replace(
    "{guard}", "t.state = 'SUBMITTING' AND t.fence = o.fence"
)


def without_content(result: AttemptResult, reason: str) -> AttemptResult:
    """The same attempt without what its engine says of it, which cannot be recorded. An end is a failure then."""
    verdict = result.verdict
    if verdict.outcome in (Outcome.SUCCEEDED, Outcome.OVER):
        verdict = Verdict(
            outcome=Outcome.OVER, phase=Phase.FAILED, cause=EndCause.FAILED,
            reason=f"what its engine says of its end cannot be recorded: {reason}",
        )  # fmt: skip
    else:
        verdict = replace(verdict, reason=f"what its engine says of it cannot be recorded: {reason}")
    return AttemptResult(task_id=result.task_id, attempt=result.attempt, verdict=verdict, fence=result.fence)


async def write_observed(connection: Connection, results: Sequence[AttemptResult]) -> list[Task]:
    """Write what an engine reports of RUNNING and UNKNOWN tasks; those that moved on meanwhile are left alone."""
    return await _write(connection, _OBSERVED, results)


async def write_rejected(connection: Connection, result: AttemptResult) -> list[Task]:
    """End an attempt whose only copy was refused. Nothing is returned if there may be another: seal, or UNKNOWN."""
    return await _write(connection, _REJECTED, [result])


async def write_settled(connection: Connection, result: AttemptResult) -> list[Task]:
    """End an attempt whose key was sealed, or give it to UNKNOWN, from SUBMITTING."""
    return await _write(connection, _SEALED, [result])


async def _write(connection: Connection, statement: str, results: Sequence[AttemptResult]) -> list[Task]:
    if not results:
        return []
    rows = sorted(results, key=lambda result: result.task_id)
    return tasks_of(
        await connection.fetch(statement, json.dumps({str(result.task_id): _values(result) for result in rows}))
    )


def _values(result: AttemptResult) -> dict[str, JsonValue]:
    verdict = result.verdict
    return {
        "attempt": result.attempt,
        "fence": result.fence,
        "outcome": verdict.outcome.value,
        "phase": verdict.phase.value,
        "cause": verdict.cause.value if verdict.cause else None,
        "budget": verdict.budget.value,
        "delay_seconds": verdict.delay_seconds,
        "reason": storable(verdict.reason),
        "handle": storable(result.handle),
        "handle_url": storable(result.handle_url),
        "exit_code": result.exit_code,
        "result": result.result,
        "started_at": result.started_at.isoformat() if result.started_at else None,
        "silent": result.silent,
    }
