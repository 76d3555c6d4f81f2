"""Writes a plan's first row and sends its request, in pages, in one transaction."""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Sequence
from typing import Any
from uuid import UUID, uuid4

from signalbox_chassis.persistence.database import UnitOfWork
from signalbox_contracts.definitions.job import Job
from signalbox_contracts.ids import plan_id_from_key
from signalbox_contracts.messages.plans import PlanRecord
from signalbox_contracts.messages.requests import PlanRequest, PlanRequestData, RequestedItem, RunItems, RunJob
from signalbox_contracts.pages import packed
from signalbox_contracts.states import PlanState
from signalbox_contracts.vocabulary import MAX_ITEMS
from signalbox_contracts.wire import MessageTooLarge
from signalbox_gateway.definitions import checks
from signalbox_gateway.definitions.publish import SOURCE
from signalbox_gateway.http.access import Principal
from signalbox_gateway.http.dependencies import Dependencies
from signalbox_gateway.http.problems import Problem, invalid
from signalbox_gateway.http.traces import current_trace_id
from signalbox_gateway.plan_requests.schema import JobStart, PlanFields, PlanStart
from signalbox_gateway.plan_requests.validation import BATCH_ITEMS, check_engines, check_params
from signalbox_gateway.read_model import queries, writes


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
    items: Sequence[RequestedItem],
) -> dict[str, Any]:
    """Start a list of items, checked by `read_items`."""
    revision = await check_engines(work.connection, items)
    what = RunItems(retries=options.retries, time_limits=options.time_limits, on_unknown=options.on_unknown)
    pages = [page async for page in _pages(items)]
    name = options.name or (items[0].key if len(items) == 1 else f"{len(items)} items")
    pieces = [
        plan_request(
            id, principal, options, name=name[:200], page=number, pages=len(pages), items=page, revision=revision,
            what=what if number == len(pages) else None,
        )
        for number, page in enumerate(pages, 1)
    ]  # fmt: skip
    record = first_record(pieces[-1], deps.clock.now(), total=len(items))
    return await send(work, deps, record, pieces)


async def _pages(items: Sequence[RequestedItem]) -> AsyncGenerator[tuple[RequestedItem, ...]]:
    """Pages of at most 200 items and 256 KiB, made in parts so that others get their turn."""
    for at in range(0, len(items), BATCH_ITEMS):
        try:
            for page in packed(items[at : at + BATCH_ITEMS], max_items=MAX_ITEMS):
                yield page
        except MessageTooLarge as error:
            number = next(number for number, item in enumerate(items) if _size(item) >= error.size)
            raise invalid(f"items.{number}", None, f"has {error.size} bytes as JSON: too large for a message") from None
        await asyncio.sleep(0)


def _size(item: RequestedItem) -> int:
    return len(item.model_dump_json(exclude_none=True).encode()) + 1


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
    work: UnitOfWork, deps: Dependencies, record: PlanRecord, pieces: Sequence[PlanRequestData]
) -> dict[str, Any]:
    """Write the plan's first row and publish its request, page by page."""
    shown = await accept(work, record)
    for number, data in enumerate(pieces):
        work.publish(
            PlanRequest.of(
                data, subject=data.plan_id, source=SOURCE, time=record.created_at, aggregateversion=0,
                project=record.project,
            )
        )  # fmt: skip
        if number % 10 == 9:
            await asyncio.sleep(0)
    return shown
