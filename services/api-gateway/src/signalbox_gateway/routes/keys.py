"""In: key_list … key_delete. Changes: keys. Out: nothing. Everybody has keys of their own; administrators see all."""

from datetime import timedelta
from typing import Annotated, Any

from fastapi import Depends, Query, Request, Response

from signalbox_chassis.persistence.connection import Connection
from signalbox_chassis.persistence.database import UnitOfWork
from signalbox_gateway.http.access import Principal, permission
from signalbox_gateway.http.bodies import body, body_of
from signalbox_gateway.http.dependencies import Deps
from signalbox_gateway.http.idempotency import Answer, write
from signalbox_gateway.http.prefix_router import PrefixRouter
from signalbox_gateway.http.problems import Problem, invalid
from signalbox_gateway.identity.authentication import ALL
from signalbox_gateway.identity.roles import NEEDS
from signalbox_gateway.read_model import cursor as cursors
from signalbox_gateway.routes import answers
from signalbox_gateway.routes import identity_answers as models
from signalbox_gateway.routes.params import Cursor, Limit, after, answer, missing
from signalbox_gateway.store import accounts, keys

router = PrefixRouter(prefix="/keys", tags=["keys"])
Reader = Annotated[Principal, Depends(permission("key.read"))]
Editor = Annotated[Principal, Depends(permission("key.write"))]


@router.get("", operation_id="key_list", response_model=answers.page_of(models.KeyAnswer))
async def key_list(
    deps: Deps,
    principal: Reader,
    username: Annotated[str | None, Query(max_length=200, description="Only those of this account.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """Keys without their secrets: the caller's own, for an administrator all."""
    begin = after("names", cursor)
    whose = username if principal.is_admin else principal.name
    if username not in (None, whose):
        raise Problem("forbidden", "keys of others are for administrators")
    async with deps.database.connection() as connection:
        rows = await keys.list_keys(connection, principal=whose, after=begin[0] if begin else "", limit=limit + 1)
    last = [rows[limit - 1]["id"]] if len(rows) > limit else None
    return answer({"items": list(map(_shown, rows[:limit])), "next_cursor": cursors.encode("names", last)})


@router.get("/{id}", operation_id="key_show", response_model=models.KeyAnswer)
async def key_show(id: str, deps: Deps, principal: Reader) -> Response:
    """A key without its secret."""
    async with deps.database.connection() as connection:
        return answer(_shown(await _load(connection, principal, id)))


@router.post(
    "", operation_id="key_create", status_code=201, response_model=models.NewKey, openapi_extra=body(models.KeyCreate)
)
async def key_create(request: Request, deps: Deps, principal: Editor) -> Response:
    """Create a key. Its secret is in this answer only; it never has more permissions than its account."""
    written = await body_of(request, models.KeyCreate)
    username = principal.name if written.username is None else written.username
    _check_scopes(principal, written.scopes)
    if username != principal.name and not principal.is_admin:
        raise Problem("forbidden", "keys of others are for administrators")
    expires_at = deps.clock.now() + timedelta(days=written.days) if written.days is not None else None
    if principal.expires_at is not None and principal.session is None:
        expires_at = min(expires_at or principal.expires_at, principal.expires_at)
    text = ""

    async def act(work: UnitOfWork) -> Answer:
        nonlocal text
        if await accounts.load(work.connection, username) is None:
            raise invalid("username", username, "is not an account")
        row, text = await keys.create(
            work.connection, username, label=written.label, scopes=written.scopes, expires_at=expires_at,
            actor=principal.actor,
        )  # fmt: skip
        return Answer(_shown(row), 201, {"Location": f"/api/v1/keys/{row['id']}"})

    return await write(request, deps, principal, act, shown_once=lambda: {"key": text})


@router.delete("/{id}", operation_id="key_delete", status_code=204)
async def key_delete(id: str, request: Request, deps: Deps, principal: Editor) -> Response:
    """Revoke a key."""

    async def act(work: UnitOfWork) -> Answer:
        request.state.before = _shown(await _load(work.connection, principal, id))
        await keys.revoke(work.connection, id)
        work.on_commit(deps.identity.authentication.forget)
        return Answer(None, 204)

    return await write(request, deps, principal, act)


async def _load(connection: Connection, principal: Principal, id: str) -> Any:
    row = await keys.load(connection, id)
    if row is None or not (principal.is_admin or row["principal"] == principal.name):
        raise missing("key", id[:100])
    return row


def _check_scopes(principal: Principal, scopes: list[str]) -> None:
    """A key gets no scope that does not exist, and none that the credential in use does not have."""
    for number, scope in enumerate(scopes):
        if scope != ALL and (scope not in NEEDS or NEEDS[scope].public):
            known = ", ".join(sorted(name for name, need in NEEDS.items() if not need.public))
            raise invalid(f"scopes.{number}", scope, f"is not a permission: * and {known} are")
        if ALL not in principal.permissions and scope not in principal.permissions:
            raise Problem("forbidden", f"the key in use does not have the scope {scope}")


def _shown(row: Any) -> dict[str, Any]:
    return {
        "id": row["id"], "username": row["principal"], "label": row["label"], "scopes": row["permissions"],
        **{name: row[name] for name in ("created_at", "created_by", "expires_at", "revoked_at", "last_used_at")},
    }  # fmt: skip
