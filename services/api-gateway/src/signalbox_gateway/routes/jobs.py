"""In: job_list … job_stop. Changes: definitions, plan. Out: definition.snapshot, plan.request, plan.cancel."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel

from signalbox_chassis.persistence.connection import Connection
from signalbox_chassis.persistence.database import UnitOfWork
from signalbox_contracts.definitions.job import Job
from signalbox_contracts.messages.requests import PlanCancel
from signalbox_contracts.vocabulary import Text
from signalbox_gateway import definitions, operations, plan_requests
from signalbox_gateway.definitions import Saved
from signalbox_gateway.http.access import Principal, permission
from signalbox_gateway.http.bodies import body, body_of, json_body
from signalbox_gateway.http.dependencies import With
from signalbox_gateway.http.idempotency import Answer, idempotency_key, write
from signalbox_gateway.http.problems import Problem, checked, invalid
from signalbox_gateway.http.versions import etag, must_match, not_modified
from signalbox_gateway.read_model import cursor as cursors
from signalbox_gateway.routes.definition_ids import named
from signalbox_gateway.routes.params import Cursor, Labels, Limit, Words, after, answer, missing

router = APIRouter(prefix="/jobs", tags=["jobs"])
Reader = Annotated[Principal, Depends(permission("job.read"))]
Editor = Annotated[Principal, Depends(permission("job.write"))]
Starter = Annotated[Principal, Depends(permission("plan.start"))]
Stopper = Annotated[Principal, Depends(permission("plan.control"))]
VersionOf = Annotated[int | None, Query(ge=1, le=2_147_483_647)]
_BODY: dict[str, Any] = {
    "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Job"}}}}
}
_LIVE: Final = """
SELECT id FROM plan WHERE target = $1
  AND state NOT IN ('SUCCEEDED', 'COMPLETED_WITH_ERRORS', 'FAILED', 'CANCELLED', 'REFUSED')
ORDER BY created_at LIMIT 200
"""


class Stop(BaseModel):
    """How the job's plans end."""

    kill: bool = False
    reason: Text = ""


async def found_job(connection: Connection, id: str) -> Saved:
    """The job as it is now; a problem when there is none."""
    saved = await definitions.load(connection, "job", id)
    if saved is None:
        raise missing("job", id)
    return saved


async def job_version(connection: Connection, id: str, version: int | None) -> Job:
    """A version of a job that is there; the newest when none is said."""
    saved = await found_job(connection, id)
    if version is None or version == saved.version:
        assert isinstance(saved.definition, Job)
        return saved.definition
    job = await definitions.version(connection, id, version)
    if job is None:
        raise invalid("version", version, f"job {id} has versions 1 to {saved.version}")
    return job


@router.get("", operation_id="job_list")
async def job_list(
    parts: With,
    _: Reader,
    engine: Words = [],  # noqa: B006
    project: Words = [],  # noqa: B006
    label: Labels = [],  # noqa: B006
    q: Annotated[str, Query(max_length=255)] = "",
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """Jobs by id."""
    begin = after("names", cursor)
    async with parts.database.connection() as connection:
        found = await definitions.listed(
            connection, "job", limit=limit + 1, after=begin[0] if begin else "", engine=engine, project=project,
            label=label, q=q,
        )  # fmt: skip
    shown = [one.shown() for one in found[:limit]]
    more = [shown[-1]["id"]] if len(found) > limit else None
    return answer({"items": shown, "next_cursor": cursors.encode("names", more)})


@router.post("", operation_id="job_create", status_code=201, openapi_extra=_BODY)
async def job_create(request: Request, parts: With, principal: Editor) -> Response:
    """Save a job. Without `id` one is made of its name, without a name it has its id's."""
    job: Job = checked(Job, named(await json_body(request)))

    async def act(work: UnitOfWork) -> Answer:
        await definitions.lock(work.connection)
        if await definitions.load(work.connection, "job", job.id):
            raise Problem("conflict", f"job {job.id} exists already: change it with PUT")
        await plan_requests.check_job(work.connection, job)
        saved = await definitions.save(work, job, actor=principal.actor, at=parts.clock.now())
        return Answer(saved.shown(), 201, {**etag(saved.revision), "Location": f"/api/v1/jobs/{job.id}"})

    return await write(request, parts, principal, act)


@router.get("/{id}", operation_id="job_show")
async def job_show(
    id: str,
    request: Request,
    parts: With,
    _: Reader,
    version: Annotated[int | None, Query(ge=1, le=2_147_483_647)] = None,
) -> Response:
    """A job, or one of its versions."""
    async with parts.database.connection() as connection:
        saved = await found_job(connection, id)
        shown = saved.shown()
        if version is not None:
            shown = {**shown, **(await job_version(connection, id, version)).model_dump(mode="json")}
    if version is None and not_modified(request, saved.revision):
        return Response(status_code=304, headers=etag(saved.revision))
    said = answer(shown)
    said.headers.update(etag(saved.revision))
    return said


@router.get("/{id}/versions", operation_id="job_versions")
async def job_versions(id: str, parts: With, _: Reader) -> Response:
    """Every version of a job, the newest first."""
    async with parts.database.connection() as connection:
        await found_job(connection, id)
        return answer({"items": await definitions.versions(connection, "job", id), "next_cursor": None})


@router.put("/{id}", operation_id="job_update", openapi_extra=_BODY)
async def job_update(id: str, request: Request, parts: With, principal: Editor) -> Response:
    """Save the next version of a job; plans that run keep theirs."""
    job: Job = checked(Job, named(await json_body(request), id=id))

    async def act(work: UnitOfWork) -> Answer:
        await definitions.lock(work.connection)
        must_match(request, await found_job(work.connection, id))
        await plan_requests.check_job(work.connection, job)
        saved = await definitions.save(work, job, actor=principal.actor, at=parts.clock.now())
        return Answer(saved.shown(), 200, etag(saved.revision))

    return await write(request, parts, principal, act)


@router.delete("/{id}", operation_id="job_delete", status_code=204)
async def job_delete(id: str, request: Request, parts: With, principal: Editor) -> Response:
    """Remove a job; its plans and versions stay readable."""

    async def act(work: UnitOfWork) -> Answer:
        await definitions.lock(work.connection)
        saved = await found_job(work.connection, id)
        must_match(request, saved)
        await definitions.delete(work, saved, actor=principal.actor, at=parts.clock.now())
        return Answer(None, 204)

    return await write(request, parts, principal, act)


@router.post("/{id}/start", operation_id="job_start", status_code=202, openapi_extra=body(plan_requests.JobStart))
async def job_start(id: str, request: Request, parts: With, principal: Starter) -> Response:
    """Start a job. The plan is readable at once."""
    said = await body_of(request, plan_requests.JobStart)
    plan_id = plan_requests.plan_id(principal, idempotency_key(request))

    async def act(work: UnitOfWork) -> Answer:
        job = await job_version(work.connection, id, said.version)
        shown = await plan_requests.start_job(work, parts, principal, plan_id, job, said)
        return Answer(shown, 202, {"Location": f"/api/v1/plans/{plan_id}"})

    return await write(request, parts, principal, act)


@router.post("/{id}/stop", operation_id="job_stop", status_code=202, openapi_extra=body(Stop))
async def job_stop(id: str, request: Request, parts: With, principal: Stopper) -> Response:
    """Cancel every live plan of a job."""
    said = await body_of(request, Stop)

    async def act(work: UnitOfWork) -> Answer:
        await found_job(work.connection, id)
        asked: list[dict[str, Any]] = []
        for row in await work.connection.fetch(_LIVE, f"job:{id}"):
            operation = await operations.ask(
                work, parts, principal, PlanCancel, target=f"plan:{row['id']}", subject=str(row["id"]),
                reason=said.reason, plan_id=row["id"], kill=said.kill,
            )  # fmt: skip
            asked.append({"operation_id": operation, "plan_id": row["id"]})
        return Answer({"operations": asked}, 202)

    return await write(request, parts, principal, act)
