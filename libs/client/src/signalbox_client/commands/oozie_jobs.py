"""`signalbox oozie kill` and its like: one job of an Oozie server, whoever started it."""

from typing import Annotated, Any

import typer

from signalbox_client import inputs, watch
from signalbox_client.api import place
from signalbox_client.command import command
from signalbox_client.commands.oozie import ANSWER_SECONDS, number_range, oozie
from signalbox_client.inputs import Form, Reason, Timeout, Waiting, api
from signalbox_client.output import Column, echo, one, plain, write_through

Server = Annotated[str, typer.Option("--engine", help="the Oozie server")]
Numbers = Annotated[
    list[str] | None, typer.Option("--action", help="only these actions of a coordinator: 7 or 3-9; repeatable")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="do not ask")]
CONTROLLED: tuple[Column, ...] = (
    ("job", "details.job"), ("was", "details.before"), ("is", "details.state"), ("command", "details.command"),
)  # fmt: skip
_LOGS = ("log", "errorlog", "auditlog")


@command(oozie, "kill")
def oozie_kill(
    job: str, engine: Server, action: Numbers = None, reason: Reason = "", yes: Yes = False, timeout: Timeout = None,
    output: Form = "table",
) -> None:  # fmt: skip
    """Kill a workflow, a coordinator, some of its actions, or a bundle, and wait until it is killed."""
    inputs.sure(f"Kill {job}{' actions ' + ', '.join(action) if action else ''}?", yes)
    _control({"job": job, "action": "kill", "numbers": _numbers(action)}, engine, reason, timeout, output)


@command(oozie, "suspend")
def oozie_suspend(
    job: str, engine: Server, reason: Reason = "", timeout: Timeout = None, output: Form = "table"
) -> None:
    """Suspend a job, and wait until it is suspended."""
    _control({"job": job, "action": "suspend"}, engine, reason, timeout, output)


@command(oozie, "resume")
def oozie_resume(
    job: str, engine: Server, reason: Reason = "", timeout: Timeout = None, output: Form = "table"
) -> None:
    """Resume a suspended job, and wait until it runs."""
    _control({"job": job, "action": "resume"}, engine, reason, timeout, output)


@command(oozie, "ignore")
def oozie_ignore(
    job: str, engine: Server, action: Numbers = None, reason: Reason = "", timeout: Timeout = None,
    output: Form = "table",
) -> None:  # fmt: skip
    """Set failed actions of a coordinator, or a failed coordinator, to IGNORED."""
    _control({"job": job, "action": "ignore", "numbers": _numbers(action)}, engine, reason, timeout, output)


@command(oozie, "change")
def oozie_change(
    job: str,
    engine: Server,
    end: Annotated[str, typer.Option("--end", help="when the coordinator ends (ISO 8601)")] = "",
    pause: Annotated[str, typer.Option("--pause", help="when it stops creating actions (ISO 8601)")] = "",
    concurrency: Annotated[int | None, typer.Option("--concurrency", min=1, help="how many actions at once")] = None,
    reason: Reason = "",
    timeout: Timeout = None,
    output: Form = "table",
) -> None:
    """Change a coordinator's end, pause time or concurrency, and wait until Oozie shows it."""
    changes = {"end_at": end or None, "pause_at": pause or None, "concurrency": concurrency}
    if not any(changes.values()):
        raise typer.BadParameter("give what is to change: --end, --pause, --concurrency")
    body = {"job": job, "action": "change", **{name: value for name, value in changes.items() if value}}
    _control(body, engine, reason, timeout, output)


@command(oozie, "show")
def oozie_show(
    job: str,
    engine: Server,
    document: Annotated[
        str, typer.Option("--document", help="info | configuration | definition | log | errorlog | auditlog")
    ] = "log",
    reason: Reason = "",
    timeout: Timeout = None,
    output: Form = "table",
) -> None:
    """Print Oozie's log, definition or another document of a job."""
    body = {"job": job, "document": document, "reason": reason}
    details = _answered(place("engines", engine, "oozie", "show"), body, timeout)["details"]
    if output != "table":
        one(details, output, (), name="job")
        return
    if details["cut"]:
        echo(f"cut: only the {'end' if document in _LOGS else 'beginning'} is shown")
    echo(plain(details["command"]))
    write_through(details["text"].rstrip("\n").encode() + b"\n")


def _control(body: dict[str, Any], engine: str, reason: str, timeout: float | None, output: str) -> None:
    answered = _answered(place("engines", engine, "oozie", "control"), {**body, "reason": reason}, timeout)
    one(answered, output, CONTROLLED)


def _answered(path: str, body: dict[str, Any], timeout: float | None) -> dict[str, Any]:
    """The operation once it is answered."""
    waiting = Waiting(True, ANSWER_SECONDS if timeout is None else timeout)
    return watch.operation(api(), waiting.api().post(path, body)["id"], timeout=waiting.seconds)


def _numbers(given: list[str] | None) -> list[int]:
    """Each number that the options name."""
    found: list[int] = []
    for text in given or ():
        first, last = number_range(text)
        if not first <= last < first + 1000:
            raise typer.BadParameter(f"{text!r} is no range of at most 1,000 numbers", param_hint="--action")
        found += range(first, last + 1)
    return found
