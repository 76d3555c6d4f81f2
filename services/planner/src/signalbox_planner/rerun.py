"""Which steps of an ended pipeline run again, and which results are reused. Pure."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from signalbox_contracts.messages.requests import Rerun
from signalbox_contracts.states import StepState
from signalbox_planner.graph import Graph, GraphStep, Progress, StepCounts, StepRun
from signalbox_planner.plan import Item

KEPT = frozenset({"SUCCEEDED", "REUSED"})
_AWAITED = {"on_success": StepState.SUCCEEDED, "on_failure": StepState.FAILED}


class InvalidRerun(ValueError):
    """The chosen steps cannot run again; the text names them and what is allowed."""


class Part(NamedTuple):
    """The steps of the new plan, and the items that it takes over, with the state and reason of each."""

    runs: tuple[StepRun, ...]
    taken_over: Mapping[int, tuple[str, str]]


class _Parent(NamedTuple):
    """What is known of the plan that is run again, by step id."""

    plan_id: UUID
    runs: Mapping[str, StepRun]
    items: Mapping[str, Item]
    undone: frozenset[str]
    """Steps whose compensation was started."""

    def keeps(self, step: GraphStep, position: int) -> bool:
        """Whether an item succeeded there, as the same work, and was not compensated."""
        item = self.items.get(step.key(position))
        same = item is not None and item.state in KEPT and item.combination == combination_text(step, position)
        return same and step.step.id not in self.undone


def combination_text(step: GraphStep, position: int) -> str | None:
    """The values of the matrix at one position, as they are stored."""
    combination = step.combinations[position - step.first]
    return json.dumps(combination, ensure_ascii=False) if combination else None


def plan_rerun(graph: Graph, parent_id: UUID, parent: Progress, items: Iterable[Item], rerun: Rerun) -> Part:
    """The steps of a plan that runs a part of another again. Raises `InvalidRerun`."""
    steps = parent.graph.steps
    undone = {
        steps[step.compensates].step.id
        for step, run in zip(steps, parent.runs, strict=True)
        if step.compensates is not None and run.started_at is not None
    }
    known = _Parent(
        parent_id, {step.step.id: run for step, run in zip(steps, parent.runs, strict=True)},
        {item.key: item for item in items}, frozenset(undone),
    )  # fmt: skip
    again = _steps_again(graph, known, rerun)
    _check_dependencies(graph, known, again, rerun)
    runs: list[StepRun] = []
    taken_over: dict[int, tuple[str, str]] = {}
    for step in graph.steps:
        run, items_kept = _run_of(graph, step, known, again, rerun)
        runs.append(run)
        taken_over |= items_kept
    return Part(tuple(runs), taken_over)


def _steps_again(graph: Graph, known: _Parent, rerun: Rerun) -> frozenset[int]:
    """The steps that run again, compensations left out."""
    if rerun.scope == "start":
        return frozenset(graph.order)
    if rerun.scope == "failed":
        roots = {index for index in graph.order if _failed(graph.steps[index], known)}
    else:
        by_id = {graph.steps[index].step.id: index for index in graph.order}
        if unknown := [id for id in rerun.steps if id not in by_id]:
            raise InvalidRerun(f"steps: {unknown[0]!r} is not a step that can be run again: {', '.join(by_id)} are")
        roots = {by_id[id] for id in rerun.steps}
    if rerun.scope == "only":
        return frozenset(roots)
    again: set[int] = set()
    for index in graph.order:
        if index in roots or any(other in again for other, _ in graph.steps[index].depends_on):
            again.add(index)
    return frozenset(again)


def _failed(step: GraphStep, known: _Parent) -> bool:
    """Whether a step did not do its part: it failed, was stopped, was kept from running, was undone, or is new."""
    run = known.runs.get(step.step.id)
    if run is None or step.step.id in known.undone or run.blamed:
        return True
    if run.state in (StepState.SUCCEEDED, StepState.REUSED):
        return not all(known.keeps(step, position) for position in range(step.first, step.end))
    return run.state is not StepState.SKIPPED


def _check_dependencies(graph: Graph, known: _Parent, again: frozenset[int], rerun: Rerun) -> None:
    """A chosen step starts from what was: every step it waits for has ended so that it may start."""
    for index in again:
        step = graph.steps[index]
        if step.step.id not in rerun.steps:
            continue
        for other, when in step.depends_on:
            other_id = graph.steps[other].step.id
            run = known.runs.get(other_id)
            outcome = run.outcome if run is not None and other_id not in known.undone else StepState.WAITING
            if other not in again and when != "always" and outcome is not _AWAITED[when]:
                state = "undone" if other_id in known.undone else outcome if run else "not in it"
                raise InvalidRerun(
                    f"steps: {step.step.id!r} waits for {other_id!r}, which is {state} in plan {known.plan_id}: "
                    f"run {other_id!r} again as well"
                )


def _run_of(
    graph: Graph, step: GraphStep, known: _Parent, again: frozenset[int], rerun: Rerun
) -> tuple[StepRun, Mapping[int, tuple[str, str]]]:
    """One step of the new plan, and the items it takes over."""
    positions = range(step.first, step.end)
    reason = f"reused from plan {known.plan_id}"
    fresh = StepRun(counts=StepCounts(waiting=step.size), next_position=step.first, unsent_end=step.end)
    run = known.runs.get(step.step.id)
    if step.compensates is not None or rerun.scope == "start":
        return fresh, {}
    kept = [position for position in positions if known.keeps(step, position)]
    reused = dict.fromkeys(kept, ("REUSED", reason))
    if step.index in again:
        entirely = rerun.scope != "failed" or any(other in again for other, _ in step.depends_on)
        if entirely or len(kept) == step.size:
            return fresh, {}
        counts = StepCounts(waiting=step.size - len(kept), skipped=len(kept))
        return StepRun(counts=counts, next_position=step.first, unsent_end=step.end), reused
    if run is not None and len(kept) == step.size:
        return _ended(step, run, StepState.REUSED, reason), reused
    if rerun.scope == "failed":
        return fresh, {}  # it was skipped, and is decided again
    outcome = run.outcome if run is not None else StepState.SKIPPED
    reason = f"not part of this re-run: it is {outcome} in plan {known.plan_id}"
    rest = {position: ("SKIPPED", reason) for position in positions if position not in reused}
    skipped = _ended(step, run or fresh, StepState.SKIPPED, reason)
    return _carrying(skipped, outcome), reused | rest


def _ended(step: GraphStep, run: StepRun, state: StepState, reason: str) -> StepRun:
    return StepRun(
        state=state, counts=StepCounts(skipped=step.size), next_position=step.end, unsent_end=step.end, reason=reason,
        started_at=run.started_at, ended_at=run.ended_at, ended_order=run.ended_order,
    )  # fmt: skip


def _carrying(run: StepRun, outcome: StepState) -> StepRun:
    return StepRun(
        state=run.state, counts=run.counts, next_position=run.next_position, unsent_end=run.unsent_end,
        carried=outcome, reason=run.reason, started_at=run.started_at, ended_at=run.ended_at,
        ended_order=run.ended_order,
    )  # fmt: skip


def reused_positions(part: Part) -> Sequence[int]:
    """The positions whose results are taken over."""
    return [position for position, (state, _) in part.taken_over.items() if state == "REUSED"]
