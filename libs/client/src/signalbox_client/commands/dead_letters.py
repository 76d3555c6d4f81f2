"""`signalbox dead-letter` and `signalbox operation`."""

from signalbox_client import inputs, watch
from signalbox_client.api import place
from signalbox_client.command import OPERATION, command, group, show_answer
from signalbox_client.inputs import Everything, Form, Limit, Reason, State, Timeout, Wait, Waiting, Yes, api
from signalbox_client.output import Column, ago, one, rows

dead_letter = group("Messages that a service could not handle, and put aside.")
operation = group("What was asked for, and the answer.")
COLUMNS: tuple[Column, ...] = (
    ("dead letter", "id"), ("state", "state"), ("service", "service"), ("topic", "topic"), ("type", "event_type"),
    ("parked", lambda found: ago(found["parked_at"])), ("error", "error"),
)  # fmt: skip
FIELDS: tuple[Column, ...] = (
    *COLUMNS[:-2], ("parked", "parked_at"), ("error", "error"), ("attempts", "attempts"), ("partition", "partition"),
    ("offset", "offset"), ("key", "key"), ("event", "event_id"), ("headers", "headers"), ("bytes", "value_bytes"),
    ("begins (base64)", "value_start"),
)  # fmt: skip


@command(dead_letter, "list")
def dead_letter_list(
    service: list[str] | None = None,
    topic: list[str] | None = None,
    state: State = None,
    limit: Limit = 50,
    all: Everything = False,
    output: Form = "table",
) -> None:
    """List parked messages, newest first."""
    params = {"service": service, "topic": topic, "state": state}
    rows(
        api().pages("/dead-letters", params, limit=inputs.row_limit(limit, all)),
        output,
        COLUMNS,
        empty="nothing is parked",
    )


@command(dead_letter, "show")
def dead_letter_show(id: str, output: Form = "table") -> None:
    """Show where and why a message was parked."""
    one(api().get(place("dead-letters", id)), output, FIELDS)


@command(dead_letter, "redrive")
def dead_letter_redrive(
    ids: list[str], reason: Reason = "", wait: Wait = False, timeout: Timeout = None, output: Form = "table"
) -> None:
    """Give parked messages again to the handler that failed."""
    waiting = Waiting(wait, timeout)
    answer = waiting.api().post("/dead-letters/redrive", {"ids": ids, "reason": reason})
    show_answer(answer, output, waiting)


@command(dead_letter, "drop")
def dead_letter_drop(
    ids: list[str],
    reason: Reason = "",
    yes: Yes = False,
    wait: Wait = False,
    timeout: Timeout = None,
    output: Form = "table",
) -> None:
    """Drop parked messages; `--reason` is required."""
    inputs.sure(f"Give up {len(ids)} parked messages?", yes)
    waiting = Waiting(wait, timeout)
    answer = waiting.api().post("/dead-letters/drop", {"ids": ids, "reason": reason})
    show_answer(answer, output, waiting)


@command(operation, "show")
def operation_show(id: str, wait: Wait = False, timeout: Timeout = None, output: Form = "table") -> None:
    """Show an operation and its result."""
    if wait:
        seconds = watch.ANSWER_SECONDS if timeout is None else timeout
        one(watch.operation(api(), id, timeout=seconds), output, OPERATION)
    else:
        one(api().get(place("operations", id)), output, OPERATION)
