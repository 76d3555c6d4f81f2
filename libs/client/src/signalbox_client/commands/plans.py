"""`signalbox plan`."""

from typing import Annotated, Any

import typer

from signalbox_client import inputs, watch
from signalbox_client.api import place
from signalbox_client.command import PLAN, command, error_in_short, group, reasons, show_answer, started, waits_for
from signalbox_client.commands.jobs import Kill
from signalbox_client.inputs import (
    Everything,
    File,
    Form,
    Label,
    Limit,
    Rate,
    Reason,
    State,
    Timeout,
    Wait,
    Waiting,
    Yes,
    api,
)  # fmt: skip
from signalbox_client.output import Column, ago, attempt_of, one, rows, state, took, write_through

plan = group("What a request was expanded into: every execution is one.")


def _done(found: Any) -> str:
    counts = found["counts"]
    return f"{counts['succeeded'] + counts['failed'] + counts['skipped'] + counts['cancelled']}/{counts['total']}"


COLUMNS: tuple[Column, ...] = (
    ("plan", "id"), ("state", lambda found: state(found["state"])), ("done", _done), ("failed", "counts.failed"),
    ("age", lambda found: ago(found["created_at"])),
    ("took", lambda found: took(found["started_at"], found["ended_at"])), ("by", "actor"), ("name", "name"),
    ("waits for", reasons),
)  # fmt: skip
EVENTS: tuple[Column, ...] = (
    ("at", "at"), ("state", lambda found: state(found["state"])), ("by", "actor"), ("reason", "reason"),
)  # fmt: skip
ITEMS: tuple[Column, ...] = (
    ("position", "position"), ("key", "key"), ("decision", "decision"), ("engine", "engine"),
    ("state", lambda found: state(found["state"]) if found.get("state") else ""), ("task", "task_id"),
    ("reason", "reason"),
)  # fmt: skip
TASKS: tuple[Column, ...] = (
    ("task", "id"), ("state", lambda found: state(found["state"])), ("item", "item_key"), ("engine", "engine"),
    ("attempt", attempt_of),
    ("took", lambda found: took(found["started_at"], found["ended_at"])), ("waits for", waits_for),
    ("error", error_in_short),
)  # fmt: skip


@command(plan, "create")
def plan_create(file: File, wait: Wait = False, timeout: Timeout = None, output: Form = "table") -> None:
    """Start a plan of items, or of a job, from a file."""
    waiting = Waiting(wait, timeout)
    started(waiting.api().post("/plans", inputs.document(file)), output, waiting)


@command(plan, "list")
def plan_list(
    state: State = None,
    project: list[str] | None = None,
    target: list[str] | None = None,
    actor: list[str] | None = None,
    label: Label = None,
    parent: str = "",
    created_after: str = "",
    created_before: str = "",
    ended_after: str = "",
    ended_before: str = "",
    q: str = "",
    limit: Limit = 50,
    all: Everything = False,
    output: Form = "table",
) -> None:
    """List plans, newest first; by their end, newest first, with --ended-after or --ended-before."""
    params = {
        "state": state, "project": project, "target": target, "actor": actor, "label": label, "parent": parent,
        "created_after": created_after, "created_before": created_before, "ended_after": ended_after,
        "ended_before": ended_before, "q": q,
    }  # fmt: skip
    found = api().pages("/plans", params, limit=inputs.row_limit(limit, all))
    rows(found, output, COLUMNS, empty="no plans: `signalbox job start` or `signalbox plan create` makes one")


@command(plan, "counts")
def plan_counts(output: Form = "table") -> None:
    """Count plans by state."""
    counts = api().get("/plans/counts")["counts"]
    found = [{"state": name, "plans": number} for name, number in counts.items()]
    rows(found, output, (("state", "state"), ("plans", "plans")), name="state", empty="no plans yet")


@command(plan, "show")
def plan_show(id: str, output: Form = "table") -> None:
    """Show a plan, and why it waits."""
    one(api().get(place("plans", id)), output, PLAN)


@command(plan, "watch")
def plan_watch(id: str, timeout: Timeout = None, output: Form = "table") -> None:
    """Follow a plan to its end; the exit code shows the result."""
    found = watch.plan(api(), id, timeout=timeout)
    one(found, output, PLAN)
    watch.plan_ended_well(api(), found)


@command(plan, "events")
def plan_events(id: str, limit: Limit = 200, all: Everything = False, output: Form = "table") -> None:
    """List the state transitions of a plan."""
    rows(api().pages(place("plans", id, "events"), limit=inputs.row_limit(limit, all)), output, EVENTS, name="version")


@command(plan, "items")
def plan_items(
    id: str,
    decision: list[str] | None = None,
    state: State = None,
    limit: Limit = 50,
    all: Everything = False,
    output: Form = "table",
) -> None:
    """List the items of a plan, by position."""
    params = {"decision": decision, "state": state}
    found = api().pages(place("plans", id, "items"), params, limit=inputs.row_limit(limit, all))
    rows(found, output, ITEMS, name="key", empty="no such items")


@command(plan, "tasks")
def plan_tasks(
    id: str,
    state: State = None,
    engine: list[str] | None = None,
    why: list[str] | None = None,
    limit: Limit = 50,
    all: Everything = False,
    output: Form = "table",
) -> None:
    """List the tasks of a plan, by position."""
    params = {"state": state, "engine": engine, "why": why}
    found = api().pages(place("plans", id, "tasks"), params, limit=inputs.row_limit(limit, all))
    rows(found, output, TASKS, empty="no such tasks")


def _end(found: Any) -> str:
    shown = found["forecast"]
    return f"{shown['ends_at']} ({shown['earliest_end_at']} to {shown['latest_end_at']})" if shown else found["reason"]


def _changes(found: Any) -> str:
    forecast: Any = found["forecast"]
    changes: list[dict[str, Any]] = forecast["changes"] if forecast else []
    return "; ".join(f"{change['what']}: {change['seconds']:.0f} s" for change in changes)


FORECAST: tuple[Column, ...] = (
    ("plan", "plan_id"), ("left", "items_left"), ("ends", _end), ("held back by", "forecast.bound_by"),
    ("seconds an item", "forecast.durations.middle"), ("known of", "forecast.durations.samples"),
    ("sooner with", _changes),
)  # fmt: skip


@command(plan, "forecast")
def plan_forecast(id: str, output: Form = "table") -> None:
    """Show when a plan will end, and what would change that."""
    one(api().get(place("plans", id, "forecast")), output, FORECAST)


@command(plan, "export")
def plan_export(id: str, form: Annotated[str, typer.Option("--form", help="jsonl | csv")] = "jsonl") -> None:
    """Write a complete plan to the standard output: one line per item, with its task."""
    for chunk in api().stream(place("plans", id, "export"), {"form": form}):
        write_through(chunk)


@command(plan, "apply")
def plan_apply(
    id: str,
    preview_hash: Annotated[str, typer.Option("--hash", help="the hash of the preview, from `plan show`")],
    confirm_deletions: Annotated[
        bool, typer.Option("--confirm-deletions", help="delete the directories that the preview lists")
    ] = False,
    reason: Reason = "",
    wait: Wait = False,
    timeout: Timeout = None,
    output: Form = "table",
) -> None:
    """Start exactly what a preview shows; refused with the difference if something changed since."""
    waiting = Waiting(wait, timeout)
    applied = waiting.api().post(
        place("plans", id, "apply"),
        {"preview_hash": preview_hash, "confirm_deletions": confirm_deletions, "reason": reason},
    )
    show_answer(applied, output, waiting)


@command(plan, "reject")
def plan_reject(
    id: str, reason: Reason = "", wait: Wait = False, timeout: Timeout = None, output: Form = "table"
) -> None:
    """Reject a preview: its plan ends."""
    waiting = Waiting(wait, timeout)
    show_answer(waiting.api().post(place("plans", id, "reject"), {"reason": reason}), output, waiting)


@command(plan, "pause")
def plan_pause(
    id: str, reason: Reason = "", wait: Wait = False, timeout: Timeout = None, output: Form = "table"
) -> None:
    """Pause a plan: it starts nothing new."""
    waiting = Waiting(wait, timeout)
    show_answer(waiting.api().post(place("plans", id, "pause"), {"reason": reason}), output, waiting)


@command(plan, "resume")
def plan_resume(
    id: str, reason: Reason = "", wait: Wait = False, timeout: Timeout = None, output: Form = "table"
) -> None:
    """Resume a paused plan."""
    waiting = Waiting(wait, timeout)
    show_answer(waiting.api().post(place("plans", id, "resume"), {"reason": reason}), output, waiting)


@command(plan, "cancel")
def plan_cancel(
    id: str,
    kill: Kill = False,
    reason: Reason = "",
    yes: Yes = False,
    wait: Wait = False,
    timeout: Timeout = None,
    output: Form = "table",
) -> None:
    """Cancel a plan: waiting work is cancelled, running work continues to its end."""
    inputs.sure(f"Cancel plan {id}?", yes)
    waiting = Waiting(wait, timeout)
    answer = waiting.api().post(place("plans", id, "cancel"), {"kill": kill, "reason": reason})
    show_answer(answer, output, waiting)


@command(plan, "rules")
def plan_rules(
    id: str,
    file: Annotated[str, typer.Option("-f", "--file", help="the whole rules; `-` is the standard input")] = "",
    limit: Annotated[int | None, typer.Option("--limit", min=0, help="the new limit; other rules stay")] = None,
    starts_per_minute: Rate = None,
    priority: Annotated[int | None, typer.Option("--priority", min=0, max=100, help="a higher one goes first")] = None,
    reason: Reason = "",
    wait: Wait = False,
    timeout: Timeout = None,
    output: Form = "table",
) -> None:
    """Change the rules of a running plan."""
    named = {"limit": limit, "starts_per_minute": starts_per_minute, "priority": priority}
    changes = {name: value for name, value in named.items() if value is not None}
    if bool(file) == bool(changes):
        raise typer.BadParameter("give either --file or what is to change: --limit, --starts-per-minute, --priority")
    rules: dict[str, Any] = inputs.document(file) if file else {**api().get(place("plans", id))["rules"], **changes}
    answer = api().put(place("plans", id, "rules"), {"rules": rules, "reason": reason})
    show_answer(answer, output, Waiting(wait, timeout))


@command(plan, "retry")
def plan_retry(
    id: str,
    item: Annotated[list[str] | None, typer.Option("--item", help="only this one; repeatable")] = None,
    reason: Reason = "",
    wait: Wait = False,
    timeout: Timeout = None,
    output: Form = "table",
) -> None:
    """Run the failed items again, as a linked plan."""
    waiting = Waiting(wait, timeout)
    answer = waiting.api().post(place("plans", id, "retry"), {"item_keys": item or [], "reason": reason})
    started(answer, output, waiting)
