"""`signalbox schedule`: beside what every definition has, its ticks, pauses, runs and backfills."""

from typing import Annotated, Any

import typer

from signalbox_client import inputs
from signalbox_client.api import Api, place
from signalbox_client.command import command, show_answer, started
from signalbox_client.commands.definitions import GROUPS, SCHEDULE
from signalbox_client.inputs import Everything, Form, Limit, Reason, Timeout, Wait, Waiting, api
from signalbox_client.output import Column, echo, one, rows

schedule = GROUPS["schedule"]
_TICKS: tuple[Column, ...] = (
    ("due", "due_at"), ("event date", "event_date"), ("outcome", "outcome"), ("cause", "cause"), ("plan", "plan_id"),
    ("state", "plan_state"), ("why not", "detail"),
)  # fmt: skip
_NEXT: tuple[Column, ...] = (("due", "due_at"), ("event date", "event_date"))
_BACKFILL: tuple[Column, ...] = (*_NEXT, ("decision", "decision"))
Date = Annotated[str, typer.Option("--date", help="event date, as 2026-03-31; else the schedule's rule decides")]


@command(schedule, "preview")
def schedule_preview(cron: str, zone: str = "UTC", count: int = 10, output: Form = "table") -> None:
    """Describe a cron rule in words and list its next instants."""
    found = api().post("/schedules/preview", {"cron": cron, "zone": zone, "count": count})
    if output == "table":
        echo(found["words"])
    rows([{"due_at": due} for due in found["next"]], output, (("due", "due_at"),), name="due_at")


@command(schedule, "next")
def schedule_next(id: str, count: int = 10, output: Form = "table") -> None:
    """List the next instants at which a schedule is due."""
    found = api().get(place("schedules", id, "next"), {"count": count})
    if output == "table":
        echo(found["words"])
    rows(found["ticks"], output, _NEXT, name="due_at")


@command(schedule, "ticks")
def schedule_ticks(
    id: str,
    outcome: Annotated[str | None, typer.Option("--outcome", help="FIRED or SKIPPED")] = None,
    limit: Limit = 50,
    all: Everything = False,
    output: Form = "table",
) -> None:
    """List the past ticks of a schedule with their outcome, newest first."""
    found = api().pages(place("schedules", id, "ticks"), {"outcome": outcome}, limit=inputs.row_limit(limit, all))
    rows(found, output, _TICKS, name="tick_id", empty="no ticks yet: `signalbox schedule next` shows when")


@command(schedule, "pause")
def schedule_pause(id: str, reason: Reason = "", output: Form = "table") -> None:
    """Pause a schedule: every tick is skipped. The reason becomes the schedule's note."""
    one(api().post(place("schedules", id, "pause"), {"reason": reason}), output, SCHEDULE.lines)


@command(schedule, "resume")
def schedule_resume(id: str, reason: Reason = "", output: Form = "table") -> None:
    """Resume a schedule, from its next tick on."""
    one(api().post(place("schedules", id, "resume"), {"reason": reason}), output, SCHEDULE.lines)


@command(schedule, "run")
def schedule_run(
    id: str,
    date: Date = "",
    param: Annotated[list[str] | None, typer.Option("-p", "--param", help="name=value; repeatable")] = None,
    reason: Reason = "",
    wait: Wait = False,
    timeout: Timeout = None,
    output: Form = "table",
) -> None:
    """Start the target of a schedule now."""
    given, waiting = inputs.pairs(param, "--param"), Waiting(wait, timeout)
    params = inputs.typed(given, _declared(waiting.api(), id)) if given else {}
    body = {"event_date": date or None, "params": params, "reason": reason}
    started(waiting.api().post(place("schedules", id, "run"), body), output, waiting)


def _declared(api: Api, id: str) -> dict[str, Any]:
    """The parameters of what a schedule starts."""
    target = api.get(place("schedules", id))["target"]
    return api.get(place(f"{target['kind']}s", target["id"]), {"version": target.get("version")})["params"]


@command(schedule, "backfill")
def schedule_backfill(
    id: str,
    from_at: Annotated[str, typer.Option("--from", help="the first instant, as 2026-03-01T00:00:00Z")],
    until_at: Annotated[str, typer.Option("--until", help="the last instant")],
    overlap: Annotated[str, typer.Option("--overlap", help="allow, skip, queue or cancel_previous")] = "queue",
    order: Annotated[str, typer.Option("--order", help="oldest or newest first")] = "oldest",
    concurrency: Annotated[
        int,
        typer.Option("--concurrency", min=1, max=100, help="how many of its plans run at once"),
    ] = 1,
    at_most: Annotated[int, typer.Option("--at-most", min=1, help="refuse a range with more ticks")] = 1000,
    only: Annotated[str, typer.Option("--only", help="missing, failed or all")] = "missing",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="show what would fire")] = False,
    reason: Reason = "",
    wait: Wait = False,
    timeout: Timeout = None,
    output: Form = "table",
) -> None:
    """Fire the ticks of a range: the missing ones, those whose plan failed, or all."""
    body = {
        "from_at": from_at, "until_at": until_at, "overlap": overlap, "at_most": at_most, "preview": dry_run,
        "only": only, "order": order, "concurrency": concurrency, "reason": reason,
    }  # fmt: skip
    waiting = Waiting(wait, timeout)
    found = waiting.api().post(place("schedules", id, "backfill"), body)
    if dry_run:
        if output == "table":
            echo(f"{found['fires']} would fire, {found['fired_before']} have fired before")
        rows(found["ticks"], output, _BACKFILL, name="due_at")
        return
    show_answer(found, output, waiting)
