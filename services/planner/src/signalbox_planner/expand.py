"""What a request asks for, as items: a job with its templates rendered, or a list as it came. Pure."""

from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Any, Final, NamedTuple, cast
from uuid import UUID

from pydantic import TypeAdapter

from signalbox_contracts.definitions.params import InvalidParams, bind
from signalbox_contracts.definitions.template import InvalidTemplate, is_template, render, render_all
from signalbox_contracts.definitions.work import Work
from signalbox_contracts.messages.requests import PlanRequestData, RequestedItem, RunItems, RunJob
from signalbox_planner.lifecycle import PAGE_ITEMS, Frame
from signalbox_planner.store.items import Item

_WORK: Final[TypeAdapter[Any]] = TypeAdapter(Work)
MAX_PLAN_ITEMS: Final = 100_000
"""Most items of one plan."""


class RequestRefused(ValueError):
    """The request cannot be: the text names what, its value and what is allowed."""


def frame(data: PlanRequestData, asked_at: datetime, *, project: str | None) -> Frame:
    """What of the request stays as it is. The event date is yesterday's, in UTC, unless one was given.

    `project` is the one the request was made in; a job brings its own.
    """
    rules, what = data.rules, data.what
    common: dict[str, Any] = {
        "name": data.name, "origin": data.origin, "actor": data.actor, "reason": data.reason, "labels": data.labels,
        "parent": data.parent, "event_date": data.event_date or (asked_at - timedelta(days=1)).date(),
        "priority": rules.priority, "project": project or "default",
    }  # fmt: skip
    if isinstance(what, RunJob):
        job = what.job
        own = "priority" not in rules.model_fields_set
        common |= {
            "target": f"job:{job.id}", "target_version": job.version, "project": job.project, "params": what.params,
            "retries": job.retries, "time_limits": job.time_limits, "on_unknown": job.on_unknown,
            "stops_at_failure": True, "priority": job.priority if own else rules.priority,
        }  # fmt: skip
    elif isinstance(what, RunItems):
        common |= {"retries": what.retries, "time_limits": what.time_limits, "on_unknown": what.on_unknown}
    return Frame(**common)


def job_item(plan_id: UUID, what: RunJob, *, event_date: date, name: str, actor: str) -> tuple[Item, dict[str, Any]]:
    """The one item a job is, and the parameters it works with. Raises `RequestRefused`."""
    job = what.job
    if job.engine is None:
        raise RequestRefused(f"job {job.id} names no engine: set `engine` to a registered one")
    try:
        params = bind(job.params, what.params)
    except InvalidParams as error:
        raise RequestRefused(f"params: {error}") from None
    run = {"id": str(plan_id), "name": name, "actor": actor}
    values = {"params": params, "steps": {}, "event_date": event_date.isoformat(), "run": run}
    try:
        rendered = render_all(job.work.model_dump(mode="json", exclude_defaults=False), values)
        work = _WORK.validate_python(rendered)
    except InvalidTemplate as error:
        raise RequestRefused(f"work of job {job.id}: {error}") from None
    except ValueError as error:
        raise RequestRefused(f"work of job {job.id}, rendered, is not allowed: {str(error)[:500]}") from None
    return Item(plan_id, 0, str(job.id), str(job.engine), work.model_dump_json()), params


def check_page(data: PlanRequestData, *, pages: int, items: int) -> None:
    """Refuse (`RequestRefused`) a page that does not fit the plan of so many pages that has so many items already."""
    if data.pages != pages:
        raise RequestRefused(
            f"pages: page {data.page} says {data.pages}, an earlier one said {pages}: "
            "all pages of a request say the same"
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
        items.append(Item(plan_id, first + number, item.key, item.engine, work))
    return items


class _Run(NamedTuple):
    """What a template of a list can say; a list has no parameters."""

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
    """Rendering takes most of a millisecond, and the items of a list mostly have the same templates."""
    said = {"id": run.id, "name": run.name, "actor": run.actor}
    return render(text, {"params": {}, "steps": {}, "event_date": run.event_date, "run": said})
