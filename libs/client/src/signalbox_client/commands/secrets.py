"""`signalbox secret`. A value is read from a prompt or the standard input, and never shown."""

from typing import Annotated

import typer

from signalbox_client import inputs
from signalbox_client.api import place
from signalbox_client.command import command, group
from signalbox_client.inputs import Form, Yes, api
from signalbox_client.output import Column, ago, echo, one, rows

secret = group("Values that work and engines need, and nobody sees.")
COLUMNS: tuple[Column, ...] = (
    ("secret", "name"), ("version", "version"), ("for", lambda found: ", ".join(found["uses"])),
    ("changed", lambda found: ago(found["updated_at"])), ("by", "updated_by"), ("description", "description"),
)  # fmt: skip


@command(secret, "list")
def secret_list(output: Form = "table") -> None:
    """List secrets, without values."""
    found = api().get("/secrets")["items"]
    rows(found, output, COLUMNS, name="name", empty="no secrets: `signalbox secret set NAME` keeps one")


@command(secret, "show")
def secret_show(name: str, output: Form = "table") -> None:
    """Show a secret, without its value."""
    one(api().get(place("secrets", name)), output, COLUMNS, name="name")


@command(secret, "set")
def secret_set(
    name: str,
    use: Annotated[list[str] | None, typer.Option("--use", help="work, engine, channel; repeatable")] = None,
    description: str = "",
    output: Form = "table",
) -> None:
    """Store a secret value, read from the standard input or a prompt."""
    body = {"value": inputs.secret_value(f"value of {name}"), "uses": use or ["work"], "description": description}
    one(api().put(place("secrets", name), body), output, COLUMNS, name="name")


@command(secret, "delete")
def secret_delete(name: str, yes: Yes = False) -> None:
    """Delete a secret that no definition uses."""
    inputs.sure(f"Forget secret {name}?", yes)
    api().delete(place("secrets", name))
    echo(f"secret {name} is deleted")
