"""In: plan_bulk, task_bulk, bulk_list, bulk_show, bulk_items. Changes: bulk operations, plan, operation.

Out: the commands of plans and tasks, one for each.
"""

from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID, uuid4

from fastapi import Depends, Query, Request, Response
from pydantic import BaseModel, Field

from signalbox_chassis.persistence.database import UnitOfWork
from signalbox_contracts.vocabulary import Text
from signalbox_gateway.http.access import Principal, permission, require
from signalbox_gateway.http.bodies import body, body_of
from signalbox_gateway.http.dependencies import Dependencies, Deps
from signalbox_gateway.http.idempotency import Answer, write
from signalbox_gateway.http.prefix_router import PrefixRouter
from signalbox_gateway.http.problems import Problem, invalid
from signalbox_gateway.plan_requests import bulk
from signalbox_gateway.plan_requests.bulk import MAX_BULK_ITEMS, BulkRequest
from signalbox_gateway.read_model import cursor as cursors
from signalbox_gateway.read_model.queries import PlanFilter, TaskFilter
from signalbox_gateway.routes import answers
from signalbox_gateway.routes.params import (
    Cursor,
    Ids,
    Limit,
    Reasons,
    TaskStates,
    Until,
    Wait,
    Words,
    after,
    answer,
    missing,
    seconds,
)
from signalbox_gateway.routes.plans_read import Wanted
from signalbox_gateway.store import bulk as store

router = PrefixRouter(tags=["bulk operations"])
Controller = Annotated[Principal, Depends(permission("plan.control"))]
Reader = Annotated[Principal, Depends(permission("bulk.read"))]
BulkIds = Annotated[list[UUID], Field(max_length=MAX_BULK_ITEMS)]
ItemStates = Annotated[
    list[Literal["pending", "done", "refused", "failed", "forgotten"]],
    Query(max_length=5, description="Only these; repeat it for any of several."),
]


class PlansBulk(BaseModel):
    """What is requested of every plan that the filter of the query matches, or of every plan named."""

    action: Literal["pause", "resume", "cancel", "retry"]
    """*retry* makes a linked plan of the failures of each ended plan, and needs the permission `plan.start`."""
    ids: BulkIds = Field(default_factory=list[UUID])
    """These plans, instead of a filter."""
    kill: bool = False
    """With *cancel*: what runs is stopped too."""
    reason: Text = ""


class TasksBulk(BaseModel):
    """What is requested of every task that the filter of the query matches, or of every task named."""

    action: Literal["cancel", "resolve"]
    """*resolve* decides about tasks in UNKNOWN, and needs the permission `task.resolve`."""
    ids: BulkIds = Field(default_factory=list[UUID])
    """These tasks, instead of a filter."""
    kill: bool = False
    """With *cancel*: what runs is stopped too."""
    decision: Literal["adopt", "retry", "fail"] | None = None
    """With *resolve*: as of one task; *adopt* watches the run that the engine has under the task's run key."""
    reason: Text = ""


async def wanted_tasks(
    plan: Ids = [],  # noqa: B006 -- FastAPI copies defaults
    state: TaskStates = [],  # noqa: B006
    engine: Words = [],  # noqa: B006
    why: Reasons = [],  # noqa: B006
) -> TaskFilter:
    return TaskFilter(plan=plan, state=state, engine=engine, why=why)


WantedTasks = Annotated[TaskFilter, Depends(wanted_tasks)]
_PLAN_FIELDS: Final = tuple(name for name in PlanFilter.__slots__ if name != "visible")
_TASK_FIELDS: Final = tuple(name for name in TaskFilter.__slots__ if name != "visible")


@router.post(
    "/plans/bulk",
    operation_id="plan_bulk",
    response_model=answers.BulkOperation,
    status_code=202,
    openapi_extra=body(PlansBulk),
)
async def plan_bulk(request: Request, deps: Deps, principal: Controller, wanted: Wanted) -> Response:
    """Pause, resume, cancel or retry up to 10,000 plans: those of a filter to which it applies, or named ones."""
    payload = await body_of(request, PlansBulk)
    _check_choice(payload.ids, wanted, _PLAN_FIELDS)
    _check_kill(payload.action, payload.kill)
    if payload.action == "retry" and not principal.may("plan.start"):
        raise Problem("forbidden", "this needs the permission plan.start")
    bulk_request = _bulk_request(request, payload.action, payload.ids, payload.reason, kill=payload.kill)
    wanted = replace(wanted, visible=principal.reach("plan.read").columns)

    async def act(work: UnitOfWork) -> Answer:
        return _accepted(await bulk.request_plans(work, deps, principal, bulk_request, wanted))

    return await _write(request, deps, principal, act)


@router.post(
    "/tasks/bulk",
    operation_id="task_bulk",
    response_model=answers.BulkOperation,
    status_code=202,
    openapi_extra=body(TasksBulk),
)
async def task_bulk(request: Request, deps: Deps, principal: Controller, wanted: WantedTasks) -> Response:
    """Cancel or resolve up to 10,000 tasks: those of a filter to which it applies, or named ones."""
    payload = await body_of(request, TasksBulk)
    _check_choice(payload.ids, wanted, _TASK_FIELDS)
    _check_kill(payload.action, payload.kill)
    _check_resolve(payload)
    if payload.action == "resolve" and not principal.may("task.resolve"):
        raise Problem("forbidden", "this needs the permission task.resolve")
    bulk_request = _bulk_request(
        request, payload.action, payload.ids, payload.reason, kill=payload.kill, decision=payload.decision
    )
    wanted = replace(wanted, visible=principal.reach("task.read").columns)

    async def act(work: UnitOfWork) -> Answer:
        return _accepted(await bulk.request_tasks(work, deps, principal, bulk_request, wanted))

    return await _write(request, deps, principal, act)


@router.get("/bulk-operations", operation_id="bulk_list", response_model=answers.page_of(answers.BulkOperationEntry))
async def bulk_list(deps: Deps, principal: Reader, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """Bulk operations, newest first: the caller's own; all of them with `operation.read` everywhere."""
    begin = after("bulk_operations", cursor)
    actor = None if principal.reach("operation.read").everywhere else principal.actor
    start = (datetime.fromisoformat(begin[0]), UUID(begin[1])) if begin else None
    async with deps.database.connection() as connection:
        rows = await store.list_newest(connection, actor=actor, limit=limit + 1, after=start)
    more = rows[limit - 1] if len(rows) > limit else None
    last = [more["requested_at"].isoformat(), str(more["id"])] if more else None
    return answer({"items": rows[:limit], "next_cursor": cursors.encode("bulk_operations", last)})


@router.get("/bulk-operations/{id}", operation_id="bulk_show", response_model=answers.BulkOperation)
async def bulk_show(deps: Deps, principal: Reader, id: UUID, wait: Wait = None, until: Until = None) -> Response:
    """A bulk operation and its counts; with `wait` and `until=end`, as soon as every item is answered."""

    def enough(seen: dict[str, Any]) -> bool:
        return until is None or not seen["counts"].get("pending")

    return answer(await deps.waits.until(id, lambda: _load(deps, principal, id), enough, seconds=seconds(wait)))


@router.get("/bulk-operations/{id}/items", operation_id="bulk_items", response_model=answers.page_of(answers.BulkItem))
async def bulk_items(
    deps: Deps,
    principal: Reader,
    id: UUID,
    state: ItemStates = [],  # noqa: B006
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """Every plan or task of a bulk operation with its result."""
    begin = after("bulk_items", cursor)
    await _load(deps, principal, id)
    async with deps.database.connection() as connection:
        rows = await store.list_items(connection, id, state=state, limit=limit + 1, after=begin[0] if begin else -1)
    last = [rows[limit - 1]["position"]] if len(rows) > limit else None
    return answer({"items": rows[:limit], "next_cursor": cursors.encode("bulk_items", last)})


async def _load(deps: Dependencies, principal: Principal, id: UUID) -> dict[str, Any]:
    async with deps.database.connection() as connection:
        found = await store.load(connection, id)
    if found is None or (found["actor"] != principal.actor and not principal.reach("operation.read").everywhere):
        raise missing("bulk operation", id)
    return found


async def _write(request: Request, deps: Dependencies, principal: Principal, act: Any) -> Response:
    require(principal, "plan.control")  # each plan or task is checked by itself, and refused by itself
    return await write(request, deps, principal, act)


def _bulk_request(request: Request, action: str, ids: list[UUID], reason: str, **more: Any) -> BulkRequest:
    return BulkRequest(uuid4(), action, request.url.query, reason, tuple(dict.fromkeys(ids)), **more)


def _accepted(saved: dict[str, Any]) -> Answer:
    return Answer(saved, 202, {"Location": f"/api/v1/bulk-operations/{saved['id']}"})


def _check_choice(ids: list[UUID], wanted: Any, fields: tuple[str, ...]) -> None:
    filtered = any(getattr(wanted, name) for name in fields)
    if bool(ids) == filtered:
        words = "ids, or a filter in the query, is needed: all of them is never meant"
        raise invalid("ids", None, "either ids or a filter in the query is allowed, not both" if ids else words)


def _check_kill(action: str, kill: bool) -> None:
    if kill and action != "cancel":
        raise invalid("kill", kill, f"is allowed with action 'cancel' only, not {action!r}")


def _check_resolve(payload: TasksBulk) -> None:
    if (payload.action == "resolve") != (payload.decision is not None):
        raise invalid("decision", payload.decision, "is needed with action 'resolve', and not allowed with another")
    if payload.action == "resolve" and not payload.reason.strip():
        raise invalid("reason", payload.reason, "a reason is needed: it is kept with the decision")
