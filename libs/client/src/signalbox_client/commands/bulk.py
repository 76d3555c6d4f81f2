"""`signalbox plan bulk`, `signalbox task bulk` and `signalbox bulk`."""

from typing import Annotated, Any, Final
from urllib.parse import unquote_plus

import typer

from signalbox_client import inputs, watch
from signalbox_client.api import Params, place
from signalbox_client.command import command, group
from signalbox_client.commands.jobs import Kill
from signalbox_client.commands.plans import plan
from signalbox_client.commands.tasks import task
from signalbox_client.inputs import Everything, Form, Label, Limit, Reason, State, Timeout, Wait, Waiting, Yes, api
from signalbox_client.output import Column, ago, echo, one, plain, rows

bulk = group("One request about many plans or tasks, with a result for each.")
ENTRY: tuple[Column, ...] = (
    ("bulk operation", "id"), ("action", "action"), ("items", "total"),
    ("age", lambda found: ago(found["requested_at"])),
    ("by", "actor"), ("filter", lambda found: unquote_plus(found["filter"])), ("reason", "reason"),
)  # fmt: skip
FIELDS: tuple[Column, ...] = (
    ("bulk operation", "id"), ("action", "action"), ("items", "total"), ("results", lambda found: _counts(found)),
    ("filter", lambda found: unquote_plus(found["filter"])), ("reason", "reason"), ("asked by", "actor"),
    ("at", "requested_at"), ("trace", "trace_id"),
)  # fmt: skip
ITEMS: tuple[Column, ...] = (
    ("position", "position"), ("about", "target"), ("name", "name"), ("state", "state"), ("answer", "answer"),
    ("linked plan", "plan_id"),
)  # fmt: skip
_ITEM_STATES: Final = "pending | done | refused | failed | forgotten; repeatable"
Action = Annotated[str, typer.Argument(help="pause | resume | cancel | retry")]
TaskAction = Annotated[str, typer.Argument(help="cancel | resolve")]
Named = Annotated[list[str] | None, typer.Argument(help="these, instead of a filter")]


def _counts(found: Any) -> str:
    return ", ".join(f"{number} {state}" for state, number in found["counts"].items()) or "nothing matched"


def _matches(action: str, params: Params) -> str:
    """How many plans of the filter the action may apply to, by state."""
    from signalbox_contracts.states import PLAN_ENDS  # slow to import, and only needed here

    counts: dict[str, int] = api().get("/plans/counts", params)["counts"]
    ended = {state.value for state in PLAN_ENDS}
    fitting = [f"{number} {state}" for state, number in counts.items() if (state in ended) == (action == "retry")]
    return plain(", ".join(fitting)) or "none"


@command(plan, "bulk")
def plan_bulk(
    action: Action,
    ids: Named = None,
    state: State = None,
    project: list[str] | None = None,
    target: list[str] | None = None,
    actor: list[str] | None = None,
    label: Label = None,
    parent: list[str] | None = None,
    created_after: str = "",
    created_before: str = "",
    ended_after: str = "",
    ended_before: str = "",
    q: str = "",
    kill: Kill = False,
    reason: Reason = "",
    yes: Yes = False,
    wait: Wait = False,
    timeout: Timeout = None,
    output: Form = "table",
) -> None:
    """Pause, resume, cancel or retry many plans: those of a filter, or named ones."""
    params = {
        "state": state, "project": project, "target": target, "actor": actor, "label": label, "parent": parent,
        "created_after": created_after, "created_before": created_before, "ended_after": ended_after,
        "ended_before": ended_before, "q": q,
    }  # fmt: skip
    body = {"action": action, "ids": ids or [], "kill": kill, "reason": reason}
    if not yes and not ids and any(params.values()):
        echo(f"these match: {_matches(action, params)}")
    _request("/plans/bulk", "plans", params, body, Waiting(wait, timeout), yes, output)


@command(task, "bulk")
def task_bulk(
    action: TaskAction,
    ids: Named = None,
    plan: list[str] | None = None,
    state: State = None,
    engine: list[str] | None = None,
    why: Annotated[list[str] | None, typer.Option("--why", help="only what waits for this; repeatable")] = None,
    decision: Annotated[str, typer.Option("--decision", help="with resolve: adopt | retry | fail")] = "",
    kill: Kill = False,
    reason: Reason = "",
    yes: Yes = False,
    wait: Wait = False,
    timeout: Timeout = None,
    output: Form = "table",
) -> None:
    """Cancel or resolve many tasks: those of a filter, or named ones."""
    params = {"plan": plan, "state": state, "engine": engine, "why": why}
    body = {
        "action": action, "ids": ids or [], "kill": kill, "decision": decision or None, "reason": reason
    }  # fmt: skip
    _request("/tasks/bulk", "tasks", params, body, Waiting(wait, timeout), yes, output)


@command(bulk, "list")
def bulk_list(limit: Limit = 50, all: Everything = False, output: Form = "table") -> None:
    """List bulk operations, newest first."""
    found = api().pages("/bulk-operations", limit=inputs.row_limit(limit, all))
    rows(found, output, ENTRY, empty="no bulk operations: `signalbox plan bulk` and `signalbox task bulk` make them")


@command(bulk, "show")
def bulk_show(id: str, wait: Wait = False, timeout: Timeout = None, output: Form = "table") -> None:
    """Show a bulk operation and how many of its items are in each state."""
    if wait:
        _show_end(id, Waiting(wait, timeout), output)
    else:
        one(api().get(place("bulk-operations", id)), output, FIELDS)


@command(bulk, "items")
def bulk_items(
    id: str,
    state: Annotated[list[str] | None, typer.Option("--state", help=_ITEM_STATES)] = None,
    limit: Limit = 50,
    all: Everything = False,
    output: Form = "table",
) -> None:
    """List the plans or tasks of a bulk operation with their results."""
    found = api().pages(place("bulk-operations", id, "items"), {"state": state}, limit=inputs.row_limit(limit, all))
    rows(found, output, ITEMS, name="target", empty="no such items")


def _request(
    path: str, what: str, params: Params, body: dict[str, Any], waiting: Waiting, yes: bool, output: str
) -> None:
    inputs.sure(
        f"{body['action']} " + (f"{len(body['ids'])} {what}?" if body["ids"] else f"all {what} that match?"), yes
    )
    found = waiting.api().post(path, {name: value for name, value in body.items() if value is not None}, params=params)
    if waiting.wait:
        _show_end(found["id"], waiting, output)
        return
    one(found, output, FIELDS)
    if output == "table":
        echo(f"signalbox bulk items {found['id']}")


def _show_end(id: str, waiting: Waiting, output: str) -> None:
    """Wait until every item is answered; the exit code shows whether all were done."""
    found = watch.bulk_operation(api(), id, timeout=waiting.seconds)
    one(found, output, FIELDS)
    watch.bulk_ended_well(found)
