"""Expands requests into items: a job with its templates rendered, or a list. Pure."""

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any, Final, NamedTuple, cast
from uuid import UUID

from pydantic import JsonValue, TypeAdapter

from signalbox_contracts.definitions.params import InvalidParams, Param, bind
from signalbox_contracts.definitions.template import InvalidTemplate, is_template, render, render_all
from signalbox_contracts.definitions.work import Work
from signalbox_contracts.messages.requests import PlanRequestData, RequestedItem, RunItems, RunJob, RunPipeline
from signalbox_planner.graph import Graph
from signalbox_planner.plan import PAGE_ITEMS, Item, PlanSpec
from signalbox_planner.render import oversize
from signalbox_planner.rerun import combination_text

_WORK: Final[TypeAdapter[Any]] = TypeAdapter(Work)
MAX_PLAN_ITEMS: Final = 100_000
"""How many items one plan may have."""


class RequestRefused(ValueError):
    """The request cannot be: the text names what, its value and what is allowed."""


def plan_spec(data: PlanRequestData, requested_at: datetime, *, project: str | None) -> PlanSpec:
    """The spec of a request's plan. The event date is yesterday in UTC unless the request names one.

    `project` is the one the request was made in; a definition brings its own.
    """
    rules, day = data.rules, data.event_date
    if day is None:
        day = (requested_at.astimezone(UTC) - timedelta(days=1)).date()
    common: dict[str, Any] = {
        "name": data.name, "origin": data.origin, "actor": data.actor, "reason": data.reason, "labels": data.labels,
        "parent": data.parent, "event_date": day,
        "priority": rules.priority, "project": project or "default",
    }  # fmt: skip
    own = _SPECS[data.what.kind](data.what, data) if data.what is not None and data.what.kind in _SPECS else {}
    return PlanSpec(**common | own)


def _job_spec(what: RunJob, data: PlanRequestData) -> dict[str, Any]:
    job = what.job
    priority = data.rules.priority if "priority" in data.rules.model_fields_set else job.priority
    return {
        "target": f"job:{job.id}", "target_version": job.version, "project": job.project, "params": what.params,
        "retries": job.retries, "time_limits": job.time_limits, "on_unknown": job.on_unknown,
        "fails_with_item": True, "priority": priority,
    }  # fmt: skip


def _list_spec(what: RunItems, data: PlanRequestData) -> dict[str, Any]:
    return {"retries": what.retries, "time_limits": what.time_limits, "on_unknown": what.on_unknown}


def _pipeline_spec(what: RunPipeline, data: PlanRequestData) -> dict[str, Any]:
    pipeline = what.pipeline
    return {
        "target": f"pipeline:{pipeline.id}", "target_version": pipeline.version, "project": pipeline.project,
        "params": what.params, "time_limit_seconds": pipeline.time_limit_seconds,
    }  # fmt: skip


_SPECS: Final[dict[str, Callable[[Any, PlanRequestData], dict[str, Any]]]] = {
    "job": _job_spec,
    "items": _list_spec,
    "pipeline": _pipeline_spec,
}
"""What each kind of request adds to the spec of its plan."""


def job_item(plan_id: UUID, what: RunJob, *, event_date: date, name: str, actor: str) -> tuple[Item, dict[str, Any]]:
    """The one item a job is, and the parameters it works with. Raises `RequestRefused`."""
    job = what.job
    if job.engine is None:
        raise RequestRefused(f"job {job.id} names no engine: set `engine` to a registered one")
    params = bind_params(job.params, what.params)
    run = {"id": str(plan_id), "name": name, "actor": actor}
    values = {"params": params, "steps": {}, "event_date": event_date.isoformat(), "run": run}
    try:
        rendered = render_all(job.work.model_dump(mode="json", exclude_defaults=False), values)
        work = _WORK.validate_python(rendered)
    except InvalidTemplate as error:
        raise RequestRefused(f"work of job {job.id}: {error}") from None
    except ValueError as error:
        raise RequestRefused(f"work of job {job.id}, rendered, is not allowed: {str(error)[:500]}") from None
    text = work.model_dump_json()
    if too_large := oversize(text, params):
        raise RequestRefused(f"work of job {job.id} {too_large}")
    return Item(plan_id, 0, str(job.id), str(job.engine), text), params


def bind_params(declared: Mapping[str, Param], values: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """The values a run works with. Raises `RequestRefused`."""
    try:
        return bind(declared, values)
    except InvalidParams as error:
        raise RequestRefused(f"params: {error}") from None


def pipeline_items(plan_id: UUID, graph: Graph, taken_over: Mapping[int, tuple[str, str]]) -> list[Item]:
    """The items of a pipeline. Their work is rendered when they are sent. Raises `RequestRefused`."""
    if nameless := [step.step.id for step in graph.steps if step.step.engine is None]:
        raise RequestRefused(f"step {nameless[0]!r} names no engine: set `engine` to a registered one")
    items: list[Item] = []
    for step in graph.steps:
        for position in range(step.first, step.end):
            state, reason = taken_over.get(position, (None, None))
            item = Item(plan_id, position, step.key(position), str(step.step.engine), "", state, step.index)
            items.append(item._replace(combination=combination_text(step, position), reason=reason))
    return items


def check_page(data: PlanRequestData, *, pages: int, items: int) -> None:
    """Refuse (`RequestRefused`) a page that does not fit the plan of so many pages that has so many items already."""
    if data.pages != pages:
        raise RequestRefused(
            f"pages: page {data.page} has {data.pages}, an earlier one {pages}: "
            "every page of a request names the same number"
        )
    if items + len(data.items) > MAX_PLAN_ITEMS:
        raise RequestRefused(
            f"items: with page {data.page} there are {items + len(data.items)}: at most {MAX_PLAN_ITEMS} are allowed"
        )


def page_items(
    plan_id: UUID, page: int, requested: tuple[RequestedItem, ...], *, event_date: date, name: str, actor: str
) -> list[Item]:
    """The items of one page of a list, rendered where they have templates. Raises `RequestRefused`."""
    first = (page - 1) * PAGE_ITEMS
    items: list[Item] = []
    for number, item in enumerate(requested):
        if item.engine is None:
            raise RequestRefused(f"item {item.key!r} names no engine: set `engine` to a registered one")
        if item.depends_on:
            raise RequestRefused(
                f"item {item.key!r} depends on others: items of a list are independent; use a pipeline for an order"
            )
        work = item.work.model_dump_json()
        if is_template(work):
            run = _Run(str(plan_id), name, actor, event_date.isoformat())
            work = _rendered_work(item, run)
        if too_large := oversize(work, {}):
            raise RequestRefused(f"work of item {item.key!r} {too_large}")
        items.append(Item(plan_id, first + number, item.key, item.engine, work))
    return items


class _Run(NamedTuple):
    """The values of a template in a list; a list has no parameters."""

    id: str
    name: str
    actor: str
    event_date: str


def _rendered_work(item: RequestedItem, run: _Run) -> str:
    try:
        rendered = _rendered(item.work.model_dump(mode="json", exclude_defaults=False), run)
        return _WORK.validate_python(rendered).model_dump_json()
    except InvalidTemplate as error:
        raise RequestRefused(f"work of item {item.key!r}: {error}") from None
    except ValueError as error:
        raise RequestRefused(f"work of item {item.key!r}, rendered, is not allowed: {str(error)[:500]}") from None


def _rendered(value: Any, run: _Run) -> Any:
    if isinstance(value, str):
        return _text(value, run) if is_template(value) else value
    if isinstance(value, dict):
        return {key: _rendered(part, run) for key, part in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [_rendered(part, run) for part in cast("list[Any]", value)]
    return value


@lru_cache(maxsize=512)
def _text(text: str, run: _Run) -> str:
    """Rendering takes about a millisecond, and the items of a list usually share their templates."""
    names = {"id": run.id, "name": run.name, "actor": run.actor}
    return render(text, {"params": {}, "steps": {}, "event_date": run.event_date, "run": names})
