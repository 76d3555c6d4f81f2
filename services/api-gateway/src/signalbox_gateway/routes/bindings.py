"""In: binding_list … binding_delete. Changes: bindings. Out: nothing."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Query, Request, Response

from signalbox_chassis.persistence.connection import Connection
from signalbox_chassis.persistence.database import UnitOfWork
from signalbox_gateway.definitions import store
from signalbox_gateway.http.access import Principal, permission
from signalbox_gateway.http.bodies import body, body_of
from signalbox_gateway.http.dependencies import Deps
from signalbox_gateway.http.idempotency import Answer, write
from signalbox_gateway.http.prefix_router import PrefixRouter
from signalbox_gateway.http.problems import invalid
from signalbox_gateway.identity.roles import ANY
from signalbox_gateway.read_model import cursor as cursors
from signalbox_gateway.routes import answers
from signalbox_gateway.routes import identity_answers as models
from signalbox_gateway.routes.params import Cursor, Limit, after, answer, missing
from signalbox_gateway.routes.users import must_keep_an_administrator
from signalbox_gateway.store import accounts, bindings

router = PrefixRouter(prefix="/bindings", tags=["bindings"])
Reader = Annotated[Principal, Depends(permission("binding.read"))]
Editor = Annotated[Principal, Depends(permission("binding.write"))]
Only = Query(max_length=255, description="Only these.")


@router.get("", operation_id="binding_list", response_model=answers.page_of(models.BindingAnswer))
async def binding_list(
    deps: Deps,
    _: Reader,
    username: Annotated[str, Only] = "",
    role: Annotated[str, Query(pattern="^(viewer|user|operator|admin)?$", description="Only these.")] = "",
    project: Annotated[str, Only] = "",
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """Who has which role, and where."""
    begin = after("bindings", cursor)
    async with deps.database.connection() as connection:
        rows = await bindings.list_bindings(
            connection, principal=username, role=role, project=project, after=begin[0] if begin else "",
            limit=limit + 1,
        )  # fmt: skip
    last = [str(rows[limit - 1]["id"])] if len(rows) > limit else None
    return answer({"items": list(map(_shown, rows[:limit])), "next_cursor": cursors.encode("bindings", last)})


@router.get("/{id}", operation_id="binding_show", response_model=models.BindingAnswer)
async def binding_show(id: UUID, deps: Deps, _: Reader) -> Response:
    """A role of an account, and where."""
    async with deps.database.connection() as connection:
        return answer(_shown(await _load(connection, id)))


@router.post(
    "", operation_id="binding_create", status_code=201, response_model=models.BindingAnswer,
    openapi_extra=body(models.BindingCreate),
)  # fmt: skip
async def binding_create(request: Request, deps: Deps, principal: Editor) -> Response:
    """Give an account a role, everywhere or for one project, one engine, or both. It takes effect within seconds."""
    written = await body_of(request, models.BindingCreate)

    async def act(work: UnitOfWork) -> Answer:
        await accounts.lock(work.connection)
        if await accounts.load(work.connection, written.username) is None:
            raise invalid("username", written.username, "is not an account")
        if written.project != ANY and not await bindings.project_exists(work.connection, written.project):
            raise invalid("project", written.project, "no definition has this project")
        if written.engine != ANY and await store.find(work.connection, "engine", written.engine) is None:
            raise invalid("engine", written.engine, "is not an engine")
        row = await bindings.create(
            work.connection, written.username, written.role, project=written.project, engine=written.engine,
            actor=principal.actor,
        )  # fmt: skip
        work.on_commit(deps.identity.authentication.forget)
        return Answer(_shown(row), 201, {"Location": f"/api/v1/bindings/{row['id']}"})

    return await write(request, deps, principal, act)


@router.delete("/{id}", operation_id="binding_delete", status_code=204)
async def binding_delete(id: UUID, request: Request, deps: Deps, principal: Editor) -> Response:
    """Remove a role. That takes effect within seconds, on every gateway."""

    async def act(work: UnitOfWork) -> Answer:
        await accounts.lock(work.connection)
        request.state.before = _shown(await _load(work.connection, id))
        await bindings.remove(work.connection, id)
        await must_keep_an_administrator(work.connection, "id")
        work.on_commit(deps.identity.authentication.forget)
        return Answer(None, 204)

    return await write(request, deps, principal, act)


async def _load(connection: Connection, id: UUID) -> Any:
    row = await bindings.load(connection, id)
    if row is None:
        raise missing("binding", id)
    return row


def _shown(row: Any) -> dict[str, Any]:
    shown = {name: row[name] for name in ("id", "role", "project", "engine", "created_at", "created_by")}
    return {**shown, "username": row["principal"]}
