"""In: user_list … user_delete. Changes: accounts, sessions. Out: nothing."""

from typing import Annotated, Any

from fastapi import Depends, Query, Request, Response

from signalbox_chassis.persistence.connection import Connection
from signalbox_chassis.persistence.database import UnitOfWork
from signalbox_contracts.definitions.problems import Problem as Field
from signalbox_gateway.http.access import Principal, permission
from signalbox_gateway.http.bodies import body, private_body_of
from signalbox_gateway.http.dependencies import Deps
from signalbox_gateway.http.idempotency import Answer, write
from signalbox_gateway.http.prefix_router import PrefixRouter
from signalbox_gateway.http.problems import Problem
from signalbox_gateway.read_model import cursor as cursors
from signalbox_gateway.routes import answers
from signalbox_gateway.routes import identity_answers as models
from signalbox_gateway.routes.auth import check_name, checked_email, hash_password, name_problems, shown_user
from signalbox_gateway.routes.params import Cursor, Limit, Part, after, answer, missing
from signalbox_gateway.store import accounts, bindings

router = PrefixRouter(prefix="/users", tags=["users"])
Reader = Annotated[Principal, Depends(permission("user.read"))]
Editor = Annotated[Principal, Depends(permission("user.write"))]


@router.get("", operation_id="user_list", response_model=answers.page_of(models.User))
async def user_list(
    deps: Deps,
    _: Reader,
    q: Part = "",
    kind: Annotated[str, Query(pattern="^(user|service)?$", description="Only people, or only programs.")] = "",
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """Accounts by name."""
    begin = after("names", cursor)
    async with deps.database.connection() as connection:
        rows = await accounts.list_accounts(
            connection, q=q, kind=kind, after=begin[0] if begin else "", limit=limit + 1
        )
    last = [rows[limit - 1]["name"]] if len(rows) > limit else None
    return answer({"items": list(map(shown_user, rows[:limit])), "next_cursor": cursors.encode("names", last)})


@router.get("/{username}", operation_id="user_show", response_model=models.User)
async def user_show(username: str, deps: Deps, _: Reader) -> Response:
    """An account."""
    async with deps.database.connection() as connection:
        return answer(shown_user(await load_account(connection, username)))


@router.post(
    "", operation_id="user_create", status_code=201, response_model=models.User, openapi_extra=body(models.UserCreate)
)
async def user_create(request: Request, deps: Deps, principal: Editor) -> Response:
    """Create an account: of a person, or of a program that uses keys. A role needs `binding.write` as well."""
    written = await private_body_of(request, models.UserCreate)
    if written.role is not None:
        _must_grant(principal, "role")
    check_name(written.username)
    email = checked_email(written.email) if written.email is not None else None
    hashed = None
    if written.password is not None:
        hashed = await hash_password(
            deps, "password", written.password.get_secret_value(), written.username, email
        )  # fmt: skip

    async def act(work: UnitOfWork) -> Answer:
        await accounts.lock(work.connection)
        with name_problems():
            row = await accounts.create(
                work.connection, written.username, kind=written.kind, email=email, title=written.name,
                password_hash=hashed,
            )  # fmt: skip
        if written.role is not None:
            await bindings.create(work.connection, written.username, written.role, actor=principal.actor)
        return Answer(shown_user(row), 201, {"Location": f"/api/v1/users/{written.username}"})

    return await write(request, deps, principal, act)


@router.put(
    "/{username}", operation_id="user_update", response_model=models.User, openapi_extra=body(models.UserUpdate)
)
async def user_update(username: str, request: Request, deps: Deps, principal: Editor) -> Response:
    """Change an account. Disabling it or setting its password ends its sessions.

    The password of another account that has a role needs `binding.write` as well: it gives that role.
    """
    written = await private_body_of(request, models.UserUpdate)
    email = checked_email(written.email) if written.email is not None else None
    hashed = None
    if written.password is not None:
        hashed = await hash_password(deps, "password", written.password.get_secret_value(), username, email)

    async def act(work: UnitOfWork) -> Answer:
        await accounts.lock(work.connection)
        before = await load_account(work.connection, username)
        request.state.before = shown_user(before)
        if hashed is not None and username != principal.name and await bindings.has_any(work.connection, username):
            _must_grant(principal, "the password of an account with a role")
        values = {"email": email, "title": written.name}
        given: dict[str, Any] = {name: value for name, value in values.items() if value is not None}
        if written.disabled is not None and written.disabled != (before["disabled_at"] is not None):
            given["disabled_at"] = deps.clock.now() if written.disabled else None
        with name_problems():
            row = await accounts.change(work.connection, username, **given) if given else before
        if hashed is not None:
            await accounts.set_password(work.connection, username, hashed)
        if hashed is not None or written.disabled:
            await deps.identity.logins.end_all(work, username, "changed by an administrator")
        await must_keep_an_administrator(work.connection, "disabled")
        work.on_commit(deps.identity.authentication.forget)
        return Answer(shown_user(row), 200)

    return await write(request, deps, principal, act)


@router.delete("/{username}", operation_id="user_delete", status_code=204)
async def user_delete(username: str, request: Request, deps: Deps, principal: Editor) -> Response:
    """Delete an account with its keys, sessions and bindings. What it did keeps its name."""

    async def act(work: UnitOfWork) -> Answer:
        await accounts.lock(work.connection)
        request.state.before = shown_user(await load_account(work.connection, username))
        await accounts.remove(work.connection, username)
        await must_keep_an_administrator(work.connection, "username")
        work.on_commit(deps.identity.authentication.forget)
        return Answer(None, 204)

    return await write(request, deps, principal, act)


async def load_account(connection: Connection, username: str) -> Any:
    """The account. Raises a 404 problem."""
    row = await accounts.load(connection, username)
    if row is None:
        raise missing("user", username[:200])
    return row


def _must_grant(principal: Principal, what: str) -> None:
    """Refuse what gives somebody a role, to a credential that may not give roles."""
    if not principal.reach("binding.write").everywhere:
        raise Problem("forbidden", f"{what} needs the permission binding.write as well")


async def must_keep_an_administrator(connection: Connection, field: str) -> None:
    """Refuse a change after which nobody could change accounts any more."""
    if not await accounts.administrators(connection):
        words = "this is the last administrator: make another one first"
        raise Problem("conflict", words, errors=[Field(field, None, words)])
