"""In: engine_pause, engine_drain, engine_resume, engine_test. Changes: definition.
Out: definition.snapshot, engine.test.
"""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import Depends, Request, Response
from pydantic import BaseModel

from signalbox_chassis.persistence.database import UnitOfWork
from signalbox_contracts.definitions.engine import Engine
from signalbox_contracts.messages.operations import EngineTest
from signalbox_contracts.vocabulary import Text
from signalbox_gateway import operations
from signalbox_gateway.definitions import store
from signalbox_gateway.definitions.kinds import KINDS
from signalbox_gateway.http.access import Principal, permission
from signalbox_gateway.http.bodies import body, body_of
from signalbox_gateway.http.dependencies import Dependencies, Deps
from signalbox_gateway.http.etags import etag
from signalbox_gateway.http.idempotency import Answer, write
from signalbox_gateway.http.openapi import IF_MATCH
from signalbox_gateway.http.prefix_router import PrefixRouter
from signalbox_gateway.read_model import queries
from signalbox_gateway.routes import answers
from signalbox_gateway.routes.definitions import load, load_for_change, show

router = PrefixRouter(prefix="/engines", tags=["engines"])
Operator = Annotated[Principal, Depends(permission("engine.operate"))]

_ENGINE = answers.DEFINITIONS["engine"][0]


class Why(BaseModel):
    """Why it is done."""

    reason: Text = ""


@router.post(
    "/{id}/pause", operation_id="engine_pause", response_model=_ENGINE, openapi_extra={**body(Why), **IF_MATCH}
)
async def engine_pause(request: Request, deps: Deps, principal: Operator, id: str) -> Response:
    """Nothing new starts on it; running work continues."""
    return await _intake(request, deps, principal, id, "paused")


@router.post(
    "/{id}/drain", operation_id="engine_drain", response_model=_ENGINE, openapi_extra={**body(Why), **IF_MATCH}
)
async def engine_drain(request: Request, deps: Deps, principal: Operator, id: str) -> Response:
    """As pause; the engine's state shows when the last running task has ended."""
    return await _intake(request, deps, principal, id, "draining")


@router.post(
    "/{id}/resume", operation_id="engine_resume", response_model=_ENGINE, openapi_extra={**body(Why), **IF_MATCH}
)
async def engine_resume(request: Request, deps: Deps, principal: Operator, id: str) -> Response:
    """It starts new work again."""
    return await _intake(request, deps, principal, id, "open")


@router.post(
    "/{id}/test", operation_id="engine_test", response_model=answers.Operation, status_code=202, openapi_extra=body(Why)
)
async def engine_test(request: Request, deps: Deps, principal: Operator, id: str) -> Response:
    """Let an executor test the connection; the operation's result has what it found."""
    payload = await body_of(request, Why)

    async def act(work: UnitOfWork) -> Answer:
        saved = await load(work.connection, KINDS["engine"], id)
        operation = await operations.ask(
            work, deps, principal, EngineTest, target=f"engine:{id}", reason=payload.reason, engine_id=id,
            definitions_revision=saved.revision,
        )  # fmt: skip
        return await operation_answer(work, operation)

    return await write(request, deps, principal, act)


async def operation_answer(work: UnitOfWork, operation: UUID) -> Answer:
    """The answer of a route that only asks: the operation, to be looked at until it is answered."""
    shown = await queries.operation(work.connection, operation)
    return Answer(shown, 202, {"Location": f"/api/v1/operations/{operation}"})


async def _intake(
    request: Request, deps: Dependencies, principal: Principal, id: str, intake: Literal["open", "paused", "draining"]
) -> Response:
    payload = await body_of(request, Why)

    async def act(work: UnitOfWork) -> Answer:
        saved = await load_for_change(request, work, KINDS["engine"], id)
        if isinstance(saved.definition, Engine) and saved.definition.intake != intake:
            changed = saved.definition.model_copy(update={"intake": intake})
            saved = await store.save(work, changed, actor=principal.actor, at=deps.clock.now(), reason=payload.reason)
        return Answer(await show(work.connection, KINDS["engine"], saved), 200, etag(saved.revision))

    return await write(request, deps, principal, act)
