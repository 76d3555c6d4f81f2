"""In: plan_create, plan_pause … plan_retry. Changes: plan, operation. Out: plan.request and the commands of a plan."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final
from uuid import UUID, uuid4

from fastapi import Depends, Request, Response
from pydantic import BaseModel, Field

from signalbox_chassis.persistence.database import UnitOfWork
from signalbox_contracts.definitions.rules import Rules
from signalbox_contracts.ids import child_plan_id
from signalbox_contracts.messages.plans import PlanRecord
from signalbox_contracts.messages.requests import (
    PlanApply,
    PlanCancel,
    PlanPause,
    PlanReject,
    PlanResume,
    PlanRetry,
    PlanRulesRequest,
    PreviewHash,
)
from signalbox_contracts.states import PLAN_ENDS, PlanState
from signalbox_contracts.vocabulary import MAX_ITEMS, ItemKey, Text
from signalbox_gateway import operations
from signalbox_gateway.definitions import store
from signalbox_gateway.definitions.kinds import KINDS
from signalbox_gateway.gc_pause import gc_pause
from signalbox_gateway.http.access import Principal, permission, require, require_definition
from signalbox_gateway.http.bodies import body, body_of, large_body, split_body
from signalbox_gateway.http.dependencies import Dependencies, Deps
from signalbox_gateway.http.idempotency import Answer, idempotency_key, write
from signalbox_gateway.http.prefix_router import PrefixRouter
from signalbox_gateway.http.problems import Problem, checked, invalid
from signalbox_gateway.identity.roles import Object
from signalbox_gateway.moves import known_moves
from signalbox_gateway.plan_requests import bulk, sending, validation
from signalbox_gateway.plan_requests.schema import MAX_PLAN_ITEMS, JobStart, PlanCreate, PlanFields
from signalbox_gateway.read_model import queries, usage
from signalbox_gateway.routes import answers
from signalbox_gateway.routes.definitions import load_version
from signalbox_gateway.routes.params import missing
from signalbox_gateway.selection_requests import start_selections
from signalbox_gateway.store import objects

router = PrefixRouter(tags=["plans"])
Starter = Annotated[Principal, Depends(permission("plan.start"))]
Applier = Annotated[Principal, Depends(permission("plan.apply"))]
Controller = Annotated[Principal, Depends(permission("plan.control"))]
_LARGE_BYTES: Final = 1_048_576
DEFAULT_PROJECT: Final = "default"
"""The project of plans that no definition started."""


class Why(BaseModel):
    reason: Text = ""


class Apply(BaseModel):
    """Start what the preview with this hash shows."""

    preview_hash: PreviewHash
    confirm_deletions: bool = False
    """Needed where the preview lists directories that would be deleted."""
    reason: Text = ""


class Cancel(BaseModel):
    """What waits is cancelled; what runs is left to end, or stopped with `kill`."""

    kill: bool = False
    reason: Text = ""


class NewRules(BaseModel):
    """The whole rules the plan shall have from now on."""

    rules: Rules
    reason: Text = ""


class Retry(BaseModel):
    """Which failures: these items, or all."""

    item_keys: Annotated[list[ItemKey], Field(max_length=MAX_ITEMS)] = Field(default_factory=list[ItemKey])
    reason: Text = ""


@router.post(
    "/plans",
    operation_id="plan_create",
    response_model=answers.Plan,
    status_code=202,
    openapi_extra=body(PlanCreate),
)
async def plan_create(request: Request, deps: Deps, principal: Starter) -> Response:
    """Start a plan of 1 to 100,000 items, of one job, or of what selections find; those can be previewed first."""
    large = len(await large_body(request)) > _LARGE_BYTES  # read before: a slow caller must not pause the collector
    with gc_pause(large):
        fields, texts = await split_body(
            request, "items", max_items=MAX_PLAN_ITEMS, max_item_bytes=validation.MAX_ITEM_BYTES
        )
        options: PlanFields = checked(PlanFields, fields)
        _check_choice(options, texts)
        items = await validation.read_items(texts or [])
        plan_id = sending.plan_id(principal, idempotency_key(request))

        async def act(work: UnitOfWork) -> Answer:
            await _require_reach(work, principal, options, items)
            if options.selections is not None:
                shown = await start_selections(work, deps, principal, plan_id, options, options.selections)
            elif options.job is None:
                shown = await sending.start_items(work, deps, principal, plan_id, options, items)
            else:
                job = await load_version(work.connection, KINDS["job"], options.job.id, options.job.version)
                start = JobStart.model_construct(
                    params=options.params, rules=options.rules, event_date=options.event_date, reason=options.reason,
                    labels=options.labels,
                )  # fmt: skip
                shown = await sending.start_job(work, deps, principal, plan_id, job, start, name=options.name)
            return Answer(shown, 202, {"Location": f"/api/v1/plans/{plan_id}"})

        return await write(request, deps, principal, act)


@router.post(
    "/plans/{id}/apply",
    operation_id="plan_apply",
    response_model=answers.PlanOperation,
    status_code=202,
    openapi_extra=body(Apply),
)
async def plan_apply(id: UUID, request: Request, deps: Deps, principal: Applier) -> Response:
    """Start exactly what the preview shows. It is REFUSED with the difference if something changed since."""
    apply = await body_of(request, Apply)

    async def known(work: UnitOfWork, plan: PlanRecord) -> dict[str, Any]:
        found = await objects.plan(work.connection, id)
        engines = found.engines if found else frozenset[str]()
        moves, _ = await known_moves(
            work.connection, principal, "plan.apply", engines, project=plan.project, actor=plan.actor
        )
        return {"known": moves}

    return await _command(
        request, deps, principal, id, PlanApply, apply.reason, check=lambda plan: check_apply(plan, apply), more=known,
        preview_hash=apply.preview_hash, confirm_deletions=apply.confirm_deletions,
    )  # fmt: skip


@router.post(
    "/plans/{id}/reject",
    operation_id="plan_reject",
    response_model=answers.PlanOperation,
    status_code=202,
    openapi_extra=body(Why),
)
async def plan_reject(id: UUID, request: Request, deps: Deps, principal: Controller) -> Response:
    """Reject the preview: the plan is REFUSED."""
    payload = await body_of(request, Why)
    return await _command(request, deps, principal, id, PlanReject, payload.reason)


@router.post(
    "/plans/{id}/pause",
    operation_id="plan_pause",
    response_model=answers.PlanOperation,
    status_code=202,
    openapi_extra=body(Why),
)
async def plan_pause(id: UUID, request: Request, deps: Deps, principal: Controller) -> Response:
    """Pause the plan: it starts nothing new. It is PAUSED once the executors have confirmed it."""
    payload = await body_of(request, Why)
    return await _command(request, deps, principal, id, PlanPause, payload.reason)


@router.post(
    "/plans/{id}/resume",
    operation_id="plan_resume",
    response_model=answers.PlanOperation,
    status_code=202,
    openapi_extra=body(Why),
)
async def plan_resume(id: UUID, request: Request, deps: Deps, principal: Controller) -> Response:
    """Resume a paused plan."""
    payload = await body_of(request, Why)
    return await _command(request, deps, principal, id, PlanResume, payload.reason)


@router.post(
    "/plans/{id}/cancel",
    operation_id="plan_cancel",
    response_model=answers.PlanOperation,
    status_code=202,
    openapi_extra=body(Cancel),
)
async def plan_cancel(id: UUID, request: Request, deps: Deps, principal: Controller) -> Response:
    """End a plan."""
    cancel = await body_of(request, Cancel)
    return await _command(request, deps, principal, id, PlanCancel, cancel.reason, kill=cancel.kill)


@router.put(
    "/plans/{id}/rules",
    operation_id="plan_rules",
    response_model=answers.PlanOperation,
    status_code=202,
    openapi_extra=body(NewRules),
)
async def plan_rules(id: UUID, request: Request, deps: Deps, principal: Controller) -> Response:
    """Replace all rules of the plan."""
    change = await body_of(request, NewRules)
    return await _command(request, deps, principal, id, PlanRulesRequest, change.reason, rules=change.rules)


@router.post(
    "/plans/{id}/retry",
    operation_id="plan_retry",
    response_model=answers.Plan,
    status_code=202,
    openapi_extra=body(Retry),
)
async def plan_retry(id: UUID, request: Request, deps: Deps, principal: Starter) -> Response:
    """Run the failed items again, as a linked plan."""
    retry = await body_of(request, Retry)
    key = idempotency_key(request)
    child = child_plan_id(id, f"{principal.name}:{key}" if key else str(uuid4()))

    async def act(work: UnitOfWork) -> Answer:
        parent = await live_plan(work, id, ended=True)
        if not retry.item_keys and not parent.counts.failed + parent.counts.cancelled:
            raise Problem("conflict", f"nothing failed in plan {id}: there is nothing to retry")
        record = bulk.retry_record(parent, child, principal, retry.reason, deps.clock.now())
        await sending.accept(work, record)
        revision = await store.engines_revision(work.connection)
        await operations.ask(
            work, deps, principal, PlanRetry, target=f"plan:{id}", subject=str(id), reason=retry.reason,
            at=record.created_at, plan_id=id, child_plan_id=child, item_keys=tuple(retry.item_keys),
            definitions_revision=revision,
        )  # fmt: skip
        shown = await queries.plan(work.connection, child)
        return Answer(shown, 202, {"Location": f"/api/v1/plans/{child}"})

    return await write(request, deps, principal, act)


async def _command(
    request: Request,
    deps: Dependencies,
    principal: Principal,
    id: UUID,
    message: Any,
    reason: str,
    *,
    check: Callable[[PlanRecord], None] | None = None,
    more: Callable[[UnitOfWork, PlanRecord], Awaitable[dict[str, Any]]] | None = None,
    **data: Any,
) -> Response:
    """Ask the planner. One that has ended is refused here: it never moves again."""

    async def act(work: UnitOfWork) -> Answer:
        plan = await live_plan(work, id)
        if check is not None:
            check(plan)
        looked_up = await more(work, plan) if more is not None else {}
        operation = await operations.ask(
            work, deps, principal, message, target=f"plan:{id}", subject=str(id), reason=reason, plan_id=id, **data,
            **looked_up,
        )  # fmt: skip
        shown = await queries.plan(work.connection, id)
        return Answer({"operation_id": operation, "plan": shown}, 202)

    return await write(request, deps, principal, act)


async def _require_reach(
    work: UnitOfWork, principal: Principal, options: PlanFields, items: validation.CheckedItems
) -> None:
    """Check the project and the engines of what shall start."""
    if options.job is not None:
        await require_definition(work.connection, principal, "plan.start", "job", options.job.id)
        return
    engines = {name for name, _ in items.engines} | {one.engine for one in options.selections or ()}
    require(principal, "plan.start", Object(DEFAULT_PROJECT, frozenset(engines)))


def _check_choice(options: PlanFields, texts: list[bytes] | None) -> None:
    """Exactly one of items, job and selections; only selections can be previewed."""
    if texts == []:
        raise invalid("items", None, "at least one item is needed")
    if sum(part is not None for part in (options.job, texts, options.selections)) != 1:
        raise invalid("body", None, "exactly one of items, job and selections is needed")
    if options.preview and options.selections is None:
        words = "only selections can be previewed; items and a job say themselves what will run"
        raise invalid("preview", True, words)


def check_apply(plan: PlanRecord, apply: Apply) -> None:
    """Refuse at once what the planner would refuse; it checks again."""
    if plan.state is not PlanState.PREVIEWED:
        raise Problem("conflict", f"plan {plan.plan_id} is {plan.state}: only a PREVIEWED plan can be applied")
    if plan.preview_hash != apply.preview_hash:
        raise invalid("preview_hash", apply.preview_hash, f"is not that of this plan's preview, {plan.preview_hash}")


async def live_plan(work: UnitOfWork, id: UUID, *, ended: bool = False) -> PlanRecord:
    """The plan, which must be live, or ended where that is wanted."""
    plan = await usage.plan_record(work.connection, id)
    if plan is None:
        raise missing("plan", id)
    if (plan.state in PLAN_ENDS) != ended:
        words = "only an ended plan can be retried" if ended else "it never moves again"
        raise Problem("conflict", f"plan {id} is {plan.state}: {words}")
    return plan
