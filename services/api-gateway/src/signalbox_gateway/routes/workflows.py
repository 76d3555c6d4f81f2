"""In: workflow_create … workflow_delete, workflow_pause, workflow_resume. Changes: definition, operation.
Out: definition.snapshot, dag.pause.

A workflow is a job whose work is an Airflow DAG, in the words of the workflows API.
"""

from typing import Annotated, Any, Final

from fastapi import Depends, Query, Request, Response
from pydantic import ValidationError

from signalbox_chassis.persistence.connection import Connection
from signalbox_chassis.persistence.database import UnitOfWork
from signalbox_contracts.definitions.job import Job
from signalbox_contracts.definitions.problems import problems_in
from signalbox_contracts.definitions.work import AirflowWork
from signalbox_contracts.messages.operations import DagPause
from signalbox_gateway import operations
from signalbox_gateway.definitions import checks, publish, store
from signalbox_gateway.definitions.kinds import KINDS
from signalbox_gateway.definitions.written import complete
from signalbox_gateway.http.access import Principal, permission, require_definition, require_references, visible
from signalbox_gateway.http.bodies import body, body_of
from signalbox_gateway.http.dependencies import Dependencies, Deps
from signalbox_gateway.http.etags import etag, must_match, not_modified
from signalbox_gateway.http.idempotency import Answer, write
from signalbox_gateway.http.openapi import IF_MATCH, UNREADABLE
from signalbox_gateway.http.prefix_router import PrefixRouter
from signalbox_gateway.http.problems import Problem, invalid_all
from signalbox_gateway.read_model import cursor as cursors
from signalbox_gateway.read_model import workflows as rows
from signalbox_gateway.routes.params import Cursor, Limit, Part, Words, after, answer, missing
from signalbox_gateway.workflows import values
from signalbox_gateway.workflows.values import DagChange, DagChanged, Workflow, WorkflowPage, WorkflowWrite

router = PrefixRouter(prefix="/workflows", tags=["workflows"])
Reader = Depends(permission("job.read"))
Editor = Annotated[Principal, Depends(permission("job.write"))]
Controller = Annotated[Principal, Depends(permission("engine.operate"))]
JOB: Final = KINDS["job"]


async def load_workflow(connection: Connection, id: str) -> store.Saved:
    """The job of this workflow. Raises a 404 problem, also for a job that runs something else, and
    `DefinitionUnreadable`.
    """
    return (await _read_workflow(connection, id))[1]


async def _read_workflow(connection: Connection, id: str) -> tuple[store.Stored, store.Saved]:
    stored = await store.find(connection, "job", id)
    saved = stored.read() if stored else None
    if stored is None or saved is None or not values.is_workflow(saved.definition):
        raise missing("workflow", id)
    return stored, saved


@router.get("", operation_id="workflow_list", response_model=WorkflowPage, dependencies=[Reader])
async def workflow_list(
    request: Request,
    deps: Deps,
    project: Words = [],  # noqa: B006 -- FastAPI copies defaults
    dag_id: Annotated[str, Query(max_length=250, description="Those of this DAG.")] = "",
    q: Part = "",
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """Workflows by id."""
    begin = after("workflows", cursor)
    async with deps.database.connection() as connection:
        ids = await rows.list_workflow_ids(
            connection, project=project, q=q, dag_id=dag_id, after=begin[0] if begin else "", limit=limit + 1,
            visible=visible(request),
        )  # fmt: skip
        saved = await store.load_readable(connection, "job", ids[:limit])
    items = [values.workflow_of(saved[id]).model_dump(mode="json") for id in ids[:limit] if id in saved]
    return answer(
        {"items": items, "next_cursor": cursors.encode("workflows", [ids[limit - 1]] if len(ids) > limit else None)}
    )


@router.post(
    "", operation_id="workflow_create", status_code=201, response_model=Workflow, openapi_extra=body(WorkflowWrite)
)
async def workflow_create(request: Request, deps: Deps, principal: Editor) -> Response:
    """Save a workflow. Its id is derived from its name."""
    written = await body_of(request, WorkflowWrite)
    job = _job(str(complete({"name": written.name})["id"]), written)

    async def act(work: UnitOfWork) -> Answer:
        await publish.lock(work.connection)
        if await store.find(work.connection, "job", job.id):
            raise Problem("conflict", f"workflow {job.id} exists: PUT /workflows/{job.id} changes it")
        saved = await _save(work, deps, principal, job)
        headers = {**etag(saved.revision), "Location": f"/api/v1/workflows/{job.id}"}
        return Answer(values.workflow_of(saved).model_dump(mode="json"), 201, headers)

    return await write(request, deps, principal, act)


@router.get(
    "/{id}", operation_id="workflow_show", response_model=Workflow, dependencies=[Reader], responses=UNREADABLE
)  # fmt: skip
async def workflow_show(id: str, request: Request, deps: Deps) -> Response:
    """A workflow as it is now."""
    async with deps.database.connection() as connection:
        saved = await load_workflow(connection, id)
    if not_modified(request, saved.revision):
        return Response(status_code=304, headers=etag(saved.revision))
    return answer(values.workflow_of(saved).model_dump(mode="json"), headers=etag(saved.revision))


@router.put(
    "/{id}", operation_id="workflow_update", response_model=Workflow, openapi_extra={**body(WorkflowWrite), **IF_MATCH}
)
async def workflow_update(id: str, request: Request, deps: Deps, principal: Editor) -> Response:
    """Save the next version of a workflow; running runs keep their version."""
    job = _job(id, await body_of(request, WorkflowWrite))

    async def act(work: UnitOfWork) -> Answer:
        await publish.lock(work.connection)
        before = await load_workflow(work.connection, id)
        must_match(request, before.revision)
        request.state.before = before.as_answer()
        assert isinstance(before.definition, Job)
        kept = job.model_copy(
            update={
                "retries": before.definition.retries, "time_limits": before.definition.time_limits,
                "priority": before.definition.priority, "on_unknown": before.definition.on_unknown,
            }
        )  # fmt: skip
        saved = await _save(work, deps, principal, kept)
        return Answer(values.workflow_of(saved).model_dump(mode="json"), 200, etag(saved.revision))

    return await write(request, deps, principal, act)


@router.delete("/{id}", operation_id="workflow_delete", status_code=204, openapi_extra=IF_MATCH)
async def workflow_delete(id: str, request: Request, deps: Deps, principal: Editor) -> Response:
    """Delete a workflow that nothing uses. Its runs stay readable."""

    async def act(work: UnitOfWork) -> Answer:
        await publish.lock(work.connection)
        stored, saved = await _read_workflow(work.connection, id)
        must_match(request, saved.revision)
        request.state.before = saved.as_answer()
        if users := await JOB.users(work.connection, id):
            raise Problem("in-use", f"workflow {id} is used by {', '.join(users[:5])}", users=users)
        await store.delete(work, stored, actor=principal.actor, at=deps.clock.now())
        return Answer(None, 204)

    return await write(request, deps, principal, act)


@router.post(
    "/{id}/pause", operation_id="workflow_pause", status_code=202, response_model=DagChanged,
    openapi_extra=body(DagChange),
)  # fmt: skip
async def workflow_pause(id: str, request: Request, deps: Deps, principal: Controller) -> Response:
    """Pause the workflow's DAG in Airflow: all its runs, also those of others, stay queued there."""
    return await _change_dag(id, request, deps, principal, paused=True)


@router.post(
    "/{id}/resume", operation_id="workflow_resume", status_code=202, response_model=DagChanged,
    openapi_extra=body(DagChange),
)  # fmt: skip
async def workflow_resume(id: str, request: Request, deps: Deps, principal: Controller) -> Response:
    """Resume the workflow's DAG in Airflow."""
    return await _change_dag(id, request, deps, principal, paused=False)


async def _change_dag(id: str, request: Request, deps: Dependencies, principal: Principal, *, paused: bool) -> Response:
    written = await body_of(request, DagChange)

    async def act(work: UnitOfWork) -> Answer:
        workflow = await load_workflow(work.connection, id)
        job = workflow.definition
        assert isinstance(job, Job)
        assert isinstance(job.work, AirflowWork)
        engine = (await checks.engine_for(work.connection, job)).definition.id
        operation = await operations.ask(
            work, deps, principal, DagPause, target=f"job:{id}", subject=f"engine:{engine}", reason=written.reason,
            engine_id=engine, dag_id=job.work.dag_id, paused=paused,
        )  # fmt: skip
        changed = DagChanged(dag_id=job.work.dag_id, engine=engine, is_paused=paused, operation_id=operation)
        return Answer(changed.model_dump(mode="json"), 202, {"Location": f"/api/v1/operations/{operation}"})

    return await write(request, deps, principal, act)


def _job(id: str, written: WorkflowWrite) -> Job:
    """The job. Raises a 422 problem that names every field that is wrong."""
    if wrong := values.reserved_problems("parameters", written.parameters):
        raise invalid_all(wrong)
    try:
        return values.job_of(id, written)
    except ValidationError as error:
        raise invalid_all(list(problems_in(error))) from None


async def _save(work: UnitOfWork, deps: Dependencies, principal: Principal, job: Any) -> store.Saved:
    await require_references(work.connection, principal, "job.write", job)
    await checks.check_definition(work.connection, job)
    await checks.engine_for(work.connection, job)  # a workflow nothing can run would only fail later
    saved = await store.save(work, job, actor=principal.actor, at=deps.clock.now())
    await require_definition(work.connection, principal, "job.write", "job", job.id)
    return saved
