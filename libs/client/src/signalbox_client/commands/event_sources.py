"""`signalbox event-source`: sources whose requests are signed (Standard Webhooks)."""

from typing import Annotated

import typer

from signalbox_client import inputs
from signalbox_client.api import place
from signalbox_client.command import command, group
from signalbox_client.inputs import Form, Yes, api
from signalbox_client.output import Column, echo, one, rows

event_source = group("Sources of events whose requests are signed.")
_SOURCE: tuple[Column, ...] = (
    ("source", "name"), ("secrets", "secrets"), ("tolerance", "tolerance_seconds"), ("description", "description"),
    ("changed", "updated_at"), ("by", "updated_by"),
)  # fmt: skip


@command(event_source, "list")
def event_source_list(output: Form = "table") -> None:
    """List the sources whose requests are signed."""
    rows(api().get("/event-sources")["items"], output, _SOURCE, name="name", empty="no source has a signing secret")


@command(event_source, "show")
def event_source_show(name: str, output: Form = "table") -> None:
    """Show a source, without its secrets."""
    one(api().get(place("event-sources", name)), output, _SOURCE, name="name")


@command(event_source, "set")
def event_source_set(
    name: str,
    tolerance: Annotated[int, typer.Option("--tolerance", help="maximum seconds between a timestamp and now")] = 300,
    description: str = "",
    output: Form = "table",
) -> None:
    """Store the signing secret of a source (whsec_…), from the standard input; two lines while one replaces another."""
    secrets = inputs.secret_value("signing secret").split()
    body = {"signing_secrets": secrets, "tolerance_seconds": tolerance, "description": description}
    one(api().put(place("event-sources", name), body), output, _SOURCE, name="name")


@command(event_source, "delete")
def event_source_delete(name: str, yes: Yes = False) -> None:
    """Delete the signing secrets of a source."""
    inputs.sure(f"Forget the signing secrets of {name}?", yes)
    api().delete(place("event-sources", name))
    echo(f"the signing secrets of source {name} are deleted")
