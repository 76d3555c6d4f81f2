"""In: reprocess_start, reprocess_cancel, reprocess_retry. Changes: reprocessing_job, operation.
Out: reprocessing.start, reprocessing.cancel.

The paths and fields are those of the reprocessing document, so its calls run as they are written.
"""

from typing import Annotated, Any, Final
from uuid import UUID, uuid4

from fastapi import Depends, Query, Request, Response
from pydantic_core import from_json

from signalbox_chassis.persistence.database import UnitOfWork
from signalbox_contracts.definitions.problems import InvalidDefinition
from signalbox_contracts.definitions.reprocessing import ReprocessingConfig
from signalbox_contracts.messages.reprocessing import (
    REPROCESSING_ENDS,
    ReprocessingCancel,
    ReprocessingStart,
    ReprocessingStatus,
)
from signalbox_gateway import operations
from signalbox_gateway.definitions import checks
from signalbox_gateway.definitions.store import Saved
from signalbox_gateway.http.access import Principal, permission
from signalbox_gateway.http.bodies import body, body_of
from signalbox_gateway.http.dependencies import Dependencies, Deps
from signalbox_gateway.http.idempotency import Answer, idempotency_key, write
from signalbox_gateway.http.prefix_router import PrefixRouter
from signalbox_gateway.http.problems import Problem, invalid
from signalbox_gateway.plan_requests import plan_id
from signalbox_gateway.read_model import reprocessing as rows
from signalbox_gateway.routes.params import Cursor, Limit, Part, after, answer, known, missing, page
from signalbox_gateway.routes.reprocessing_answers import (
    ReprocessingBadLines,
    ReprocessingCancelAnswer,
    ReprocessingJob,
    ReprocessingJobPage,
    ReprocessingStartBody,
    ReprocessingWhy,
    ReprocessingWorkers,
)

ROOT: Final = "/api/admin"
router = PrefixRouter(prefix=f"{ROOT}/reprocessing", tags=["reprocessing"])
Reader = Depends(permission("reprocessing.read"))
Starter = Annotated[Principal, Depends(permission("reprocessing.start"))]
Controller = Annotated[Principal, Depends(permission("reprocessing.control"))]
Statuses = Annotated[
    list[str], Query(max_length=10, description="Only these; repeat it for any of several."), known(ReprocessingStatus)
]
ENGINE_KINDS: Final = ("process", "kubernetes")
"""What runs workers: the first of these that is there, unless the engine is named."""
WAIT_SECONDS: Final = 10.0
"""How long a start waits for the files to be listed, unless `Prefer: wait=N` says less."""
_ENDED: Final = frozenset(status.value for status in REPROCESSING_ENDS)


@router.post(
    "/jobs",
    operation_id="reprocess_start",
    response_model=ReprocessingJob,
    openapi_extra=body(ReprocessingStartBody),
)
async def reprocess_start(request: Request, deps: Deps, principal: Starter) -> Response:
    """Send event files again. 200 once the files are listed; 202 when that takes longer than ten seconds."""
    payload = await body_of(request, ReprocessingStartBody)
    config = ReprocessingConfig.model_validate(payload.model_dump(exclude={"engine", "reason"}))
    return await _start(request, deps, principal, config, engine=payload.engine, reason=payload.reason)


@router.get("/jobs", operation_id="reprocess_list", response_model=ReprocessingJobPage, dependencies=[Reader])
async def reprocess_list(
    deps: Deps,
    status: Statuses = [],  # noqa: B006 -- FastAPI copies defaults
    q: Part = "",
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """Jobs, newest first. `q` is part of the id or of the request."""
    begin = after("reprocessing", cursor)
    async with deps.database.connection() as connection:
        found = await rows.list_jobs(connection, status=status, q=q, after=begin, limit=limit)
    return page("reprocessing", found)


@router.get("/jobs/{id}", operation_id="reprocess_show", response_model=ReprocessingJob, dependencies=[Reader])
async def reprocess_show(id: UUID, deps: Deps) -> Response:
    """A job with the counts of all its workers."""
    return answer(rows.shown(await _load(deps, id)))


@router.get(
    "/jobs/{id}/workers", operation_id="reprocess_workers", response_model=ReprocessingWorkers, dependencies=[Reader]
)
async def reprocess_workers(id: UUID, deps: Deps) -> Response:
    """Each worker of a job."""
    return answer({"workers": rows.workers(await _load(deps, id))})


@router.get(
    "/jobs/{id}/bad-lines",
    operation_id="reprocess_samples",
    response_model=ReprocessingBadLines,
    dependencies=[Depends(permission("reprocessing.samples"))],
)
async def reprocess_samples(id: UUID, deps: Deps) -> Response:
    """The first lines of a job that could not be sent: where each is, why, and how it begins."""
    return answer({"bad_lines": rows.bad_lines(await _load(deps, id))})


@router.post(
    "/jobs/{id}/cancel",
    operation_id="reprocess_cancel",
    response_model=ReprocessingCancelAnswer,
    status_code=202,
    openapi_extra=body(ReprocessingWhy),
)
async def reprocess_cancel(id: UUID, request: Request, deps: Deps, principal: Controller) -> Response:
    """Stop the workers of a job. Events that were sent are not taken back; the ledger has their number."""
    payload = await body_of(request, ReprocessingWhy)

    async def act(work: UnitOfWork) -> Answer:
        row = await rows.load(work.connection, id)
        if row is None:
            raise missing("reprocessing job", id)
        if row["status"] in _ENDED:
            raise Problem("conflict", f"job {id} is {row['status']}: it never moves again")
        operation = await operations.ask(
            work,
            deps,
            principal,
            ReprocessingCancel,
            target=f"reprocessing:{id}",
            reason=payload.reason,
            job_id=id,
        )
        return Answer({"operation_id": operation, "job": rows.shown(row)}, 202)

    return await write(request, deps, principal, act)


@router.post(
    "/jobs/{id}/retry",
    operation_id="reprocess_retry",
    response_model=ReprocessingJob,
    openapi_extra=body(ReprocessingWhy),
)
async def reprocess_retry(id: UUID, request: Request, deps: Deps, principal: Starter) -> Response:
    """Read the failed files of an ended job again, from where each failed, as a new job."""
    payload = await body_of(request, ReprocessingWhy)
    row = await _load(deps, id)
    if row["status"] not in _ENDED:
        raise Problem("conflict", f"job {id} is {row['status']}: only an ended job can be retried")
    if row["config"] is None or rows.shown(row)["total_files"] == 0:
        raise Problem("conflict", f"job {id} has no files: start a new one")
    config = ReprocessingConfig.model_validate(from_json(row["config"]))
    return await _start(request, deps, principal, config, engine=row["engine"], reason=payload.reason, retry_of=id)


async def _engine(work: UnitOfWork, named: str | None) -> tuple[Saved, str]:
    """The engine that runs the workers, and its kind. Raises `InvalidDefinition`, for the first kind."""
    refused: list[InvalidDefinition] = []
    for kind in ENGINE_KINDS:
        try:
            return await checks.engine_of_kind(work.connection, kind, named), kind
        except InvalidDefinition as error:
            refused.append(error)
    raise refused[0]


async def _start(
    request: Request, deps: Dependencies, principal: Principal, config: ReprocessingConfig, *, engine: str | None,
    reason: str, retry_of: UUID | None = None,
) -> Response:  # fmt: skip
    """Publish the start in one transaction, then wait until the files are listed."""
    seconds = _wait_seconds(request)
    key = idempotency_key(request)
    id = plan_id(principal, f"reprocessing:{key}" if key else None)

    async def act(work: UnitOfWork) -> Answer:
        saved, kind = await _engine(work, engine)
        operation, now = uuid4(), deps.clock.now()
        chosen = saved.definition.id
        if not await rows.accept(
            work.connection, id, operation, config, actor=principal.actor, reason=reason, engine=chosen,
            retry_of=retry_of, at=now,
        ):  # fmt: skip
            raise Problem("idempotency-key-reused", f"this key made job {id} long ago: take a fresh one")
        await operations.ask(
            work, deps, principal, ReprocessingStart, target=f"reprocessing:{id}", reason=reason, id=operation, at=now,
            job_id=id, config=config, engine=chosen, engine_kind=kind, definitions_revision=saved.revision,
            retry_of=retry_of,
        )  # fmt: skip
        return Answer({"id": id}, 202)

    written = await write(request, deps, principal, act)
    row = await deps.waits.until(id, lambda: _load(deps, id), _is_listed, seconds=seconds)
    headers = {"Location": f"{ROOT}/reprocessing/jobs/{id}"}
    if "Idempotency-Replayed" in written.headers:
        headers["Idempotency-Replayed"] = "true"
    if row["answer_state"] == "refused":
        details: Any = from_json(row["answer_details"]) if row["answer_details"] else None
        field = str(details["field"]) if details and "field" in details else "body"
        raise invalid(field, None, row["answer"])
    return Answer(rows.shown(row), 200 if _is_listed(row) else 202, headers).response()


async def _load(deps: Dependencies, id: UUID) -> Any:
    async with deps.database.connection() as connection:
        row = await rows.load(connection, id)
    if row is None:
        raise missing("reprocessing job", id)
    return row


def _is_listed(row: Any) -> bool:
    return row["answer_state"] == "refused" or rows.shown(row)["total_workers"] is not None or row["status"] in _ENDED


def _wait_seconds(request: Request) -> float:
    """The time of `Prefer: wait=N` (RFC 7240), at most ten seconds."""
    for preference in request.headers.get("prefer", "").split(","):
        name, _, value = preference.strip().partition("=")
        if name.lower() == "wait" and value.isascii() and value.isdigit():
            return min(float(value), WAIT_SECONDS)
    return WAIT_SECONDS
