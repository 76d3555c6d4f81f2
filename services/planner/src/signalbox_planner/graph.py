"""The rules of a pipeline's steps: which is ready, which is skipped and why, what is compensated. Pure.

A step owns a range of positions: one item, or one a combination of its matrix. `Graph` is what never changes, `StepRun`
how far one step is. `settle` decides every step that can be decided, in one pass along the order of the graph; what it
decides does not depend on the order in which facts arrived. A decided step is never decided again.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, NamedTuple

from signalbox_contracts.definitions import graph as edges
from signalbox_contracts.definitions.pipeline import Pipeline, Step
from signalbox_contracts.states import STEP_ENDS, StepState

COUNTS: Final = ("waiting", "active", "unknown", "succeeded", "failed", "skipped", "cancelled")
MAX_REASON: Final = 300
_WANTED: Final = {"on_success": "SUCCEEDED", "on_failure": "FAILED", "always": "ended"}
_WANTED_TO: Final = {"on_success": "to succeed", "on_failure": "to fail", "always": "to end"}


class StepCounts(NamedTuple):
    """Where the items of a step are."""

    waiting: int = 0
    active: int = 0
    unknown: int = 0
    succeeded: int = 0
    failed: int = 0
    skipped: int = 0
    cancelled: int = 0

    @property
    def unended(self) -> int:
        return self.waiting + self.active + self.unknown


@dataclass(frozen=True, slots=True)
class GraphStep:
    """One step as the definition says it, with its range of positions."""

    index: int
    step: Step
    first: int
    end: int
    depends_on: tuple[tuple[int, str], ...]
    """The steps it waits for, each with `on_success`, `on_failure` or `always`."""
    handled_by: tuple[int, ...]
    """The steps that run when this one fails."""
    compensates: int | None
    combinations: tuple[Mapping[str, str | int | float | bool], ...]

    @property
    def size(self) -> int:
        return self.end - self.first

    def key(self, position: int) -> str:
        """The key of the item at this position."""
        return self.step.id if len(self.combinations) == 1 else f"{self.step.id}/{position - self.first + 1}"


@dataclass(frozen=True, slots=True)
class Graph:
    """The steps of a pipeline and the order in which they can be decided."""

    pipeline: Pipeline
    steps: tuple[GraphStep, ...]
    order: tuple[int, ...]

    @property
    def end_position(self) -> int:
        return self.steps[-1].end


@dataclass(frozen=True, slots=True)
class StepRun:
    """How far one step is in one plan."""

    state: StepState = StepState.WAITING
    counts: StepCounts = field(default_factory=StepCounts)
    next_position: int = 0
    unsent_end: int = 0
    """Items in [next_position, unsent_end) are not tasks yet, once the step runs."""
    carried: StepState | None = None
    """How the step ended in the plan that is run again, when this plan does not run it."""
    blamed: tuple[int, ...] = ()
    """The failed steps because of which this one was skipped."""
    reason: str = ""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    ended_order: int = 0
    """Counts the steps of a plan as they end; compensation goes from the newest back."""

    @property
    def ended(self) -> bool:
        return self.state in STEP_ENDS

    @property
    def unsent(self) -> int:
        """How many positions are ready to be sent."""
        return self.unsent_end - self.next_position if self.state in (StepState.READY, StepState.RUNNING) else 0

    @property
    def outcome(self) -> StepState:
        """What steps that wait for this one see."""
        if self.carried is not None:
            return self.carried
        return StepState.SUCCEEDED if self.state is StepState.REUSED else self.state


class EndedItems(NamedTuple):
    """Items of a step that end without a task: those in the range that were not sent."""

    step: int
    first: int
    end: int
    state: str
    reason: str
    items: int


@dataclass(frozen=True, slots=True)
class Progress:
    """All steps of one plan as they are, and the items that ended because of it."""

    graph: Graph
    runs: tuple[StepRun, ...]
    saved: tuple[StepRun, ...] = ()
    """The runs as they were loaded: what differs is saved."""
    ended_items: tuple[EndedItems, ...] = field(default=())

    @property
    def unsent(self) -> int:
        return sum(run.unsent for run in self.runs)

    @property
    def compensating(self) -> bool:
        """Whether a compensation was started."""
        return any(
            step.compensates is not None and run.state in (StepState.READY, StepState.RUNNING)
            for step, run in zip(self.graph.steps, self.runs, strict=True)
        )


def graph_of(pipeline: Pipeline) -> Graph:
    """The graph of a pipeline. The definition has checked itself: there is no cycle and no unknown step."""
    indexes = {step.id: index for index, step in enumerate(pipeline.steps)}
    handlers: dict[int, list[int]] = {}
    for index, step in enumerate(pipeline.steps):
        for dependency in step.depends_on:
            if dependency.when == "on_failure":
                handlers.setdefault(indexes[dependency.step], []).append(index)
    steps: list[GraphStep] = []
    first = 0
    for index, step in enumerate(pipeline.steps):
        combinations = tuple(step.combinations())
        end = first + len(combinations)
        waits = tuple((indexes[one.step], one.when) for one in step.depends_on)
        undoes = None if step.compensates is None else indexes[step.compensates]
        steps.append(
            GraphStep(index, step, first, end, waits, tuple(handlers.get(index, ())), undoes, combinations)
        )  # fmt: skip
        first = end
    order = tuple(indexes[id] for id in edges.order(pipeline.edges()))
    return Graph(pipeline, tuple(steps), order)


def fresh_runs(graph: Graph) -> tuple[StepRun, ...]:
    """Every step waits, none of its items was sent."""
    return tuple(
        StepRun(counts=StepCounts(waiting=step.size), next_position=step.first, unsent_end=step.end)
        for step in graph.steps
    )


def count(progress: Progress, step: int, before: str, after: str, items: int, reason: str = "") -> Progress:
    """Some items of a step went from one count to another. The step keeps the reason of its first failure."""
    if before == after:
        return progress
    run = progress.runs[step]
    counts = run.counts._replace(
        **{before: getattr(run.counts, before) - items, after: getattr(run.counts, after) + items}
    )
    return with_run(progress, step, replace(run, counts=counts, reason=run.reason or reason))


def with_run(progress: Progress, step: int, run: StepRun) -> Progress:
    """The progress with another run of one step."""
    runs = list(progress.runs)
    runs[step] = run
    return replace(progress, runs=tuple(runs))


@dataclass(frozen=True, slots=True)
class Stopping:
    """The plan is to end before its time."""

    fails: bool = False
    """Its time limit passed; it was not cancelled."""
    compensations: bool = False
    """Compensations are stopped as well."""


def settle(progress: Progress, at: datetime, stopping: Stopping | None = None) -> Progress:
    """Decide every step that can be decided now. While `stopping`, steps that have not started are cancelled.

    When every step but the compensations has ended, compensations of a failed or stopped plan become ready, one after
    the other.
    """
    for index in progress.graph.order:
        progress = _settle_step(progress, index, at, stopping)
    for step in progress.graph.steps:
        if step.compensates is not None:
            progress = _end_if_done(progress, step.index, at)
    if all(progress.runs[index].ended for index in progress.graph.order):
        progress = _compensate(progress, at, stopping)
    return progress


def skip(progress: Progress, index: int, at: datetime, reason: str, *, blamed: tuple[int, ...] = ()) -> Progress:
    """Skip a step that was not started."""
    return _end_unsent(progress, index, StepState.SKIPPED, reason, at, blamed=blamed)


def fail(progress: Progress, index: int, at: datetime, reason: str) -> Progress:
    """A step that cannot be started, because its condition cannot be rendered."""
    return _end_unsent(progress, index, StepState.FAILED, reason, at)


def begin(progress: Progress, index: int, at: datetime) -> Progress:
    """A ready step whose condition holds runs: its items can be sent."""
    return with_run(progress, index, replace(progress.runs[index], state=StepState.RUNNING, started_at=at))


def failed(progress: Progress) -> bool:
    """Whether a failure that nothing handles ended a required step, or kept one from running."""
    return any(
        step.step.required
        and step.compensates is None
        and any(_unhandled(progress, index) for index in (step.index, *run.blamed))
        for step, run in zip(progress.graph.steps, progress.runs, strict=True)
    )


def why_failed(progress: Progress | None) -> str:
    """The first step that failed, and why; empty for a plan without steps."""
    runs = () if progress is None else progress.runs
    failures = [index for index, run in enumerate(runs) if run.state is StepState.FAILED]
    if progress is None or not failures:
        return ""
    first = min(failures, key=lambda index: runs[index].ended_order)
    return f"step {progress.graph.steps[first].step.id!r} failed: {runs[first].reason}".removesuffix(": ")


def unsent_ranges(progress: Progress) -> list[tuple[int, int]]:
    """The positions of items without a task in steps that are not decided, as ranges that do not touch."""
    ranges: list[tuple[int, int]] = []
    for run in progress.runs:
        if run.ended or run.next_position >= run.unsent_end:
            continue
        if ranges and ranges[-1][1] == run.next_position:
            ranges[-1] = (ranges[-1][0], run.unsent_end)
        else:
            ranges.append((run.next_position, run.unsent_end))
    return ranges


def sendable(progress: Progress, default_priority: int) -> list[GraphStep]:
    """Ready and running steps with items that were not sent, those of higher priority first."""
    found = [step for step in progress.graph.steps if progress.runs[step.index].unsent > 0]
    return sorted(found, key=lambda step: (-priority_of(step, default_priority), step.index))


def priority_of(step: GraphStep, default: int) -> int:
    """The priority of a step's tasks."""
    return default if step.step.priority is None else step.step.priority


def _settle_step(progress: Progress, index: int, at: datetime, stopping: Stopping | None) -> Progress:
    run = progress.runs[index]
    if run.ended:
        return progress
    if stopping and run.state is not StepState.RUNNING:
        return _end_unsent(progress, index, StepState.CANCELLED, "the plan was stopped before this step", at)
    if run.state is not StepState.WAITING or not run.counts.unended:  # or its items were cancelled one by one
        return _end_if_done(progress, index, at)
    waits_for = progress.graph.steps[index].depends_on
    if not all(progress.runs[other].ended for other, _ in waits_for):
        return progress
    missed = [(other, when) for other, when in waits_for if not _satisfied(progress.runs[other].outcome, when)]
    if not missed:
        return with_run(progress, index, replace(run, state=StepState.READY))
    reasons = [
        f"step {progress.graph.steps[other].step.id!r} is {progress.runs[other].outcome}, not {_WANTED[when]}"
        for other, when in missed
    ]
    blamed = {root for other, when in missed if when == "on_success" for root in _roots(progress, other)}
    return skip(progress, index, at, "; ".join(reasons), blamed=tuple(sorted(blamed)))


def _roots(progress: Progress, index: int) -> tuple[int, ...]:
    """The failed steps behind a step that did not succeed."""
    run = progress.runs[index]
    return (index,) if run.state in (StepState.FAILED, StepState.CANCELLED) else run.blamed


def _satisfied(outcome: StepState, when: str) -> bool:
    if when == "always":
        return True
    return outcome is (StepState.SUCCEEDED if when == "on_success" else StepState.FAILED)


def _unhandled(progress: Progress, index: int) -> bool:
    """Whether a step failed, or was cancelled, and no step that waits for its failure succeeded."""
    state = progress.runs[index].state
    if state is StepState.FAILED:
        handlers = [progress.runs[handler].state for handler in progress.graph.steps[index].handled_by]
        return not any(handler in (StepState.SUCCEEDED, StepState.REUSED) for handler in handlers)
    return state is StepState.CANCELLED


def _end_if_done(progress: Progress, index: int, at: datetime) -> Progress:
    """The outcome of a step whose items have all ended."""
    run = progress.runs[index]
    if run.ended or run.counts.unended:
        return progress
    if run.counts.failed:
        state = StepState.FAILED
    elif run.counts.cancelled:
        state = StepState.CANCELLED
    else:
        state = StepState.SUCCEEDED
    order = 1 + max(other.ended_order for other in progress.runs)
    reason = run.reason if run.counts.failed else ""  # a failure that was taken back leaves none
    if reason and (size := progress.graph.steps[index].size) > 1:
        reason = f"{run.counts.failed} of {size} tasks failed; {reason}"[:MAX_REASON]
    return with_run(progress, index, replace(run, state=state, reason=reason, ended_at=at, ended_order=order))


def _end_unsent(
    progress: Progress, index: int, state: StepState, reason: str, at: datetime, *, blamed: tuple[int, ...] = ()
) -> Progress:  # fmt: skip
    """End a step that was not started, with all its items that have not ended."""
    run = progress.runs[index]
    order = 1 + max(other.ended_order for other in progress.runs)
    word = state.value.lower()
    waiting = run.counts.waiting
    counts = run.counts._replace(waiting=0, **{word: getattr(run.counts, word) + waiting})
    ended = EndedItems(index, run.next_position, run.unsent_end, state.value, reason[:MAX_REASON], waiting)
    progress = with_run(
        progress, index, replace(
            run, state=state, counts=counts, reason=reason[:MAX_REASON], blamed=blamed,
            ended_at=at, ended_order=order, next_position=run.unsent_end,
        ),
    )  # fmt: skip
    return replace(progress, ended_items=(*progress.ended_items, ended)) if waiting else progress


def _compensate(progress: Progress, at: datetime, stopping: Stopping | None) -> Progress:
    """Make the next compensation ready, the newest step first; skip those that are not needed."""
    if stopping and stopping.compensations:
        return _cancel_compensations(progress, at)
    cause = "cancel" if stopping and not stopping.fails else "failure" if stopping or failed(progress) else None
    begun = progress.compensating or any(  # what is needed was decided then: a later cancel is no reason to leave it
        step.compensates is not None and run.started_at is not None
        for step, run in zip(progress.graph.steps, progress.runs, strict=True)
    )
    waiting: list[GraphStep] = []
    for step in progress.graph.steps:
        if step.compensates is None or progress.runs[step.index].state is not StepState.WAITING:
            continue
        reason = "" if begun else _not_compensated(progress, step, cause)
        if reason:
            progress = skip(progress, step.index, at, reason)
        else:
            waiting.append(step)
    if progress.compensating or not waiting:
        return progress
    newest = max(waiting, key=lambda step: (progress.runs[_undone(step)].ended_order, step.index))
    return with_run(progress, newest.index, replace(progress.runs[newest.index], state=StepState.READY))


def _not_compensated(progress: Progress, step: GraphStep, cause: str | None) -> str:
    """Why a compensation is not needed; empty when it is."""
    undone = progress.runs[_undone(step)]
    if cause is None:
        return "nothing has to be compensated"
    if cause not in step.step.compensate_on:
        return f"it does not compensate on {cause}"
    if undone.state is not StepState.SUCCEEDED:  # by this plan: what another plan did is not for this one to undo
        return f"step {step.step.compensates!r} did not run to its success in this plan: it is {undone.state}"
    return ""


def _cancel_compensations(progress: Progress, at: datetime) -> Progress:
    for step in progress.graph.steps:
        run = progress.runs[step.index]
        if step.compensates is not None and not run.ended and run.state is not StepState.RUNNING:
            progress = _end_unsent(progress, step.index, StepState.CANCELLED, "the compensation was stopped", at)
    return progress


def _undone(step: GraphStep) -> int:
    assert step.compensates is not None
    return step.compensates


def is_compensation(progress: Progress, step: int | None) -> bool:
    """Whether the step of this index compensates another."""
    return step is not None and progress.graph.steps[step].compensates is not None


def changed_runs(progress: Progress) -> Iterable[tuple[int, StepRun]]:
    """Steps that differ from what was loaded."""
    for index, run in enumerate(progress.runs):
        if index >= len(progress.saved) or run != progress.saved[index]:
            yield index, run


def waits(progress: Progress) -> Sequence[tuple[str, str]]:
    """Which steps wait, and for which outcome of which step. Compensations wait longest: they come last."""
    found: list[tuple[str, str]] = []
    for step in sorted(progress.graph.steps, key=lambda step: step.compensates is not None):
        if progress.runs[step.index].state is not StepState.WAITING:
            continue
        open_steps = [
            f"{progress.graph.steps[other].step.id!r} {_WANTED_TO[when]} (it is {progress.runs[other].state})"
            for other, when in _waits_for(progress, step)
            if not progress.runs[other].ended
        ]
        found.append((step.step.id, f"step {step.step.id!r} waits for {', '.join(open_steps[:5])}"))
    return found


def _waits_for(progress: Progress, step: GraphStep) -> Iterable[tuple[int, str]]:
    """A compensation waits for every other step to end, but for the compensations that wait as it does."""
    if step.compensates is None:
        return step.depends_on
    return (
        (other, "always")
        for other, run in enumerate(progress.runs)
        if not (is_compensation(progress, other) and run.state is StepState.WAITING)
    )
