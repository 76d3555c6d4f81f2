"""In: auth_register … auth_password. Changes: accounts, sessions. Out: nothing."""

from typing import Annotated, Any

from email_validator import EmailNotValidError, validate_email
from fastapi import Depends, Request, Response

from signalbox_gateway.http.access import COOKIE, Principal, permission, public, too_many
from signalbox_gateway.http.addresses import client_address, limit_key
from signalbox_gateway.http.bodies import body, private_body_of
from signalbox_gateway.http.dependencies import Dependencies, Deps
from signalbox_gateway.http.prefix_router import PrefixRouter
from signalbox_gateway.http.problems import Problem, invalid
from signalbox_gateway.identity import logins
from signalbox_gateway.identity.logins import Caller, Login, LoginRefused, RefreshReused
from signalbox_gateway.identity.names import RESERVED
from signalbox_gateway.identity.passwords import Busy, wrong_with
from signalbox_gateway.routes import identity_answers as models
from signalbox_gateway.routes.params import answer
from signalbox_gateway.store import accounts, sessions

router = PrefixRouter(prefix="/auth", tags=["auth"])
SignedIn = Annotated[Principal, Depends(permission("session.end"))]


@router.post(
    "/register", operation_id="auth_register", status_code=201, response_model=models.User,
    openapi_extra=body(models.Register), dependencies=[Depends(public("auth.register"))],
)  # fmt: skip
async def auth_register(request: Request, deps: Deps) -> Response:
    """Create one's own account, if the operator allows registration."""
    if not deps.settings.may_register:
        raise Problem("forbidden", "registration is switched off here: an administrator makes accounts")
    written = await private_body_of(request, models.Register)
    request.state.actor = f"user:{written.username}"
    email = checked_email(written.email)
    hashed = await hash_password(deps, "password", written.password.get_secret_value(), written.username, email)
    check_name(written.username)
    async with deps.database.unit_of_work() as work:
        with name_problems():
            row = await logins.register(
                work.connection, written.username, email=email, title=written.name, password_hash=hashed,
                role=deps.settings.registration_role,
            )  # fmt: skip
    return Response(_json(shown_user(row)), 201, media_type="application/json")


@router.post(
    "/login", operation_id="auth_login", response_model=models.Tokens, openapi_extra=body(models.LoginBody),
    dependencies=[Depends(public("auth.login"))],
)  # fmt: skip
async def auth_login(request: Request, deps: Deps) -> Response:
    """Log in with a password."""
    written = await private_body_of(request, models.LoginBody)
    caller = caller_of(request, deps)
    request.state.actor = f"user:{written.username}"
    try:
        with deps.identity.logins.slot():
            await _count_login(deps, written.username, caller)
            login = await deps.identity.logins.with_password(
                written.username, written.password.get_secret_value(), caller, cookie=written.cookie
            )
    except LoginRefused as why:
        raise refused("the username or the password is wrong", why) from None
    except Busy:
        raise busy() from None
    await deps.identity.limits.logged_in(written.username, limit_key(caller.address))
    return logged_in(login, deps)


@router.post(
    "/refresh", operation_id="auth_refresh", response_model=models.Tokens, openapi_extra=body(models.Refresh),
    dependencies=[Depends(public("auth.refresh"))],
)  # fmt: skip
async def auth_refresh(request: Request, deps: Deps) -> Response:
    """Refresh a session. A refresh token is valid once; using it again ends its session."""
    written = await private_body_of(request, models.Refresh)
    try:
        login = await deps.identity.logins.refresh(written.refresh_token.get_secret_value())
    except RefreshReused as why:
        request.state.actor = f"user:{why.name}"
        raise refused("the refresh token was used before: its session is ended, log in again", why) from None
    except LoginRefused as why:
        raise refused("the refresh token is not good: log in again", why) from None
    request.state.actor = f"user:{login.name}"
    return logged_in(login, deps)


@router.post(
    "/logout", operation_id="auth_logout", response_model=models.Ended, openapi_extra=body(models.Logout)
)  # fmt: skip
async def auth_logout(request: Request, deps: Deps, principal: SignedIn) -> Response:
    """End this session, or every session of the account. Keys stay."""
    written = await private_body_of(request, models.Logout)
    if principal.session is None and not written.everywhere:
        raise Problem("conflict", "this is a key, not a session: `everywhere` ends the account's sessions")
    async with deps.database.unit_of_work() as work:
        if written.everywhere or principal.session is None:
            ended = await deps.identity.logins.end_all(work, principal.name, "logout everywhere")
        else:
            ended = int(await deps.identity.logins.end(work, principal.session))
    response = answer({"sessions": ended})
    response.delete_cookie(COOKIE, path="/api", httponly=True, samesite="strict")
    return response


@router.post(
    "/password", operation_id="auth_password", response_model=models.Ended, openapi_extra=body(models.PasswordChange)
)
async def auth_password(
    request: Request, deps: Deps, principal: Annotated[Principal, Depends(permission("password.change"))]
) -> Response:
    """Change the caller's password. Every session ends, this one too."""
    written = await private_body_of(request, models.PasswordChange)
    if principal.session is None:
        raise Problem("forbidden", "a key cannot change a password: log in")
    new = written.new_password.get_secret_value()
    if wrong := wrong_with(new, username=principal.name):
        raise invalid("new_password", None, wrong)
    try:
        if not await deps.identity.logins.check_password(principal.name, written.current_password.get_secret_value()):
            raise invalid("current_password", None, "is not the account's password")
        hashed = await deps.identity.hasher.hash(new)
    except Busy:
        raise busy() from None
    async with deps.database.unit_of_work() as work:
        await accounts.set_password(work.connection, principal.name, hashed)
        ended = await deps.identity.logins.end_all(work, principal.name, "password changed")
    return answer({"sessions": ended})


async def _count_login(deps: Dependencies, name: str, caller: Caller) -> None:
    """Count an attempt to log in, before the password is looked at."""
    async with deps.database.connection() as connection:
        known = await sessions.knows_address(connection, name, caller.address)
    wait = await deps.identity.limits.login(name, limit_key(caller.address), known=known)
    if wait is not None:
        raise too_many(wait, "too many attempts to log in")


def caller_of(request: Request, deps: Dependencies) -> Caller:
    """Where a call comes from."""
    address = client_address(request.scope, deps.identity.trusted_proxies)
    return Caller(address, request.headers.get("user-agent", "").replace("\0", ""))


def logged_in(login: Login, deps: Dependencies) -> Response:
    """The answer of a login; with a cookie where one was wanted."""
    response = answer(
        {
            "access_token": login.access_token, "token_type": "bearer", "expires_in": login.seconds,
            "refresh_token": login.refresh_token, "csrf_token": login.csrf_token, "username": login.name,
        }
    )  # fmt: skip
    if login.cookie is not None:
        set_session_cookie(response, login.cookie, deps, secure=deps.settings.secure_cookies)
    return response


def set_session_cookie(response: Response, cookie: str, deps: Dependencies, *, secure: bool) -> None:
    """Keep a session in the browser: out of reach of scripts, and of pages of other sites."""
    response.set_cookie(
        COOKIE, cookie, max_age=deps.settings.session_days * 86_400, path="/api", httponly=True, samesite="strict",
        secure=secure,
    )  # fmt: skip


def check_name(name: str) -> None:
    """Refuse names that stand for something else."""
    if name.lower() in RESERVED:
        raise invalid("username", name, "is reserved")


def checked_email(email: str) -> str:
    """The address in its normal form. Raises a 422 problem; nothing is looked up."""
    try:
        return validate_email(email, check_deliverability=False).normalized
    except EmailNotValidError as error:
        raise invalid("email", email, f"is not an email address: {str(error).rstrip('.')}") from None


async def hash_password(deps: Dependencies, field: str, password: str, username: str, email: str | None) -> str:
    """The hash of a password that is allowed. Raises a problem."""
    if wrong := wrong_with(password, username=username, email=email or ""):
        raise invalid(field, None, wrong)
    try:
        return await deps.identity.hasher.hash(password)
    except Busy:
        raise busy() from None


class name_problems:  # noqa: N801 -- used as a block
    """Turns what the accounts' table refuses into problems."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        if isinstance(error, accounts.NameTaken):
            same = error.name == error.other
            words = "is taken" if same else "looks like the name of another account"
            raise invalid("username", error.name, words) from None
        if isinstance(error, accounts.EmailTaken):
            raise invalid("email", None, "another account has it") from None


def shown_user(row: Any) -> dict[str, Any]:
    """An account as the API returns it."""
    return {
        "id": row["id"], "username": row["name"], "kind": row["kind"], "email": row["email"], "name": row["title"],
        "disabled": row["disabled_at"] is not None, "created_at": row["created_at"], "updated_at": row["updated_at"],
    }  # fmt: skip


def busy() -> Problem:
    """Too many passwords are being hashed."""
    return Problem("too-many-requests", "too many logins at once: try again in a moment", headers={"Retry-After": "2"})


def refused(detail: str, why: LoginRefused) -> Problem:
    """Why a login was refused goes to the audit; the caller gets `detail`."""
    problem = Problem("unauthenticated", detail, headers={"WWW-Authenticate": 'Bearer realm="signalbox"'})
    problem.audit_detail = str(why)
    return problem


def _json(value: Any) -> bytes:
    return bytes(answer(value).body)
