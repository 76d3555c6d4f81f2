"""`signalbox user`, `key` and `binding`: who there is, what programs sign in with, who may do what."""

from typing import Annotated, Any

import typer

from signalbox_client import inputs
from signalbox_client.api import place
from signalbox_client.command import command, group
from signalbox_client.inputs import Everything, Form, Limit, Reason, Yes, api, row_limit
from signalbox_client.output import Column, ago, echo, one, rows

user = group("People and programs with an account.")
key = group("What programs sign in with.")
binding = group("Who has which role, and where.")
USERS: tuple[Column, ...] = (
    ("user", "username"), ("kind", "kind"), ("name", "name"), ("email", "email"),
    ("disabled", lambda found: "disabled" if found["disabled"] else ""),
    ("made", lambda found: ago(found["created_at"])),
)  # fmt: skip
KEYS: tuple[Column, ...] = (
    ("key", "id"), ("user", "username"), ("label", "label"), ("scopes", lambda found: ", ".join(found["scopes"])),
    ("used", lambda found: ago(found["last_used_at"])), ("expires", lambda found: ago(found["expires_at"])),
    ("revoked", lambda found: ago(found["revoked_at"])),
)  # fmt: skip
BINDINGS: tuple[Column, ...] = (
    ("binding", "id"), ("user", "username"), ("role", "role"), ("project", "project"), ("engine", "engine"),
    ("by", "created_by"), ("made", lambda found: ago(found["created_at"])),
)  # fmt: skip
Name = Annotated[str, typer.Option("--name", help="the full name")]
Who = Annotated[str, typer.Option("--user", help="only of this account")]


@command(user, "list")
def user_list(
    q: Annotated[str, typer.Option("--q", help="part of a name")] = "",
    kind: Annotated[str, typer.Option("--kind", help="user or service")] = "",
    limit: Limit = 50,
    everything: Everything = False,
    output: Form = "table",
) -> None:
    """List accounts."""
    found = api().pages("/users", {"q": q, "kind": kind}, limit=row_limit(limit, everything))
    rows(found, output, USERS, name="username")


@command(user, "show")
def user_show(username: str, output: Form = "table") -> None:
    """Show an account."""
    one(api().get(place("users", username)), output, USERS, name="username")


@command(user, "create")
def user_create(
    username: str,
    email: Annotated[str | None, typer.Option("--email")] = None,
    name: Name = "",
    service: Annotated[
        bool, typer.Option("--service", help="an account of a program: it has keys and no password")
    ] = False,
    role: Annotated[str | None, typer.Option("--role", help="viewer, user, operator or admin, everywhere")] = None,
    reason: Reason = "",
    output: Form = "table",
) -> None:
    """Create an account. A person's first password is read from the standard input or a prompt."""
    password = None if service else inputs.secret_value(f"password of {username}")
    body: dict[str, Any] = {
        "username": username, "kind": "service" if service else "user", "email": email, "name": name,
        "password": password, "role": role, "reason": reason,
    }  # fmt: skip
    one(api().post("/users", body), output, USERS, name="username")


@command(user, "update")
def user_update(
    username: str,
    email: Annotated[str | None, typer.Option("--email")] = None,
    name: Annotated[str | None, typer.Option("--name", help="the full name")] = None,
    disabled: Annotated[bool | None, typer.Option("--disable/--enable", help="whether it may log in")] = None,
    password: Annotated[bool, typer.Option("--password", help="set a new password, from the standard input")] = False,
    reason: Reason = "",
    output: Form = "table",
) -> None:
    """Change an account."""
    body: dict[str, Any] = {"email": email, "name": name, "disabled": disabled, "reason": reason}
    if password:
        body["password"] = inputs.secret_value(f"new password of {username}")
    one(api().put(place("users", username), body), output, USERS, name="username")


@command(user, "delete")
def user_delete(username: str, yes: Yes = False) -> None:
    """Delete an account with its keys, sessions and bindings."""
    inputs.sure(f"Delete {username}?", yes)
    api().delete(place("users", username))
    echo(f"{username} is deleted")


@command(key, "list")
def key_list(
    username: Who = "", limit: Limit = 50, everything: Everything = False, output: Form = "table"
) -> None:  # fmt: skip
    """List keys, without their secrets."""
    rows(api().pages("/keys", {"username": username}, limit=row_limit(limit, everything)), output, KEYS)


@command(key, "show")
def key_show(id: str, output: Form = "table") -> None:
    """Show a key, without its secret."""
    one(api().get(place("keys", id)), output, KEYS)


@command(key, "create")
def key_create(
    username: Annotated[str | None, typer.Option("--user", help="the account; your own by default")] = None,
    label: Annotated[str, typer.Option("--label", help="a label, such as its purpose")] = "",
    scope: Annotated[list[str] | None, typer.Option("--scope", help="a permission; repeatable. Default: all")] = None,
    days: Annotated[int | None, typer.Option("--days", min=1, help="how long it is valid")] = None,
    reason: Reason = "",
    output: Form = "table",
) -> None:
    """Create a key. It is shown only once."""
    body = {"username": username, "label": label, "scopes": scope or ["*"], "days": days, "reason": reason}
    found: Any = api().post("/keys", body)
    if output == "table":
        echo("store it now: it is not shown again")
        print(found["key"])
        return
    one(found, output, KEYS)


@command(key, "delete")
def key_delete(id: str, yes: Yes = False) -> None:
    """Revoke a key."""
    inputs.sure(f"Revoke key {id}?", yes)
    api().delete(place("keys", id))
    echo(f"key {id} is revoked")


@command(binding, "list")
def binding_list(
    username: Who = "",
    role: Annotated[str, typer.Option("--role", help="only this role")] = "",
    project: Annotated[str, typer.Option("--project", help="only of this project")] = "",
    limit: Limit = 50,
    everything: Everything = False,
    output: Form = "table",
) -> None:
    """List who has which role, and where."""
    params = {"username": username, "role": role, "project": project}
    rows(api().pages("/bindings", params, limit=row_limit(limit, everything)), output, BINDINGS)


@command(binding, "show")
def binding_show(id: str, output: Form = "table") -> None:
    """Show a binding."""
    one(api().get(place("bindings", id)), output, BINDINGS)


@command(binding, "create")
def binding_create(
    username: str,
    role: Annotated[str, typer.Argument(help="viewer, user, operator or admin")],
    project: Annotated[str, typer.Option("--project", help="only for this project")] = "*",
    engine: Annotated[str, typer.Option("--engine", help="only on this engine")] = "*",
    reason: Reason = "",
    output: Form = "table",
) -> None:
    """Give an account a role."""
    body = {"username": username, "role": role, "project": project, "engine": engine, "reason": reason}
    one(api().post("/bindings", body), output, BINDINGS)


@command(binding, "delete")
def binding_delete(id: str, yes: Yes = False) -> None:
    """Take a role away."""
    inputs.sure(f"Delete binding {id}?", yes)
    api().delete(place("bindings", id))
    echo(f"binding {id} is deleted")
