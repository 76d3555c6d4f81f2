"""`signalbox auth`: sessions of people. Passwords are read from a prompt or the standard input, and never shown."""

import secrets
import webbrowser
from typing import Annotated, Any
from urllib.parse import urlencode

import typer

from signalbox_client import browser_login, contexts, inputs
from signalbox_client.api import Api
from signalbox_client.command import command, group
from signalbox_client.commands.accounts import USERS
from signalbox_client.inputs import Form, api
from signalbox_client.output import Column, echo, one

auth = group("Signing in and out.")
METHODS: tuple[Column, ...] = (
    ("password", "password"), ("registration", "registration"),
    ("openid", lambda found: found["oidc"]["name"] if found["oidc"] else ""),
)  # fmt: skip
Url = Annotated[str, typer.Option("--url", envvar=contexts.URL, help="where the API is")]


Insecure = Annotated[bool, typer.Option("--insecure", help="send passwords and tokens over plain http")]


def checked_address(url: str, *, insecure: bool) -> str:
    """The address, if what is sent there cannot be read on the way. Ends the command otherwise."""
    where = contexts.checked_url(url)
    if not insecure and contexts.is_plain_and_remote(where):
        raise typer.BadParameter(f"{where} would get the secret in clear: use https, or --insecure to go on")
    return where


def with_password(url: str, username: str, password: str, name: str) -> contexts.Context:
    """Sign in, and keep the session as the context `name`."""
    return _keep(url, Api(url, "").post("/auth/login", {"username": username, "password": password}), name)


def with_browser(url: str, name: str, *, open_browser: bool) -> contexts.Context:
    """Sign in at the OpenID provider in a browser, and keep the session. Raises `NotLoggedIn` when nobody does."""
    methods: Any = Api(url, "").get("/auth/methods")
    if not methods["oidc"]:
        raise contexts.NotLoggedIn(f"{url} has no OpenID provider: use --username NAME")
    verifier = secrets.token_urlsafe(48)
    with browser_login.Listener() as listener:
        query = urlencode({"port": listener.port, "challenge": browser_login.challenge_of(verifier)})
        where = f"{url}{methods['oidc']['url']}?{query}"
        echo(f"log in with your browser at {where}")
        if open_browser:
            webbrowser.open(where)
        code = listener.code(browser_login.SECONDS)
    if code is None:
        raise contexts.NotLoggedIn(f"nobody signed in within {browser_login.SECONDS} s")
    tokens: Any = Api(url, "").post("/auth/oidc/tokens", {"code": code, "verifier": verifier})
    return _keep(url, tokens, name)


def _keep(url: str, tokens: Any, name: str) -> contexts.Context:
    context = contexts.with_tokens(url, tokens)
    name = name or context.username
    with contexts.changed() as kept:
        kept.known[name] = context
        kept.current = name
    return context


@command(auth, "methods")
def auth_methods(url: Url = contexts.DEFAULT_URL, output: Form = "table") -> None:
    """Show how people can log in."""
    one(Api(contexts.checked_url(url), "").get("/auth/methods"), output, METHODS, name="password")


@command(auth, "register")
def auth_register(
    username: str,
    email: Annotated[str, typer.Option("--email")],
    name: Annotated[str, typer.Option("--name", help="the full name")] = "",
    url: Url = contexts.DEFAULT_URL,
    insecure: Insecure = False,
    output: Form = "table",
) -> None:
    """Create your own account, if the operator allows registration."""
    where = checked_address(url, insecure=insecure)
    body = {"username": username, "email": email, "name": name, "password": inputs.secret_value("password")}
    one(Api(where, "").post("/auth/register", body), output, USERS, name="username")
    echo(f"signalbox login --url {where} --username {username}")


@command(auth, "refresh")
def auth_refresh() -> None:
    """Get a fresh access token for the context in use. Commands do so by themselves."""
    context = contexts.refresh(inputs.chosen[0] if inputs.chosen else None)
    echo(f"the session of {context.username} is refreshed")


@command(auth, "logout")
def auth_logout(
    everywhere: Annotated[bool, typer.Option("--everywhere", help="every session of the account")] = False,
) -> None:
    """End the session at the server, and forget it here."""
    used = api()
    answered: Any = used.post("/auth/logout", {"everywhere": everywhere})
    if used.renew is not None:  # a token of the environment is stored nowhere
        contexts.forget(contexts.stored(inputs.chosen[0] if inputs.chosen else None)[0])
    echo(f"logged out; sessions ended: {answered['sessions']}")


@command(auth, "password")
def auth_password() -> None:
    """Change your password: enter the old one and the new one, a line each. Every session ends."""
    old, new = inputs.two_secret_values("current password", "new password")
    answered: Any = api().post("/auth/password", {"current_password": old, "new_password": new})
    echo(f"the password is changed; sessions ended: {answered['sessions']}. Log in again")
