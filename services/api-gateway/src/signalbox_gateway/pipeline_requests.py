"""Starting pipelines, and running a part of an earlier plan again: checked against definitions, then requested."""

from collections.abc import Sequence
from datetime import date
from typing import Any, Literal
from uuid import UUID

from pydantic import Field, ValidationError

from signalbox_chassis.persistence.connection import Connection
from signalbox_chassis.persistence.database import UnitOfWork
from signalbox_contracts.definitions.definition import Params
from signalbox_contracts.definitions.engine import Engine
from signalbox_contracts.definitions.params import InvalidParams, bind, check_given
from signalbox_contracts.definitions.pipeline import Pipeline, Step, StepId
from signalbox_contracts.definitions.placement import NoFittingEngine, choose_engine
from signalbox_contracts.definitions.problems import Problem as FieldProblem
from signalbox_contracts.definitions.problems import problems_in
from signalbox_contracts.messages.requests import Rerun, RunPipeline
from signalbox_contracts.states import PLAN_ENDS
from signalbox_contracts.vocabulary import Value
from signalbox_contracts.wire import MessageTooLarge
from signalbox_gateway import plan_requests
from signalbox_gateway.definitions import store
from signalbox_gateway.definitions.kinds import KINDS
from signalbox_gateway.http.access import Principal
from signalbox_gateway.http.dependencies import Dependencies
from signalbox_gateway.http.problems import Problem, invalid, invalid_all
from signalbox_gateway.pipeline_trial import try_templates
from signalbox_gateway.plan_requests import PlanStart, Version
from signalbox_gateway.read_model import queries
from signalbox_gateway.routes.definitions import load_version


class PipelineStart(PlanStart):
    """How a pipeline is run."""

    params: Params = Field(default_factory=dict)
    version: Version | None = None


class PlanRerun(Value):
    """Which part of a pipeline's plan runs again."""

    scope: Literal["start", "failed", "from", "only"] = "failed"
    """`failed`: what did not succeed and what follows it; `from`: the steps and what follows; `only`: the steps."""
    steps: tuple[StepId, ...] = Field(default=(), max_length=500)
    latest: bool = False
    """The newest version of the pipeline instead of the one that ran."""
    params: Params = Field(default_factory=dict)
    """Values instead of those of the first run."""
    reason: str = Field(default="", max_length=2000)


async def start_pipeline(
    work: UnitOfWork, deps: Dependencies, principal: Principal, id: UUID, pipeline: Pipeline, start: PipelineStart
) -> dict[str, Any]:
    """Start a pipeline; the plan as the API shows it."""
    try:
        bound = bind(pipeline.params, start.params)
    except InvalidParams as error:
        raise _invalid_params(error) from None
    await try_templates(pipeline, bound)
    placed, revision = await _placed(work.connection, pipeline)
    rules = start.rules if "rules" in start.model_fields_set else pipeline.rules
    request = start.model_copy(update={"rules": rules})
    what = RunPipeline(pipeline=placed, params=start.params)
    return await _send(work, deps, principal, id, request, what, revision)


async def rerun_plan(
    work: UnitOfWork, deps: Dependencies, principal: Principal, id: UUID, parent_id: UUID, chosen: PlanRerun
) -> dict[str, Any]:
    """Run a part of a plan again, as a plan linked to it."""
    parent = await queries.plan(work.connection, parent_id)
    if parent is None:
        raise Problem("not-found", f"there is no plan {parent_id}")
    target = str(parent.get("target") or "")
    kind, _, pipeline_id = target.partition(":")
    if kind != "pipeline":
        raise Problem("conflict", f"plan {parent_id} ran {target or 'a list'}: `plan retry` repeats its failures")
    if parent["state"] not in PLAN_ENDS:
        raise Problem("conflict", f"plan {parent_id} is {parent['state']}: only what has ended is run again")
    version = None if chosen.latest else parent.get("target_version")
    pipeline: Pipeline = await load_version(work.connection, KINDS["pipeline"], pipeline_id, version)
    try:
        rerun = Rerun(plan_id=parent_id, scope=chosen.scope, steps=chosen.steps)
    except ValidationError as error:
        allowed = "; ".join(one.allowed for one in problems_in(error))
        raise invalid("steps", list(chosen.steps), allowed) from None
    known = [step.id for step in pipeline.steps if step.compensates is None]
    if unknown := [step for step in chosen.steps if step not in known]:
        raise invalid("steps", unknown[0], f"steps that can be run again are {', '.join(known)}")
    try:
        check_given(pipeline.params, chosen.params)
    except InvalidParams as error:
        raise _invalid_params(error) from None
    await try_templates(pipeline, chosen.params, steps=_surely_again(pipeline, parent, chosen), all_known=False)
    placed, revision = await _placed(work.connection, pipeline)
    event_date = date.fromisoformat(parent["event_date"]) if parent.get("event_date") else None
    request = PipelineStart(rules=pipeline.rules, event_date=event_date, reason=chosen.reason)
    what = RunPipeline(pipeline=placed, params=chosen.params, rerun=rerun)
    return await _send(work, deps, principal, id, request, what, revision, parent=parent_id)


def _surely_again(pipeline: Pipeline, parent: dict[str, Any], chosen: PlanRerun) -> frozenset[str]:
    """The steps of which every task runs again. The planner decides on others, which follow them."""
    if chosen.scope == "start":
        return frozenset(step.id for step in pipeline.steps)
    if chosen.scope == "failed":
        ended = {step["id"]: step["state"] for step in parent.get("steps") or ()}
        return frozenset(step.id for step in pipeline.steps if ended.get(step.id) == "FAILED" and not step.matrix)
    return frozenset(chosen.steps)


async def _placed(connection: Connection, pipeline: Pipeline) -> tuple[Pipeline, int]:
    """The pipeline with an engine for every step, and the newest revision among them."""
    named = {step.engine for step in pipeline.steps if step.engine}
    if all(step.engine for step in pipeline.steps):
        saved = list((await store.load_all(connection, "engine", sorted(named))).values())
    else:
        known = {one.definition.id: one for one in await store.list_definitions(connection, "engine", limit=1000)}
        saved = list((known | await store.load_all(connection, "engine", sorted(named - known.keys()))).values())
    revisions = {one.definition.id: one.revision for one in saved}
    engines = [one.definition for one in saved if isinstance(one.definition, Engine)]
    steps: list[Step] = []
    problems: list[FieldProblem] = []
    used: set[str] = set()
    for number, step in enumerate(pipeline.steps):
        try:
            engine = choose_engine(engines, work_kind=step.work.kind, named=step.engine)
        except NoFittingEngine as error:
            problems.append(FieldProblem(f"steps.{number}.{error.field}", error.value, error.allowed))
            continue
        used.add(engine.id)
        steps.append(step.model_copy(update={"engine": engine.id}))
    if problems:
        raise invalid_all(problems)
    return pipeline.model_copy(update={"steps": tuple(steps)}), max(revisions[id] for id in used)


async def _send(
    work: UnitOfWork, deps: Dependencies, principal: Principal, id: UUID, start: PipelineStart, what: RunPipeline,
    revision: int, *, parent: UUID | None = None,
) -> dict[str, Any]:  # fmt: skip
    pipeline = what.pipeline
    name = pipeline.name if parent is None else f"{pipeline.name}, {what.rerun.scope if what.rerun else ''} again"
    data = plan_requests.plan_request(id, principal, start, name=name[:200], what=what, revision=revision)
    data = data.model_copy(update={"parent": parent})
    total = sum(_size(step) for step in pipeline.steps)
    record = plan_requests.first_record(
        data, deps.clock.now(), total=total, target=f"pipeline:{pipeline.id}", target_version=pipeline.version,
        project=pipeline.project, parent=parent,
    )  # fmt: skip
    try:
        return await plan_requests.send(work, deps, record, [data])
    except MessageTooLarge as error:
        raise invalid("steps", None, f"take {error.size} bytes as JSON: too large for a message") from None


def _size(step: Step) -> int:
    size = 1
    for values in step.matrix.values():
        size *= len(values)
    return size


def _invalid_params(error: InvalidParams) -> Problem:
    lines: Sequence[str] = str(error).splitlines()
    names = [line.partition(" ")[0].rstrip(":") for line in lines]
    return invalid_all(
        [
            FieldProblem(f"params.{name}", None, line.removeprefix(f"{name}: "))
            for name, line in zip(names, lines, strict=True)
        ]
    )
