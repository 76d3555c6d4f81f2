"""How far the logs of attempts are in the blob store, and whose turn it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from pydantic import TypeAdapter

from signalbox_chassis.persistence.connection import Connection, Row
from signalbox_chassis.runtime.isolation import readable
from signalbox_contracts.definitions.work import Work
from signalbox_contracts.ids import run_key
from signalbox_executor.engines.port import Watched

MAX_IDLE: Final = 3
"""A log that does not grow is looked at less and less often, at last every 2^3 times the usual interval."""

# INVARIANT one worker at a time has a log: the row is taken by the INSERT or the guarded UPDATE, and nothing else.
_TAKE: Final = """
WITH due AS MATERIALIZED (
  (SELECT a.task_id, a.attempt, a.handle, t.engine_id, t.spec, true AS ended
   FROM attempt a JOIN task t ON t.id = a.task_id
   LEFT JOIN log_copy c ON c.task_id = a.task_id AND c.attempt = a.attempt
   WHERE NOT a.log_done AND t.engine_id = ANY ($1)
     AND (c.lease_until IS NULL OR c.lease_until <= now())
   ORDER BY a.ended_at LIMIT $2)
  UNION ALL
  (SELECT t.id, t.attempt, t.handle, t.engine_id, t.spec, false
   FROM task t LEFT JOIN log_copy c ON c.task_id = t.id AND c.attempt = t.attempt
   LEFT JOIN log_follow f ON f.task_id = t.id AND f.attempt = t.attempt AND f.until_at > now()
   WHERE t.state = 'RUNNING' AND t.engine_id = ANY ($1)
     AND (c.lease_until IS NULL OR c.lease_until <= now())
     AND COALESCE(c.checked_at, t.submitted_at, t.state_at) + CASE WHEN f.task_id IS NULL
         THEN $3 * 2 ^ COALESCE(c.idle, 0) ELSE $4 END * interval '1 second' <= now()
   LIMIT $2)
), taken AS (
  INSERT INTO log_copy AS c (task_id, attempt, lease_until)
  SELECT task_id, attempt, now() + $5 * interval '1 second' FROM due ORDER BY task_id, attempt
  ON CONFLICT (task_id, attempt) DO UPDATE SET lease_until = excluded.lease_until WHERE c.lease_until <= now()
  RETURNING c.task_id, c.attempt, c.bytes, c.truncated
)
SELECT d.task_id, d.attempt, d.handle, d.engine_id, d.ended, c.bytes, c.truncated,
       CASE WHEN d.spec::text LIKE '%secret://%' THEN (d.spec -> 'work')::text END AS work
FROM taken c JOIN due d USING (task_id, attempt)
"""

# INVARIANT `bytes` never goes back: a worker that lost the log to another has stored nothing that is not there already.
_KEPT: Final = """
UPDATE log_copy SET bytes = $3, truncated = truncated OR $4, checked_at = now(), lease_until = now(),
       idle = CASE WHEN bytes = $3 THEN LEAST(idle + 1, $5) ELSE 0 END
WHERE task_id = $1 AND attempt = $2 AND bytes <= $3
"""
_DONE: Final = """
WITH copy AS (DELETE FROM log_copy WHERE task_id = $1 AND attempt = $2)
UPDATE attempt SET log_done = true WHERE task_id = $1 AND attempt = $2
"""
_WORK: Final[TypeAdapter[Work]] = TypeAdapter(Work)


@dataclass(frozen=True, slots=True)
class Copy:
    """One log in our hands."""

    task_id: UUID
    engine_id: str
    watched: Watched
    ended: bool
    """Nothing more will come: the attempt is over."""
    bytes: int
    truncated: bool
    work: Work | None
    """The work, where it refers to secrets."""

    @property
    def folder(self) -> str:
        return f"logs/{self.task_id}/{self.watched.attempt}"


async def take(
    connection: Connection,
    engines: Sequence[str],
    *,
    limit: int,
    every_seconds: float,
    follow_seconds: float,
    lease_seconds: float,
) -> list[Copy]:
    """Logs whose turn it is, of these engines, for `lease_seconds` ours: of attempts that ended first."""
    rows = await connection.fetch(_TAKE, list(engines), limit, every_seconds, follow_seconds, lease_seconds)
    # a log whose work cannot be read is not stored: nobody knows which secrets are in it
    return readable(rows, _copy, part="logs")


def _copy(row: Row) -> Copy:
    return Copy(
        task_id=row["task_id"],
        engine_id=row["engine_id"],
        watched=Watched(run_key(row["task_id"], row["attempt"]), row["attempt"], row["handle"]),
        ended=row["ended"],
        bytes=row["bytes"],
        truncated=row["truncated"],
        work=_WORK.validate_json(row["work"]) if row["work"] else None,
    )


async def kept(connection: Connection, copy: Copy, bytes: int, *, truncated: bool) -> None:
    """So far it is stored; another may go on from there."""
    await connection.execute(_KEPT, copy.task_id, copy.watched.attempt, bytes, truncated, MAX_IDLE)


async def done(connection: Connection, copy: Copy) -> None:
    """The log is complete."""
    await connection.execute(_DONE, copy.task_id, copy.watched.attempt)
