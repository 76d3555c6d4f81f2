"""In: secret_list … secret_delete. Changes: the vault. Out: nothing; a value never leaves it by here."""

from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import Depends, Path, Request, Response
from pydantic import BaseModel, Field, SecretStr

from signalbox_chassis.security.vault import InvalidSecret, SecretInfo, SecretMissing
from signalbox_contracts.definitions.definition import ShortText
from signalbox_gateway.definitions import store
from signalbox_gateway.http.access import Principal, permission
from signalbox_gateway.http.bodies import body, body_of
from signalbox_gateway.http.configured import NOT_CONFIGURED, vault
from signalbox_gateway.http.dependencies import Dependencies, Deps
from signalbox_gateway.http.etags import etag, must_match
from signalbox_gateway.http.openapi import IF_MATCH
from signalbox_gateway.http.prefix_router import PrefixRouter
from signalbox_gateway.http.problems import Problem, invalid
from signalbox_gateway.routes import answers
from signalbox_gateway.routes.params import answer, missing

router = PrefixRouter(prefix="/secrets", tags=["secrets"])
Reader = Annotated[Principal, Depends(permission("secret.read"))]
Editor = Annotated[Principal, Depends(permission("secret.write"))]
SecretName = Annotated[str, Path(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,126}[A-Za-z0-9])?$")]


class SecretSet(BaseModel):
    """A value, and who may read it: work that runs, engines' connections, channels."""

    value: Annotated[SecretStr, Field(min_length=1, max_length=65_536)]
    uses: Annotated[list[Literal["work", "engine", "channel"]], Field(min_length=1)]
    description: ShortText = ""


@router.get("", operation_id="secret_list", responses=NOT_CONFIGURED, response_model=answers.page_of(answers.Secret))
async def secret_list(deps: Deps, _: Reader) -> Response:
    """Every secret without its value."""
    return answer({"items": [_shown(one) for one in await vault(deps).listed()], "next_cursor": None})


@router.get("/{name}", operation_id="secret_show", responses=NOT_CONFIGURED, response_model=answers.Secret)
async def secret_show(name: SecretName, deps: Deps, _: Reader) -> Response:
    """A secret without its value."""
    try:
        info = await vault(deps).info(name)
        return answer(_shown(info), headers=etag(info.version))
    except SecretMissing:
        raise missing("secret", name) from None


@router.put(
    "/{name}",
    operation_id="secret_set",
    responses=NOT_CONFIGURED,
    response_model=answers.Secret,
    openapi_extra={**body(SecretSet), **IF_MATCH},
)
async def secret_set(name: SecretName, request: Request, deps: Deps, principal: Editor) -> Response:
    """Store a value; it replaces an older one."""
    try:
        secret = await body_of(request, SecretSet)
    except Problem as problem:  # the value is in no answer, also when it is of the wrong kind
        problem.errors = tuple(replace(one, value=None) for one in problem.errors)
        raise
    await _must_match(request, deps, name)
    try:
        info = await vault(deps).set(
            name,
            secret.value.get_secret_value(),
            uses=secret.uses,
            description=secret.description,
            actor=principal.actor,
        )
    except InvalidSecret as error:
        raise invalid(error.field, None, str(error).removeprefix(f"{error.field}: ")) from None
    return answer(_shown(info), headers=etag(info.version))


@router.delete(
    "/{name}", operation_id="secret_delete", responses=NOT_CONFIGURED, status_code=204, openapi_extra=IF_MATCH
)
async def secret_delete(name: SecretName, request: Request, deps: Deps, principal: Editor) -> Response:
    """Delete a secret that no definition uses."""
    await _must_match(request, deps, name)
    async with deps.database.connection() as connection:
        users = await store.users_of_secret(connection, name)
    if users:
        raise Problem("in-use", f"secret {name} is named by {', '.join(users[:5])}", users=users)
    try:
        await vault(deps).delete(name, actor=principal.actor)
    except SecretMissing:
        raise missing("secret", name) from None
    return Response(status_code=204)


async def _must_match(request: Request, deps: Dependencies, name: str) -> None:
    """Refuse a change that was decided on another version, or on a secret that is gone."""
    if "if-match" not in request.headers:
        return
    try:
        must_match(request, (await vault(deps).info(name)).version)
    except SecretMissing:
        raise Problem("precondition-failed", f"there is no secret {name}") from None


def _shown(info: SecretInfo) -> dict[str, Any]:
    when: datetime = info.created_at
    return {
        "name": info.name, "version": info.version, "uses": list(info.uses), "description": info.description,
        "created_at": when, "updated_at": info.updated_at, "updated_by": info.updated_by,
    }  # fmt: skip
