"""`signalbox engine`."""

from typing import Annotated, Any

import typer

from signalbox_client import inputs
from signalbox_client.api import place
from signalbox_client.command import asked, command, group
from signalbox_client.inputs import Everything, File, Form, Label, Most, Rate, Reason, Timeout, Wait, Yes, api
from signalbox_client.output import Column, ago, one, rows, say

engine = group("What work runs on.")
IfRevision = Annotated[int | None, typer.Option("--if-revision", help="only if this is still the present revision")]


def _slots(found: Any) -> str:
    state: dict[str, Any] = found.get("state") or {}
    return f"{state.get('slots_used', 0)}/{found['limits']['concurrency']}"


def _last_answer(found: Any) -> str:
    state: dict[str, Any] = found.get("state") or {}
    return ago(state.get("last_answer_at"))


COLUMNS: tuple[Column, ...] = (
    ("engine", "id"), ("kind", "connection.kind"), ("intake", "intake"), ("breaker", "state.breaker"),
    ("slots", _slots), ("queued", "state.queued"), ("unknown", "state.unknown"), ("name", "name"),
)  # fmt: skip
FIELDS: tuple[Column, ...] = (
    *COLUMNS, ("connection", "connection"), ("last answer", _last_answer),
    ("last error", "state.last_error"), ("project", "project"), ("labels", "labels"), ("revision", "revision"),
    ("changed", "updated_at"), ("by", "updated_by"),
)  # fmt: skip


def match(revision: int | None) -> dict[str, str]:
    """The header that refuses a change decided on another revision."""
    return {} if revision is None else {"If-Match": f'"{revision}"'}


@command(engine, "list")
def engine_list(
    label: Label = None, q: str = "", limit: Most = 50, all: Everything = False, output: Form = "table"
) -> None:
    """List engines."""
    found = api().pages("/engines", most=inputs.most(limit, all), params={"label": label, "q": q})
    rows(found, output, COLUMNS, empty="no engines yet: `signalbox engine create -f FILE` registers one")


@command(engine, "show")
def engine_show(id: str, output: Form = "table") -> None:
    """Show an engine, and what was last seen of it."""
    one(api().get(place("engines", id)), output, FIELDS)


@command(engine, "create")
def engine_create(file: File, output: Form = "table") -> None:
    """Register an engine from a file."""
    one(api().post("/engines", inputs.document(file)), output, FIELDS)


@command(engine, "update")
def engine_update(
    id: str,
    file: Annotated[str, typer.Option("-f", "--file", help="the whole definition; `-` is the standard input")] = "",
    concurrency: Annotated[int | None, typer.Option("--concurrency", min=0, help="most tasks at once")] = None,
    starts_per_minute: Rate = None,
    if_revision: IfRevision = None,
    output: Form = "table",
) -> None:
    """Change an engine to what a file says, or only its limits."""
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
    one(api().put(place("engines", id), definition, headers=match(if_revision)), output, FIELDS)


@command(engine, "delete")
def engine_delete(id: str, if_revision: IfRevision = None, yes: Yes = False) -> None:
    """Remove an engine that nothing uses."""
    inputs.sure(f"Remove engine {id}?", yes)
    api().delete(place("engines", id), headers=match(if_revision))
    say(f"engine {id} is removed")


@command(engine, "pause")
def engine_pause(id: str, reason: Reason = "", output: Form = "table") -> None:
    """Start nothing new on an engine."""
    one(api().post(place("engines", id, "pause"), {"reason": reason}), output, FIELDS)


@command(engine, "drain")
def engine_drain(id: str, reason: Reason = "", output: Form = "table") -> None:
    """Start nothing new, and see when the last running task has ended."""
    one(api().post(place("engines", id, "drain"), {"reason": reason}), output, FIELDS)


@command(engine, "resume")
def engine_resume(id: str, reason: Reason = "", output: Form = "table") -> None:
    """Take new work again."""
    one(api().post(place("engines", id, "resume"), {"reason": reason}), output, FIELDS)


@command(engine, "test")
def engine_test(
    id: str, reason: Reason = "", wait: Wait = False, timeout: Timeout = None, output: Form = "table"
) -> None:
    """Try the connection of an engine."""
    asked(api().post(place("engines", id, "test"), {"reason": reason}), output, wait=wait, timeout=timeout)
