"""Sends the items of a pipeline's steps: conditions decided, templates rendered with the results of earlier steps."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from signalbox_chassis.persistence.database import UnitOfWork
from signalbox_contracts.definitions.template import InvalidTemplate
from signalbox_contracts.states import StepState, TaskState
from signalbox_planner import graph, lifecycle, render
from signalbox_planner.effects import EndItems, EnsureTasks
from signalbox_planner.graph import GraphStep, is_compensation
from signalbox_planner.lifecycle import with_effect
from signalbox_planner.plan import Item, Plan, StateChange
from signalbox_planner.store import items

MAX_RESULT_BYTES: Final = 1_048_576
"""How much results of one step a template may use."""


async def send(work: UnitOfWork, plan: Plan, now: datetime, capacity: int) -> Plan:
    """Decide the conditions of ready steps and send as many items as there is capacity for."""
    plan = await _begin_ready(work, plan, now)
    if plan.progress is None or plan.ended:
        return plan
    for step in graph.sendable(plan.progress, plan.spec.priority):
        if capacity <= 0 or plan.ended:
            break
        plan, tasks = await _send_step(work, plan, step, now, capacity)
        capacity -= tasks
    return plan


async def cancel_unsent(work: UnitOfWork, plan: Plan, now: datetime) -> Plan:
    """End the unsent items of running steps of a plan that is stopped."""
    assert plan.progress is not None
    stopped = plan.stop is not None and plan.stop.compensations
    for step in plan.progress.graph.steps:
        run = plan.progress.runs[step.index] if plan.progress else None
        if run is None or not run.unsent or (is_compensation(plan.progress, step.index) and not stopped):
            continue
        first, end = run.next_position, run.unsent_end
        plan = lifecycle.sent(plan, 0, next_position=end, unsent_end=end, step=step.index)
        cancelled = await items.cancel_unsent(work.connection, plan.id, first, end)
        changes = [StateChange(None, TaskState.CANCELLED, cancelled, 0, step.index)] if cancelled else []
        plan = with_effect(
            lifecycle.count(plan, changes, now), EndItems(first, end, "CANCELLED", "the plan was stopped")
        )
        assert plan.progress is not None
    return plan


async def _begin_ready(work: UnitOfWork, plan: Plan, now: datetime) -> Plan:
    """Begin ready steps. One whose condition does not hold is skipped, which may make others ready."""
    while plan.progress is not None and not plan.ended:
        ready = [step for step in plan.progress.graph.steps if plan.progress.runs[step.index].state is StepState.READY]
        if not ready:
            break
        progress = plan.progress
        for step in ready:
            progress = await _begin(work, plan, progress, step, now)
        plan = lifecycle.finish(lifecycle.settle(lifecycle.with_progress(plan, progress, now), now), now)
    return plan


async def _begin(
    work: UnitOfWork, plan: Plan, progress: graph.Progress, step: GraphStep, now: datetime
) -> graph.Progress:  # fmt: skip
    if step.step.condition is None:
        return graph.begin(progress, step.index, now)
    try:
        results = await _results(work, plan, render.condition_steps(step))
        holds = render.holds(step, plan, results)
    except InvalidTemplate as error:
        return graph.fail(progress, step.index, now, f"condition of step {step.step.id!r}: {error}")
    if holds:
        return graph.begin(progress, step.index, now)
    return graph.skip(progress, step.index, now, f"the condition does not hold: {step.step.condition}")


async def _send_step(
    work: UnitOfWork, plan: Plan, step: GraphStep, now: datetime, capacity: int
) -> tuple[Plan, int]:  # fmt: skip
    """Render and send the next items of one step. An item that cannot be rendered fails alone."""
    assert plan.progress is not None
    run, newest = plan.progress.runs[step.index], plan.rules.rules.order == "newest_first"
    first, end = run.next_position, run.unsent_end
    rows = await items.unsent(work.connection, plan.id, first, end, max_items=capacity, newest=newest)
    if not rows:
        first = end
    elif newest:
        end = rows[-1].position
    else:
        first = rows[-1].position + 1
    ready = [row for row in rows if row.state is None]
    rendered, broken = await _render(work, plan, step, ready)
    plan = lifecycle.sent(plan, len(rendered), next_position=first, unsent_end=end, step=step.index)
    if rendered:
        await items.store_work(work.connection, plan.id, rendered)
        plan = with_effect(plan, EnsureTasks(tuple(rendered)))
    for row, reason in broken:
        plan = with_effect(plan, EndItems(row.position, row.position + 1, "FAILED", reason))
    if broken:
        change = StateChange(None, TaskState.FAILED, len(broken), 0, step.index, reason=broken[0][1])
        plan = lifecycle.count(plan, [change], now)
    return plan, len(rendered)


async def _render(
    work: UnitOfWork, plan: Plan, step: GraphStep, rows: Sequence[Item]
) -> tuple[list[Item], list[tuple[Item, str]]]:
    rendered: list[Item] = []
    broken: list[tuple[Item, str]] = []
    assert plan.progress is not None
    pipeline = plan.progress.graph.pipeline
    try:
        results = await _results(work, plan, render.work_steps(step))
    except InvalidTemplate as error:
        return [], [(row, str(error)[: graph.MAX_REASON]) for row in rows]
    for row in rows:
        try:
            text = render.work_of(pipeline, step, plan, results, row.combination)
            rendered.append(row._replace(work=text))
        except InvalidTemplate as error:
            broken.append((row, f"work of {row.key!r}: {error}"[: graph.MAX_REASON]))
    return rendered, broken


async def _results(work: UnitOfWork, plan: Plan, names: frozenset[str]) -> dict[str, Any]:
    """What templates see as `steps`. Raises `InvalidTemplate` when a step's results are too large."""
    if not names or plan.progress is None:
        return {}
    by_index = {step.index: step for step in plan.progress.graph.steps if step.step.id in names}
    found = await items.results(work.connection, plan.id, list(by_index), max_bytes=MAX_RESULT_BYTES)
    values: dict[str, Any] = {}
    for index, step in by_index.items():
        texts = found.get(index, [])
        if isinstance(texts, int):
            raise InvalidTemplate(
                f"the results of step {step.step.id!r} take {texts} bytes: a template may use {MAX_RESULT_BYTES}"
            )
        results = [None if text is None else json.loads(text) for text in texts]
        values[step.step.id] = {"result": results if step.step.matrix else (results[0] if results else None)}
    return values
