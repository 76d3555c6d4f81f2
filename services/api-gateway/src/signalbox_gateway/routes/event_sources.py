"""In: event_source_list, event_source_show, event_source_set, event_source_delete. Changes: event_source."""

from datetime import datetime
from typing import Annotated

from fastapi import Depends, Path, Request, Response
from pydantic import BaseModel, Field, SecretStr

from signalbox_chassis.security.vault import Keys
from signalbox_contracts.definitions.definition import ShortText
from signalbox_gateway import webhooks
from signalbox_gateway.http.access import Principal, permission
from signalbox_gateway.http.bodies import body, body_of
from signalbox_gateway.http.configured import NOT_CONFIGURED
from signalbox_gateway.http.dependencies import Dependencies, Deps
from signalbox_gateway.http.prefix_router import PrefixRouter
from signalbox_gateway.http.problems import Problem, invalid
from signalbox_gateway.routes import answers
from signalbox_gateway.routes.answers import AnswerModel
from signalbox_gateway.routes.params import answer, missing
from signalbox_gateway.store import event_sources as store

router = PrefixRouter(prefix="/event-sources", tags=["events"])
Reader = Depends(permission("event.read"))
Writer = Annotated[Principal, Depends(permission("event_source.write"))]
SourceName = Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9._-]{0,99}$")]


class EventSourceSet(BaseModel):
    """Signing secrets (Standard Webhooks, `whsec_<base64>`); two while one replaces the other."""

    signing_secrets: Annotated[list[SecretStr], Field(min_length=1, max_length=2)]
    tolerance_seconds: Annotated[int, Field(ge=10, le=3600)] = 300
    """How far a request's timestamp may be from now."""
    description: ShortText = ""


class EventSource(AnswerModel):
    """A source whose requests are signed. Secrets are never shown."""

    name: str
    description: str
    secrets: int
    tolerance_seconds: int
    created_at: datetime
    updated_at: datetime
    updated_by: str


def secret_keys(deps: Dependencies) -> Keys:
    """The keys that secrets are encrypted with. Raises a 501 problem when none are set."""
    text = deps.settings.secret_key.get_secret_value()
    if not text:
        raise Problem("not-configured", "no secrets can be kept here: set SIGNALBOX_SECRET_KEY")
    return Keys(text)


@router.get("", operation_id="event_source_list", response_model=answers.page_of(EventSource), dependencies=[Reader])
async def event_source_list(deps: Deps) -> Response:
    """Every source whose requests are signed."""
    async with deps.database.connection() as connection:
        return answer({"items": await store.listed(connection), "next_cursor": None})


@router.get("/{name}", operation_id="event_source_show", response_model=EventSource, dependencies=[Reader])
async def event_source_show(name: SourceName, deps: Deps) -> Response:
    """One source, without its secrets."""
    async with deps.database.connection() as connection:
        found = await store.load(connection, name)
    if found is None:
        raise missing("event source", name)
    return answer(found)


@router.put(
    "/{name}",
    operation_id="event_source_set",
    responses=NOT_CONFIGURED,
    response_model=EventSource,
    openapi_extra=body(EventSourceSet),
)
async def event_source_set(name: SourceName, request: Request, deps: Deps, principal: Writer) -> Response:
    """Store the signing secrets of a source; they replace earlier ones."""
    wanted = await body_of(request, EventSourceSet)
    keys = secret_keys(deps)
    try:
        sealed = webhooks.seal(keys, name, [one.get_secret_value() for one in wanted.signing_secrets])
    except ValueError as error:
        raise invalid("signing_secrets", None, str(error)) from None
    async with deps.database.unit_of_work() as work:
        saved = await store.save(
            work.connection, name, description=wanted.description, key_id=keys.newest, secrets=sealed,
            tolerance_seconds=wanted.tolerance_seconds, actor=principal.actor,
        )  # fmt: skip
    return answer(saved)


@router.delete("/{name}", operation_id="event_source_delete", status_code=204)
async def event_source_delete(name: SourceName, deps: Deps, _: Writer) -> Response:
    """Delete the signing secrets of a source: then its requests need a token."""
    async with deps.database.unit_of_work() as work:
        if not await store.delete(work.connection, name):
            raise missing("event source", name)
    return Response(status_code=204)
