"""`signalbox event`: events of other systems, and what triggers made of them."""

from typing import Annotated

import typer

from signalbox_client import inputs
from signalbox_client.api import place
from signalbox_client.command import command, group
from signalbox_client.inputs import Everything, Form, Limit, api
from signalbox_client.output import Column, one, rows

event = group("Events of other systems, and what triggers made of them.")
_DATA = 'name=value of the data; repeatable. JSON is read as such (11, true, [1]); "11" in quotes is a string'
_MATCHES: tuple[Column, ...] = (
    ("at", "at"), ("source", "source"), ("event", "event_id"), ("type", "event_type"), ("trigger", "trigger_id"),
    ("outcome", "outcome"), ("plan", "plan_id"), ("state", "plan_state"), ("why", "why"),
)  # fmt: skip
_SENT: tuple[Column, ...] = (("event", "id"), ("source", "source"), ("type", "type"))
_SOURCES: tuple[Column, ...] = (
    ("hour", "hour"), ("source", "source"), ("received", "received"), ("repeated", "repeated"),
    ("no trigger", "unclaimed"),
    ("last event", "last_event_at"), ("lag", lambda found: f"{found['lag_seconds']:.1f} s"),
)  # fmt: skip
_HOURS: tuple[Column, ...] = (("hour", "hour"), ("source", "source"), ("outcome", "outcome"), ("events", "events"),
    ("plans", "plans"),
)  # fmt: skip


@command(event, "send")
def event_send(
    source: str,
    type: Annotated[str, typer.Option("--type", help="the CloudEvents type")],
    id: Annotated[str, typer.Option("--id", help="identifies it with the source; generated if missing")] = "",
    subject: str = "",
    data: Annotated[list[str] | None, typer.Option("-d", "--data", help=_DATA)] = None,
    file: Annotated[str, typer.Option("-f", "--file", help="the data: YAML or JSON; `-` is the standard input")] = "",
    output: Form = "table",
) -> None:
    """Send a CloudEvent. Sending the same source and id again starts nothing."""
    if file and data:
        raise typer.BadParameter("give either --file or --data")
    content = inputs.document(file) if file else inputs.values(data, "--data")
    body = {"type": type, "id": id or None, "subject": subject, "data": content}
    one(api().post(place("events", source), body), output, _SENT)


@command(event, "list")
def event_list(
    source: str | None = None,
    trigger: str | None = None,
    outcome: Annotated[str | None, typer.Option("--outcome", help="matched, not_matched, repeated, …")] = None,
    limit: Limit = 50,
    all: Everything = False,
    output: Form = "table",
) -> None:
    """List events with the outcome of each trigger, newest first."""
    params = {"source": source, "trigger": trigger, "outcome": outcome}
    found = api().pages("/events", params, limit=inputs.row_limit(limit, all))
    rows(found, output, _MATCHES, name="event_id", empty="no trigger looked at an event yet")


@command(event, "hours")
def event_hours(hours: int = 24, output: Form = "table") -> None:
    """Count events by hour, source and outcome."""
    found = api().get("/events/hours", {"hours": hours})
    if output != "table":
        one(found, output, ())
        return
    rows(found["items"], output, _HOURS, name="hour", empty="no trigger looked at an event")
    if found["sources"]:
        print()
        rows(found["sources"], output, _SOURCES, name="hour")


@command(event, "show")
def event_show(id: str, source: str | None = None, output: Form = "table") -> None:
    """Show an event, the outcome of every trigger, and its plans."""
    rows(api().get(place("events", id), {"source": source})["matches"], output, _MATCHES, name="plan_id")
