"""Reading and writing what only workflows have: the list of their jobs, and what each run was asked to start with."""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from pydantic_core import from_json, to_json

from signalbox_chassis.persistence.connection import Connection

_LIST: Final = """
SELECT id FROM definition
WHERE kind = 'job' AND NOT deleted AND id > $1 AND (json_or_null(body) #>> '{work,kind}') = 'airflow'
  AND (cardinality($2::text[]) = 0 OR project = ANY($2))
  AND ($3 = '' OR strpos(lower(id || ' ' || name), lower($3)) > 0)
  AND ($4 = '' OR (json_or_null(body) #>> '{work,dag_id}') = $4)
  AND ($6::text[] IS NULL OR EXISTS (
      SELECT FROM unnest($6::text[], $7::text[]) AS place (project, engine)
      WHERE place.project IN ('*', definition.project)
        AND (place.engine = '*' OR place.engine IN (SELECT engines_of('job', definition.id)))))
ORDER BY id LIMIT $5
"""
_KEEP: Final = "INSERT INTO workflow_run (plan_id, task_id, dataset_id, parameters, note) VALUES ($1, $2, $3, $4, $5)"
_NOTES: Final = """
SELECT DISTINCT ON (o.target) o.target, a.details::jsonb ->> 'note' AS note
FROM operation o JOIN operation_answer a ON a.operation_id = o.id
WHERE o.operation = 'task.annotate' AND o.target = ANY($1) AND a.state = 'done' ORDER BY o.target, a.answered_at DESC
"""
_RUNS: Final = "SELECT plan_id, task_id, dataset_id, parameters, note FROM workflow_run WHERE plan_id = ANY($1)"


async def list_workflow_ids(
    connection: Connection, *, project: Sequence[str], q: str, dag_id: str, after: str, limit: int,
    visible: tuple[list[str], list[str]] | None = None,
) -> list[str]:  # fmt: skip
    """The ids of jobs whose work is a DAG, by id."""
    rows = await connection.fetch(_LIST, after, list(project), q, dag_id, limit, *(visible or (None, None)))
    return [row["id"] for row in rows]


async def keep_run(
    connection: Connection,
    plan_id: UUID,
    *,
    task_id: int | None,
    dataset_id: int | None,
    parameters: dict[str, Any],
    note: str,
) -> None:
    """Remember what a run was asked to start with: its plan holds the work, which is shown nowhere."""
    await connection.execute(_KEEP, plan_id, task_id, dataset_id, to_json(parameters).decode(), note)


async def load_runs(connection: Connection, plan_ids: Sequence[UUID]) -> dict[UUID, dict[str, Any]]:
    """What these runs were asked to start with, those that were started as runs of a workflow."""
    rows = await connection.fetch(_RUNS, list(plan_ids))
    return {row["plan_id"]: {**dict(row), "parameters": from_json(row["parameters"])} for row in rows}


async def load_notes(connection: Connection, task_ids: Sequence[UUID]) -> dict[UUID, str]:
    """The notes these tasks' runs were given after they had started."""
    rows = await connection.fetch(_NOTES, [f"task:{id}" for id in task_ids])
    return {UUID(row["target"].removeprefix("task:")): row["note"] for row in rows if row["note"]}
