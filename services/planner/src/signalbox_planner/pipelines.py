"""Starts pipelines: a graph of steps from its definition, or a part of an earlier plan run again."""

from dataclasses import replace
from datetime import datetime

from signalbox_chassis.persistence.database import UnitOfWork
from signalbox_contracts.messages.requests import Rerun, RunPipeline
from signalbox_planner import expand, facts, lifecycle
from signalbox_planner.dispatch import Dispatcher
from signalbox_planner.expand import RequestRefused
from signalbox_planner.graph import Progress, fresh_runs, graph_of
from signalbox_planner.plan import PAGE_ITEMS, Plan
from signalbox_planner.rerun import InvalidRerun, Part, plan_rerun, reused_positions
from signalbox_planner.store import items, plans


async def start_pipeline(
    work: UnitOfWork, dispatcher: Dispatcher, plan: Plan, what: RunPipeline, now: datetime
) -> Plan:  # fmt: skip
    """Store the steps and items of a pipeline and start it. Raises `RequestRefused`."""
    graph = graph_of(what.pipeline)
    part = Part(fresh_runs(graph), {})
    params = dict(what.params)
    if what.rerun is not None:
        parent, part = await _part_of(work, what, what.rerun)
        inherited = {name: value for name, value in parent.spec.params.items() if name in what.pipeline.params}
        params = {**inherited, **params}
        spec = plan.spec.model_copy(update={"parent": parent.id, "event_date": parent.spec.event_date})
        plan = replace(plan, spec=spec)
    spec = plan.spec.model_copy(update={"params": expand.bind_params(what.pipeline.params, params)})
    rows = expand.pipeline_items(plan.id, graph, part.taken_over)
    intake = replace(plan.intake, pages=facts.pages_of(len(rows)))
    plan = replace(plan, spec=spec, intake=intake, progress=Progress(graph, part.runs))
    await items.store(work.connection, rows)
    if what.rerun is not None:
        await items.copy_results(work.connection, plan.id, what.rerun.plan_id, reused_positions(part))
    for n in range(0, len(rows), PAGE_ITEMS):
        plan = lifecycle.store_page(plan, n // PAGE_ITEMS + 1, rows[n : n + PAGE_ITEMS])
    return await dispatcher.start(work, plan, now)


async def _part_of(work: UnitOfWork, what: RunPipeline, rerun: Rerun) -> tuple[Plan, Part]:
    """The plan that is run again, and which part of it. Raises `RequestRefused`."""
    parent = (await plans.locked(work.connection, [rerun.plan_id])).get(rerun.plan_id)
    if parent is None:
        raise RequestRefused(f"rerun.plan_id: plan {rerun.plan_id} is not known")
    if parent.progress is None or parent.spec.target != f"pipeline:{what.pipeline.id}":
        raise RequestRefused(
            f"rerun.plan_id: plan {parent.id} ran {parent.spec.target}, not pipeline:{what.pipeline.id}"
        )
    if not parent.ended:
        raise RequestRefused(f"rerun.plan_id: plan {parent.id} is {parent.state}: only what has ended is run again")
    try:
        rows = await items.of_plan(work.connection, parent.id)
        return parent, plan_rerun(graph_of(what.pipeline), parent.id, parent.progress, rows, rerun)
    except InvalidRerun as error:
        raise RequestRefused(f"rerun.{error}") from None
