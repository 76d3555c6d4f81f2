"""`signalbox channel test`, `signalbox incident`, `signalbox delivery` and `signalbox notification-config`."""

import json
from typing import Annotated, Any

import typer

from signalbox_client import inputs
from signalbox_client.api import place
from signalbox_client.command import command, group, show_answer
from signalbox_client.commands.definitions import GROUPS, IfRevision, match
from signalbox_client.inputs import Everything, File, Form, Limit, Reason, State, Timeout, Wait, Waiting, Yes, api
from signalbox_client.output import Column, ago, echo, one, rows

channel = GROUPS["channel"]
incident = group("Failures of one cause, and who looks after them.")
delivery = group("Messages to channels, with every try.")
notification_config = group("Who is notified of what: a channel and a subscription in one document.")

INCIDENTS: tuple[Column, ...] = (
    ("incident", "id"), ("state", "state"), ("severity", "severity"), ("times", "occurrences"),
    ("last", lambda found: ago(found["last_at"])), ("title", "title"),
)  # fmt: skip
INCIDENT: tuple[Column, ...] = (
    *INCIDENTS[:-2], ("title", "title"), ("first", "first_at"), ("last", "last_at"), ("plan", "plan_id"),
    ("labels", "labels"), ("acknowledged by", "acknowledged_by"), ("snoozed until", "snoozed_until_at"),
    ("recovered", "recovered_at"), ("note", "note"), ("project", "project"),
)  # fmt: skip
DELIVERIES: tuple[Column, ...] = (
    ("delivery", "id"), ("channel", "channel_id"), ("state", "state"), ("tries", "attempts"),
    ("age", lambda found: ago(found["created_at"])), ("event", "event_type"), ("title", "title"),
)  # fmt: skip
CONFIGS: tuple[Column, ...] = (
    ("config", "id"), ("channel", "channel"), ("types", lambda found: ", ".join(found["notification_types"]) or "all"),
    ("enabled", "enabled"), ("changed", lambda found: ago(found["updated_at"])),
)  # fmt: skip
CONFIG: tuple[Column, ...] = (
    *CONFIGS[:-1], ("name", "name"), ("url", "webhook_url"), ("recipients", "recipients"),
    ("channel id", "channel_id"), ("project", "project"), ("revision", "revision"), ("by", "updated_by"),
)  # fmt: skip

PREVIEW: tuple[Column, ...] = (
    ("kind", "kind"), ("title", "title"), ("text", "text"), ("problem", "problem"),
    ("payload", lambda found: json.dumps(found["payload"], indent=2, ensure_ascii=False)),
    ("may use", lambda found: ", ".join(found["variables"])),
)  # fmt: skip


def _tries(found: Any) -> str:
    return "\n".join(f"{made['number']} {made['at']} {made['state']} {made['answer']}" for made in found["tries"])


DELIVERY: tuple[Column, ...] = (
    *DELIVERIES, ("tries made", _tries), ("next try", "next_try_at"), ("sent", "sent_at"), ("incident", "incident_id"),
    ("plan", "plan_id"), ("subscription", "subscription_id"), ("created", "created_at"),
)  # fmt: skip


@command(channel, "test")
def channel_test(
    id: str, reason: Reason = "", wait: Wait = False, timeout: Timeout = None, output: Form = "table"
) -> None:
    """Send a test message to a channel; with --wait, print the receiver's answer."""
    waiting = Waiting(wait, timeout)
    show_answer(waiting.api().post(place("channels", id, "test"), {"reason": reason}), output, waiting)


@command(channel, "preview")
def channel_preview(
    id: Annotated[str, typer.Argument(help="a saved channel; without it, give a file")] = "",
    file: Annotated[str, typer.Option("-f", "--file", help="a channel that is not saved: YAML or JSON")] = "",
    event_type: Annotated[str, typer.Option("--event-type", help="what the message is about")] = "workflow.failed",
    output: Form = "table",
) -> None:
    """Show a sample message made with the channel's templates. Nothing is sent."""
    if bool(id) == bool(file):
        raise typer.BadParameter("give either the id of a saved channel or --file")
    body: dict[str, Any] = {"channel": inputs.document(file)} if file else {"id": id}
    one(api().post("/channels/preview", {**body, "event_type": event_type}), output, PREVIEW)


@command(incident, "list")
def incident_list(
    state: State = None,
    severity: list[str] | None = None,
    project: list[str] | None = None,
    plan: list[str] | None = None,
    limit: Limit = 50,
    all: Everything = False,
    output: Form = "table",
) -> None:
    """List incidents, newest first."""
    params = {"state": state, "severity": severity, "project": project, "plan": plan}
    rows(api().pages("/incidents", params, limit=inputs.row_limit(limit, all)), output, INCIDENTS, empty="no incidents")


@command(incident, "show")
def incident_show(id: str, output: Form = "table") -> None:
    """Show an incident."""
    one(api().get(place("incidents", id)), output, INCIDENT)


@command(incident, "acknowledge")
def incident_acknowledge(
    id: str, reason: Reason = "", wait: Wait = False, timeout: Timeout = None, output: Form = "table"
) -> None:
    """Report that somebody works on an incident."""
    waiting = Waiting(wait, timeout)
    show_answer(waiting.api().post(place("incidents", id, "acknowledge"), {"reason": reason}), output, waiting)


@command(incident, "snooze")
def incident_snooze(
    id: str,
    until: Annotated[str, typer.Option("--until", help="an instant, such as 2026-03-29T06:00:00Z")],
    reason: Reason = "",
    wait: Wait = False,
    timeout: Timeout = None,
    output: Form = "table",
) -> None:
    """Send nothing about an incident until then."""
    body = {"until_at": until, "reason": reason}
    waiting = Waiting(wait, timeout)
    show_answer(waiting.api().post(place("incidents", id, "snooze"), body), output, waiting)


@command(incident, "resolve")
def incident_resolve(
    id: str, reason: Reason = "", wait: Wait = False, timeout: Timeout = None, output: Form = "table"
) -> None:
    """End an incident. A later failure opens it again."""
    waiting = Waiting(wait, timeout)
    show_answer(waiting.api().post(place("incidents", id, "resolve"), {"reason": reason}), output, waiting)


@command(delivery, "list")
def delivery_list(
    channel: list[str] | None = None,
    state: State = None,
    event_type: list[str] | None = None,
    plan: list[str] | None = None,
    incident: list[str] | None = None,
    limit: Limit = 50,
    all: Everything = False,
    output: Form = "table",
) -> None:
    """List deliveries, newest first; `--state dead` lists those that were given up."""
    params = {"channel": channel, "state": state, "event_type": event_type, "plan": plan, "incident": incident}
    rows(
        api().pages("/deliveries", params, limit=inputs.row_limit(limit, all)),
        output,
        DELIVERIES,
        empty="no deliveries",
    )


@command(delivery, "show")
def delivery_show(id: str, output: Form = "table") -> None:
    """Show a delivery with every try."""
    one(api().get(place("deliveries", id)), output, DELIVERY)


@command(delivery, "resend")
def delivery_resend(
    ids: list[str], reason: Reason = "", wait: Wait = False, timeout: Timeout = None, output: Form = "table"
) -> None:
    """Send deliveries again, with the same ids."""
    waiting = Waiting(wait, timeout)
    show_answer(waiting.api().post("/deliveries/resend", {"ids": ids, "reason": reason}), output, waiting)


@command(notification_config, "list")
def notification_config_list(limit: Limit = 50, all: Everything = False, output: Form = "table") -> None:
    """List who is notified of what."""
    empty = "nobody is notified: `signalbox notification-config create -f FILE` saves a configuration"
    rows(api().pages("/notifications/configs", limit=inputs.row_limit(limit, all)), output, CONFIGS, empty=empty)


@command(notification_config, "show")
def notification_config_show(id: str, output: Form = "table") -> None:
    """Show a configuration."""
    one(api().get(place("notifications", "configs", id)), output, CONFIG)


@command(notification_config, "create")
def notification_config_create(file: File, output: Form = "table") -> None:
    """Save a configuration from a file: name, channel, webhook_url, notification_types."""
    one(api().post("/notifications/configs", inputs.document(file)), output, CONFIG)


@command(notification_config, "update")
def notification_config_update(id: str, file: File, if_revision: IfRevision = None, output: Form = "table") -> None:
    """Save the next version of a configuration from a file."""
    path = place("notifications", "configs", id)
    one(api().put(path, inputs.document(file), headers=match(if_revision)), output, CONFIG)


@command(notification_config, "delete")
def notification_config_delete(id: str, if_revision: IfRevision = None, yes: Yes = False) -> None:
    """Delete a configuration, with its channel unless something else uses it."""
    inputs.sure(f"Delete configuration {id}?", yes)
    api().delete(place("notifications", "configs", id), headers=match(if_revision))
    echo(f"configuration {id} is deleted")
