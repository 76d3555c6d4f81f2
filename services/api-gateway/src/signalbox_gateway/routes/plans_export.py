"""In: plan_forecast, plan_export. Changes: nothing.

When a plan will end, and the plan as one file: every item with its decision, its task's state and what it cost.
"""

import csv
import io
import json
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import Depends, Query, Response
from fastapi.responses import StreamingResponse

from signalbox_chassis.persistence.connection import Connection
from signalbox_contracts.definitions.engine import Engine
from signalbox_contracts.states import PLAN_ENDS
from signalbox_gateway.definitions import store
from signalbox_gateway.forecast import Work, durations_of, forecast
from signalbox_gateway.http.access import permission
from signalbox_gateway.http.dependencies import Dependencies, Deps
from signalbox_gateway.http.prefix_router import PrefixRouter
from signalbox_gateway.http.problems import Problem
from signalbox_gateway.read_model import plan_durations, queries
from signalbox_gateway.read_model.queries import TaskFilter
from signalbox_gateway.routes import plan_answers
from signalbox_gateway.routes.params import answer, missing

router = PrefixRouter(prefix="/plans", tags=["plans"], dependencies=[Depends(permission("plan.read"))])
PAGE_ITEMS: Final = 500
COLUMNS: Final = (
    "position", "key", "decision", "reason", "engine", "task_id", "state", "attempt", "handle", "started_at",
    "ended_at", "error", "expected", "deletes", "owner_plan",
)  # fmt: skip
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
_ENDS: Final = frozenset(state.value for state in PLAN_ENDS)
_TEXT: Final[dict[str, Any]] = {"schema": {"type": "string"}}
_FORMS: Final[dict[str, Any]] = {
    "application/x-ndjson": {**_TEXT, "example": '{"position": 0, "key": "load", "state": "SUCCEEDED"}\n'},
    "text/csv": {**_TEXT, "example": "position,key,decision,reason\n0,load,run,\n"},
}
Form = Annotated[Literal["csv", "jsonl"], Query(description="Comma-separated values, or a JSON object a line.")]


@router.get("/{id}/forecast", operation_id="plan_forecast", response_model=plan_answers.PlanForecast)
async def plan_forecast(deps: Deps, id: UUID) -> Response:
    """When the plan will end, before and while it runs, and what would change that."""
    async with deps.database.connection() as connection:
        plan = await queries.plan(connection, id)
        if plan is None:
            raise missing("plan", id)
        if plan["state"] in _ENDS:
            raise Problem("conflict", f"plan {id} has ended: it is {plan['state']}")
        own = await plan_durations.own_seconds(connection, id)
        before = await plan_durations.earlier_seconds(connection, id)
        engine_limit = await _engine_limit(connection, id)
    durations = durations_of(own, before)
    counts, rules = plan["counts"], plan["rules"]
    work = Work(
        waiting=counts["waiting"], running=counts["active"] + counts["unknown"], limit=rules["limit"],
        engine_limit=engine_limit, starts_per_minute=rules["starts_per_minute"],
    )  # fmt: skip
    left = work.waiting + work.running
    shown = asdict(forecast(work, durations, deps.clock.now())) if durations is not None and left else None
    reason = (
        "" if shown else "nothing is left to run" if not left else "nothing is known yet of how long its items take"
    )
    return answer({"plan_id": str(id), "items_left": left, "forecast": shown, "reason": reason})


async def _engine_limit(connection: Connection, plan: UUID) -> int | None:
    """How many runs the plan's engines take at once, altogether; None where one has no limit."""
    names = await plan_durations.engines_of(connection, plan)
    known = await store.load_readable(connection, "engine", list(names))
    limits = [saved.definition.limits.concurrency for saved in known.values() if isinstance(saved.definition, Engine)]
    return sum(limits) if limits else None


@router.get(
    "/{id}/export", operation_id="plan_export", response_class=StreamingResponse,
    responses={200: {"content": _FORMS}},
)  # fmt: skip
async def plan_export(deps: Deps, id: UUID, form: Form = "jsonl") -> Response:
    """The complete plan as one file: one line per item, with its task."""
    async with deps.database.connection() as connection:
        if await queries.plan(connection, id) is None:
            raise missing("plan", id)
    media = "text/csv; charset=utf-8" if form == "csv" else "application/x-ndjson"
    headers = {"Content-Disposition": f'attachment; filename="plan-{id}.{form}"', "X-Content-Type-Options": "nosniff"}
    line = _csv_line if form == "csv" else _json_line
    return StreamingResponse(_lines(deps, id, line, form == "csv"), media_type=media, headers=headers)


async def _lines(
    deps: Dependencies, id: UUID, line: Callable[[Mapping[str, Any]], str], heading: bool
) -> AsyncGenerator[str]:
    if heading:
        yield _csv_line(dict(zip(COLUMNS, COLUMNS, strict=True)))
    position: Sequence[Any] | None = None
    while True:
        async with deps.database.connection() as connection:
            page = await queries.plan_items(connection, id, limit=PAGE_ITEMS, after=position)
            tasks = await queries.tasks(connection, TaskFilter(plan=[id]), limit=PAGE_ITEMS, after=position)
        by_id = {task["id"]: task for task in tasks.items}
        yield "".join(line({**_of_task(by_id.get(item["task_id"])), **_shown(item)}) for item in page.items)
        if page.next_after is None:
            return
        position = page.next_after


def _shown(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: item[name] for name in COLUMNS if name in item}


def _of_task(task: Mapping[str, Any] | None) -> dict[str, Any]:
    names = ("attempt", "handle", "started_at", "ended_at", "error")
    return {name: task.get(name) if task else None for name in names}


def _json_line(found: Mapping[str, Any]) -> str:
    return json.dumps({name: found.get(name) for name in COLUMNS}, separators=(",", ":")) + "\n"


def _csv_line(found: Mapping[str, Any]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow([_cell(found.get(name)) for name in COLUMNS])
    return text.getvalue()


def _cell(value: Any) -> str:
    """A value as text that no spreadsheet takes for a formula."""
    if value is None or value == []:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
    return f"'{text}" if isinstance(value, str) and text.startswith(_FORMULA) else text
