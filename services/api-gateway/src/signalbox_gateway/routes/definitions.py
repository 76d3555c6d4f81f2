"""In: KIND_list … KIND_usage, for every kind of definition. Changes: definition. Out: definition.snapshot.

One function builds the routes of a kind from its entry in `definitions.kinds`.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, Field, create_model

from signalbox_chassis.persistence.connection import Connection
from signalbox_chassis.persistence.database import UnitOfWork
from signalbox_contracts.definitions.definition import Title
from signalbox_contracts.definitions.differences import differences
from signalbox_contracts.definitions.work import Work
from signalbox_contracts.vocabulary import Name
from signalbox_gateway.definitions import checks, publish, store
from signalbox_gateway.definitions.addresses import check_addresses
from signalbox_gateway.definitions.kinds import KINDS, DefinitionKind
from signalbox_gateway.definitions.store import DefinitionFilter, Saved, Stored
from signalbox_gateway.definitions.written import READ_ONLY, complete
from signalbox_gateway.http.access import Principal, permission, require_definition, require_references, visible
from signalbox_gateway.http.bodies import body, json_body
from signalbox_gateway.http.dependencies import Deps
from signalbox_gateway.http.etags import etag, must_match, not_modified
from signalbox_gateway.http.idempotency import Answer, write
from signalbox_gateway.http.openapi import IF_MATCH, IF_NONE_MATCH, UNREADABLE
from signalbox_gateway.http.prefix_router import PrefixRouter
from signalbox_gateway.http.problems import Problem, checked, invalid
from signalbox_gateway.read_model import cursor as cursors
from signalbox_gateway.routes import answers
from signalbox_gateway.routes.params import Cursor, Labels, Limit, Part, Words, after, answer, missing

VersionNumber = Annotated[int | None, Query(ge=1, le=store.MAX_VERSION, description="Only this version.")]
_DIFFERENT_ANYWAY = frozenset({"version"})


async def find(connection: Connection, entry: DefinitionKind, id: str) -> Stored:
    """The present row, also of a definition that cannot be read. Raises a 404 problem."""
    stored = await store.find(connection, entry.kind, id)
    if stored is None:
        raise missing(entry.kind, id)
    return stored


async def load(connection: Connection, entry: DefinitionKind, id: str) -> Saved:
    """The present form. Raises a 404 problem, and `DefinitionUnreadable`."""
    return (await find(connection, entry, id)).read()


async def find_for_change(request: Request, work: UnitOfWork, entry: DefinitionKind, id: str) -> Stored:
    """The present row, locked until the transaction ends: for what needs nothing of the definition.

    Raises 404, and 412 when `If-Match` names another revision.
    """
    await publish.lock(work.connection)
    stored = await find(work.connection, entry, id)
    must_match(request, stored.revision)
    request.state.before = stored.as_answer()
    return stored


async def load_for_change(request: Request, work: UnitOfWork, entry: DefinitionKind, id: str) -> Saved:
    """The present form, locked until the transaction ends. Raises as `find_for_change`, and `DefinitionUnreadable`."""
    return (await find_for_change(request, work, entry, id)).read()


async def load_version(connection: Connection, entry: DefinitionKind, id: str, version: int | None) -> Any:
    """The definition of a version; the newest for None.

    Raises 404, 422 when there is no such version, and `DefinitionUnreadable`. Other versions need not be readable.
    """
    return await _version_of(connection, await find(connection, entry, id), version)


async def _version_of(connection: Connection, stored: Stored, version: int | None) -> Any:
    if version is None or version == stored.version:
        return stored.read().definition
    definition = await store.load_version(connection, stored.kind, stored.id, version)
    if definition is None:
        raise invalid("version", version, f"{stored.kind} {stored.id} has versions 1 to {stored.version}")
    return definition


async def show(connection: Connection, entry: DefinitionKind, saved: Saved) -> dict[str, Any]:
    """One definition as the API returns it, with the state its owner published."""
    return (await _show_all(connection, entry, [saved]))[0]


async def _show_all(connection: Connection, entry: DefinitionKind, saved: list[Saved]) -> list[dict[str, Any]]:
    answers = [one.as_answer() for one in saved]
    if entry.load_details is not None:
        details = await entry.load_details(connection, saved)
        answers = [{**shown, **details.get(shown["id"], {})} for shown in answers]
    if entry.load_states is None:
        return answers
    states = await entry.load_states(connection, [one.definition.id for one in saved])
    return [{**shown, "state": states.get(shown["id"])} for shown in answers]


def definition_router(entry: DefinitionKind) -> APIRouter:
    """The routes of one kind."""
    router = PrefixRouter(prefix=f"/{entry.path}", tags=[entry.path])
    reader = permission(entry.read_permission)
    writer = permission(entry.write_permission)
    _add_reads(router, entry, reader)
    _add_history(router, entry, reader)
    _add_writes(router, entry, writer)
    return router


def _add_reads(router: APIRouter, entry: DefinitionKind, reader: Any) -> None:
    present = answers.DEFINITIONS[entry.kind][0]

    @router.get(
        "", operation_id=f"{entry.kind}_list", dependencies=[Depends(reader)],
        response_model=answers.page_of(present),
        description=f"List {entry.path} by id: {entry.about}.",
    )  # fmt: skip
    async def list_definitions(
        deps: Deps,
        wanted: Annotated[DefinitionFilter, Depends(_filter(entry))],
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> Response:
        start = after("names", cursor)
        async with deps.database.connection() as connection:
            found, last = await store.load_page(
                connection, entry.kind, wanted, limit=limit, after=start[0] if start else ""
            )
            items = await _show_all(connection, entry, found)
        return answer({"items": items, "next_cursor": cursors.encode("names", [last] if last else None)})

    @router.get(
        "/{id}", operation_id=f"{entry.kind}_show", dependencies=[Depends(reader)],
        response_model=present, openapi_extra=IF_NONE_MATCH, responses=UNREADABLE,
        description=f"Show {entry.a_kind}, or one of its versions.",
    )  # fmt: skip
    async def show_definition(
        id: str, request: Request, deps: Deps, version: VersionNumber = None
    ) -> Response:  # fmt: skip
        async with deps.database.connection() as connection:
            stored = await find(connection, entry, id)
            definition = await _version_of(connection, stored, version)
            saved = stored.of(definition, stored.version if version is None else version)
            shown = await show(connection, entry, saved)
        has_state = entry.load_states is not None  # it changes without a new revision
        if version is None and not has_state and not_modified(request, saved.revision):
            return Response(status_code=304, headers=etag(saved.revision))
        return answer(shown, headers=etag(saved.revision))


def _add_history(router: APIRouter, entry: DefinitionKind, reader: Any) -> None:
    @router.get(
        "/{id}/versions", operation_id=f"{entry.kind}_versions", dependencies=[Depends(reader)],
        response_model=answers.page_of(answers.DEFINITIONS[entry.kind][1]),
        description=f"List the versions of {entry.a_kind}, newest first, each with its author and reason.",
    )  # fmt: skip
    async def list_versions(id: str, deps: Deps, limit: Limit = 50, cursor: Cursor = None) -> Response:
        start = after("versions", cursor)
        async with deps.database.connection() as connection:
            await find(connection, entry, id)
            found, last = await store.list_versions(
                connection, entry.kind, id, limit=limit, before=start[0] if start else None
            )
        return answer({"items": found, "next_cursor": cursors.encode("versions", [last] if last else None)})

    @router.get(
        "/{id}/diff", operation_id=f"{entry.kind}_diff", dependencies=[Depends(reader)], response_model=answers.Diff,
        responses=UNREADABLE,
        description=f"Compare two versions of {entry.a_kind}: the newest with the one before, unless named.",
    )  # fmt: skip
    async def diff(
        id: str,
        deps: Deps,
        from_version: Annotated[
            int | None, Query(alias="from", ge=1, le=store.MAX_VERSION, description="The older version.")
        ] = None,
        to_version: Annotated[
            int | None, Query(alias="to", ge=1, le=store.MAX_VERSION, description="The newer version.")
        ] = None,
    ) -> Response:
        async with deps.database.connection() as connection:
            stored = await find(connection, entry, id)
            to = stored.version if to_version is None else to_version
            start = max(1, to - 1) if from_version is None else from_version
            before, then = [await _version_of(connection, stored, number) for number in (start, to)]
        changes = differences(*(one.model_dump(mode="json", exclude=_DIFFERENT_ANYWAY) for one in (before, then)))
        items = [{"path": c.path, "change": c.change, "before": c.before, "after": c.after} for c in changes]
        return answer({"from": start, "to": to, "changes": items})

    @router.get(
        "/{id}/usage", operation_id=f"{entry.kind}_usage", dependencies=[Depends(reader)], response_model=answers.Users,
        description=f"List what uses {entry.a_kind}, as `kind:id`. While anything uses it, it cannot be deleted.",
    )  # fmt: skip
    async def usage(id: str, deps: Deps) -> Response:
        async with deps.database.connection() as connection:
            await find(connection, entry, id)
            return answer({"users": await entry.users(connection, id)})


def _add_writes(router: APIRouter, entry: DefinitionKind, writer: Any) -> None:
    present = answers.DEFINITIONS[entry.kind][0]
    written = body(_written(entry))

    @router.post(
        "", operation_id=f"{entry.kind}_create", status_code=201, openapi_extra=written, response_model=present,
        description=f"Save a new {entry.kind}: {entry.about}. "
        "Without `id` the API makes one from `name`; without `name` it takes the id.",
    )  # fmt: skip
    async def create(request: Request, deps: Deps, principal: Annotated[Principal, Depends(writer)]) -> Response:
        definition = _read(entry, await json_body(request), principal.actor)
        await check_addresses(definition, deps.guard)

        async def act(work: UnitOfWork) -> Answer:
            await publish.lock(work.connection)
            if await store.find(work.connection, entry.kind, definition.id):
                words = f"{entry.kind} {definition.id} exists: PUT /{entry.path}/{definition.id} changes it"
                raise Problem("conflict", words)
            saved = await _save(work, deps, entry, definition, principal)
            headers = {**etag(saved.revision), "Location": f"/api/v1/{entry.path}/{definition.id}"}
            return Answer(await show(work.connection, entry, saved), 201, headers)

        return await write(request, deps, principal, act)

    @router.put(
        "/{id}", operation_id=f"{entry.kind}_update", openapi_extra={**written, **IF_MATCH}, response_model=present,
        description=f"Save the next version of {entry.a_kind}; with `If-Match`, only if it is still the named one. "
        "One that is stored and cannot be read is replaced.",
    )  # fmt: skip
    async def update(
        id: str, request: Request, deps: Deps, principal: Annotated[Principal, Depends(writer)]
    ) -> Response:
        definition = _read(entry, await json_body(request), principal.actor, id=id)
        await check_addresses(definition, deps.guard)

        async def act(work: UnitOfWork) -> Answer:
            await find_for_change(request, work, entry, id)
            saved = await _save(work, deps, entry, definition, principal)
            return Answer(await show(work.connection, entry, saved), 200, etag(saved.revision))

        return await write(request, deps, principal, act)

    @router.delete(
        "/{id}", operation_id=f"{entry.kind}_delete", status_code=204, openapi_extra=IF_MATCH,
        description=f"Delete {entry.a_kind} that nothing uses. Its versions and plans stay readable.",
    )  # fmt: skip
    async def delete(
        id: str, request: Request, deps: Deps, principal: Annotated[Principal, Depends(writer)]
    ) -> Response:
        async def act(work: UnitOfWork) -> Answer:
            stored = await find_for_change(request, work, entry, id)
            if users := await entry.users(work.connection, id):
                raise Problem("in-use", f"{entry.kind} {id} is used by {', '.join(users[:5])}", users=users)
            await store.delete(work, stored, actor=principal.actor, at=deps.clock.now())
            return Answer(None, 204)

        return await write(request, deps, principal, act)


async def _save(work: UnitOfWork, deps: Deps, entry: DefinitionKind, definition: Any, principal: Principal) -> Saved:
    await require_references(work.connection, principal, entry.write_permission, definition)
    await checks.check_definition(work.connection, definition)
    saved = await store.save(work, definition, actor=principal.actor, at=deps.clock.now())
    await require_definition(work.connection, principal, entry.write_permission, entry.kind, definition.id)
    return saved


def _read(entry: DefinitionKind, written: dict[str, Any], actor: str, *, id: str | None = None) -> Any:
    versioned = "version" in entry.model.model_fields
    return checked(
        entry.model, {**complete(entry.translate(written), id=id, versioned=versioned), **entry.stamp(actor)}
    )


def _filter(entry: DefinitionKind) -> Callable[..., Any]:
    """The dependency that reads the filters of a list."""

    async def plain(
        request: Request,
        project: Words = [],  # noqa: B006 -- FastAPI copies defaults
        label: Labels = [],  # noqa: B006
        q: Part = "",
    ) -> DefinitionFilter:
        return DefinitionFilter(project=project, label=label, q=q, visible=visible(request))

    async def with_engine(
        wanted: Annotated[DefinitionFilter, Depends(plain)],
        engine: Words = [],  # noqa: B006
    ) -> DefinitionFilter:
        return replace(wanted, engine=engine)

    return with_engine if entry.refers_to_engines else plain


def _written(entry: DefinitionKind) -> type[BaseModel]:
    """The body: the definition, where the API can make id and name, and the fields of an answer are dropped."""
    made_by_api: dict[str, Any] = {name: (Any, Field(default=None, json_schema_extra=_read_only))
                                   for name in (*READ_ONLY, *entry.stamp(""))}  # fmt: skip
    if "version" not in entry.model.model_fields:
        made_by_api["version"] = made_by_api["revision"]
    optional: dict[str, Any] = {
        name: (kind, Field(default="", json_schema_extra=_without_default))
        for name, kind in (("id", Name), ("name", Title))
    }
    if entry.kind == "job":  # in the document's fields there is no `work`
        optional["work"] = (Work, Field(default=None, json_schema_extra=_without_default))
        optional |= {name: (kind, Field(default=None, description=info.description, json_schema_extra=_without_default))
                     for name, (kind, info) in answers.JOB_DOCUMENT.items()}  # fmt: skip
    return create_model(entry.model.__name__, __base__=entry.model, **optional, **made_by_api)


def _read_only(schema: dict[str, Any]) -> None:
    schema.pop("default")
    schema["readOnly"] = True


def _without_default(schema: dict[str, Any]) -> None:
    schema.pop("default")


ROUTERS = [definition_router(entry) for entry in KINDS.values()]
