"""Starting plans from selections: checked against the engines, then handed to the planner to be looked up."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from signalbox_chassis.persistence.connection import Connection
from signalbox_chassis.persistence.database import UnitOfWork
from signalbox_contracts.definitions.engine import Engine
from signalbox_contracts.definitions.problems import Problem as FieldProblem
from signalbox_contracts.messages.requests import EngineSelection, RunSelection
from signalbox_gateway import moves, plan_requests
from signalbox_gateway.definitions import store
from signalbox_gateway.http.access import Principal
from signalbox_gateway.http.dependencies import Dependencies
from signalbox_gateway.http.problems import invalid_all
from signalbox_gateway.plan_requests.schema import PlanFields

_ENGINES: Final[Mapping[str, str]] = {"oozie_workflows": "oozie", "oozie_actions": "oozie"}
"""Which kind of engine a selection is looked up on."""


async def start_selections(
    work: UnitOfWork,
    deps: Dependencies,
    principal: Principal,
    id: UUID,
    fields: PlanFields,
    selections: Sequence[EngineSelection],
) -> dict[str, Any]:
    """Start a plan of what selections find, or its preview; the plan as the API shows it."""
    revision = await _check(work.connection, selections)
    known, moves_revision = await moves.known_moves(
        work.connection, principal, "plan.start", {selection.engine for selection in selections}
    )
    revision = max(revision, moves_revision)
    what = RunSelection(
        selections=tuple(selections), retries=fields.retries, time_limits=fields.time_limits, known=known
    )
    name = fields.name or f"Rerun on {', '.join(sorted({selection.engine for selection in selections}))}"
    data = plan_requests.plan_request(id, principal, fields, name=name[:200], what=what, revision=revision)
    data = data.model_copy(update={"preview": fields.preview})
    record = plan_requests.first_record(data, deps.clock.now(), total=0)
    return await plan_requests.send(work, deps, record, [data])


async def _check(connection: Connection, selections: Sequence[EngineSelection]) -> int:
    """The newest revision of their engines; refuses unknown ones, those of another kind, and what is not built."""
    known = await store.load_all(connection, "engine", sorted({selection.engine for selection in selections}))
    wrong: list[FieldProblem] = []
    for number, selection in enumerate(selections):
        place, kind = f"selections.{number}", selection.selection.kind
        saved = known.get(selection.engine)
        if kind not in _ENGINES:
            wrong.append(FieldProblem(f"{place}.selection.kind", repr(kind), f"is not one of {', '.join(_ENGINES)}"))
        elif saved is None or not isinstance(saved.definition, Engine):
            wrong.append(FieldProblem(f"{place}.engine", repr(selection.engine), "is not an engine"))
        elif (found := saved.definition.connection.kind) != _ENGINES[kind]:
            words = f"engine {selection.engine} is of kind {found}, not {_ENGINES[kind]}"
            wrong.append(FieldProblem(f"{place}.engine", repr(selection.engine), words))
        if selection.stage:
            wrong.append(FieldProblem(f"{place}.stage", str(selection.stage), "only 0 is allowed yet"))
    if wrong:
        raise invalid_all(wrong)
    return max(saved.revision for saved in known.values())
