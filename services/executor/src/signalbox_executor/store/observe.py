"""Observation: one worker per engine at a time asks about its RUNNING and UNKNOWN tasks, rows first, engine second."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from uuid import UUID

from pydantic import TypeAdapter

from signalbox_chassis.persistence.connection import Connection, Row
from signalbox_chassis.runtime.isolation import note_fault
from signalbox_contracts.definitions.rules import Retries
from signalbox_contracts.definitions.work import Work
from signalbox_contracts.ids import run_key
from signalbox_contracts.messages.tasks import Phase
from signalbox_contracts.states import TaskState
from signalbox_executor.engines.port import Watched
from signalbox_executor.lifecycle import Run
from signalbox_executor.store.rows import with_states

# INVARIANT the lease has its own end, renewed by each pass that comes round: a live worker whose observer hangs loses
# the engine. The holder's own next pass, and a pass after the holder's death, need not wait for that end.
_ACQUIRE: Final = """
INSERT INTO engine_lease AS l (engine_id, holder, lease_until)
VALUES ($1, $2, clock_timestamp() + $3 * interval '1 second')
ON CONFLICT (engine_id) DO UPDATE SET holder = $2, fence = l.fence + 1, lease_until = excluded.lease_until
WHERE l.holder = $2 OR l.lease_until < clock_timestamp()
   OR NOT EXISTS (SELECT FROM worker w WHERE w.id = l.holder AND NOT w.dead AND w.lease_until > clock_timestamp())
RETURNING fence
"""

# The second wall: a pass that lost its engine writes nothing more, although state + attempt would keep it harmless.
_HOLDS: Final = "SELECT fence FROM engine_lease WHERE engine_id = $1 AND holder = $2 AND fence = $3 FOR SHARE"

# INVARIANT read before the engine is asked: what was submitted after the engine answered must not look "not found".
_WATCHED_COLUMNS: Final = with_states("""
SELECT t.id, t.attempt, t.handle, t.state, t.phase, t.infrastructure_faults, t.stop_cause,
       (t.spec -> 'retries')::text AS retries,
       COALESCE(t.on_unknown, e.definition ->> 'on_unknown', 'hold') AS on_unknown,
       t.state_at + $2 * interval '1 second' < now() AS patience_over,
       t.state = 'RUNNING' AND COALESCE(t.waiting ->> 'why', 'engine_pending') <> 'engine_pending' AS stranded,
       t.handle_url IS NOT NULL AS linked,
       COALESCE(t.stop_intent_at + t.cancelling_seconds * interval '1 second' <= now(), false) AS stop_given_up
FROM task t LEFT JOIN engine e ON e.id = t.engine_id
WHERE t.engine_id = $1 AND t.state IN {observed}
""")
_RUNS: Final = with_states("SELECT EXISTS (SELECT FROM task t WHERE t.engine_id = $1 AND t.state IN {observed})")
_WORK_WITH_SECRETS: Final = """
SELECT t.id, (t.spec -> 'work')::text AS work FROM task t WHERE t.id = ANY ($1) AND t.spec::text LIKE '%secret://%'
"""
_WORK: Final[TypeAdapter[Work]] = TypeAdapter(Work)
_WATCHED: Final = _WATCHED_COLUMNS + "AND t.id > $3 ORDER BY t.id LIMIT $4"
_WATCHED_OF: Final = _WATCHED_COLUMNS + "AND t.id = ANY ($3) ORDER BY t.id"


@dataclass(frozen=True, slots=True)
class Watch:
    """One run to ask about: its task, what to say to the engine, and what the rules need."""

    task_id: UUID
    watched: Watched
    run: Run


async def plans_of(connection: Connection, task_ids: Sequence[UUID]) -> dict[UUID, UUID]:
    """The plan of each of these tasks."""
    rows = await connection.fetch("SELECT id, plan_id FROM task WHERE id = ANY ($1)", list(task_ids))
    return {row["id"]: row["plan_id"] for row in rows}


async def work_with_secrets(connection: Connection, task_ids: Sequence[UUID]) -> dict[UUID, Work | None]:
    """The work of those of these tasks that refers to secrets; None for work that cannot be read."""
    found: dict[UUID, Work | None] = {}
    for row in await connection.fetch(_WORK_WITH_SECRETS, list(task_ids)):
        try:
            found[row["id"]] = _WORK.validate_json(row["work"])
        except ValueError as error:
            note_fault("results", error)
            found[row["id"]] = None
    return found


async def acquire(connection: Connection, engine_id: str, worker: UUID, *, lease_seconds: float) -> int | None:
    """The fence under which this worker observes the engine, or None while another does. The worker must be live."""
    return await connection.fetchval(_ACQUIRE, engine_id, worker, lease_seconds)


async def runs_something(connection: Connection, engine_id: str) -> bool:
    """Whether anything may run on the engine, or is to be stopped there."""
    return await connection.fetchval(_RUNS, engine_id)


async def holds(connection: Connection, engine_id: str, worker: UUID, fence: int) -> bool:
    """Whether the engine is still ours, and keep it so until the transaction ends."""
    return await connection.fetchval(_HOLDS, engine_id, worker, fence) is not None


async def watched(
    connection: Connection, engine_id: str, *, after: UUID, limit: int, unknown_seconds: float
) -> list[Watch]:
    """The next runs of an engine by task id."""
    return [_watch(row) for row in await connection.fetch(_WATCHED, engine_id, unknown_seconds, after, limit)]


async def watched_of(
    connection: Connection, engine_id: str, task_ids: Sequence[UUID], *, unknown_seconds: float
) -> list[Watch]:
    """Those of these tasks that run on the engine."""
    return [_watch(row) for row in await connection.fetch(_WATCHED_OF, engine_id, unknown_seconds, list(task_ids))]


@lru_cache(maxsize=1000)
def _retries(text: str) -> Retries:
    """Most tasks of a plan have the same. Where the row's cannot be read, none: the run is seen to its end."""
    try:
        return Retries.model_validate_json(text)
    except ValueError as error:
        note_fault("retries", error)
        return Retries(infrastructure_attempts=0)


def _watch(row: Row) -> Watch:
    run = Run(
        state=TaskState(row["state"]),
        phase=Phase(row["phase"]) if row["phase"] else None,
        attempt=row["attempt"],
        infrastructure_faults=row["infrastructure_faults"],
        retries=_retries(row["retries"]),
        on_unknown=row["on_unknown"],
        stop_cause=row["stop_cause"],
        patience_over=row["patience_over"],
        stranded=row["stranded"],
        linked=row["linked"],
        stop_given_up=row["stop_given_up"],
    )
    return Watch(row["id"], Watched(run_key(row["id"], row["attempt"]), row["attempt"], row["handle"]), run)
