"""SQL of what a call is about: its project, its engines, and who started it."""

from collections.abc import Mapping
from typing import Final
from uuid import UUID

from pydantic import ValidationError

from signalbox_chassis.persistence.connection import Connection, Row
from signalbox_contracts.definitions.channel import Subscription
from signalbox_contracts.definitions.freeze import Freeze
from signalbox_contracts.definitions.move import Move
from signalbox_gateway.identity.roles import EVERYTHING, Object

_DEFINITION: Final = """
SELECT project, '' AS actor, ARRAY(SELECT engines_of($1, $2)) AS engines FROM definition
WHERE kind = $1 AND id = $2 AND NOT deleted
"""
_STARTED: Final = """
SELECT to_kind, to_id FROM definition_reference WHERE kind = $1 AND id = $2 AND to_kind IN ('job', 'pipeline')
"""
_PLAN: Final = """
SELECT p.project, p.actor, CASE WHEN $2 THEN ARRAY(SELECT engines_of_plan(p.id, p.target)) ELSE '{}' END AS engines
FROM plan p WHERE p.id = $1
"""
_TASK: Final = """
SELECT coalesce(p.project, '') AS project, coalesce(p.actor, '') AS actor,
    array_remove(ARRAY[coalesce(t.engine, t.item::jsonb ->> 'engine')], NULL) AS engines
FROM task t LEFT JOIN plan p ON p.id = t.plan_id WHERE t.id = $1
"""
_REACHING: Final[Mapping[str, type[Freeze | Subscription | Move]]] = {
    "freeze": Freeze, "subscription": Subscription, "move": Move,
}  # fmt: skip
_BODY: Final = "SELECT body FROM definition WHERE kind = $1 AND id = $2 AND NOT deleted"
_TARGET: Final = "SELECT target, actor FROM operation WHERE id = $1"
_TRACED: Final = "SELECT id FROM plan WHERE trace_id = $1 ORDER BY created_at LIMIT 1"


async def definition(connection: Connection, kind: str, id: str) -> Object | None:
    """A definition that is not deleted."""
    row = await connection.fetchrow(_DEFINITION, kind, id)
    return _object(row, is_engine=kind == "engine") if row else None


async def started_by(connection: Connection, kind: str, id: str) -> list[Object]:
    """The jobs and pipelines that a definition starts."""
    rows = await connection.fetch(_STARTED, kind, id)
    found = [await definition(connection, row["to_kind"], row["to_id"]) for row in rows]
    return [one for one in found if one is not None]


async def reached_by(connection: Connection, kind: str, id: str) -> list[Object]:
    """What a definition acts on whatever its own project is: what a freeze stops, whose events a subscription gets,
    whose plans a move routes.

    One that cannot be read may act on everything.
    """
    if kind not in _REACHING:
        return []
    body = await connection.fetchval(_BODY, kind, id)
    if body is None:
        return []
    try:
        found = _REACHING[kind].model_validate_json(body)
    except ValidationError:
        return [EVERYTHING]
    if isinstance(found, Subscription):  # of the default project it gets the events of all
        return [EVERYTHING] if found.project == "default" else []
    if isinstance(found, Move):
        return [routed_by(found)]
    return _stopped_by(found)


def routed_by(move: Move) -> Object:
    """Plans of every project meet a move on its Oozie engine, and start work on its Airflow engine."""
    return Object(EVERYTHING.project, frozenset({move.engine, move.airflow_engine}))


def _stopped_by(freeze: Freeze) -> list[Object]:
    if freeze.projects:
        return [Object(project) for project in freeze.projects]
    return [Object(EVERYTHING.project, frozenset(freeze.engines))]


async def plan(connection: Connection, id: UUID, *, engines: bool = True) -> Object | None:
    """A plan; its engines only where they matter, since a large plan has many tasks."""
    row = await connection.fetchrow(_PLAN, id, engines)
    return _object(row) if row else None


async def task(connection: Connection, id: UUID) -> Object | None:
    row = await connection.fetchrow(_TASK, id)
    return _object(row) if row else None


async def operation(connection: Connection, id: UUID) -> Object | None:
    """What an operation is about."""
    row = await connection.fetchrow(_TARGET, id)
    if row is None:
        return None
    kind, _, target = row["target"].partition(":")
    if kind in ("plan", "task"):
        return await (plan if kind == "plan" else task)(connection, UUID(target))
    return await definition(connection, kind, target)


async def trace(connection: Connection, trace_id: str) -> Object | None:
    """The plan that was started in a trace."""
    id = await connection.fetchval(_TRACED, trace_id)
    return await plan(connection, id) if id else None


def _object(row: Row, *, is_engine: bool = False) -> Object:
    return Object(row["project"], frozenset(row["engines"]), row["actor"], is_engine)
