"""In: job_schedule, job_unschedule, job_executions, job_pins, job_artifact, job_savepoints, job_savepoint.
Changes: definition, operation. Out: definition.snapshot, artifact.check, task.savepoint.

What the Flink job orchestrator's document has beyond a definition: `/schedule`, `/executions`, artifacts, savepoints.
"""

import asyncio
from itertools import islice
from typing import Annotated, Any, Final

from fastapi import Depends, Request, Response
from pydantic import BaseModel

from signalbox_chassis.persistence.connection import Connection
from signalbox_chassis.persistence.database import UnitOfWork
from signalbox_contracts.definitions import cron
from signalbox_contracts.definitions.definition import Target
from signalbox_contracts.definitions.job import Job
from signalbox_contracts.definitions.schedule import Schedule, Zone
from signalbox_contracts.definitions.work import FlinkWork
from signalbox_contracts.messages.operations import ArtifactCheck, TaskSavepoint
from signalbox_contracts.vocabulary import Text
from signalbox_gateway import operations
from signalbox_gateway.definitions import checks, publish, store
from signalbox_gateway.definitions.kinds import KINDS
from signalbox_gateway.flink_jobs import savepoints as recorded
from signalbox_gateway.flink_jobs.executions import execution
from signalbox_gateway.flink_jobs.schedules import schedule_id
from signalbox_gateway.http.access import Principal, permission
from signalbox_gateway.http.bodies import body, body_of
from signalbox_gateway.http.configured import NOT_CONFIGURED, blob_store
from signalbox_gateway.http.dependencies import Dependencies, Deps
from signalbox_gateway.http.idempotency import Answer, write
from signalbox_gateway.http.prefix_router import PrefixRouter
from signalbox_gateway.http.problems import Problem, checked, invalid
from signalbox_gateway.read_model import queries
from signalbox_gateway.read_model.queries import PlanFilter, TaskFilter
from signalbox_gateway.routes import flink_answers
from signalbox_gateway.routes.definitions import find, find_for_change, load
from signalbox_gateway.routes.params import Cursor, Limit, after, answer, missing, page

router = PrefixRouter(prefix="/jobs", tags=["jobs"])
Reader = Annotated[Principal, Depends(permission("job.read"))]
Writer = Annotated[Principal, Depends(permission("job.write"))]
Scheduler = Annotated[Principal, Depends(permission("schedule.write"))]
Operator = Annotated[Principal, Depends(permission("plan.control"))]
_NEXT_TICKS: Final = 3


class JobSchedule(BaseModel):
    """When a job starts by itself: six fields, seconds first."""

    cron: Annotated[str, "six fields"]
    zone: Zone = "UTC"


class JobArtifact(BaseModel):
    """Why the artifact is pinned again."""

    reason: Text = ""


class JobSavepoint(BaseModel):
    """A savepoint of the job's running execution; `stop` ends it with that."""

    stop: bool = False
    reason: Text = ""


@router.post(
    "/{id}/schedule",
    operation_id="job_schedule",
    response_model=flink_answers.JobScheduleAnswer,
    openapi_extra=body(JobSchedule),
)
async def job_schedule(id: str, request: Request, deps: Deps, principal: Scheduler) -> Response:
    """Start the job by a cron rule of six fields, seconds first. Replaces its current rule."""
    wanted = await body_of(request, JobSchedule)
    if len(wanted.cron.split()) != 6:
        raise invalid("cron", wanted.cron, "six fields are allowed here, seconds first, such as `0 * * * * *`")

    async def act(work: UnitOfWork) -> Answer:
        await publish.lock(work.connection)
        job = await load(work.connection, KINDS["job"], id)
        before = await _schedule_of(work.connection, id)
        written = {
            "id": schedule_id(id), "name": f"{job.definition.name}, by its own schedule"[:200], "cron": wanted.cron,
            "zone": wanted.zone, "project": job.definition.project, "target": Target(kind="job", id=id),
        }  # fmt: skip
        kept = before.model_dump(exclude=set(written)) if before is not None else {}
        schedule: Schedule = checked(Schedule, {**kept, **written})
        await checks.check_definition(work.connection, schedule)
        await store.save(work, schedule, actor=principal.actor, at=deps.clock.now())
        return Answer(_shown(id, schedule, deps))

    return await write(request, deps, principal, act)


@router.delete("/{id}/schedule", operation_id="job_unschedule", status_code=204)
async def job_unschedule(id: str, request: Request, deps: Deps, principal: Scheduler) -> Response:
    """Remove the job's cron rule; running executions continue."""

    async def act(work: UnitOfWork) -> Answer:
        await find(work.connection, KINDS["job"], id)
        if await _schedule_of(work.connection, id) is None:
            raise missing("schedule", schedule_id(id))
        stored = await find_for_change(request, work, KINDS["schedule"], schedule_id(id))
        await store.delete(work, stored, actor=principal.actor, at=deps.clock.now())
        return Answer(None, 204)

    return await write(request, deps, principal, act)


@router.get("/{id}/executions", operation_id="job_executions", response_model=flink_answers.ExecutionPage)
async def job_executions(id: str, deps: Deps, _: Reader, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """List the executions of a job, newest first, each with the JAR it ran."""
    async with deps.database.connection() as connection:
        await find(connection, KINDS["job"], id)
        plans = await queries.plans(
            connection, PlanFilter(target=[f"job:{id}"]), limit=limit, after=after("executions", cursor)
        )
        tasks: dict[str, dict[str, Any] | None] = {}
        for plan in plans.items:
            found = await queries.tasks(connection, TaskFilter(plan=[plan["id"]]), limit=1)
            tasks[plan["id"]] = found.items[0] if found.items else None
    runs: list[dict[str, Any]] = [tasks[plan["id"]] or {} for plan in plans.items]
    jars = await asyncio.gather(
        *(recorded.jar_of_run(deps.blobs, run.get("engine"), run.get("run_key")) for run in runs)
    )
    shown = [
        execution(plan, tasks[plan["id"]], jar) for plan, jar in zip(plans.items, jars, strict=True)
    ]  # fmt: skip
    return page("executions", queries.Page(shown, plans.next_after))


@router.get("/{id}/artifact", operation_id="job_pins", response_model=flink_answers.PinPage, responses=NOT_CONFIGURED)
async def job_pins(id: str, deps: Deps, _: Reader) -> Response:
    """Show which JARs the newest version of a job was pinned to, the current one first."""
    async with deps.database.connection() as connection:
        stored = await find(connection, KINDS["job"], id)
    pins = await recorded.pins(blob_store(deps), id, stored.version)
    return answer({"items": pins, "next_cursor": None})


@router.post(
    "/{id}/artifact",
    operation_id="job_artifact",
    response_model=flink_answers.OperationBegun,
    status_code=202,
    openapi_extra=body(JobArtifact),
)
async def job_artifact(id: str, request: Request, deps: Deps, principal: Writer) -> Response:
    """Fetch the JAR of the newest version again from its URL, and pin it."""
    wanted = await body_of(request, JobArtifact)

    async def act(work: UnitOfWork) -> Answer:
        saved = await load(work.connection, KINDS["job"], id)
        job, flink = _flink_job(saved.definition)
        engine = await checks.engine_for(work.connection, job)
        operation = await operations.ask(
            work, deps, principal, ArtifactCheck, target=f"job:{id}", reason=wanted.reason, job_id=id,
            job_version=saved.version, engine_id=engine.definition.id, url=flink.jar_url,
        )  # fmt: skip
        return Answer({"operation_id": operation}, 202, {"Location": f"/api/v1/operations/{operation}"})

    return await write(request, deps, principal, act)


@router.get(
    "/{id}/savepoints",
    operation_id="job_savepoints",
    response_model=flink_answers.SavepointPage,
    responses=NOT_CONFIGURED,
)
async def job_savepoints(id: str, deps: Deps, _: Reader) -> Response:
    """List the newest savepoints of a job's executions."""
    async with deps.database.connection() as connection:
        await find(connection, KINDS["job"], id)
    found = await recorded.savepoints(blob_store(deps), id)
    return answer({"items": [one.model_dump(mode="json") for one in found], "next_cursor": None})


@router.post(
    "/{id}/savepoints",
    operation_id="job_savepoint",
    response_model=flink_answers.OperationBegun,
    status_code=202,
    openapi_extra=body(JobSavepoint),
)
async def job_savepoint(id: str, request: Request, deps: Deps, principal: Operator) -> Response:
    """Take a savepoint of the running execution; with `stop` the execution ends with it."""
    wanted = await body_of(request, JobSavepoint)

    async def act(work: UnitOfWork) -> Answer:
        saved = await load(work.connection, KINDS["job"], id)
        _flink_job(saved.definition)
        task = await _running_task(work.connection, id)
        operation = await operations.ask(
            work, deps, principal, TaskSavepoint, target=f"task:{task['id']}", reason=wanted.reason,
            plan_id=task["plan_id"], task_id=task["id"], attempt=task["attempt"], engine_id=task["engine"],
            stop=wanted.stop,
        )  # fmt: skip
        return Answer({"operation_id": operation}, 202, {"Location": f"/api/v1/operations/{operation}"})

    return await write(request, deps, principal, act)


async def _schedule_of(connection: Connection, job_id: str) -> Schedule | None:
    """The job's own schedule. Raises a problem where the id belongs to a schedule of something else."""
    saved = await store.load(connection, "schedule", schedule_id(job_id))
    if saved is None:
        return None
    schedule = saved.definition
    assert isinstance(schedule, Schedule)
    if (schedule.target.kind, schedule.target.id) != ("job", job_id):
        raise Problem("conflict", f"schedule {schedule.id} starts {schedule.target.kind} {schedule.target.id}")
    return schedule


def _shown(job_id: str, schedule: Schedule, deps: Dependencies) -> dict[str, Any]:
    ticks = cron.ticks(schedule.cron, deps.clock.now(), cron.zone(schedule.zone))
    return {
        "jobId": job_id, "scheduleId": schedule.id, "cron": schedule.cron, "zone": schedule.zone,
        "next": list(islice(ticks, _NEXT_TICKS)),
    }  # fmt: skip


def _flink_job(definition: Any) -> tuple[Job, FlinkWork]:
    if not isinstance(definition, Job) or not isinstance(definition.work, FlinkWork):
        raise Problem("conflict", f"job {definition.id} is no Flink job: it has neither a JAR nor savepoints")
    return definition, definition.work


async def _running_task(connection: Connection, job_id: str) -> dict[str, Any]:
    """The one task of the job that runs. Raises a problem for none, and for several."""
    plans = await queries.plans(connection, PlanFilter(target=[f"job:{job_id}"], state=["RUNNING", "PAUSED"]), limit=20)
    ids = [plan["id"] for plan in plans.items]
    tasks = await queries.tasks(connection, TaskFilter(plan=ids, state=["RUNNING"]), limit=3) if ids else None
    running = tasks.items if tasks else []
    if len(running) != 1:
        found = f"{len(running)} of its executions run" if running else "no execution of it runs"
        raise Problem("conflict", f"job {job_id}: {found}, and a savepoint is of one")
    return running[0]
