"""In: auth_methods, auth_oidc_login … auth_oidc_tokens. Changes: accounts, sessions. Out: nothing."""

import logging
from typing import Annotated, Any, Final

from fastapi import Depends, Query, Request, Response
from fastapi.responses import RedirectResponse

from signalbox_gateway.http import auditing
from signalbox_gateway.http.access import public, too_many
from signalbox_gateway.http.addresses import limit_key
from signalbox_gateway.http.bodies import body, private_body_of
from signalbox_gateway.http.dependencies import Dependencies, Deps
from signalbox_gateway.http.prefix_router import PrefixRouter
from signalbox_gateway.http.problems import Problem, invalid
from signalbox_gateway.identity.logins import Login, LoginRefused
from signalbox_gateway.identity.oidc.id_tokens import IdTokenRefused, Person
from signalbox_gateway.identity.oidc.linking import account_of
from signalbox_gateway.identity.oidc.pending import SECONDS, PendingLogin, Purpose
from signalbox_gateway.identity.oidc.provider import CodeRefused, OidcProvider, ProviderAway, ProviderRefused
from signalbox_gateway.routes import identity_answers as models
from signalbox_gateway.routes.auth import caller_of, logged_in, refused, set_session_cookie
from signalbox_gateway.routes.params import answer

log = logging.getLogger(__name__)
router = PrefixRouter(prefix="/auth", tags=["auth"])
COOKIE: Final = "signalbox_oidc"
COOKIE_PATH: Final = "/api/v1/auth/oidc"
_NOT_SET: Final = {"description": "No OpenID provider is set up here."}
_ELSEWHERE: Final[dict[int | str, dict[str, Any]]] = {303: {"description": "Go on at `Location`."}, 404: _NOT_SET}
_AGAIN: Final = "begin again"
Text = Annotated[str, Query(max_length=4096, description="What the provider adds (RFC 6749, RFC 9207).")]


@router.get(
    "/methods", operation_id="auth_methods", response_model=models.Methods,
    dependencies=[Depends(public("auth.login"))],
)  # fmt: skip
async def auth_methods(deps: Deps) -> Response:
    """How people can log in here."""
    provider = {"name": deps.settings.oidc_name, "url": f"{COOKIE_PATH}/login"} if deps.identity.provider else None
    return answer({"password": True, "registration": deps.settings.may_register, "oidc": provider})


@router.get(
    "/oidc/login", operation_id="auth_oidc_login", status_code=303, response_class=Response, responses=_ELSEWHERE,
    dependencies=[Depends(public("auth.login"))],
)  # fmt: skip
async def auth_oidc_login(
    request: Request,
    deps: Deps,
    return_to: Annotated[
        str,
        Query(
            max_length=500,
            pattern=r"^/(console/[A-Za-z0-9._~/?=&%+:,@-]*)?$",
            description="The page to return to.",
        ),
    ] = "/console/",
    port: Annotated[
        int | None, Query(ge=1024, le=65535, description="Of a command line that listens on 127.0.0.1.")
    ] = None,
    challenge: Annotated[
        str, Query(pattern="^([A-Za-z0-9_-]{43})?$", description="With `port`: SHA-256 of its verifier, base64url.")
    ] = "",
) -> Response:
    """Start a login with the OpenID provider, for browsers."""
    request.state.as_page = True
    provider = _provider(deps)
    if (port is None) != (not challenge):
        raise invalid("challenge" if port else "port", None, "port and challenge come together")
    login = await deps.identity.pending.begin(Purpose(return_to, port, challenge))
    try:
        url = await provider.authorization_url(state=login.state, nonce=login.nonce, challenge=login.challenge)
    except ProviderAway as why:
        raise _away(why) from None
    response = RedirectResponse(url, 303)
    # Lax: the provider's page sends the browser back, which is a link from another site
    response.set_cookie(
        COOKIE, login.cookie, max_age=SECONDS, path=COOKIE_PATH, httponly=True, samesite="lax", secure=_secure(deps)
    )
    return response


@router.get(
    "/oidc/callback", operation_id="auth_oidc_callback", status_code=303, response_class=Response,
    responses=_ELSEWHERE, dependencies=[Depends(public("auth.login", any_query=True))],
)  # fmt: skip
async def auth_oidc_callback(
    request: Request, deps: Deps, state: Text = "", code: Text = "", error: Text = "", iss: Text = ""
) -> Response:
    """The redirect URL of the OpenID provider. A login is accepted once."""
    request.state.as_page = True
    request.state.actor = "openid login"
    provider = _provider(deps)
    caller = caller_of(request, deps)
    wait = await deps.identity.limits.login_from(limit_key(caller.address))
    if wait is not None:
        raise too_many(wait, "too many attempts to log in")
    try:
        pending = await _pending(request, deps, state)
        person = await _person(provider, pending, code=code, error=error, issuer=iss)
        login = await _log_in(request, deps, pending, person)
    except LoginRefused as why:
        raise refused(f"the login at the provider did not succeed: {_AGAIN}", why) from None
    response = RedirectResponse(await _destination(deps, pending, login), 303)
    response.delete_cookie(COOKIE, path=COOKIE_PATH, httponly=True, samesite="lax", secure=_secure(deps))
    if login.cookie is not None:
        set_session_cookie(response, login.cookie, deps, secure=_secure(deps))
    return response


@router.post(
    "/oidc/tokens", operation_id="auth_oidc_tokens", response_model=models.Tokens,
    openapi_extra=body(models.Handover), dependencies=[Depends(public("auth.login"))], responses={404: _NOT_SET},
)  # fmt: skip
async def auth_oidc_tokens(request: Request, deps: Deps) -> Response:
    """Get the tokens of a login that a command line started. A code is valid for a minute."""
    _provider(deps)
    written = await private_body_of(request, models.Handover)
    try:
        session = await deps.identity.pending.taken_over(
            written.code.get_secret_value(), written.verifier.get_secret_value()
        )
        login = await deps.identity.logins.first_refresh(session)
    except LoginRefused as why:
        raise refused(f"the code is not good: {_AGAIN}", why) from None
    request.state.actor = f"user:{login.name}"
    return logged_in(login, deps)


async def _pending(request: Request, deps: Dependencies, state: str) -> PendingLogin:
    """The login that comes back. Raises a problem: which one is no secret, its browser has it."""
    async with deps.database.connection() as connection:
        try:
            return await deps.identity.pending.take(connection, request.cookies.get(COOKIE, ""), state)
        except LoginRefused as why:
            raise refused(f"{why}: {_AGAIN}", why) from None


async def _person(provider: OidcProvider, pending: PendingLogin, *, code: str, error: str, issuer: str) -> Person:
    """Whom the provider has signed in. Raises a problem, `LoginRefused`."""
    try:
        if issuer != provider.issuer and (issuer or await provider.answers_issuer()):
            raise LoginRefused(f"another provider answered: {issuer[:200]!r}")
        if error:
            words = "you did not agree" if error == "access_denied" else f"it answers {error[:100]!r}"
            raise refused(f"the provider did not sign you in: {words}", LoginRefused(f"provider: {error[:100]}"))
        if not code:
            raise LoginRefused("the provider sent no code")
        return await provider.person(code, verifier=pending.verifier, nonce=pending.nonce)
    except (IdTokenRefused, CodeRefused) as why:
        raise LoginRefused(str(why)) from None
    except ProviderAway as why:
        raise _away(why) from None
    except ProviderRefused as why:
        log.error("the OpenID provider does not accept this gateway: %s", why)
        words = "the OpenID provider does not accept this gateway: an operator must check its client id and secret"
        raise Problem("unavailable", words) from None


async def _log_in(request: Request, deps: Dependencies, pending: PendingLogin, person: Person) -> Login:
    """Begin the session, with its audit entry in the same transaction. Raises `LoginRefused`."""
    for_browser = pending.purpose.port is None
    async with deps.database.unit_of_work() as work:
        linked = await account_of(work.connection, person, deps.settings.oidc_role)
        name: str = linked.account["name"]
        request.state.actor = f"user:{name}"
        login: Login = await deps.identity.logins.begin(
            work.connection, linked.account, caller_of(request, deps), cookie=for_browser
        )
        after: dict[str, Any] = {"issuer": person.issuer, "subject": person.subject, "account_made": linked.created}
        await auditing.add_done(
            request, deps, work.connection, status=303, target=f"/api/v1/users/{name}", after=after
        )  # fmt: skip
    return login


async def _destination(deps: Dependencies, pending: PendingLogin, login: Login) -> str:
    purpose = pending.purpose
    if purpose.port is None:
        return purpose.return_to
    code = await deps.identity.pending.handover(login.session, purpose.challenge)
    return f"http://127.0.0.1:{purpose.port}/?code={code}"


def _provider(deps: Dependencies) -> OidcProvider:
    if deps.identity.provider is None:
        raise Problem("not-found", "no OpenID provider is set up here: sign in with a password")
    return deps.identity.provider


def _secure(deps: Dependencies) -> bool:
    return deps.settings.secure_cookies or deps.settings.oidc_redirect_url.startswith("https://")


def _away(why: ProviderAway) -> Problem:
    """The operator finds the reason in the log; who signs in cannot change it."""
    log.warning("the OpenID provider cannot be used: %s", why)
    return Problem(
        "unavailable", "the OpenID provider does not answer: try again in a moment", headers={"Retry-After": "5"}
    )
