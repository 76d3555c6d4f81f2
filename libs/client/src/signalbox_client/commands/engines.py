"""`signalbox engine`."""

from typing import Annotated

import typer

from signalbox_client import inputs
from signalbox_client.api import place
from signalbox_client.command import command, show_answer
from signalbox_client.commands.definitions import ENGINE, GROUPS, IfRevision, match
from signalbox_client.inputs import Form, Rate, Reason, Timeout, Wait, Waiting, api
from signalbox_client.output import one

engine = GROUPS["engine"]


@command(engine, "update")
def engine_update(
    id: str,
    file: Annotated[str, typer.Option("-f", "--file", help="the whole definition; `-` is the standard input")] = "",
    concurrency: Annotated[
        int | None, typer.Option("--concurrency", min=0, help="maximum number of tasks at once")
    ] = None,
    starts_per_minute: Rate = None,
    if_revision: IfRevision = None,
    output: Form = "table",
) -> None:
    """Save the next version of an engine from a file, or change only its limits."""
    named = {"concurrency": concurrency, "starts_per_minute": starts_per_minute}
    changes = {name: value for name, value in named.items() if value is not None}
    if bool(file) == bool(changes):
        raise typer.BadParameter("give either --file or what is to change: --concurrency, --starts-per-minute")
    if file:
        definition = inputs.document(file)
    else:
        definition = api().get(place("engines", id))
        definition["limits"] |= changes
        if_revision = definition["revision"] if if_revision is None else if_revision
    one(api().put(place("engines", id), definition, headers=match(if_revision)), output, ENGINE.lines)


@command(engine, "pause")
def engine_pause(id: str, reason: Reason = "", output: Form = "table") -> None:
    """Start nothing new on an engine."""
    one(api().post(place("engines", id, "pause"), {"reason": reason}), output, ENGINE.lines)


@command(engine, "drain")
def engine_drain(id: str, reason: Reason = "", output: Form = "table") -> None:
    """Start nothing new on an engine, and report when its last running task has ended."""
    one(api().post(place("engines", id, "drain"), {"reason": reason}), output, ENGINE.lines)


@command(engine, "resume")
def engine_resume(id: str, reason: Reason = "", output: Form = "table") -> None:
    """Start new work on an engine again."""
    one(api().post(place("engines", id, "resume"), {"reason": reason}), output, ENGINE.lines)


@command(engine, "test")
def engine_test(
    id: str, reason: Reason = "", wait: Wait = False, timeout: Timeout = None, output: Form = "table"
) -> None:
    """Test the connection of an engine."""
    waiting = Waiting(wait, timeout)
    show_answer(waiting.api().post(place("engines", id, "test"), {"reason": reason}), output, waiting)
