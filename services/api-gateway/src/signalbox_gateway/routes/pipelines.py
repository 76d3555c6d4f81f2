"""In: pipeline_run, pipeline_apply, plan_rerun. Changes: plan, definition. Out: plan.request, definition.snapshot."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Request, Response
from pydantic import BaseModel, Field

from signalbox_chassis.persistence.database import UnitOfWork
from signalbox_contracts.definitions.problems import InvalidDefinition
from signalbox_contracts.definitions.problems import Problem as FieldProblem
from signalbox_gateway import pipeline_requests, plan_requests
from signalbox_gateway.definitions import checks, publish, store
from signalbox_gateway.definitions.kinds import KINDS
from signalbox_gateway.definitions.written import complete
from signalbox_gateway.http.access import Principal, permission, require_definition, require_references
from signalbox_gateway.http.bodies import body, body_of
from signalbox_gateway.http.dependencies import Deps
from signalbox_gateway.http.idempotency import Answer, idempotency_key, write
from signalbox_gateway.http.prefix_router import PrefixRouter
from signalbox_gateway.http.problems import Problem, checked, invalid_all
from signalbox_gateway.routes import answers
from signalbox_gateway.routes.definitions import load_version

router = PrefixRouter(tags=["pipelines"])
Starter = Annotated[Principal, Depends(permission("plan.start"))]
Writer = Annotated[Principal, Depends(permission("pipeline.write"))]
PIPELINE = KINDS["pipeline"]


class PipelineApply(BaseModel):
    """Pipelines that are saved together, or not at all."""

    pipelines: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=200)]
    dry_run: bool = False
    """Check everything and save nothing."""


@router.post(
    "/pipelines/{id}/run", operation_id="pipeline_run", response_model=answers.Plan, status_code=202,
    openapi_extra=body(pipeline_requests.PipelineStart),
)  # fmt: skip
async def pipeline_run(id: str, request: Request, deps: Deps, principal: Starter) -> Response:
    """Run a pipeline. The plan is readable at once."""
    start = await body_of(request, pipeline_requests.PipelineStart)
    plan_id = plan_requests.plan_id(principal, idempotency_key(request))

    async def act(work: UnitOfWork) -> Answer:
        pipeline = await load_version(work.connection, PIPELINE, id, start.version)
        shown = await pipeline_requests.start_pipeline(work, deps, principal, plan_id, pipeline, start)
        return Answer(shown, 202, {"Location": f"/api/v1/plans/{plan_id}"})

    return await write(request, deps, principal, act)


@router.post(
    "/plans/{id}/rerun", operation_id="plan_rerun", response_model=answers.Plan, status_code=202,
    openapi_extra=body(pipeline_requests.PlanRerun),
)  # fmt: skip
async def plan_rerun(id: UUID, request: Request, deps: Deps, principal: Starter) -> Response:
    """Run a part of a pipeline's plan again, as a new plan linked to it. Results of the other steps are reused."""
    chosen = await body_of(request, pipeline_requests.PlanRerun)
    plan_id = plan_requests.plan_id(principal, idempotency_key(request))

    async def act(work: UnitOfWork) -> Answer:
        shown = await pipeline_requests.rerun_plan(work, deps, principal, plan_id, id, chosen)
        return Answer(shown, 202, {"Location": f"/api/v1/plans/{plan_id}"})

    return await write(request, deps, principal, act)


@router.post(
    "/pipelines/apply", operation_id="pipeline_apply", response_model=answers.PipelineOutcomes,
    openapi_extra=body(PipelineApply),
)  # fmt: skip
async def pipeline_apply(request: Request, deps: Deps, principal: Writer) -> Response:
    """Save several pipelines in one transaction: new ones are created, changed ones get a version, or nothing is."""
    wanted = await body_of(request, PipelineApply)
    pipelines = _read_all(wanted.pipelines)

    async def act(work: UnitOfWork) -> Answer:
        await publish.lock(work.connection)
        await _check_all(work, principal, pipelines)
        outcomes = [await _apply(work, deps, principal, one) for one in pipelines]
        if wanted.dry_run:
            raise _DryRun(outcomes)
        return Answer({"items": outcomes, "dry_run": False}, 200)

    try:
        return await write(request, deps, principal, act)
    except _DryRun as checked_only:
        return Answer({"items": checked_only.outcomes, "dry_run": True}, 200).response()


class _DryRun(Exception):
    """Ends the transaction of a dry run without a change."""

    def __init__(self, outcomes: list[dict[str, Any]]) -> None:
        super().__init__("nothing is saved")
        self.outcomes = outcomes


def _read_all(written: list[dict[str, Any]]) -> list[Any]:
    """Every pipeline as a value. All problems are reported together, each with the number of its pipeline."""
    found: list[Any] = []
    problems: list[FieldProblem] = []
    for number, one in enumerate(written):
        try:
            found.append(checked(PIPELINE.model, complete(one)))
        except Problem as problem:
            problems += [_numbered(number, part) for part in problem.errors]
        except InvalidDefinition as error:
            problems += [_numbered(number, part) for part in error.problems]
    ids = [one.id for one in found]
    problems += [
        FieldProblem(f"pipelines.{number}.id", repr(id), "is used by another pipeline of this call")
        for number, id in enumerate(ids)
        if id in ids[:number]
    ]
    if problems:
        raise invalid_all(problems[:100])
    return found


def _numbered(number: int, problem: FieldProblem) -> FieldProblem:
    return FieldProblem(f"pipelines.{number}.{problem.field}", problem.value, problem.allowed)


async def _check_all(work: UnitOfWork, principal: Principal, pipelines: list[Any]) -> None:
    """Check pipelines against what is saved. All problems are reported together."""
    problems: list[FieldProblem] = []
    unreadable: checks.Unreadable = {}
    for number, pipeline in enumerate(pipelines):
        await require_references(work.connection, principal, "pipeline.write", pipeline)
        found, damaged = await checks.find_problems(work.connection, pipeline)
        problems += [_numbered(number, problem) for problem in found]
        unreadable |= {f"pipelines.{number}.{field}": error for field, error in damaged.items()}
    checks.refuse(problems, unreadable)


async def _apply(work: UnitOfWork, deps: Deps, principal: Principal, pipeline: Any) -> dict[str, Any]:
    """Save one pipeline unless it is what is saved already."""
    stored = await store.find(work.connection, "pipeline", pipeline.id)
    known = stored.read_if_possible() if stored else None  # what cannot be read is replaced
    await require_definition(work.connection, principal, "pipeline.write", "pipeline", pipeline.id)
    if known is not None and known.definition.model_copy(update={"version": 1}) == pipeline.model_copy(
        update={"version": 1}
    ):
        return {"id": pipeline.id, "outcome": "unchanged", "version": known.version}
    saved = await store.save(work, pipeline, actor=principal.actor, at=deps.clock.now())
    await require_definition(work.connection, principal, "pipeline.write", "pipeline", pipeline.id)
    outcome = "created" if stored is None else "changed"
    return {"id": pipeline.id, "outcome": outcome, "version": saved.version}
