"""How a command is registered: its errors become exit codes, its form is the one everybody uses."""

import functools
from collections.abc import Callable
from typing import Any, Final, ParamSpec, cast

import typer
from typer.core import TyperCommand

from signalbox_client import inputs, watch
from signalbox_client.exit_codes import handle_errors
from signalbox_client.inputs import Waiting
from signalbox_client.output import Column, ago, cut, echo, one, plain, rows

P = ParamSpec("P")
WIDEST: Final = 60
"""Longest reason in a table's column; `show` has the whole sentence."""
WIDEST_ERROR: Final = 120
"""The same for the error of a task, which stands in the last columns."""


def group(about: str) -> typer.Typer:
    """The commands of one noun."""
    return typer.Typer(help=about, no_args_is_help=True, rich_markup_mode=None)


class EndsWithCommand(TyperCommand):
    """A command whose words after `--` are a program to run: `words_after(context)` has them."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        at = args.index("--") if "--" in args else len(args)
        ctx.meta[_AFTER] = args[at + 1 :]
        return super().parse_args(ctx, args[:at])


_AFTER: Final = "signalbox.words_after"


def words_after(context: typer.Context) -> list[str]:
    """What stands after `--`."""
    return context.meta[_AFTER]


def command(
    app: typer.Typer, name: str, *, help: str | None = None, cls: type[TyperCommand] | None = None
) -> Callable[[Callable[P, None]], Callable[P, None]]:
    """Register a command under its name. Without `help` the function's docstring is shown."""

    def register(function: Callable[P, None]) -> Callable[P, None]:
        @functools.wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> None:
            with handle_errors():
                function(*args, **kwargs)

        app.command(name, help=help, cls=cls)(run)
        return run

    return register


def show_answer(response: dict[str, Any], form: str, waiting: Waiting) -> None:
    """What came of a control call: the operation it began, or a list of them; if it waits, as they were answered."""
    several = "operations" in response
    found: list[dict[str, Any]] = response["operations"] if several else [response]
    if waiting.wait:
        ids = [operation.get("operation_id") or operation["id"] for operation in found]
        found = [watch.operation(inputs.api(), id, timeout=waiting.seconds_or(watch.ANSWER_SECONDS)) for id in ids]
    name = "id" if waiting.wait else "operation_id"
    if several and form != "table":
        rows(found, form, OPERATION, name=name)
        return
    for operation in found:
        one(operation, form, OPERATION, name=name)


def started(plan: dict[str, Any], form: str, waiting: Waiting) -> None:
    """A plan that was started: if it waits, as it ended."""
    if not waiting.wait:
        one(plan, form, PLAN)
        if form == "table":
            echo(f"signalbox plan watch {plan['id']}")
        return
    found = watch.plan(inputs.api(), plan["id"], timeout=waiting.seconds)
    one(found, form, PLAN)
    watch.plan_ended_well(inputs.api(), found)


def waits(found: Any) -> str:
    """Why it waits, a line each; the tasks of two engines that wait for one limit say so once."""
    sentences = [plain(one.get("sentence") or one.get("detail") or one.get("why")) for one in _waiting(found)]
    return "\n".join(dict.fromkeys(sentences))


def waits_for(found: Any) -> str:
    """Why a task waits and for how long, short enough for a column."""
    return "; ".join(
        cut(" ".join([plain(one["why"]), ago(one.get("since_at"))]) + _in_short(one), WIDEST) for one in _waiting(found)
    )


def error_in_short(found: Any) -> str:
    """Why a task failed, short enough for a column: `-o json` and `task show` have all of it."""
    return cut(" ".join(plain(found.get("error") or "").split()), WIDEST_ERROR)


def reasons(found: Any) -> str:
    """What a plan and its tasks wait for, by name only."""
    return ", ".join(dict.fromkeys(plain(one["why"]) for one in _waiting(found)))


def _waiting(found: Any) -> list[Any]:
    waiting: Any = found.get("waiting") or []
    return cast("list[Any]", waiting) if isinstance(waiting, list) else [waiting]


def _in_short(one: Any) -> str:
    detail = plain(one.get("detail") or "").replace("\n", " ")
    return f": {detail}" if detail else ""


def _counts(found: Any) -> str:
    return ", ".join(f"{number} {name}" for name, number in found["counts"].items() if number)


PLAN: tuple[Column, ...] = (
    ("plan", "id"), ("name", "name"), ("state", "state"), ("items", _counts), ("waits", waits), ("reason", "reason"),
    ("preview hash", "preview_hash"), ("expires", "preview_expires_at"), ("difference", "difference"),
    ("runs", "target"), ("version", "target_version"), ("event date", "event_date"), ("retry of", "parent"),
    ("asked by", "actor"), ("created", "created_at"), ("started", "started_at"), ("ended", "ended_at"),
    ("pending", "pending_operation.operation"), ("trace", "trace_id"),
)  # fmt: skip
OPERATION: tuple[Column, ...] = (
    ("operation", lambda found: found.get("operation_id") or found.get("id")), ("requested", "operation"),
    ("about", "target"), ("state", "state"), ("answer", "answer"), ("details", "details"), ("asked by", "actor"),
    ("at", "requested_at"), ("answered", "answered_at"), ("plan", "plan_id"), ("service", "service"),
)  # fmt: skip
