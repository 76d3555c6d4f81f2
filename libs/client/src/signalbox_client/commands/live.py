"""`signalbox watch`, and tickets of the live feed."""

import json
import time
from typing import Annotated, Any

import typer

from signalbox_client.api import place
from signalbox_client.command import command, group
from signalbox_client.inputs import Form, api, finite
from signalbox_client.output import echo, one, plain
from signalbox_client.reconnect import Reconnect, patient

live_ticket = group("Tickets of the live feed, for programs that cannot send a header.")


@command(live_ticket, "create")
def live_ticket_create(output: Form = "table") -> None:
    """Create a ticket for one WebSocket: valid once, for 30 seconds."""
    one(api().post("/ws/tickets"), output, (("ticket", "ticket"), ("until", "expires_at")))


def watch(
    plan: Annotated[str, typer.Option("--plan", help="only this plan; ends with it")] = "",
    after: Annotated[int | None, typer.Option("--after", min=0, help="the plan's events after this sequence")] = None,
    workflow: Annotated[str, typer.Option("--workflow", help="only this job, pipeline or workflow")] = "",
    user: Annotated[str, typer.Option("--user", help="only what this user started")] = "",
    project: str = "",
    type: Annotated[list[str] | None, typer.Option("--type", help="event types; `*` is allowed; repeatable")] = None,
    timeout: Annotated[
        float | None, typer.Option("--timeout", min=0, callback=finite, help="maximum seconds to watch")
    ] = None,
    output: Annotated[str, typer.Option("-o", "--output", help="table | jsonl")] = "table",
) -> None:
    """Print events as they happen, of all plans or of some."""
    from signalbox_client.live import Feed  # slow to import, and only needed here
    from signalbox_contracts.states import PLAN_ENDS

    if output not in ("table", "jsonl"):
        raise typer.BadParameter(f"{output} is not allowed: table, jsonl", param_hint="--output")
    if after is not None and not plan:
        raise typer.BadParameter("only a plan has a sequence: give --plan too", param_hint="--after")
    given = {"workflow": workflow, "user": user, "project": project, "types": type or []}
    feed = Feed(api(), plan or None, after, {name: value for name, value in given.items() if value})
    give_up_at = None if timeout is None else time.monotonic() + timeout
    for event in feed.events(give_up_at=give_up_at):
        if "snapshot_needed" in event:
            echo(f"earlier events were deleted: signalbox plan show {plan}")
            continue
        if "subscribed" in event:
            begun = event["subscribed"]
            if begun["sequence"] >= begun["newest"]:  # nothing is sent of a plan that has ended: it would be awaited
                state = patient(api(), Reconnect(give_up_at)).get(place("plans", plan))["state"]
                if state in PLAN_ENDS:
                    echo(f"plan {plan} has ended: {state}")
                    return
            continue
        print(json.dumps(event, separators=(",", ":")) if output == "jsonl" else _line(event), flush=True)
        if plan and event["task_id"] is None and event["status"] in PLAN_ENDS:
            return


def _line(event: dict[str, Any]) -> str:
    item = event["data"].get("item") or ""
    parts = [event["timestamp"], event["type"], event["name"] or event["target"] or "", item, event["status"]]
    return plain("  ".join(str(part) for part in [*parts, event["message"]] if part))
