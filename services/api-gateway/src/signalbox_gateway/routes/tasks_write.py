"""In: task_cancel. Changes: operation. Out: plan.cancel of one item."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from signalbox_chassis.database import UnitOfWork
from signalbox_contracts.messages.requests import PlanCancel
from signalbox_contracts.states import TASK_ENDS
from signalbox_gateway import operations
from signalbox_gateway.http.access import Principal, permission
from signalbox_gateway.http.bodies import body_of
from signalbox_gateway.http.once import Answer, write
from signalbox_gateway.http.parts import With
from signalbox_gateway.http.problems import Problem
from signalbox_gateway.projection import reading
from signalbox_gateway.routes.params import missing
from signalbox_gateway.routes.plans_write import Cancel, body, live_plan

router = APIRouter(tags=["tasks"])
Controller = Annotated[Principal, Depends(permission("plan.control"))]


@router.post("/tasks/{id}/cancel", operation_id="task_cancel", status_code=202, openapi_extra=body(Cancel))
async def task_cancel(id: UUID, request: Request, parts: With, principal: Controller) -> Response:
    """End one task; its plan goes on."""
    said = await body_of(request, Cancel)

    async def act(work: UnitOfWork) -> Answer:
        task = await reading.task(work.connection, id)
        if task is None:
            raise missing("task", id)
        if task["state"] in TASK_ENDS:
            raise Problem("conflict", f"task {id} has ended: it is {task['state']}")
        plan_id = UUID(str(task["plan_id"]))
        await live_plan(work, plan_id)
        operation = await operations.ask(
            work, parts, principal, PlanCancel, target=f"plan:{plan_id}", subject=str(plan_id), reason=said.reason,
            plan_id=plan_id, kill=said.kill, item_keys=(task["item_key"],),
        )  # fmt: skip
        return Answer({"operation_id": operation, "task": task}, 202)

    return await write(request, parts, principal, act)
