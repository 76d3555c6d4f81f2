"""`signalbox task`."""

from collections.abc import Iterator
from typing import Annotated, Any

import typer

from signalbox_client import inputs, watch
from signalbox_client.api import Refused, Unreachable, place
from signalbox_client.command import command, group, show_answer, waits
from signalbox_client.commands.jobs import Kill
from signalbox_client.commands.plans import TASKS
from signalbox_client.inputs import Everything, Form, Limit, Reason, State, Timeout, Wait, Waiting, Yes, api
from signalbox_client.output import Column, attempt_of, one, rows, state, write_through
from signalbox_client.reconnect import Reconnect

task = group("Items that run on an engine, with their attempts and logs.")
FIELDS: tuple[Column, ...] = (
    ("task", "id"), ("item", "item_key"), ("state", "state"), ("waits", waits), ("plan", "plan_id"),
    ("engine", "engine"), ("attempt", attempt_of),
    ("run key", "run_key"), ("handle", "handle"), ("phase", "phase"), ("exit code", "exit_code"), ("cause", "cause"),
    ("error", "error"), ("progress", "progress.message"), ("result", "result"),
    ("pending", "pending_operation.operation"), ("queued", "queued_at"),
    ("submitted", "submitted_at"), ("started", "started_at"), ("ended", "ended_at"), ("not before", "not_before_at"),
    ("trace", "trace_id"),
)  # fmt: skip
ATTEMPTS: tuple[Column, ...] = (
    ("attempt", "attempt"), ("state", "state"), ("handle", "handle"), ("submitted", "submitted_at"),
    ("started", "started_at"), ("ended", "ended_at"), ("exit code", "exit_code"), ("cause", "cause"),
    ("error", "error"),
)  # fmt: skip
EVENTS: tuple[Column, ...] = (
    ("at", "at"), ("state", lambda found: state(found["state"])), ("attempt", "attempt"), ("reason", "reason"),
)  # fmt: skip


@command(task, "list")
def task_list(
    plan: list[str] | None = None,
    state: State = None,
    engine: list[str] | None = None,
    why: Annotated[list[str] | None, typer.Option("--why", help="only what waits for this; repeatable")] = None,
    limit: Limit = 50,
    all: Everything = False,
    output: Form = "table",
) -> None:
    """List tasks, newest first."""
    params = {"plan": plan, "state": state, "engine": engine, "why": why}
    found = api().pages("/tasks", params, limit=inputs.row_limit(limit, all))
    rows(found, output, (*TASKS, ("plan", "plan_id")), empty="no such tasks")


@command(task, "show")
def task_show(id: str, output: Form = "table") -> None:
    """Show a task, and why it waits."""
    one(api().get(place("tasks", id)), output, FIELDS)


@command(task, "watch")
def task_watch(id: str, timeout: Timeout = None, output: Form = "table") -> None:
    """Follow a task to its end; the exit code shows the result."""
    found = watch.task(api(), id, timeout=timeout)
    one(found, output, FIELDS)
    watch.ended_well(found, "task")


@command(task, "attempts")
def task_attempts(id: str, output: Form = "table") -> None:
    """List the attempts of a task."""
    rows(api().pages(place("tasks", id, "attempts")), output, ATTEMPTS, name="attempt", empty="not tried yet")


@command(task, "events")
def task_events(id: str, output: Form = "table") -> None:
    """List the state transitions of a task."""
    rows(api().pages(place("tasks", id, "events")), output, EVENTS, name="version", empty="nothing was said of it yet")


@command(task, "logs")
def task_logs(
    id: str,
    attempt: int | None = None,
    tail: Annotated[int | None, typer.Option("--tail", min=0, help="number of lines from the end")] = None,
    since: Annotated[int, typer.Option("--since", min=0, help="start at this byte")] = 0,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="follow until the attempt has ended")] = False,
) -> None:
    """Print the log of a task."""
    path, params = place("tasks", id, "logs"), {"attempt": attempt, "tail": tail, "since": since or None}
    if follow:
        _follow(path, params)
        return
    for chunk in api().stream(path, params):
        write_through(chunk)


@command(task, "cancel")
def task_cancel(
    id: str,
    kill: Kill = False,
    reason: Reason = "",
    yes: Yes = False,
    wait: Wait = False,
    timeout: Timeout = None,
    output: Form = "table",
) -> None:
    """Cancel one task; its plan continues."""
    inputs.sure(f"Cancel task {id}?", yes)
    waiting = Waiting(wait, timeout)
    answer = waiting.api().post(place("tasks", id, "cancel"), {"kill": kill, "reason": reason})
    show_answer(answer, output, waiting)


@command(task, "resolve")
def task_resolve(
    id: str,
    reason: Annotated[str, typer.Option("--reason", help="the reason; kept in its history under your name")],
    adopt: Annotated[bool, typer.Option("--adopt", help="the run exists: observe it")] = False,
    retry: Annotated[
        bool, typer.Option("--retry", help="it has ended: run the next attempt, whatever the retries allow")
    ] = False,
    fail: Annotated[bool, typer.Option("--fail", help="it has ended, and the task has failed")] = False,
    attempt: Annotated[
        int | None, typer.Option("--attempt", min=1, help="the attempt that you saw (default: the current one)")
    ] = None,
    handle: Annotated[str | None, typer.Option("--handle", help="with --adopt: the engine's name of the run")] = None,
    yes: Yes = False,
    wait: Wait = False,
    timeout: Timeout = None,
    output: Form = "table",
) -> None:
    """Decide what happened to an UNKNOWN task, after checking its engine."""
    chosen = [name for name, given in (("adopt", adopt), ("retry", retry), ("fail", fail)) if given]
    if len(chosen) != 1:
        raise typer.BadParameter("exactly one of --adopt, --retry and --fail is needed")
    if handle is not None and not adopt:
        raise typer.BadParameter("--handle goes with --adopt only")
    found = Waiting(wait, timeout).api().get(place("tasks", id))
    number = attempt or int(found["attempt"])
    does = {
        "adopt": f"run {handle or found['run_key']} is watched as attempt {number}",
        "retry": f"attempt {number + 1} is run; if attempt {number} runs after all, the work runs twice",
        "fail": f"it fails; if attempt {number} runs after all, nobody watches it",
    }[chosen[0]]
    where = f"Task {id} on {found['engine']} is {found['state']} in attempt {found['attempt']}"
    inputs.sure(f"{where}. Resolve attempt {number}: {does}?", yes)
    body = {"action": chosen[0], "attempt": number, "handle": handle, "reason": reason}
    waiting = Waiting(wait, timeout)  # the question took no time of it
    show_answer(waiting.api().post(place("tasks", id, "resolve"), body), output, waiting)


def _follow(path: str, params: dict[str, Any]) -> None:
    """Print what comes until the log ends. A connection that breaks off is made again from the last mark."""
    reader = MarkedLog()
    reconnect = Reconnect()
    while True:
        if reader.offset is not None:  # the lines from the end were printed already
            params = {**params, "since": reader.offset, "tail": None}
        error: Unreachable | Refused = Unreachable("the log broke off before its end")
        try:
            chunks = api().stream(path, {**params, "follow": "true", "marks": "true"})
            reconnect.connected()  # a log may be silent for hours before its connection breaks off
            for chunk in chunks:
                for text in reader.feed(chunk):
                    write_through(text)
                reconnect.answered()
            if reader.ended:
                return
        except (Unreachable, Refused) as raised:
            error = raised
        reader.broke_off()
        reconnect.failed(error)


class MarkedLog:
    """Reads a log with marks (`\\0OFFSET\\n`, `\\0end\\n`). Text counts once its mark has come."""

    def __init__(self) -> None:
        self.offset: int | None = None
        self.ended = False
        self._buffer = b""

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The text that is complete now."""
        self._buffer += chunk
        while (end := self._buffer.find(b"\n", self._buffer.find(b"\0"))) >= 0 and b"\0" in self._buffer:
            text, _, mark = self._buffer[:end].partition(b"\0")
            self._buffer = self._buffer[end + 1 :]
            if mark == b"end":
                self.ended = True
            elif mark.isdigit():
                self.offset = int(mark)
            if text:
                yield text

    def broke_off(self) -> None:
        """Forget what has no mark: it comes again."""
        self._buffer = b""
