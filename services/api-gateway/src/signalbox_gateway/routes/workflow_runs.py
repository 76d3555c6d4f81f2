"""In: workflow_run … workflow_control. Changes: plan, workflow_run, operation. Out: plan.request, commands of a plan.

A run of a workflow is a plan with one task. A retry is a linked plan that clears the failed tasks of the DAG run.
"""

from collections.abc import Sequence
from typing import Annotated, Any
from uuid import UUID, uuid4

from fastapi import Depends, Request, Response

from signalbox_chassis.persistence.connection import Connection
from signalbox_chassis.persistence.database import UnitOfWork
from signalbox_contracts.definitions.job import Job
from signalbox_contracts.definitions.work import AirflowWork
from signalbox_contracts.ids import child_plan_id
from signalbox_contracts.messages.operations import TaskAnnotate
from signalbox_contracts.messages.requests import PlanCancel, PlanPause, PlanResume
from signalbox_gateway import operations, plan_requests
from signalbox_gateway.definitions import store
from signalbox_gateway.definitions.store import Saved
from signalbox_gateway.http.access import Principal, permission
from signalbox_gateway.http.bodies import body, body_of
from signalbox_gateway.http.dependencies import Dependencies, Deps
from signalbox_gateway.http.idempotency import Answer, idempotency_key, write
from signalbox_gateway.http.openapi import UNREADABLE
from signalbox_gateway.http.prefix_router import PrefixRouter
from signalbox_gateway.http.problems import Problem, invalid, invalid_all
from signalbox_gateway.read_model import progress, queries
from signalbox_gateway.read_model import workflows as rows
from signalbox_gateway.read_model.queries import Page, PlanFilter, TaskFilter
from signalbox_gateway.routes.params import Cursor, Limit, after, answer, missing, page
from signalbox_gateway.routes.workflows import load_workflow
from signalbox_gateway.workflows import values
from signalbox_gateway.workflows.runs import RunView, run_of
from signalbox_gateway.workflows.values import Control, Controlled, Run, RunCreate, RunPage

router = PrefixRouter(prefix="/workflows/{id}/runs", tags=["workflows"])
Reader = Depends(permission("plan.read"))
Starter = Annotated[Principal, Depends(permission("plan.start"))]
Controller = Annotated[Principal, Depends(permission("plan.control"))]


@router.post("", operation_id="workflow_run", status_code=202, response_model=Run, openapi_extra=body(RunCreate))
async def workflow_run(id: str, request: Request, deps: Deps, principal: Starter) -> Response:
    """Trigger a run. `task_id`, `dataset_id` and `parameters` become the DAG run's `conf`. It is readable at once."""
    written = await body_of(request, RunCreate)
    if wrong := values.reserved_problems("parameters", written.parameters):
        raise invalid_all(wrong)
    plan_id = plan_requests.plan_id(principal, idempotency_key(request))

    async def act(work: UnitOfWork) -> Answer:
        job = _job(await load_workflow(work.connection, id))
        assert isinstance(job.work, AirflowWork)
        conf = {**job.work.conf, **values.literal(written.conf())}
        changes = {"conf": conf, "note": values.literal(written.note) or None}
        started = job.model_copy(update={"work": job.work.model_copy(update=changes)})
        start = plan_requests.JobStart(reason=written.note)
        await plan_requests.start_job(work, deps, principal, plan_id, started, start)
        await rows.keep_run(
            work.connection, plan_id, task_id=written.task_id, dataset_id=written.dataset_id,
            parameters=written.parameters, note=written.note,
        )  # fmt: skip
        view = await _load(work.connection, id, plan_id)
        location = {"Location": f"/api/v1/workflows/{id}/runs/{plan_id}"}
        return Answer(view.run.model_dump(mode="json"), 202, location)

    return await write(request, deps, principal, act)


@router.get("", operation_id="workflow_runs", response_model=RunPage, dependencies=[Reader], responses=UNREADABLE)
async def workflow_runs(id: str, deps: Deps, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """The runs of a workflow, newest first."""
    begin = after("plans", cursor)
    async with deps.database.connection() as connection:
        found = await queries.plans(connection, PlanFilter(target=[f"job:{id}"]), limit=limit, after=begin)
        views = await _views(connection, id, found.items)
    items = [view.run.model_dump(mode="json") for view in views]
    return page("plans", Page(items, found.next_after))


@router.get("/{run_id}", operation_id="workflow_status", response_model=Run, dependencies=[Reader])
async def workflow_status(id: str, run_id: UUID, deps: Deps) -> Response:
    """A run with the states of its tasks."""
    async with deps.database.connection() as connection:
        view = await _load(connection, id, run_id)
    return answer(view.run.model_dump(mode="json"))


@router.post(
    "/{run_id}/control", operation_id="workflow_control", status_code=202, response_model=Controlled,
    openapi_extra=body(Control),
)  # fmt: skip
async def workflow_control(id: str, run_id: UUID, request: Request, deps: Deps, principal: Controller) -> Response:
    """Stop, retry, pause, resume or modify a run."""
    control = await body_of(request, Control)
    key = idempotency_key(request)

    async def act(work: UnitOfWork) -> Answer:
        view = await _load(work.connection, id, run_id)
        if control.action == "retry":
            child = child_plan_id(run_id, f"{principal.name}:{key}" if key else str(uuid4()))
            await _retry(work, deps, principal, view, child, control)
            return await _controlled(work.connection, view.run.workflow_id, control, child, None)
        if control.action == "modify":
            operation = await _modify(work, deps, principal, view, control)
            return await _controlled(work.connection, view.run.workflow_id, control, run_id, operation)
        message, more = _command(view, control)
        operation = await operations.ask(
            work, deps, principal, message, target=f"plan:{run_id}", subject=str(run_id), reason=control.note,
            plan_id=run_id, **more,
        )  # fmt: skip
        return await _controlled(work.connection, view.run.workflow_id, control, run_id, operation)

    return await write(request, deps, principal, act)


def _command(view: RunView, control: Control) -> tuple[Any, dict[str, Any]]:
    """The planner's command for this action. Raises a problem where it is not possible now."""
    run = view.run
    if control.action == "resume":
        if run.state != "paused":
            raise Problem("conflict", f"run {run.id} is {run.state}: only a paused run can be resumed")
        return PlanResume, {}
    if view.has_ended:
        raise Problem("conflict", f"run {run.id} is {run.state}: it never moves again")
    if control.action == "stop":
        return PlanCancel, {"kill": True}
    if view.is_sent:
        words = f"Airflow cannot pause one run: stop it, or pause its DAG (POST /workflows/{run.workflow_id}/pause)"
        raise Problem("conflict", f"run {run.id} is {run.state} in Airflow. {words}")
    return PlanPause, {}


async def _modify(work: UnitOfWork, deps: Dependencies, principal: Principal, view: RunView, control: Control) -> UUID:
    """Give the run a note: the one thing of a run that Airflow can change beside its state."""
    run, task = view.run, view.task
    if control.parameters is not None:
        words = "Airflow cannot change what a run was started with: stop the run and trigger another one"
        raise invalid("parameters", None, words)
    if not control.note:
        raise invalid("note", control.note, "is missing: 'modify' gives the run this note")
    if task is None or run.dag_run_id is None:
        words = "Airflow does not have it yet, and only a run it has can be modified"
        raise Problem("conflict", f"run {run.id} is {run.state}: {words}")
    return await operations.ask(
        work, deps, principal, TaskAnnotate, target=f"task:{task['id']}", reason=control.note, plan_id=run.id,
        task_id=task["id"], attempt=task["attempt"], engine_id=task["engine"], handle=task["handle"],
        note=control.note,
    )  # fmt: skip


async def _retry(
    work: UnitOfWork, deps: Dependencies, principal: Principal, view: RunView, child: UUID, control: Control
) -> None:
    """Clear the failed tasks of the DAG run; a run that Airflow never saw is triggered as it was asked for."""
    run = view.run
    if run.state not in ("failed", "stopped"):
        raise Problem("conflict", f"run {run.id} is {run.state}: only a failed or stopped run can be retried")
    job = _job(await load_workflow(work.connection, run.workflow_id))
    assert isinstance(job.work, AirflowWork)
    changes: dict[str, Any] = {"note": values.literal(control.note) or None}
    if run.dag_run_id is not None:
        changes |= {"mode": "clear", "dag_id": run.dag_id, "dag_run_id": run.dag_run_id, "conf": {}}
    else:
        create = RunCreate(task_id=run.task_id, dataset_id=run.dataset_id, parameters=run.parameters or {})
        changes |= {"conf": {**job.work.conf, **values.literal(create.conf())}}
    again = job.model_copy(update={"work": job.work.model_copy(update=changes)})
    start = plan_requests.JobStart(reason=control.note)
    await plan_requests.start_job(work, deps, principal, child, again, start, parent=run.id)
    await rows.keep_run(
        work.connection, child, task_id=run.task_id, dataset_id=run.dataset_id, parameters=run.parameters or {},
        note=control.note,
    )  # fmt: skip


def _job(saved: Saved) -> Job:
    assert isinstance(saved.definition, Job)
    return saved.definition


async def _load(connection: Connection, id: str, run_id: UUID) -> RunView:
    """The run. Raises a 404 problem, also for a run of another workflow."""
    plan = await queries.plan(connection, run_id)
    if plan is None or plan["target"] != f"job:{id}":
        raise missing(f"run of workflow {id}", run_id)
    return (await _views(connection, id, [plan]))[0]


async def _views(connection: Connection, id: str, plans: Sequence[dict[str, Any]]) -> list[RunView]:
    """These plans as runs of a workflow. Raises a 404 problem if there is no workflow and never was a run."""
    saved = (await store.load_readable(connection, "job", [id])).get(id)
    if saved is not None and values.is_workflow(saved.definition):
        dag_id = values.workflow_of(saved).dag_id
    elif plans:
        dag_id = ""  # deleted, or unreadable: its runs stay readable
    else:
        dag_id = values.workflow_of(await load_workflow(connection, id)).dag_id
    ids = [UUID(str(plan["id"])) for plan in plans]
    tasks = {task["plan_id"]: task for task in (await queries.tasks(connection, TaskFilter(plan=ids), limit=200)).items}
    requests = await rows.load_runs(connection, ids)
    found = await progress.load_progress(connection, [UUID(str(task["id"])) for task in tasks.values()])
    notes = await rows.load_notes(connection, [UUID(str(task["id"])) for task in tasks.values()])
    views: list[RunView] = []
    for plan_id, plan in zip(ids, plans, strict=True):
        task = tasks.get(str(plan["id"]))
        steps, note = {}, ""
        if task is not None:
            task_id = UUID(str(task["id"]))
            steps, note = found.get(task_id, {}), notes.get(task_id, "")
        views.append(run_of(id, dag_id, plan, task, request=requests.get(plan_id, {}), progress=steps, note=note))
    return views


async def _controlled(
    connection: Connection, id: str, control: Control, run_id: UUID, operation: UUID | None
) -> Answer:
    run = (await _load(connection, id, run_id)).run
    answered = Controlled(action=control.action, run_id=run_id, operation_id=operation, run=run)
    return Answer(answered.model_dump(mode="json"), 202, {"Location": f"/api/v1/workflows/{id}/runs/{run_id}"})
