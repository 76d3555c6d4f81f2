"""Tasks come into being: inserted once, however often they are asked for."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from signalbox_chassis.connection import Connection
from signalbox_contracts.messages.task_commands import TasksEnsureData
from signalbox_executor.store.rows import COLUMNS, Task, tasks_of

# INVARIANT the id is derived from plan and item, so a repeated or redelivered command inserts nothing. Ids are in
# order, so that two commands that overlap do not deadlock.
_ACCEPT: Final = """
INSERT INTO task (id, plan_id, item_key, step, position, task_group, group_limit, engine_id, spec, traceparent,
    definitions_revision, max_attempts, infrastructure_attempts, priority, not_before, on_unknown, queued_seconds,
    submitting_seconds, running_seconds, cancelling_seconds, total_seconds)
SELECT (s ->> 'task_id')::uuid, $2, s ->> 'item_key', s ->> 'step', (s ->> 'position')::int, s ->> 'group',
    (s ->> 'group_limit')::int, s ->> 'engine', s, $3, $4, (s -> 'retries' ->> 'max_attempts')::int,
    (s -> 'retries' ->> 'infrastructure_attempts')::int, (s ->> 'priority')::int,
    COALESCE((s ->> 'not_before_at')::timestamptz, now()), s ->> 'on_unknown', (l ->> 'queued_seconds')::float8,
    (l ->> 'submitting_seconds')::float8, (l ->> 'running_seconds')::float8, (l ->> 'cancelling_seconds')::float8,
    (l ->> 'total_seconds')::float8
FROM unnest($1::jsonb[]) AS s, LATERAL (SELECT s -> 'time_limits' AS l) AS limits
ORDER BY 1
ON CONFLICT (id) DO NOTHING
"""

_PRESENT: Final = "SELECT {columns} FROM task t WHERE t.id = ANY($1) ORDER BY t.id".replace("{columns}", COLUMNS)


async def accept(connection: Connection, command: TasksEnsureData, traceparent: str | None) -> None:
    """Make sure these tasks exist."""
    if command.tasks:
        specs = [task.model_dump_json() for task in command.tasks]
        await connection.execute(_ACCEPT, specs, command.plan_id, traceparent, command.definitions_revision)


async def present(connection: Connection, ids: Sequence[UUID]) -> list[Task]:
    """These tasks as they are now, those that are known."""
    return tasks_of(await connection.fetch(_PRESENT, list(ids)))
