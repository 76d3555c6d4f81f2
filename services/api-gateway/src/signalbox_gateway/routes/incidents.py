"""In: incident_list, incident_show, incident_acknowledge, incident_snooze, incident_resolve. Changes: operation.
Out: incident.acknowledge, incident.snooze, incident.resolve.
"""

from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Query, Request, Response
from pydantic import BaseModel, Field

from signalbox_chassis.persistence.database import UnitOfWork
from signalbox_contracts.messages.operations import IncidentAcknowledge, IncidentResolve, IncidentSnooze
from signalbox_contracts.vocabulary import Instant, Text
from signalbox_gateway import operations
from signalbox_gateway.http.access import Principal, permission
from signalbox_gateway.http.bodies import body, body_of
from signalbox_gateway.http.dependencies import Dependencies, Deps
from signalbox_gateway.http.idempotency import Answer, write
from signalbox_gateway.http.prefix_router import PrefixRouter
from signalbox_gateway.http.problems import Problem, invalid
from signalbox_gateway.read_model import notifications
from signalbox_gateway.routes import answers
from signalbox_gateway.routes.engines import Why, operation_answer
from signalbox_gateway.routes.params import Cursor, Ids, Limit, Words, after, answer, missing, page

router = PrefixRouter(prefix="/incidents", tags=["incidents"])
Reader = Depends(permission("incident.read"))
Operator = Annotated[Principal, Depends(permission("incident.operate"))]
States = Annotated[
    list[Annotated[str, Field(pattern="^(open|acknowledged|snoozed|recovered)$")]],
    Query(max_length=10, description="Only these; repeat it for any of several."),
]
Severities = Annotated[
    list[Annotated[str, Field(pattern="^(info|warning|error|critical)$")]],
    Query(max_length=10, description="Only these; repeat it for any of several."),
]


class Snooze(BaseModel):
    """Until when nothing is sent about it, and why."""

    until_at: Instant
    reason: Text = ""


@router.get(
    "", operation_id="incident_list", dependencies=[Reader],
    response_model=answers.page_of(answers.Incident, "IncidentPage"),
)  # fmt: skip
async def incident_list(
    deps: Deps,
    state: States = [],  # noqa: B006 -- FastAPI copies defaults
    severity: Severities = [],  # noqa: B006
    project: Words = [],  # noqa: B006
    plan: Ids = [],  # noqa: B006
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """Incidents, the newest first: failures of one cause in one job, pipeline or plan."""
    begin = after("incidents", cursor)
    async with deps.database.connection() as connection:
        found = await notifications.incidents(
            connection, state=state, severity=severity, project=project, plan=plan, limit=limit, after=begin
        )
    return page("incidents", found)


@router.get("/{id}", operation_id="incident_show", response_model=answers.Incident, dependencies=[Reader])
async def incident_show(deps: Deps, id: UUID) -> Response:
    """How often it happened, since when, and who acknowledged it."""
    async with deps.database.connection() as connection:
        found = await notifications.incident(connection, id)
    if found is None:
        raise missing("incident", id)
    return answer(found)


@router.post(
    "/{id}/acknowledge", operation_id="incident_acknowledge", response_model=answers.Operation, status_code=202,
    openapi_extra=body(Why),
)  # fmt: skip
async def incident_acknowledge(request: Request, deps: Deps, principal: Operator, id: UUID) -> Response:
    """Report that somebody works on it."""
    given = await body_of(request, Why)
    return await _ask(request, deps, principal, IncidentAcknowledge, id, given.reason)


@router.post(
    "/{id}/snooze", operation_id="incident_snooze", response_model=answers.Operation, status_code=202,
    openapi_extra=body(Snooze),
)  # fmt: skip
async def incident_snooze(request: Request, deps: Deps, principal: Operator, id: UUID) -> Response:
    """Send nothing about it until an instant; what happens meanwhile is sent then."""
    given = await body_of(request, Snooze)
    if given.until_at <= deps.clock.now():
        raise invalid("until_at", given.until_at.isoformat(), "an instant in the future is needed")
    return await _ask(request, deps, principal, IncidentSnooze, id, given.reason, until_at=given.until_at)


@router.post(
    "/{id}/resolve", operation_id="incident_resolve", response_model=answers.Operation, status_code=202,
    openapi_extra=body(Why),
)  # fmt: skip
async def incident_resolve(request: Request, deps: Deps, principal: Operator, id: UUID) -> Response:
    """End it. Channels that had a message about it get the recovery; a later failure opens it again."""
    given = await body_of(request, Why)
    return await _ask(request, deps, principal, IncidentResolve, id, given.reason)


async def _ask(
    request: Request, deps: Dependencies, principal: Principal, message: Any, id: UUID, reason: str, **more: Any
) -> Response:
    async def act(work: UnitOfWork) -> Answer:
        found = await notifications.incident(work.connection, id)
        if found is None:
            raise missing("incident", id)
        if found["state"] == "recovered":
            raise Problem("conflict", f"incident {id} has recovered: nothing is left to do")
        operation = await operations.ask(
            work, deps, principal, message, target=f"incident:{id}", reason=reason, incident_id=id, **more
        )
        return await operation_answer(work, operation)

    return await write(request, deps, principal, act)
