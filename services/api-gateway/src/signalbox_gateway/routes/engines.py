"""In: engine_list, engine_show, engine_create, engine_update, engine_delete, engine_pause, engine_drain,
engine_resume, engine_test. Changes: definition. Out: definition.snapshot, engine.test.
"""

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel

from signalbox_chassis.persistence.database import UnitOfWork
from signalbox_contracts.definitions.engine import Engine
from signalbox_contracts.messages.operations import EngineTest
from signalbox_contracts.vocabulary import Text
from signalbox_gateway import definitions, operations
from signalbox_gateway.definitions import Saved
from signalbox_gateway.http.access import Principal, permission
from signalbox_gateway.http.bodies import body_of, json_body
from signalbox_gateway.http.dependencies import Parts, With
from signalbox_gateway.http.idempotency import Answer, write
from signalbox_gateway.http.problems import Problem, checked
from signalbox_gateway.http.versions import etag, must_match, not_modified
from signalbox_gateway.read_model import queries
from signalbox_gateway.routes.definition_ids import named
from signalbox_gateway.routes.params import Cursor, Labels, Limit, Words, after, answer, missing, page

router = APIRouter(prefix="/engines", tags=["engines"])
Reader = Depends(permission("engine.read"))
Writer = Annotated[Principal, Depends(permission("engine.write"))]
Operator = Annotated[Principal, Depends(permission("engine.operate"))]
_BODY: dict[str, Any] = {
    "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Engine"}}}}
}
_WHY: dict[str, Any] = {
    "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Why"}}}}
}


class Why(BaseModel):
    """Why it is done."""

    reason: Text = ""


@router.get("", operation_id="engine_list", dependencies=[Reader])
async def engine_list(
    parts: With,
    project: Words = [],  # noqa: B006 -- FastAPI copies defaults
    label: Labels = [],  # noqa: B006
    q: str = "",
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """Engines by id, each with the last state its executor said."""
    begin = after("names", cursor)
    async with parts.database.connection() as connection:
        found = await definitions.listed(
            connection, "engine", limit=limit + 1, after=begin[0] if begin else "", project=project, label=label, q=q
        )
        states = await queries.engine_states(connection, [one.definition.id for one in found])
    shown = [{**one.shown(), "state": states.get(one.definition.id)} for one in found[:limit]]
    last = [found[limit - 1].definition.id] if len(found) > limit else None
    return page("names", queries.Page(shown, last))


@router.get("/{id}", operation_id="engine_show", dependencies=[Reader])
async def engine_show(request: Request, parts: With, id: str) -> Response:
    """An engine as defined, and its last state."""
    async with parts.database.connection() as connection:
        saved = await definitions.load(connection, "engine", id)
        if saved is None:
            raise missing("engine", id)
        shown = await _shown(connection, saved)
    if not_modified(request, saved.revision):
        return Response(status_code=304, headers=etag(saved.revision))
    made = answer(shown)
    made.headers.update(etag(saved.revision))
    return made


@router.post("", operation_id="engine_create", status_code=201, openapi_extra=_BODY)
async def engine_create(request: Request, parts: With, principal: Writer) -> Response:
    """Register an engine. `id` may be left out: it is made of `name`; so may `name`."""
    engine: Engine = checked(Engine, named(await json_body(request)))

    async def act(work: UnitOfWork) -> Answer:
        await definitions.lock(work.connection)
        if await definitions.load(work.connection, "engine", engine.id):
            raise Problem("conflict", f"there is an engine {engine.id} already: PUT /engines/{engine.id} changes it")
        saved = await definitions.save(work, engine, actor=principal.actor, at=parts.clock.now())
        headers = {**etag(saved.revision), "Location": f"/api/v1/engines/{engine.id}"}
        return Answer(await _shown(work.connection, saved), 201, headers)

    return await write(request, parts, principal, act)


@router.put("/{id}", operation_id="engine_update", openapi_extra=_BODY)
async def engine_update(request: Request, parts: With, principal: Writer, id: str) -> Response:
    """Replace an engine's definition; with `If-Match`, only the revision it names."""
    engine: Engine = checked(Engine, named(await json_body(request), id=id))

    async def act(work: UnitOfWork) -> Answer:
        await _present(request, work, id)
        saved = await definitions.save(work, engine, actor=principal.actor, at=parts.clock.now())
        return Answer(await _shown(work.connection, saved), 200, etag(saved.revision))

    return await write(request, parts, principal, act)


@router.delete("/{id}", operation_id="engine_delete", status_code=204)
async def engine_delete(request: Request, parts: With, principal: Writer, id: str) -> Response:
    """Remove an engine that neither a job nor a plan that still runs uses."""

    async def act(work: UnitOfWork) -> Answer:
        saved = await _present(request, work, id)
        if users := await definitions.users_of_engine(work.connection, id):
            raise Problem("in-use", f"engine {id} is used by {', '.join(users[:5])}", users=users)
        await definitions.delete(work, saved, actor=principal.actor, at=parts.clock.now())
        return Answer(None, 204)

    return await write(request, parts, principal, act)


@router.post("/{id}/pause", operation_id="engine_pause", openapi_extra=_WHY)
async def engine_pause(request: Request, parts: With, principal: Operator, id: str) -> Response:
    """Nothing new starts on it; what runs goes on."""
    return await _intake(request, parts, principal, id, "paused")


@router.post("/{id}/drain", operation_id="engine_drain", openapi_extra=_WHY)
async def engine_drain(request: Request, parts: With, principal: Operator, id: str) -> Response:
    """As pause, until the last running task has ended; the engine's state then says so."""
    return await _intake(request, parts, principal, id, "draining")


@router.post("/{id}/resume", operation_id="engine_resume", openapi_extra=_WHY)
async def engine_resume(request: Request, parts: With, principal: Operator, id: str) -> Response:
    """It takes new work again."""
    return await _intake(request, parts, principal, id, "open")


@router.post("/{id}/test", operation_id="engine_test", status_code=202, openapi_extra=_WHY)
async def engine_test(request: Request, parts: With, principal: Operator, id: str) -> Response:
    """Let an executor try the connection; the operation is answered with what it found."""
    said = await body_of(request, Why)

    async def act(work: UnitOfWork) -> Answer:
        saved = await definitions.load(work.connection, "engine", id)
        if saved is None:
            raise missing("engine", id)
        operation = await operations.ask(
            work, parts, principal, EngineTest, target=f"engine:{id}", reason=said.reason, engine_id=id,
            definitions_revision=saved.revision,
        )  # fmt: skip
        return await asked(work, operation)

    return await write(request, parts, principal, act)


async def asked(work: UnitOfWork, operation: UUID) -> Answer:
    """The answer of a route that only asks: the operation, to be looked at until it is answered."""
    shown = await queries.operation(work.connection, operation)
    return Answer(shown, 202, {"Location": f"/api/v1/operations/{operation}"})


async def _intake(
    request: Request, parts: Parts, principal: Principal, id: str, intake: Literal["open", "paused", "draining"]
) -> Response:
    said = await body_of(request, Why)

    async def act(work: UnitOfWork) -> Answer:
        saved = await _present(request, work, id)
        if isinstance(saved.definition, Engine) and saved.definition.intake != intake:
            changed = saved.definition.model_copy(update={"intake": intake})
            saved = await definitions.save(
                work, changed, actor=principal.actor, at=parts.clock.now(), reason=said.reason
            )
        return Answer(await _shown(work.connection, saved), 200, etag(saved.revision))

    return await write(request, parts, principal, act)


async def _present(request: Request, work: UnitOfWork, id: str) -> Saved:
    """The engine to change, locked; refuses when it is not there or has moved on."""
    await definitions.lock(work.connection)
    saved = await definitions.load(work.connection, "engine", id)
    if saved is None:
        raise missing("engine", id)
    must_match(request, saved)
    return saved


async def _shown(connection: Any, saved: Saved) -> dict[str, Any]:
    states = await queries.engine_states(connection, [saved.definition.id])
    return {**saved.shown(), "state": states.get(saved.definition.id)}
