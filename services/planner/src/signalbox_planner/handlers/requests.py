"""Requests: their pages are stored, and the plan starts when none is missing. `EXPANSIONS` has one entry a kind."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby
from typing import Final

from signalbox_chassis.messaging.received import Received
from signalbox_chassis.messaging.router import Router
from signalbox_chassis.persistence.database import UnitOfWork
from signalbox_contracts.messages.requests import (
    PlanRequest,
    PlanRequestData,
    RetryFailures,
    RunJob,
    RunPipeline,
    RunSelection,
)
from signalbox_contracts.states import PlanState
from signalbox_planner import expand, lifecycle, previews
from signalbox_planner.carrier import save_changes
from signalbox_planner.dispatch import Dispatcher
from signalbox_planner.expand import RequestRefused
from signalbox_planner.pipelines import start_pipeline
from signalbox_planner.plan import Intake, Plan, RulesSync
from signalbox_planner.retries import copy_failures
from signalbox_planner.store import items, plans
from signalbox_planner.store.items import DuplicateKey


@dataclass(frozen=True)
class Expanding:
    """What an expansion works with, besides the plan and the request."""

    work: UnitOfWork
    dispatcher: Dispatcher
    now: datetime


Expand = Callable[[Expanding, Plan, PlanRequestData], Awaitable[Plan]]
"""Stores the items of a request and starts its plan, or raises `RequestRefused`."""


def register(router: Router, dispatcher: Dispatcher) -> None:
    """The handler of `plan.request`."""

    @router.on(PlanRequest)
    async def request(work: UnitOfWork, events: Sequence[Received[PlanRequest]]) -> None:
        in_order = sorted(events, key=lambda received: (received.event.data.plan_id, received.event.data.page))
        ids = [received.event.data.plan_id for received in in_order]
        known, now, first_version = await plans.locked_now(work.connection, ids)
        expanding = Expanding(work, dispatcher, now)
        changed: list[Plan] = []
        for plan_id, group in groupby(in_order, key=lambda received: received.event.data.plan_id):
            pages = list(group)
            plan = known.get(plan_id) or _new_plan(pages, now, first_version)
            if not (plan.started or plan.ended or plan.intake.copy_position is not None):
                changed.append(await _take(expanding, plan, pages))
        await save_changes(work, changed, now, new={plan.id for plan in changed} - known.keys())


async def _take(expanding: Expanding, plan: Plan, pages: list[Received[PlanRequest]]) -> Plan:
    """Take in these pages of one request. What cannot be fulfilled is refused with its reason."""
    last = next((page.event for page in pages if page.event.data.what is not None), None)
    if last is None or last.data.what is None:
        return await _take_pages(expanding, plan, pages)
    kind = last.data.what.kind
    try:
        if last.data.preview and kind != "selection":
            raise RequestRefused(f"preview: {kind!r} needs none, the request itself says what will run")
        if kind == "items":
            spec = expand.plan_spec(last.data, last.time, project=last.project)
            if last.data.event_date is None:  # items may already be rendered with the date of the first page
                spec = spec.model_copy(update={"event_date": plan.spec.event_date})
            return await _take_pages(expanding, replace(plan, spec=spec), pages)
    except (RequestRefused, DuplicateKey) as error:
        return lifecycle.refuse(plan, expanding.now, str(error))
    return await expand_request(expanding, plan, last.data)


async def expand_request(expanding: Expanding, plan: Plan, data: PlanRequestData) -> Plan:
    """Store the items of a request that came in one message and start its plan, or refuse it with the reason."""
    assert data.what is not None
    kind = data.what.kind
    try:
        if kind not in EXPANSIONS:
            raise RequestRefused(f"what.kind {kind!r} cannot be run yet: items, {', '.join(EXPANSIONS)} can")
        return await EXPANSIONS[kind](expanding, plan, data)
    except (RequestRefused, DuplicateKey) as error:
        return lifecycle.refuse(plan, expanding.now, str(error))


async def _take_pages(expanding: Expanding, plan: Plan, pages: list[Received[PlanRequest]]) -> Plan:
    """Store the pages that are new, and start the plan when none is missing."""
    connection = expanding.work.connection
    new = await items.take_pages(connection, plan.id, [page.event.data.page for page in pages])
    try:
        for page in pages:
            data = page.event.data
            expand.check_page(data, pages=plan.intake.pages, items=plan.counts.total if data.page in new else 0)
            if data.page in new:
                new.remove(data.page)
                rows = expand.page_items(
                    plan.id, data.page, data.items, event_date=plan.spec.event_date, name=data.name, actor=data.actor
                )
                await items.store(connection, rows)
                plan = lifecycle.store_page(plan, data.page, rows)
    except (RequestRefused, DuplicateKey) as error:
        return lifecycle.refuse(plan, expanding.now, str(error))
    if plan.intake.pages_seen < plan.intake.pages:
        return plan
    return await expanding.dispatcher.start(expanding.work, plan, expanding.now)


async def _run_job(expanding: Expanding, plan: Plan, data: PlanRequestData) -> Plan:
    assert isinstance(data.what, RunJob)
    item, params = expand.job_item(
        plan.id, data.what, event_date=plan.spec.event_date, name=data.name, actor=data.actor
    )  # fmt: skip
    if params != plan.spec.params:  # defaults of the job were added
        plan = replace(plan, spec=plan.spec.model_copy(update={"params": params}))
    await items.store(expanding.work.connection, [item])
    stored = lifecycle.store_page(plan, 1, [item])
    return await expanding.dispatcher.start(expanding.work, stored, expanding.now, unsent=[item])


async def _retry_failures(expanding: Expanding, plan: Plan, data: PlanRequestData) -> Plan:
    assert isinstance(data.what, RetryFailures)
    return await copy_failures(expanding.work, expanding.dispatcher, plan, data.what.parent, (), expanding.now)


async def _run_pipeline(expanding: Expanding, plan: Plan, data: PlanRequestData) -> Plan:
    assert isinstance(data.what, RunPipeline)
    return await start_pipeline(expanding.work, expanding.dispatcher, plan, data.what, expanding.now)


async def _run_selection(expanding: Expanding, plan: Plan, data: PlanRequestData) -> Plan:
    assert isinstance(data.what, RunSelection)
    if plan.state is not PlanState.ACCEPTED:
        return plan  # a repeated request
    return await previews.request(expanding.work, plan, data.what, expanding.now, preview=data.preview)


EXPANSIONS: Final[Mapping[str, Expand]] = {
    "job": _run_job, "retry": _retry_failures, "pipeline": _run_pipeline, "selection": _run_selection,
}  # fmt: skip
"""From the kind of a request that comes whole to its expansion. Lists of items come in pages."""


def _new_plan(pages: list[Received[PlanRequest]], now: datetime, version: int) -> Plan:
    """The plan of a request's first messages. Its spec may still change with the last page."""
    first = pages[-1].event
    return new_plan(
        first.data, first.time, now, version, project=first.project, traceparent=pages[-1].trace.get("traceparent")
    )


def new_plan(
    data: PlanRequestData,
    requested_at: datetime,
    now: datetime,
    version: int,
    *,
    project: str | None,
    traceparent: str | None,
) -> Plan:
    """An accepted plan without items. Its facts are numbered from `version` on.

    It was created when it was requested: the gateway shows that instant, and orders its lists by it.
    """
    plan = Plan(
        id=data.plan_id, spec=expand.plan_spec(data, requested_at, project=project), created_at=requested_at,
        definitions_revision=data.definitions_revision, traceparent=traceparent,
        intake=Intake(pages=data.pages), rules=RulesSync(data.rules, version=version), version=version,
    )  # fmt: skip
    return lifecycle.accept(plan, now)
