"""The plans and tasks that a bulk operation is about: those of a filter to which its action applies, or named ones."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from signalbox_chassis.persistence.connection import Connection, Row
from signalbox_chassis.persistence.state_list import state_list
from signalbox_contracts.messages.plans import PlanRecord
from signalbox_contracts.states import PLAN_ENDS, TASK_ENDS, TaskState
from signalbox_gateway.read_model.queries import PlanFilter, TaskFilter, Where, plan_where, task_where

_PLAN_ENDED: Final = f"p.state IN {state_list(PLAN_ENDS)}"
_TASK_ENDED: Final = f"t.state IN {state_list(TASK_ENDS)}"
_LIVE: Final = f"NOT {_PLAN_ENDED}"
_FAILED: Final = """COALESCE((p.record::jsonb #>> '{counts,failed}')::bigint, 0)
    + COALESCE((p.record::jsonb #>> '{counts,cancelled}')::bigint, 0) > 0"""
_RETRIABLE: Final = f"({_PLAN_ENDED} AND {_FAILED})"
_PLANS: Final = """
SELECT p.id, p.name, p.state, {applies} AS applies, p.project, p.actor,
    CASE WHEN {engines} THEN ARRAY(SELECT engines_of_plan(p.id, p.target)) ELSE '{}' END AS engines
FROM plan p WHERE {where} ORDER BY p.created_at, p.id LIMIT {limit}
"""
_TASKS: Final = """
SELECT t.id, t.item_key AS name, t.state, {applies} AS applies, t.plan_id,
    COALESCE((t.record::jsonb ->> 'attempt')::int, 1) AS attempt, p.project, p.actor, ARRAY[t.engine] AS engines
FROM task t JOIN plan p ON p.id = t.plan_id WHERE t.version >= 0 AND {where} ORDER BY t.plan_id, t.position, t.id
LIMIT {limit}
"""
_TASK_APPLIES: Final = {
    "cancel": f"(NOT {_TASK_ENDED} AND {_LIVE})",
    "resolve": f"(t.state = '{TaskState.UNKNOWN.value}')",
}


async def plans(
    connection: Connection, action: str, wanted: PlanFilter, ids: Sequence[UUID], *, engines: bool, limit: int
) -> list[Row]:
    """Oldest first. By ids also those to which the action does not apply; of a filter none of them.

    `engines` is whether the engines of each plan are needed, to check who may do this.
    """
    where, applies = plan_where(wanted), _RETRIABLE if action == "retry" else _LIVE
    _choose(where, "p", ids, applies)
    query = _PLANS.replace("{engines}", "true" if engines else "false")
    return await _fetch(connection, query, where, applies, limit)


async def tasks(
    connection: Connection, action: str, wanted: TaskFilter, ids: Sequence[UUID], *, limit: int
) -> list[Row]:
    """By plan and position. By ids also those to which the action does not apply; of a filter none of them."""
    where, applies = task_where(wanted), _TASK_APPLIES[action]
    _choose(where, "t", ids, applies)
    return await _fetch(connection, _TASKS, where, applies, limit)


async def plan_records(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, PlanRecord]:
    """The last published states of plans."""
    rows = await connection.fetch("SELECT id, record FROM plan WHERE id = ANY($1)", list(ids))
    return {row["id"]: PlanRecord.model_validate_json(row["record"]) for row in rows}


def _choose(where: Where, table: str, ids: Sequence[UUID], applies: str) -> None:
    where.any_of(f"{table}.id", "uuid", ids)
    if not ids:
        where.add(applies)


async def _fetch(connection: Connection, query: str, where: Where, applies: str, limit: int) -> list[Row]:
    query = query.replace("{applies}", applies).replace("{where}", str(where)).replace("{limit}", f"{limit:d}")
    return await connection.fetch(query, *where.values)
