"""Tasks come into being: inserted once, however often they are asked for."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from signalbox_chassis.persistence.connection import Connection
from signalbox_chassis.runtime import crash_points
from signalbox_contracts.messages.task_commands import TasksEnsureData
from signalbox_contracts.messages.tasks import TaskAttempt
from signalbox_executor.store.rows import COLUMNS, Task, tasks_of

# INVARIANT the id is derived from plan and item, so a repeated or redelivered command inserts nothing. Ids are in
# order, so that two commands that overlap do not deadlock. A task that was lost with a restore and is asked for again
# begins above every version it ever had (`floor`).
# A plan that was closed opens for a task it did not have: this database was restored to a time before the task came.
_ACCEPT: Final = """
WITH accepted AS (
INSERT INTO task (id, plan_id, item_key, step, position, task_group, group_limit, engine_id, spec, traceparent,
    definitions_revision, max_attempts, infrastructure_attempts, priority, not_before, on_unknown, queued_seconds,
    submitting_seconds, running_seconds, cancelling_seconds, total_seconds, version, pending_transitions, published,
    waiting)
SELECT (s ->> 'task_id')::uuid, $2, s ->> 'item_key', s ->> 'step', (s ->> 'position')::int, s ->> 'group',
    (s ->> 'group_limit')::int, s ->> 'engine', s, $3, $4, (s -> 'retries' ->> 'max_attempts')::int,
    (s -> 'retries' ->> 'infrastructure_attempts')::int, (s ->> 'priority')::int,
    COALESCE((s ->> 'not_before_at')::timestamptz, now()), s ->> 'on_unknown', (l ->> 'queued_seconds')::float8,
    (l ->> 'submitting_seconds')::float8, (l ->> 'running_seconds')::float8, (l ->> 'cancelling_seconds')::float8,
    (l ->> 'total_seconds')::float8, f.first,
    jsonb_build_array(jsonb_build_object('version', f.first, 'state', 'QUEUED', 'attempt', 1, 'at', now(),
      'reason', '')),
    false, CASE WHEN (s ->> 'not_before_at')::timestamptz > now() THEN jsonb_build_object('why', 'retry_delay',
      'holder', 'plan:' || $2::uuid, 'since_at', now(), 'until_at', s ->> 'not_before_at',
      'detail', 'not before its time') END
FROM unnest($1::jsonb[]) AS s, LATERAL (SELECT s -> 'time_limits' AS l) AS limits,
    (SELECT greatest(1, max(version_floor)) AS first FROM restore_mark) AS f
ORDER BY 1
ON CONFLICT (id) DO NOTHING
RETURNING id
), opened AS (
UPDATE plan_rules SET closed = false, changed_at = now() WHERE plan_id = $2 AND closed AND EXISTS (SELECT FROM accepted)
)
SELECT id FROM accepted
"""

_PRESENT: Final = "SELECT {columns} FROM task t WHERE t.id = ANY($1) ORDER BY t.id".replace("{columns}", COLUMNS)

# What was not published for a while is published by itself: the version stays, so a fact that carries it is the same.
# The rows are picked once and looked up by their ids: as a join this is planned for the few rows that usually wait, and
# with a thousand of them takes a million steps.
_LEFT: Final = """
WITH due AS MATERIALIZED (
  SELECT id FROM task WHERE NOT published AND state_at <= now() - $1 * interval '1 second'
  ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED
)
UPDATE task t SET published = true WHERE t.id = ANY (ARRAY(SELECT id FROM due)) AND NOT t.published
RETURNING {columns}
""".replace("{columns}", COLUMNS)

_OF_PLANS: Final = """
SELECT {columns} FROM task t WHERE t.plan_id = $1 AND t.id > $2 ORDER BY t.id LIMIT $3
""".replace("{columns}", COLUMNS)
_OF_ALL: Final = """
SELECT {columns} FROM task t WHERE (t.plan_id, t.id) > ($1, $2) ORDER BY t.plan_id, t.id LIMIT $3
""".replace("{columns}", COLUMNS)
_HISTORY: Final = "SELECT id, history::text AS history FROM task WHERE id = ANY($1) AND history <> '[]'"
_ATTEMPTS: Final = """
SELECT a.task_id, a.attempt, a.handle, a.handle_url, a.submitted_at, a.started_at, a.ended_at, a.cause,
  a.exit_code, a.error
FROM attempt a JOIN task t ON t.id = a.task_id WHERE a.task_id = ANY($1) AND a.attempt < t.attempt
ORDER BY a.task_id, a.attempt
"""


async def accept(connection: Connection, command: TasksEnsureData, traceparent: str | None) -> set[UUID]:
    """Make sure these tasks exist; returns those that are new. Their first fact is still to be published."""
    if not command.tasks:
        return set()
    specs = [task.model_dump_json(exclude_none=True) for task in command.tasks]
    rows = await connection.fetch(_ACCEPT, specs, command.plan_id, traceparent, command.definitions_revision)
    crash_points.point("executor.accepting")
    return {row["id"] for row in rows}


async def present(connection: Connection, ids: Sequence[UUID]) -> list[Task]:
    """These tasks as they are now, those that are known."""
    return tasks_of(await connection.fetch(_PRESENT, list(ids)))


async def count_unpublished(connection: Connection, *, limit: int) -> int:
    """How many tasks have a transition to publish; counted up to `most`."""
    return await connection.fetchval(
        "SELECT count(*)::int FROM (SELECT FROM task WHERE NOT published LIMIT $1) AS found", limit
    )  # fmt: skip


async def take_unpublished(connection: Connection, *, seconds: float, limit: int) -> list[Task]:
    """Tasks whose last transition waits for a fact for so long; they count as published from here on."""
    return tasks_of(await connection.fetch(_LEFT, seconds, limit))


async def of_plan(connection: Connection, plan_id: UUID, *, after: UUID, limit: int) -> list[Task]:
    """The next tasks of a plan by id, as they are now."""
    return tasks_of(await connection.fetch(_OF_PLANS, plan_id, after, limit))


async def of_all(connection: Connection, *, plan: UUID, after: UUID, limit: int) -> list[Task]:
    """The next tasks of all plans, by plan and id, as they are now."""
    return tasks_of(await connection.fetch(_OF_ALL, plan, after, limit))


async def histories(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, str]:
    """The transitions published before those in the rows, as JSON; only of tasks that have any."""
    return {row["id"]: row["history"] for row in await connection.fetch(_HISTORY, list(ids))}


async def past_attempts(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, list[TaskAttempt]]:
    """The tries of these tasks before the present one."""
    found: dict[UUID, list[TaskAttempt]] = {}
    for row in await connection.fetch(_ATTEMPTS, list(ids)):
        attempt = dict(row)
        found.setdefault(attempt.pop("task_id"), []).append(TaskAttempt.model_validate(attempt))
    return found
