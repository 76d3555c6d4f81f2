"""In: schedule_preview, schedule_next, schedule_ticks, schedule_pause, schedule_resume, schedule_run,
schedule_backfill. Changes: definition, plan. Out: definition.snapshot, plan.request, schedule.backfill.
"""

from collections.abc import Iterator
from contextlib import suppress
from datetime import date, datetime, timedelta
from itertools import islice
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Depends, Query, Request, Response
from pydantic import BaseModel, Field, JsonValue

from signalbox_chassis.persistence.database import UnitOfWork
from signalbox_contracts.definitions import cron
from signalbox_contracts.definitions.job import Job
from signalbox_contracts.definitions.schedule import Overlap, Schedule
from signalbox_contracts.messages.operations import ScheduleBackfill
from signalbox_contracts.vocabulary import Date, Instant, Text
from signalbox_gateway import operations, plan_requests
from signalbox_gateway.definitions import store
from signalbox_gateway.definitions.kinds import KINDS
from signalbox_gateway.http.access import Principal, permission
from signalbox_gateway.http.bodies import body, body_of
from signalbox_gateway.http.dependencies import Dependencies, Deps
from signalbox_gateway.http.etags import etag
from signalbox_gateway.http.idempotency import Answer, idempotency_key, write
from signalbox_gateway.http.openapi import IF_MATCH, UNREADABLE
from signalbox_gateway.http.prefix_router import PrefixRouter
from signalbox_gateway.http.problems import built, invalid
from signalbox_gateway.pipeline_requests import PipelineStart, start_pipeline
from signalbox_gateway.read_model import cursor as cursors
from signalbox_gateway.read_model import queries, starts
from signalbox_gateway.routes import answers
from signalbox_gateway.routes.answers import AnswerModel
from signalbox_gateway.routes.definitions import find, load, load_for_change, load_version, show
from signalbox_gateway.routes.params import Cursor, Limit, after, answer

router = PrefixRouter(prefix="/schedules", tags=["schedules"])
Reader = Depends(permission("schedule.read"))
Writer = Annotated[Principal, Depends(permission("schedule.write"))]
Starter = Annotated[Principal, Depends(permission("plan.start"))]
MAX_BACKFILL_TICKS = 10_000
MAX_AGAIN = 5000
ENDED_BADLY = frozenset({"FAILED", "COMPLETED_WITH_ERRORS", "CANCELLED", "REFUSED"})


class CronRule(BaseModel):
    """A rule to look at before it is saved."""

    cron: Annotated[str, Field(min_length=1, max_length=255)]
    zone: Annotated[str, Field(max_length=64)] = "UTC"
    count: Annotated[int, Field(ge=1, le=100)] = 10


class CronPreview(AnswerModel):
    """What a rule means: in words, and the next instants at which it is due."""

    words: str
    next: list[Instant]


class NextTicks(AnswerModel):
    """The next instants at which a schedule is due, with the event date each of them means."""

    words: str
    ticks: list["NextTick"]


class NextTick(AnswerModel):
    """One instant to come."""

    due_at: Instant
    event_date: date


class TickAnswer(AnswerModel):
    """One tick: FIRED with its plan, or SKIPPED with the reason."""

    tick_id: UUID
    due_at: Instant
    event_date: date
    outcome: Literal["FIRED", "SKIPPED"]
    cause: str
    detail: str
    plan_id: UUID | None
    plan_state: str | None


class TickPage(AnswerModel):
    """Ticks, the newest first."""

    items: list[TickAnswer]
    next_cursor: str | None


class ScheduleNote(BaseModel):
    """Why it is done; kept as the schedule's note."""

    reason: Text = ""


class ScheduleRun(BaseModel):
    """A run of what the schedule starts, now and beside its ticks."""

    event_date: Date | None = None
    params: dict[str, JsonValue] = Field(default_factory=dict)
    reason: Text = ""


class BackfillRequest(BaseModel):
    """The range whose ticks fire. With `preview`, nothing fires."""

    from_at: Instant
    until_at: Instant
    overlap: Overlap = "queue"
    order: Literal["oldest", "newest"] = "oldest"
    """Which ticks fire first."""
    concurrency: Annotated[int, Field(ge=1, le=100)] = 1
    """How many of its plans run at once, with the overlap policy `queue`."""
    at_most: Annotated[int, Field(ge=1, le=MAX_BACKFILL_TICKS)] = 1000
    only: Literal["missing", "failed", "all"] = "missing"
    """`missing`: what has not fired; `failed`: what fired and whose plan ended badly; `all`: everything, again too."""
    preview: bool = False
    reason: Text = ""


class BackfillTick(AnswerModel):
    """What a backfill would do with one instant."""

    due_at: Instant
    event_date: date
    decision: Literal["fire", "fire again", "fired before", "never fired"]


class BackfillPreview(AnswerModel):
    """What a backfill would fire."""

    fires: int
    fired_before: int
    """Ticks that fired before and are left as they are."""
    ticks: list[BackfillTick]


@router.post(
    "/preview", operation_id="schedule_preview", response_model=CronPreview,
    dependencies=[Depends(permission("schedule.preview"))],
    openapi_extra=body(CronRule),
)  # fmt: skip
async def schedule_preview(request: Request, deps: Deps) -> Response:
    """Describe a cron rule in words and list its next instants. Nothing is saved."""
    rule = await body_of(request, CronRule)
    try:
        zone = cron.zone(rule.zone)
        found = list(islice(cron.ticks(rule.cron, deps.clock.now(), zone), rule.count))
    except cron.InvalidZone as error:
        raise invalid("zone", rule.zone, str(error)) from None
    except cron.InvalidCron as error:
        raise invalid("cron", rule.cron, str(error)) from None
    return answer({"words": cron.describe(rule.cron, rule.zone), "next": found})


@router.get(
    "/{id}/next", operation_id="schedule_next", response_model=NextTicks, dependencies=[Reader], responses=UNREADABLE
)  # fmt: skip
async def schedule_next(
    id: str, deps: Deps, count: Annotated[int, Query(ge=1, le=100, description="How many.")] = 10
) -> Response:
    """The next instants at which a schedule is due. A paused one lists them too: they will be skipped."""
    async with deps.database.connection() as connection:
        schedule = (await load(connection, KINDS["schedule"], id)).definition
    assert isinstance(schedule, Schedule)
    items = next_ticks(schedule, deps.clock.now(), count)
    return answer({"words": cron.describe(schedule.cron, schedule.zone), "ticks": items})


@router.get("/{id}/ticks", operation_id="schedule_ticks", response_model=TickPage, dependencies=[Reader])
async def schedule_ticks(
    id: str,
    deps: Deps,
    outcome: Annotated[Literal["FIRED", "SKIPPED"] | None, Query(description="Only these.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """Past ticks of a schedule, newest first, with the plan or the reason why nothing started."""
    start = after("ticks", cursor)
    async with deps.database.connection() as connection:
        await find(connection, KINDS["schedule"], id)
        found = await starts.ticks(connection, id, outcome=outcome, limit=limit, after=start)
    return answer({"items": found.items, "next_cursor": cursors.encode("ticks", found.next_after)})


@router.post(
    "/{id}/pause", operation_id="schedule_pause", response_model=answers.DEFINITIONS["schedule"][0],
    openapi_extra={**body(ScheduleNote), **IF_MATCH},
)  # fmt: skip
async def schedule_pause(id: str, request: Request, deps: Deps, principal: Writer) -> Response:
    """Skip every tick from now on, and record each with the reason."""
    return await _set_paused(request, deps, principal, id, paused=True)


@router.post(
    "/{id}/resume", operation_id="schedule_resume", response_model=answers.DEFINITIONS["schedule"][0],
    openapi_extra={**body(ScheduleNote), **IF_MATCH},
)  # fmt: skip
async def schedule_resume(id: str, request: Request, deps: Deps, principal: Writer) -> Response:
    """Resume the schedule, from its next tick on."""
    return await _set_paused(request, deps, principal, id, paused=False)


@router.post(
    "/{id}/run", operation_id="schedule_run", response_model=answers.Plan, status_code=202,
    openapi_extra=body(ScheduleRun),
)  # fmt: skip
async def schedule_run(id: str, request: Request, deps: Deps, principal: Starter) -> Response:
    """Start the schedule's target now, independent of its ticks and its overlap policy."""
    wanted = await body_of(request, ScheduleRun)
    plan_id = plan_requests.plan_id(principal, idempotency_key(request))

    async def act(work: UnitOfWork) -> Answer:
        schedule = (await load(work.connection, KINDS["schedule"], id)).definition
        assert isinstance(schedule, Schedule)
        start = {
            "params": {**schedule.params, **wanted.params}, "reason": wanted.reason,
            "labels": {**schedule.labels, "schedule": schedule.id},
            "event_date": wanted.event_date or schedule.event_date.of(deps.clock.now()),
        }  # fmt: skip
        target = schedule.target
        definition = await load_version(work.connection, KINDS[target.kind], target.id, target.version)
        shown = await _start(work, deps, principal, plan_id, definition, start)
        return Answer(shown, 202, {"Location": f"/api/v1/plans/{plan_id}"})

    return await write(request, deps, principal, act)


@router.post(
    "/{id}/backfill", operation_id="schedule_backfill", response_model=answers.Operation,
    status_code=202, openapi_extra=body(BackfillRequest), responses={200: {"model": BackfillPreview}},
)  # fmt: skip
async def schedule_backfill(id: str, request: Request, deps: Deps, principal: Starter) -> Response:
    """Fire the ticks of a range: the missing, the failed or all, oldest or newest first. `preview` fires nothing."""
    wanted = await body_of(request, BackfillRequest)
    if wanted.until_at < wanted.from_at:
        raise invalid("until_at", wanted.until_at.isoformat(), f"at or after from_at {wanted.from_at.isoformat()}")

    async def act(work: UnitOfWork) -> Answer:
        saved = await load(work.connection, KINDS["schedule"], id)
        assert isinstance(saved.definition, Schedule)
        ticks = ticks_for_backfill(saved.definition, wanted, deps.clock.now())
        fired = await starts.fired(work.connection, id, ticks)
        if wanted.preview:
            ordered = ticks if wanted.order == "oldest" else ticks[::-1]
            return Answer(_backfill_preview(saved.definition, ordered, fired, wanted.only), 200)
        again = [due for due in ticks if _backfill_decision(wanted.only, due, fired) == "fire again"]
        if wanted.only == "failed" and not 0 < len(again) <= MAX_AGAIN:
            raise invalid("only", "failed", f"1 to {MAX_AGAIN} failed ticks in the range; there are {len(again)}")
        operation = await operations.ask(
            work, deps, principal, ScheduleBackfill, target=f"schedule:{id}", reason=wanted.reason, schedule_id=id,
            from_at=wanted.from_at, until_at=wanted.until_at, at_most=wanted.at_most, overlap=wanted.overlap,
            order=wanted.order, concurrency=wanted.concurrency,
            definitions_revision=saved.revision, only=wanted.only,
            again=tuple(again) if wanted.only == "failed" else (),
        )  # fmt: skip
        shown = await queries.operation(work.connection, operation)
        return Answer(shown, 202, {"Location": f"/api/v1/operations/{operation}"})

    return await write(request, deps, principal, act)


async def _start(
    work: UnitOfWork, deps: Dependencies, principal: Principal, plan_id: UUID, target: Any, start: dict[str, Any]
) -> dict[str, Any]:
    if isinstance(target, Job):
        wanted = built(plan_requests.JobStart, start)
        return await plan_requests.start_job(work, deps, principal, plan_id, target, wanted)
    run = built(PipelineStart, start)
    return await start_pipeline(work, deps, principal, plan_id, target, run)


def next_ticks(schedule: Schedule, now: datetime, count: int) -> list[dict[str, Any]]:
    """The next instants and event dates, so many, or fewer where the calendar ends."""
    found: list[dict[str, Any]] = []
    with suppress(OverflowError):
        found.extend(
            {"due_at": due, "event_date": schedule.event_date.of(due)} for due in islice(ticks_of(schedule, now), count)
        )
    return found


def ticks_of(schedule: Schedule, since: datetime) -> Iterator[datetime]:
    """The instants of a schedule after `since`, within its start and end."""
    start = since
    if schedule.starts_at is not None and schedule.starts_at > since:
        start = schedule.starts_at - timedelta(microseconds=1)
    for due in cron.ticks(schedule.cron, start, cron.zone(schedule.zone)):
        if schedule.ends_at is not None and due > schedule.ends_at:
            return
        yield due


def ticks_for_backfill(schedule: Schedule, wanted: BackfillRequest, now: datetime) -> list[datetime]:
    """The instants of a backfill. Raises 422 when there are none, or more than `at_most`."""
    try:
        ticks = _ticks_in(schedule, wanted, min(wanted.until_at, now))
        for due in ticks[:1]:
            schedule.event_date.of(due)
    except OverflowError:
        allowed = "a range whose instants and event dates lie inside the calendar"
        raise invalid("from_at", wanted.from_at.isoformat(), allowed) from None
    if not ticks:
        raise invalid("from_at", wanted.from_at.isoformat(), f"no tick of {schedule.id} is due in this range")
    return ticks


def _ticks_in(schedule: Schedule, wanted: BackfillRequest, until: datetime) -> list[datetime]:
    ticks: list[datetime] = []
    for due in ticks_of(schedule, wanted.from_at - timedelta(microseconds=1)):
        if due > until:
            break
        if len(ticks) == wanted.at_most:
            raise invalid(
                "until_at", wanted.until_at.isoformat(),
                f"the range has more than {wanted.at_most} ticks: shorten it, or raise at_most ({MAX_BACKFILL_TICKS})",
            )  # fmt: skip
        ticks.append(due)
    return ticks


def _backfill_preview(
    schedule: Schedule, ticks: list[datetime], fired: dict[datetime, str | None], only: str
) -> dict[str, Any]:
    decisions = [(due, _backfill_decision(only, due, fired)) for due in ticks]
    items = [
        {"due_at": due, "event_date": schedule.event_date.of(due), "decision": decision} for due, decision in decisions
    ]
    fires = sum(decision in ("fire", "fire again") for _, decision in decisions)
    before = sum(decision == "fired before" for _, decision in decisions)
    return {"fires": fires, "fired_before": before, "ticks": items[:1000]}


def _backfill_decision(only: str, due: datetime, fired: dict[datetime, str | None]) -> str:
    if due not in fired:
        return "never fired" if only == "failed" else "fire"
    again = only == "all" or (only == "failed" and fired[due] in ENDED_BADLY)
    return "fire again" if again else "fired before"


async def _set_paused(request: Request, deps: Dependencies, principal: Principal, id: str, *, paused: bool) -> Response:
    wanted = await body_of(request, ScheduleNote)

    async def act(work: UnitOfWork) -> Answer:
        saved = await load_for_change(request, work, KINDS["schedule"], id)
        assert isinstance(saved.definition, Schedule)
        if saved.definition.paused != paused:
            changed = saved.definition.model_copy(update={"paused": paused, "note": wanted.reason[:1024]})
            saved = await store.save(
                work, changed, actor=principal.actor, at=deps.clock.now(), reason=wanted.reason
            )  # fmt: skip
        return Answer(await show(work.connection, KINDS["schedule"], saved), 200, etag(saved.revision))

    return await write(request, deps, principal, act)
