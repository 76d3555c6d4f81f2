"""`signalbox trigger dry-run`: what a trigger would make of the newest events."""

from typing import Annotated, Any

import typer

from signalbox_client import inputs
from signalbox_client.command import command
from signalbox_client.commands.definitions import GROUPS
from signalbox_client.inputs import Form, api
from signalbox_client.output import Column, echo, one, rows

trigger = GROUPS["trigger"]
_JUDGED: tuple[Column, ...] = (
    ("time", "time"), ("source", "source"), ("event", "event_id"), ("type", "event_type"), ("outcome", "outcome"),
    ("params", "params"), ("event date", "event_date"), ("why", "why"),
)  # fmt: skip


@command(trigger, "dry-run")
def trigger_dry_run(
    id: Annotated[str, typer.Argument(help="a saved trigger; without it, give a file")] = "",
    file: Annotated[str, typer.Option("-f", "--file", help="a trigger that is not saved: YAML or JSON")] = "",
    events: Annotated[int, typer.Option("--events", min=1, max=500, help="how many of the newest events")] = 100,
    output: Form = "table",
) -> None:
    """Show how a trigger would match the newest events. Nothing starts."""
    if bool(id) == bool(file):
        raise typer.BadParameter("give either the id of a saved trigger or --file")
    body: dict[str, Any] = {"trigger": inputs.document(file)} if file else {"id": id}
    found = api().post("/triggers/dry-run", {**body, "events": events})
    if output != "table":
        one(found, output, ())
        return
    rows(found["events"], output, _JUDGED, name="event_id", empty="the trigger looks at none of these events")
    counts = ", ".join(f"{count} {outcome}" for outcome, count in sorted(found["outcomes"].items()))
    echo(f"of the newest {found['read']} events {found['not_looked_at']} were skipped; {counts or 'none matched'}")
    if found["unreadable"]:
        echo(f"{found['unreadable']} more records are no CloudEvents: `signalbox dead-letter list`")
    if not found["complete"]:
        echo("it took too long: older events were left out")
