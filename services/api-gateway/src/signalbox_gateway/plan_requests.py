"""Starting plans: a request checked against the definitions, the plan's first row, the request's pages."""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Sequence
from datetime import date
from typing import Annotated, Any, Final, Self
from uuid import UUID, uuid4

from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter, model_validator

from signalbox_chassis.persistence.connection import Connection
from signalbox_chassis.persistence.database import UnitOfWork
from signalbox_contracts.definitions.definition import Labels, Params, Title
from signalbox_contracts.definitions.engine import Engine
from signalbox_contracts.definitions.job import Job
from signalbox_contracts.definitions.params import InvalidParams, bind
from signalbox_contracts.definitions.problems import Problem as FieldProblem
from signalbox_contracts.definitions.rules import OnUnknown, Retries, Rules, TimeLimits
from signalbox_contracts.ids import plan_id_from_key
from signalbox_contracts.messages.plans import PlanRecord
from signalbox_contracts.messages.requests import (
    EngineSelection,
    PlanRequest,
    PlanRequestData,
    RequestedItem,
    RunItems,
    RunJob,
)
from signalbox_contracts.pages import packed
from signalbox_contracts.states import PlanState
from signalbox_contracts.vocabulary import MAX_ITEMS, Name, Text
from signalbox_contracts.wire import MessageTooLarge
from signalbox_gateway.definitions import checks, store
from signalbox_gateway.definitions.publish import SOURCE
from signalbox_gateway.http.access import Principal
from signalbox_gateway.http.dependencies import Dependencies
from signalbox_gateway.http.problems import MAX_ERRORS, Problem, checked, invalid, invalid_all
from signalbox_gateway.http.traces import current_trace_id
from signalbox_gateway.read_model import queries, writes

MAX_PLAN_ITEMS: Final = 100_000
_AT_ONCE: Final = 2000
"""Items checked before other requests get their turn."""
_ITEMS: Final = TypeAdapter(list[RequestedItem])
Version = Annotated[int, Field(ge=1, le=2_147_483_647)]


class PlanStart(BaseModel):
    """What every start has in common."""

    model_config = ConfigDict(frozen=True)

    rules: Rules = Rules()
    event_date: date | None = None
    reason: Text = ""
    labels: Labels = Field(default_factory=dict)


class JobStart(PlanStart):
    """What a start may say beside the job."""

    params: Params = Field(default_factory=dict)
    version: Version | None = None
    from_savepoint: Annotated[str, Field(min_length=1, max_length=2048)] | None = None
    """Flink jobs: the path of the savepoint to go on from, or `latest` for the newest one of the job."""


class JobChoice(BaseModel):
    """A job, and which of its versions; the newest when none is said."""

    id: Name
    version: Version | None = None


class PlanCreate(PlanStart):
    """A plan of items, of one job, or of what selections find on engines."""

    name: Title | None = None
    job: JobChoice | None = None
    params: Params = Field(default_factory=dict)
    items: Annotated[list[Any], Field(min_length=1, max_length=MAX_PLAN_ITEMS)] | None = None
    """`{key, engine, work}` each; checked one by one afterwards, to name the wrong ones."""
    selections: Annotated[list[EngineSelection], Field(min_length=1, max_length=50)] | None = None
    """What is looked up on engines, and rerun."""
    preview: bool = False
    """Stop at PREVIEWED until somebody applies it. Of selections only."""
    retries: Retries = Retries()
    time_limits: TimeLimits = TimeLimits()
    on_unknown: OnUnknown | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if sum(part is not None for part in (self.job, self.items, self.selections)) != 1:
            raise ValueError("exactly one of items, job and selections is needed")
        if self.preview and self.selections is None:
            raise ValueError("preview: only selections can be previewed; items and a job say themselves what will run")
        return self


def plan_id(principal: Principal, key: str | None) -> UUID:
    """The id of the plan a call makes: with a key always the same."""
    return plan_id_from_key(principal.name, key) if key else uuid4()


async def start_job(
    work: UnitOfWork,
    deps: Dependencies,
    principal: Principal,
    id: UUID,
    job: Job,
    said: JobStart,
    *,
    name: str | None = None,
    parent: UUID | None = None,
) -> dict[str, Any]:
    """Start one job; the plan as the API shows it. `parent` is the plan this one repeats."""
    try:
        bind(job.params, said.params)
    except InvalidParams as error:
        lines = str(error).splitlines()
        raise invalid_all(
            [FieldProblem(f"params.{line.partition(' ')[0].rstrip(':')}", None, line) for line in lines]
        ) from None
    engine = await checks.engine_for(work.connection, job)
    revision = engine.revision
    whole = job.model_copy(update={"engine": engine.definition.id})
    data = plan_request(
        id, principal, said, name=name or job.name, what=RunJob(job=whole, params=said.params), revision=revision
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
    said: PlanCreate,
    items: Sequence[RequestedItem],
) -> dict[str, Any]:
    """Start a list of items, checked by `read_items`."""
    revision = await _check_engines(work.connection, items)
    what = RunItems(retries=said.retries, time_limits=said.time_limits, on_unknown=said.on_unknown)
    pages = [page async for page in _pages(items)]
    name = said.name or (items[0].key if len(items) == 1 else f"{len(items)} items")
    pieces = [
        plan_request(
            id, principal, said, name=name[:200], page=number, pages=len(pages), items=page, revision=revision,
            what=what if number == len(pages) else None,
        )
        for number, page in enumerate(pages, 1)
    ]  # fmt: skip
    record = first_record(pieces[-1], deps.clock.now(), total=len(items))
    return await send(work, deps, record, pieces)


async def read_items(written: Sequence[JsonValue]) -> list[RequestedItem]:
    """The items as values. Every wrong one is named, up to a hundred; other requests get their turn meanwhile."""
    found: list[RequestedItem] = []
    keys: dict[str, int] = {}
    for at in range(0, len(written), _AT_ONCE):
        part = written[at : at + _AT_ONCE]
        try:
            found += checked(_ITEMS, part)
        except Problem as problem:
            raise invalid_all([_placed(one, at) for one in problem.errors]) from None
        await asyncio.sleep(0)
    wrong: list[FieldProblem] = []
    for number, item in enumerate(found):
        first = keys.setdefault(item.key, number)
        if first != number:
            wrong.append(FieldProblem(f"items.{number}.key", repr(item.key)[:100], f"is used by items.{first} already"))
        if item.depends_on:
            words = "items of a list are independent: use a pipeline for an order"
            wrong.append(FieldProblem(f"items.{number}.depends_on", None, words))
        if item.engine is None:
            wrong.append(FieldProblem(f"items.{number}.engine", None, "an engine is needed"))
    if wrong:
        raise invalid_all(wrong[:MAX_ERRORS])
    return found


def _placed(one: FieldProblem, at: int) -> FieldProblem:
    number, _, rest = one.field.partition(".")
    place = f"items.{int(number) + at}" if number.isdigit() else f"items.{number}"
    return FieldProblem(f"{place}.{rest}" if rest else place, one.value, one.allowed)


async def _check_engines(connection: Connection, items: Sequence[RequestedItem]) -> int:
    """The newest revision among the engines of these items; refuses unknown ones and those of another kind."""
    wanted = {item.engine for item in items if item.engine}
    known = await store.load_all(connection, "engine", sorted(wanted))
    wrong: list[FieldProblem] = []
    for number, item in enumerate(items):
        saved = known.get(item.engine or "")
        if saved is None:
            words = f"is not an engine: {await _engine_words(connection)}" if not wrong else "is not an engine"
            wrong.append(FieldProblem(f"items.{number}.engine", repr(item.engine), words))
        elif (kind := _kind(saved.definition)) != item.work.kind:
            words = f"engine {item.engine} runs {kind}, not {item.work.kind}"
            wrong.append(FieldProblem(f"items.{number}.work.kind", repr(item.work.kind), words))
        if len(wrong) >= MAX_ERRORS:
            break
    if wrong:
        raise invalid_all(wrong)
    return max(saved.revision for saved in known.values())


def _kind(definition: Any) -> str:
    return definition.connection.kind if isinstance(definition, Engine) else ""


async def _engine_words(connection: Connection) -> str:
    known = [one.definition.id for one in await store.list_definitions(connection, "engine", limit=20)]
    return f"allowed are {', '.join(known)}" if known else "none is registered yet"


async def _pages(items: Sequence[RequestedItem]) -> AsyncGenerator[tuple[RequestedItem, ...]]:
    """Pages of at most 200 items and 256 KiB, made in parts so that others get their turn."""
    for at in range(0, len(items), _AT_ONCE):
        try:
            for page in packed(items[at : at + _AT_ONCE], max_items=MAX_ITEMS):
                yield page
        except MessageTooLarge as error:
            number = next(number for number, item in enumerate(items) if _size(item) >= error.size)
            raise invalid(f"items.{number}", None, f"has {error.size} bytes as JSON: too large for a message") from None
        await asyncio.sleep(0)


def _size(item: RequestedItem) -> int:
    return len(item.model_dump_json(exclude_none=True).encode()) + 1


def plan_request(
    id: UUID, principal: Principal, said: PlanStart, *, name: str, revision: int, what: Any, page: int = 1,
    pages: int = 1, items: Iterable[RequestedItem] = (),
) -> PlanRequestData:  # fmt: skip
    """Not validated again: every part was."""
    return PlanRequestData.model_construct(
        plan_id=id, page=page, pages=pages, name=name, actor=principal.actor, reason=said.reason,
        definitions_revision=revision, what=what, items=tuple(items), rules=said.rules, event_date=said.event_date,
        labels=said.labels,
    )  # fmt: skip


def first_record(data: PlanRequestData, now: Any, *, total: int, **more: Any) -> PlanRecord:
    """The plan before the planner has said anything: version 0."""
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
                data, subject=data.plan_id, source=SOURCE, time=deps.clock.now(), aggregateversion=0,
                project=record.project,
            )
        )  # fmt: skip
        if number % 10 == 9:
            await asyncio.sleep(0)
    return shown
