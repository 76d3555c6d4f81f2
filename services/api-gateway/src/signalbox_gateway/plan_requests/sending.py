"""Writes a plan's first row and sends its request, in pages, in one transaction."""

from collections.abc import Iterable
from typing import Any, Final
from uuid import UUID, uuid4

from signalbox_chassis.persistence.database import UnitOfWork
from signalbox_contracts.definitions.job import Job
from signalbox_contracts.ids import plan_id_from_key
from signalbox_contracts.messages.plans import PlanRecord
from signalbox_contracts.messages.requests import PlanRequest, PlanRequestData, RequestedItem, RunItems, RunJob
from signalbox_contracts.states import PlanState
from signalbox_gateway.definitions import checks
from signalbox_gateway.definitions.publish import SOURCE
from signalbox_gateway.http.access import Principal
from signalbox_gateway.http.dependencies import Dependencies
from signalbox_gateway.http.problems import Problem
from signalbox_gateway.http.traces import current_trace_id
from signalbox_gateway.plan_requests.schema import JobStart, PlanFields, PlanStart
from signalbox_gateway.plan_requests.validation import CheckedItems, check_engines, check_params
from signalbox_gateway.read_model import queries, writes

FLUSHED_PAGES: Final = 4
"""Pages of up to 256 KiB written by one statement."""


def plan_id(principal: Principal, key: str | None) -> UUID:
    """The id of the plan a call makes: with a key always the same."""
    return plan_id_from_key(principal.name, key) if key else uuid4()


async def start_job(
    work: UnitOfWork,
    deps: Dependencies,
    principal: Principal,
    id: UUID,
    job: Job,
    options: JobStart,
    *,
    name: str | None = None,
    parent: UUID | None = None,
) -> dict[str, Any]:
    """Start one job; the plan as the API shows it. `parent` is the plan this one repeats."""
    check_params(job, options.params)
    engine = await checks.engine_for(work.connection, job)
    revision = engine.revision
    placed = job.model_copy(update={"engine": engine.definition.id})
    data = plan_request(
        id, principal, options, name=name or job.name, what=RunJob(job=placed, params=options.params), revision=revision
    ).model_copy(update={"parent": parent})
    record = first_record(
        data, deps.clock.now(), total=1, target=f"job:{job.id}", target_version=job.version, project=job.project,
        parent=parent,
    )  # fmt: skip
    return await send(work, deps, record, [data])


async def start_items(
    work: UnitOfWork,
    deps: Dependencies,
    principal: Principal,
    id: UUID,
    options: PlanFields,
    items: CheckedItems,
) -> dict[str, Any]:
    """Start a list of items, checked by `read_items`; their texts are given up page by page."""
    revision = await check_engines(work.connection, items)
    what = RunItems(retries=options.retries, time_limits=options.time_limits, on_unknown=options.on_unknown)
    pages, total = len(items.pages), len(items.keys)
    name = (options.name or (next(iter(items.keys)) if total == 1 else f"{total} items"))[:200]
    record = first_record(
        plan_request(id, principal, options, name=name, revision=revision, what=what), deps.clock.now(), total=total
    )
    pieces = (
        plan_request(
            id, principal, options, name=name, page=number, pages=pages, items=page, revision=revision,
            what=what if number == pages else None,
        )
        for number, page in enumerate(items.read_pages(), 1)
    )  # fmt: skip
    return await send(work, deps, record, pieces)


def plan_request(
    id: UUID, principal: Principal, options: PlanStart, *, name: str, revision: int, what: Any,
    page: int = 1, pages: int = 1, items: Iterable[RequestedItem] = (),
) -> PlanRequestData:  # fmt: skip
    """Not validated again: every part was."""
    return PlanRequestData.model_construct(
        plan_id=id, page=page, pages=pages, name=name, actor=principal.actor, reason=options.reason,
        definitions_revision=revision, what=what, items=tuple(items), rules=options.rules,
        event_date=options.event_date, labels=options.labels,
    )  # fmt: skip


def first_record(data: PlanRequestData, now: Any, *, total: int, **more: Any) -> PlanRecord:
    """The plan before the planner has published it: version 0."""
    return PlanRecord(
        plan_id=data.plan_id, version=0, state=PlanState.ACCEPTED, name=data.name, actor=data.actor,
        labels=data.labels, event_date=data.event_date, counts={"total": total, "waiting": total}, rules=data.rules,  # pyright: ignore[reportArgumentType]
        reason=data.reason, created_at=now, **more,
    )  # fmt: skip


async def accept(work: UnitOfWork, record: PlanRecord) -> dict[str, Any]:
    """Write a plan's first row; the plan as the API shows it.

    Refuses a key whose answer is forgotten while its plan is not: nothing starts twice.
    """
    row = await writes.accept_plan(work.connection, record, trace_id=current_trace_id())
    if row is None:
        raise Problem("idempotency-key-reused", f"this key made plan {record.plan_id} long ago: take a fresh one")
    return queries.accepted(row)


async def send(
    work: UnitOfWork, deps: Dependencies, record: PlanRecord, pieces: Iterable[PlanRequestData]
) -> dict[str, Any]:
    """Write the plan's first row and publish its request, page by page.

    Pages are written as they are made: PostgreSQL ends a session that does nothing in a transaction for 10 s, and one
    statement of 60 MiB takes a busy machine longer than a statement may.
    """
    shown = await accept(work, record)
    for number, data in enumerate(pieces, 1):
        work.publish(
            PlanRequest.of(
                data, subject=data.plan_id, source=SOURCE, time=record.created_at, aggregateversion=0,
                project=record.project,
            )
        )  # fmt: skip
        if number % FLUSHED_PAGES == 0:
            await work.flush()
    return shown
