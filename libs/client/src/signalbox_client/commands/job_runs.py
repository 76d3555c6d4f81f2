"""`signalbox job`: its cron rule, executions, JARs and savepoints."""

from typing import Annotated

import typer

from signalbox_client import inputs
from signalbox_client.api import place
from signalbox_client.command import command, show_answer
from signalbox_client.commands.definitions import GROUPS
from signalbox_client.inputs import Everything, Form, Limit, Reason, Timeout, Wait, Waiting, Yes, api
from signalbox_client.output import Column, echo, one, rows

job = GROUPS["job"]
SCHEDULE: tuple[Column, ...] = (
    ("job", "jobId"), ("schedule", "scheduleId"), ("cron", "cron"), ("zone", "zone"), ("next", "next"),
)  # fmt: skip
EXECUTIONS: tuple[Column, ...] = (
    ("execution", "id"), ("version", "jobVersion"), ("status", "status"), ("started", "startedAt"),
    ("finished", "finishedAt"), ("by", "startedBy"), ("jar", lambda found: (found.get("jarSHA256") or "")[:12]),
    ("waits", "waiting"), ("error", "error"),
)  # fmt: skip
PINS: tuple[Column, ...] = (("sha256", "sha256"), ("bytes", "bytes"), ("pinned", "pinned_at"), ("url", "url"))
SAVEPOINTS: tuple[Column, ...] = (
    ("savepoint", "path"), ("taken", "taken_at"), ("stopped", "stopped"), ("engine", "engine"), ("run key", "run_key"),
)  # fmt: skip


@command(job, "schedule")
def job_schedule(
    id: str,
    cron: Annotated[str, typer.Argument(help="six fields, seconds first: '0 * * * * *'")],
    zone: Annotated[str, typer.Option("--zone", help="time zone of the rule")] = "UTC",
    output: Form = "table",
) -> None:
    """Start a job by a cron rule; replaces its current rule."""
    one(api().post(place("jobs", id, "schedule"), {"cron": cron, "zone": zone}), output, SCHEDULE, name="scheduleId")


@command(job, "unschedule")
def job_unschedule(id: str, yes: Yes = False) -> None:
    """Remove the cron rule of a job."""
    inputs.sure(f"Remove the cron rule of job {id}?", yes)
    api().delete(place("jobs", id, "schedule"))
    echo(f"job {id} no longer starts by itself")


@command(job, "executions")
def job_executions(id: str, limit: Limit = 50, all: Everything = False, output: Form = "table") -> None:
    """List the executions of a job, newest first."""
    found = api().pages(place("jobs", id, "executions"), limit=inputs.row_limit(limit, all))
    rows(found, output, EXECUTIONS, empty="never started")


@command(job, "pins")
def job_pins(id: str, output: Form = "table") -> None:
    """List the JARs that the newest version of a job was pinned to, the current one first."""
    rows(api().get(place("jobs", id, "artifact"))["items"], output, PINS, name="sha256", empty="no run pinned one yet")


@command(job, "artifact")
def job_artifact(
    id: str, reason: Reason = "", wait: Wait = False, timeout: Timeout = None, output: Form = "table"
) -> None:
    """Fetch the JAR of a job again from its URL, and pin it."""
    waiting = Waiting(wait, timeout)
    answer = waiting.api().post(place("jobs", id, "artifact"), {"reason": reason})
    show_answer(answer, output, waiting)


@command(job, "savepoints")
def job_savepoints(id: str, output: Form = "table") -> None:
    """List the savepoints of a job, newest first."""
    rows(api().get(place("jobs", id, "savepoints"))["items"], output, SAVEPOINTS, name="path", empty="no savepoints")


@command(job, "savepoint")
def job_savepoint(
    id: str,
    stop: Annotated[bool, typer.Option("--stop", help="end the execution with the savepoint")] = False,
    reason: Reason = "",
    wait: Wait = False,
    timeout: Timeout = None,
    output: Form = "table",
) -> None:
    """Take a savepoint of the running execution."""
    waiting = Waiting(wait, timeout)
    answer = waiting.api().post(place("jobs", id, "savepoints"), {"stop": stop, "reason": reason})
    show_answer(answer, output, waiting)
