"""In: task_cancel, task_resolve. Changes: operation. Out: plan.cancel of one item, task.resolve."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import Depends, Request, Response
from pydantic import BaseModel, Field

from signalbox_chassis.persistence.database import UnitOfWork
from signalbox_contracts.messages.operations import TaskResolve
from signalbox_contracts.messages.requests import PlanCancel
from signalbox_contracts.states import TASK_ENDS, TaskState
from signalbox_contracts.vocabulary import Text
from signalbox_gateway import operations
from signalbox_gateway.http.access import Principal, permission
from signalbox_gateway.http.bodies import body, body_of
from signalbox_gateway.http.dependencies import Deps
from signalbox_gateway.http.idempotency import Answer, write
from signalbox_gateway.http.prefix_router import PrefixRouter
from signalbox_gateway.http.problems import Problem, invalid
from signalbox_gateway.read_model import queries
from signalbox_gateway.routes import answers
from signalbox_gateway.routes.params import missing
from signalbox_gateway.routes.plans_write import Cancel, live_plan

router = PrefixRouter(tags=["tasks"])
Controller = Annotated[Principal, Depends(permission("plan.control"))]
Operator = Annotated[Principal, Depends(permission("task.resolve"))]


class Resolve(BaseModel):
    """What became of an attempt its engine cannot tell, in the word of a person who looked."""

    action: Literal["adopt", "retry", "fail"]
    """*adopt*: the run is there, watch it; *retry*: it is over, run the next attempt; *fail*: it is over, and so is the
    task."""
    attempt: Annotated[int, Field(ge=1, le=2_147_483_647)]
    """The attempt that was looked at. If the task has gone on meanwhile, nothing is changed."""
    handle: Annotated[str, Field(min_length=1, max_length=1024)] | None = None
    """The engine's name of the run to adopt; without one the engine is asked for the task's run key."""
    reason: Annotated[Text, Field(min_length=1)]


@router.post(
    "/tasks/{id}/cancel",
    operation_id="task_cancel",
    response_model=answers.TaskOperation,
    status_code=202,
    openapi_extra=body(Cancel),
)
async def task_cancel(id: UUID, request: Request, deps: Deps, principal: Controller) -> Response:
    """Cancel one task; its plan continues."""
    cancel = await body_of(request, Cancel)

    async def act(work: UnitOfWork) -> Answer:
        task = await queries.task(work.connection, id)
        if task is None:
            raise missing("task", id)
        if task["state"] in TASK_ENDS:
            raise Problem("conflict", f"task {id} has ended: it is {task['state']}")
        plan_id = UUID(str(task["plan_id"]))
        await live_plan(work, plan_id)
        operation = await operations.ask(
            work, deps, principal, PlanCancel, target=f"plan:{plan_id}", subject=str(plan_id), reason=cancel.reason,
            plan_id=plan_id, kill=cancel.kill, item_keys=(task["item_key"],),
        )  # fmt: skip
        return Answer({"operation_id": operation, "task": task}, 202)

    return await write(request, deps, principal, act)


@router.post(
    "/tasks/{id}/resolve",
    operation_id="task_resolve",
    response_model=answers.TaskOperation,
    status_code=202,
    openapi_extra=body(Resolve),
)
async def task_resolve(id: UUID, request: Request, deps: Deps, principal: Operator) -> Response:
    """Decide about a task in UNKNOWN. The executor decides finally: see the operation's result."""
    resolve = await body_of(request, Resolve)
    if not resolve.reason.strip():
        raise invalid("reason", resolve.reason, "a reason is needed: it is kept with the decision")
    if resolve.handle is not None and resolve.action != "adopt":
        raise invalid("handle", resolve.handle, "is allowed with action 'adopt' only")

    async def act(work: UnitOfWork) -> Answer:
        task = await queries.task(work.connection, id)
        if task is None:
            raise missing("task", id)
        if task["state"] != TaskState.UNKNOWN:
            raise Problem("conflict", f"task {id} is {task['state']}: only one in UNKNOWN can be resolved")
        if task["attempt"] != resolve.attempt:
            raise Problem("conflict", f"task {id} is in attempt {task['attempt']}, not {resolve.attempt}: look again")
        operation = await operations.ask(
            work, deps, principal, TaskResolve, target=f"task:{id}", reason=resolve.reason, plan_id=task["plan_id"],
            task_id=id, attempt=resolve.attempt, decision=resolve.action, handle=resolve.handle,
        )  # fmt: skip
        shown = await queries.task(work.connection, id)
        where = {"Location": f"/api/v1/operations/{operation}"}
        return Answer({"operation_id": operation, "task": shown}, 202, where)

    return await write(request, deps, principal, act)
