"""In: job_start, job_stop. Changes: plan. Out: plan.request, plan.cancel."""

from typing import Annotated, Any

from fastapi import Depends, Request, Response
from pydantic import BaseModel

from signalbox_chassis.persistence.database import UnitOfWork
from signalbox_contracts.definitions.job import Job
from signalbox_contracts.definitions.work import FlinkWork
from signalbox_contracts.messages.requests import PlanCancel
from signalbox_contracts.vocabulary import Text
from signalbox_gateway import operations, plan_requests
from signalbox_gateway.definitions.kinds import KINDS
from signalbox_gateway.flink_jobs.savepoints import LATEST, from_savepoint, latest_savepoint
from signalbox_gateway.http.access import Principal, permission
from signalbox_gateway.http.bodies import body, body_of
from signalbox_gateway.http.dependencies import Deps
from signalbox_gateway.http.idempotency import Answer, idempotency_key, write
from signalbox_gateway.http.prefix_router import PrefixRouter
from signalbox_gateway.read_model import usage
from signalbox_gateway.routes import answers
from signalbox_gateway.routes.definitions import find, load_version

router = PrefixRouter(prefix="/jobs", tags=["jobs"])
Starter = Annotated[Principal, Depends(permission("plan.start"))]
Stopper = Annotated[Principal, Depends(permission("plan.control"))]


class Stop(BaseModel):
    """How the job's plans end. `kill` ends what runs, too; a Flink job's `/stop` does so unless it is false."""

    kill: bool | None = None
    reason: Text = ""


@router.post(
    "/{id}/start",
    operation_id="job_start",
    response_model=answers.Plan,
    status_code=202,
    openapi_extra=body(plan_requests.JobStart),
)
async def job_start(id: str, request: Request, deps: Deps, principal: Starter) -> Response:
    """Start a job. The plan is readable at once."""
    start = await body_of(request, plan_requests.JobStart)
    plan_id = plan_requests.plan_id(principal, idempotency_key(request))

    latest = await latest_savepoint(deps.blobs, id) if start.from_savepoint == LATEST else start.from_savepoint

    async def act(work: UnitOfWork) -> Answer:
        job = await load_version(work.connection, KINDS["job"], id, start.version)
        if latest is not None:
            job = from_savepoint(job, latest)
        shown = await plan_requests.start_job(work, deps, principal, plan_id, job, start)
        return Answer(shown, 202, {"Location": f"/api/v1/plans/{plan_id}"})

    return await write(request, deps, principal, act)


@router.post(
    "/{id}/stop",
    operation_id="job_stop",
    response_model=answers.JobOperations,
    status_code=202,
    openapi_extra=body(Stop),
)
async def job_stop(id: str, request: Request, deps: Deps, principal: Stopper) -> Response:
    """Cancel every live plan of a job."""
    stop = await body_of(request, Stop)

    async def act(work: UnitOfWork) -> Answer:
        saved = (await find(work.connection, KINDS["job"], id)).read_if_possible()
        job = saved.definition if saved else None  # what cannot be read can be stopped
        flink = isinstance(job, Job) and isinstance(job.work, FlinkWork)
        kill = flink if stop.kill is None else stop.kill
        requested: list[dict[str, Any]] = []
        for plan in await usage.live_plans_of(work.connection, f"job:{id}", limit=200):
            operation = await operations.ask(
                work, deps, principal, PlanCancel, target=f"plan:{plan}", subject=plan, reason=stop.reason,
                plan_id=plan, kill=kill,
            )  # fmt: skip
            requested.append({"operation_id": operation, "plan_id": plan})
        return Answer({"operations": requested}, 202)

    return await write(request, deps, principal, act)
