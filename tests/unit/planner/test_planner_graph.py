"""Pipelines for any graph, any order of facts, duplicates and losses: always the same end."""

import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalbox_contracts.definitions.pipeline import Pipeline
from signalbox_contracts.definitions.rules import Brake, Canary, Rules
from signalbox_contracts.messages.plans import WaitReason
from signalbox_contracts.messages.requests import Rerun
from signalbox_contracts.states import PlanState, StepState, TaskState
from signalbox_planner import graph, lifecycle, rerun
from signalbox_planner.effects import PublishRules
from signalbox_planner.facts import rules_of
from signalbox_planner.graph import Progress, fresh_runs, graph_of
from signalbox_planner.plan import Item, Plan, PlanSpec, StateChange

NOW = datetime(2026, 1, 2, tzinfo=UTC)
WORK: dict[str, Any] = {"kind": "scripted", "script": {}}
WHENS = ("on_success", "on_failure", "always")


def pipeline_of(steps: list[dict[str, Any]]) -> Pipeline:
    written: list[dict[str, Any]] = [{"work": WORK, "engine": "e1", **step} for step in steps]
    return Pipeline.model_validate({"id": "p", "name": "P", "steps": written})


class World:
    """A started pipeline whose tasks end as `ends` says, by position."""

    def __init__(self, pipeline: Pipeline, ends: Sequence[TaskState], part: rerun.Part | None = None) -> None:
        self.graph, self.ends = graph_of(pipeline), ends
        runs = fresh_runs(self.graph) if part is None else part.runs
        taken_over = {} if part is None else {position: state for position, (state, _) in part.taken_over.items()}
        spec = PlanSpec(name="p", actor="user:ann", event_date=date(2026, 1, 1))
        plan = Plan(id=uuid.UUID(int=1), spec=spec, definitions_revision=1, created_at=NOW)
        plan = replace(lifecycle.accept(plan, NOW), progress=Progress(self.graph, runs))
        rows = [
            Item(plan.id, position, step.key(position), "e1", "", taken_over.get(position), step.index)
            for step in self.graph.steps
            for position in range(step.first, step.end)
        ]
        self.plan = lifecycle.start(lifecycle.store_page(plan, 1, rows), NOW)
        self.states: dict[int, TaskState] = {}
        self.taken_over = taken_over
        self.order: list[str] = []

    def send(self) -> None:
        """Send everything that is ready, as `steps.send` does."""
        while (progress := self.plan.progress) is not None:
            ready = [n for n, run in enumerate(progress.runs) if run.state is StepState.READY]
            if not ready or self.plan.ended:
                break
            for n in ready:
                progress = graph.begin(progress, n, NOW)
            self.plan = lifecycle.finish(lifecycle.settle(lifecycle.with_progress(self.plan, progress, NOW), NOW), NOW)
        assert self.plan.progress is not None
        for step in graph.sendable(self.plan.progress, 50):
            progress = self.plan.progress
            assert progress is not None
            run = progress.runs[step.index]
            waited = [progress.runs[other] for other, _ in step.depends_on]
            assert all(other.ended for other in waited), "no step is sent before what it waits for has ended"
            kept = {position for position in range(run.next_position, run.unsent_end) if position in self.taken_over}
            for position in sorted({*range(run.next_position, run.unsent_end)} - kept):
                assert position not in self.states, "no item is sent twice"
                self.states[position] = TaskState.QUEUED
            self.order.append(step.step.id)
            size = run.unsent_end - run.next_position - len(kept)
            self.plan = lifecycle.sent(
                self.plan, size, next_position=run.unsent_end, unsent_end=run.unsent_end, step=step.index
            )  # fmt: skip
            self.plan = lifecycle.count(self.plan, [StateChange(None, TaskState.QUEUED, size, size, step.index)], NOW)

    def fact(self, position: int, state: TaskState) -> None:
        """One fact, applied as the store does: an ended item does not change."""
        before = self.states.get(position)
        if before in (None, state) or before in (TaskState.SUCCEEDED, TaskState.FAILED, TaskState.CANCELLED):
            return
        self.states[position] = state
        step = next(step.index for step in self.graph.steps if step.first <= position < step.end)
        self.plan = lifecycle.count(self.plan, [StateChange(before, state, 1, 1, step)], NOW)

    def run(self, random: Random) -> "World":
        """Deliver facts in a random order, some twice, until nothing is left."""
        for _ in range(10_000):
            self.send()
            live = [n for n, state in self.states.items() if state in (TaskState.QUEUED, TaskState.RUNNING)]
            if not live:
                break
            position = random.choice(live)
            state = TaskState.RUNNING if random.random() < 0.4 else self.ends[position]
            for _ in range(random.choice((1, 1, 2))):
                self.fact(position, state)
        return self

    @property
    def result(self) -> tuple[Any, ...]:
        assert self.plan.progress is not None
        runs = [(run.state, run.reason, run.blamed) for run in self.plan.progress.runs]
        return self.plan.state, self.plan.counts, runs


class LossyWorld(World):
    """The same, where commands and facts get lost, come twice and overtake one another, and the planner restarts.

    What heals it is what heals it in production: the planner repeats a command for what it has no end of, and the
    executor answers with the present state and its version.
    """

    def run(self, random: Random) -> "World":
        self.truth: dict[int, tuple[int, TaskState]] = {}
        self.known: dict[int, int] = {}
        self.flying: list[tuple[int, int, TaskState]] = []
        for _ in range(20_000):
            before = set(self.states)
            self.send()
            for position in set(self.states) - before:
                if random.random() > 0.3:
                    self.truth[position] = (1, TaskState.QUEUED)
            if self.plan.ended:
                return self
            random.choice((self._execute, self._execute, self._deliver, self._deliver, self._repeat))(random)
            if random.random() < 0.02:
                self._restart()
        raise AssertionError(f"it does not end: {self.result}")

    def _execute(self, random: Random) -> None:
        live = [n for n, (_, state) in self.truth.items() if state in (TaskState.QUEUED, TaskState.RUNNING)]
        if live:
            position = random.choice(live)
            state = TaskState.RUNNING if random.random() < 0.4 else self.ends[position]
            self.truth[position] = (self.truth[position][0] + 1, state)
            self._publish(position, random)

    def _publish(self, position: int, random: Random) -> None:
        self.flying += [(position, *self.truth[position])] * random.choice((0, 1, 1, 2))

    def _deliver(self, random: Random) -> None:
        if self.flying:
            position, version, state = self.flying.pop(random.randrange(len(self.flying)))
            if version > self.known.get(position, 0):
                self.known[position] = version
                self.fact(position, state)

    def _repeat(self, random: Random) -> None:
        """The planner's repeated command reaches the executor, or not."""
        for position, state in self.states.items():
            if state in (TaskState.QUEUED, TaskState.RUNNING) and random.random() < 0.5:
                self.truth.setdefault(position, (1, TaskState.QUEUED))
                self._publish(position, random)

    def _restart(self) -> None:
        """Another process reads the pipeline from its row."""
        progress = self.plan.progress
        assert progress is not None
        self.graph = graph_of(Pipeline.model_validate_json(progress.graph.pipeline.model_dump_json()))
        self.plan = replace(self.plan, progress=replace(progress, graph=self.graph))


@st.composite
def pipelines(draw: st.DrawFn) -> Pipeline:
    count = draw(st.integers(1, 7))
    steps: list[dict[str, Any]] = []
    for n in range(count):
        waits = draw(st.lists(st.integers(0, n - 1), unique=True, max_size=3)) if n else []
        step: dict[str, Any] = {
            "id": f"s{n}",
            "required": draw(st.booleans()),
            "depends_on": [{"step": f"s{m}", "when": draw(st.sampled_from(WHENS))} for m in waits],
        }
        if draw(st.booleans()):
            step["matrix"] = {"part": list(range(draw(st.integers(2, 3))))}
        steps.append(step)
    for n in draw(st.lists(st.integers(0, count - 1), max_size=3)):
        step = {"id": f"undo{len(steps)}", "compensates": f"s{n}"}
        steps.append({**step, "compensate_on": draw(st.sampled_from((["failure"], ["cancel"], ["failure", "cancel"])))})
    return pipeline_of(draw(st.permutations(steps)))


@settings(deadline=None, max_examples=150)
@given(pipelines(), st.integers(0, 10_000), st.data())
def test_whatever_the_order_of_facts_a_pipeline_has_the_same_end(
    pipeline: Pipeline, seed: int, data: st.DataObject
) -> None:
    size = graph_of(pipeline).end_position
    ends = data.draw(st.lists(st.sampled_from((TaskState.SUCCEEDED, TaskState.FAILED)), min_size=size, max_size=size))
    first, second = World(pipeline, ends).run(Random(seed)), World(pipeline, ends).run(Random(seed + 1))
    assert first.result == second.result
    assert first.plan.ended
    counts = first.plan.counts
    assert (counts.waiting, counts.active, counts.unknown) == (0, 0, 0)
    assert first.plan.progress is not None
    for run, step in zip(first.plan.progress.runs, first.graph.steps, strict=True):
        assert run.ended
        assert sum(run.counts) == step.size
        if run.state is StepState.SKIPPED:
            assert run.reason, "a skipped step says why"
    if first.plan.state is PlanState.SUCCEEDED:
        assert not counts.failed


@settings(deadline=None, max_examples=100)
@given(pipelines(), st.integers(0, 10_000), st.data())
def test_whatever_is_lost_comes_twice_or_too_late_a_pipeline_has_the_same_end(
    pipeline: Pipeline, seed: int, data: st.DataObject
) -> None:
    size = graph_of(pipeline).end_position
    ends = data.draw(st.lists(st.sampled_from((TaskState.SUCCEEDED, TaskState.FAILED)), min_size=size, max_size=size))
    first, lossy = World(pipeline, ends).run(Random(seed)), LossyWorld(pipeline, ends).run(Random(seed))
    assert lossy.result == first.result
    assert lossy.states == first.states, "the same tasks ran, to the same ends"


@settings(deadline=None, max_examples=100)
@given(pipelines(), st.integers(0, 10_000), st.integers(0, 10), st.booleans())
def test_a_cancel_at_any_moment_ends_the_pipeline_and_undoes_what_succeeded(
    pipeline: Pipeline, seed: int, facts: int, kill: bool
) -> None:
    random = Random(seed)
    world = World(pipeline, [TaskState.SUCCEEDED] * graph_of(pipeline).end_position)
    world.send()
    for _ in range(facts):
        live = [n for n, state in world.states.items() if state in (TaskState.QUEUED, TaskState.RUNNING)]
        if live:
            world.fact(random.choice(live), TaskState.SUCCEEDED)
            world.send()
    if world.plan.ended:
        return
    world.plan = lifecycle.cancel(world.plan, uuid.uuid4(), "user:ann", "", NOW, kill=kill)
    begun = len(world.order)
    world.run(random)
    assert world.plan.ended
    assert world.plan.progress is not None
    for step, run in zip(world.graph.steps, world.plan.progress.runs, strict=True):
        if step.compensates is None:
            assert step.step.id not in world.order[begun:], "nothing but compensations starts after a cancel"
            continue
        undone = world.plan.progress.runs[step.compensates]
        due = undone.state is StepState.SUCCEEDED and "cancel" in step.step.compensate_on
        if world.plan.state is PlanState.CANCELLED:
            assert (run.state is StepState.SUCCEEDED) == due


DIAMOND: list[dict[str, Any]] = [
    {"id": "extract"},
    {"id": "left", "depends_on": ["extract"]},
    {"id": "right", "depends_on": ["extract"]},
    {"id": "join", "depends_on": ["left", "right"]},
    {"id": "warn", "depends_on": [{"step": "right", "when": "on_failure"}], "required": False},
    {"id": "undo_extract", "compensates": "extract"},
    {"id": "undo_left", "compensates": "left"},
]


def world(steps: list[dict[str, Any]], *, fails: tuple[str, ...] = ()) -> World:
    pipeline = pipeline_of(steps)
    ends = [TaskState.FAILED if step["id"] in fails else TaskState.SUCCEEDED for step in steps]
    return World(pipeline, ends).run(Random(1))


def states(found: World) -> dict[str, str]:
    assert found.plan.progress is not None
    pairs = zip(found.graph.steps, found.plan.progress.runs, strict=True)
    return {step.step.id: str(run.state) for step, run in pairs}


def test_a_diamond_succeeds_and_nothing_is_compensated() -> None:
    found = world(DIAMOND)
    assert found.plan.state is PlanState.SUCCEEDED
    assert found.order[0] == "extract"
    assert found.order[-1] == "join"
    assert [name for name, state in states(found).items() if state == "SKIPPED"] == [
        "warn",
        "undo_extract",
        "undo_left",
    ]


def test_an_unhandled_failure_fails_the_pipeline_and_compensates_newest_first() -> None:
    found = world(DIAMOND, fails=("right", "warn"))
    assert found.plan.state is PlanState.FAILED
    assert states(found)["join"] == "SKIPPED"
    assert found.order[-2:] == ["undo_left", "undo_extract"]


def test_a_handled_failure_completes_with_errors_and_compensates_nothing() -> None:
    found = world(DIAMOND, fails=("right",))
    assert found.plan.state is PlanState.COMPLETED_WITH_ERRORS
    assert (states(found)["warn"], states(found)["undo_left"]) == ("SUCCEEDED", "SKIPPED")


@pytest.mark.parametrize(("required", "end"), [(True, "FAILED"), (False, "COMPLETED_WITH_ERRORS")])
def test_only_a_required_step_fails_the_pipeline(required: bool, end: str) -> None:
    steps = [{"id": "a"}, {"id": "b", "depends_on": ["a"], "required": required}]
    assert world(steps, fails=("b",)).plan.state == end
    steps = [{"id": "a", "required": False}, {"id": "b", "depends_on": ["a"], "required": required}]
    assert world(steps, fails=("a",)).plan.state == end, "a failure that keeps a required step from running"


def failing_with_two_compensations() -> World:
    """A pipeline that failed and whose newest compensation was sent; the other one waits."""
    steps = [{"id": "a"}, {"id": "b", "depends_on": ["a"]}, {"id": "c", "depends_on": ["b"]}]
    undo = [{"id": f"undo_{name}", "compensates": name, "compensate_on": ["failure"]} for name in ("a", "b")]
    found = World(pipeline_of([*steps, *undo]), [TaskState.SUCCEEDED] * 5)
    for position, state in enumerate((TaskState.SUCCEEDED, TaskState.SUCCEEDED, TaskState.FAILED)):
        found.send()
        found.fact(position, state)
    found.send()
    assert found.order[-1] == "undo_b"
    return found


def test_a_step_that_waits_names_the_step_the_outcome_it_needs_and_how_that_step_is() -> None:
    steps = [
        {"id": "a"},
        {"id": "undo", "compensates": "a"},
        {"id": "b", "depends_on": ["a"]},
        {"id": "c", "depends_on": [{"step": "a", "when": "on_failure"}]},
        {"id": "d", "depends_on": [{"step": "a", "when": "always"}, "b"]},
    ]
    found = World(pipeline_of(steps), [TaskState.SUCCEEDED] * 5)
    found.send()
    running = "(it is RUNNING)"
    assert reasons(found) == {
        "step:b": f"step 'b' waits for 'a' to succeed {running}",
        "step:c": f"step 'c' waits for 'a' to fail {running}",
        "step:d": f"step 'd' waits for 'a' to end {running}, 'b' to succeed (it is WAITING)",
        "step:undo": f"step 'undo' waits for 'a' to end {running}, 'b' to end (it is WAITING), "
        "'c' to end (it is WAITING), 'd' to end (it is WAITING)",
    }
    found.fact(0, TaskState.SUCCEEDED)
    found.send()
    assert reasons(found) == {
        "step:d": f"step 'd' waits for 'b' to succeed {running}",
        "step:undo": f"step 'undo' waits for 'b' to end {running}, 'd' to end (it is WAITING)",
    }
    assert reasons(found.run(Random(1))) == {}, "an ended plan waits for nothing"


def test_a_compensation_that_waits_names_the_one_before_it() -> None:
    """Without it a plan that undoes one step after the other gives no reason for those that come later."""
    found = failing_with_two_compensations()
    assert reasons(found) == {"step:undo_a": "step 'undo_a' waits for 'undo_b' to end (it is RUNNING)"}


def reasons(found: World) -> dict[str, str]:
    """Why the steps of a plan wait, by what holds them."""
    waiting = lifecycle.waiting(found.plan)
    assert all((one.why, one.since_at) == (WaitReason.DEPENDENCY, NOW) for one in waiting)
    return {one.holder: one.detail for one in waiting}


def test_a_cancel_amid_the_compensations_of_a_failure_leaves_none_of_them_out() -> None:
    found = failing_with_two_compensations()
    found.plan = lifecycle.cancel(found.plan, uuid.uuid4(), "user:ann", "", NOW, kill=False)
    found.run(Random(1))
    assert (states(found)["undo_b"], states(found)["undo_a"]) == ("SUCCEEDED", "SUCCEEDED")


def test_a_plan_that_was_paused_amid_its_compensations_goes_on_with_them_once_it_is_cancelled() -> None:
    """Without it the rules hold what is queued for ever: a plan that is CANCELLING cannot be resumed."""
    found = failing_with_two_compensations()
    found.plan = lifecycle.pause(found.plan, uuid.uuid4(), "user:ann", "", NOW)
    found.plan = lifecycle.cancel(found.plan, uuid.uuid4(), "user:ann", "", NOW, kill=False)
    assert not found.plan.hold.held
    assert found.plan.hold.version == found.plan.rules.version
    assert found.plan.effects[-1] == PublishRules()


def test_a_brake_ends_a_pipeline_and_does_not_hold_its_compensations() -> None:
    """The executor starts nothing behind a brake. Without it the plan waited for ever for what was queued there."""
    steps = [{"id": "a"}, {"id": "b", "matrix": {"n": [1, 2, 3]}, "depends_on": ["a"]}]
    found = World(pipeline_of([*steps, {"id": "undo", "compensates": "a"}]), [TaskState.SUCCEEDED] * 5)
    rules = Rules(brake=Brake(failure_ratio=0.5, after_items=2), canary=Canary(first=1))
    found.plan = replace(found.plan, rules=replace(found.plan.rules, rules=rules))
    assert rules_of(found.plan) == rules
    version = found.plan.rules.version
    for position, state in ((0, TaskState.SUCCEEDED), (1, TaskState.FAILED)):
        found.send()
        found.fact(position, state)
    assert found.plan.state is PlanState.CANCELLING
    assert "brake" in (found.plan.stop.reason if found.plan.stop else "")
    found.fact(2, TaskState.CANCELLED)
    found.fact(3, TaskState.CANCELLED)
    assert (rules_of(found.plan), found.plan.rules.version) == (Rules(), version + 1)
    found.ends = [TaskState.SUCCEEDED, TaskState.FAILED, TaskState.CANCELLED, TaskState.CANCELLED, TaskState.SUCCEEDED]
    found.run(Random(1))
    assert found.plan.state is PlanState.FAILED
    assert states(found)["undo"] == "SUCCEEDED"


def test_a_time_limit_kills_compensates_and_fails() -> None:
    pipeline = pipeline_of([{"id": "a"}, {"id": "b", "depends_on": ["a"]}, {"id": "undo", "compensates": "a"}])
    found = World(pipeline, [TaskState.SUCCEEDED] * 3)
    found.send()
    found.fact(0, TaskState.SUCCEEDED)
    found.send()
    found.plan = replace(found.plan, spec=found.plan.spec.model_copy(update={"time_limit_seconds": 0.0}))
    found.plan = replace(found.plan, spec=found.plan.spec.model_copy(update={"time_limit_seconds": 1e-9}))
    found.plan = lifecycle.time_out(found.plan, NOW.replace(year=2027))
    found.ends = [TaskState.SUCCEEDED, TaskState.CANCELLED, TaskState.SUCCEEDED]
    found.run(Random(1))
    assert found.plan.state is PlanState.FAILED
    assert states(found) == {"a": "SUCCEEDED", "b": "CANCELLED", "undo": "SUCCEEDED"}


def run_again(parent: World, pipeline: Pipeline, scope: str, *steps: str, fails: tuple[str, ...] = ()) -> World:
    """Run a part of an ended pipeline again, to its end."""
    assert parent.plan.progress is not None
    rows = [
        Item(parent.plan.id, n, step.key(n), "e1", "", state, step.index, rerun.combination_text(step, n))
        for step in parent.graph.steps
        for n in range(step.first, step.end)
        if (state := parent.states.get(n))
    ]
    wanted = Rerun.model_validate({"plan_id": parent.plan.id, "scope": scope, "steps": steps})
    part = rerun.plan_rerun(graph_of(pipeline), parent.plan.id, parent.plan.progress, rows, wanted)
    ends = [
        TaskState.FAILED if step.step.id in fails else TaskState.SUCCEEDED
        for step in graph_of(pipeline).steps
        for _ in range(step.size)
    ]
    return World(pipeline, ends, part).run(Random(1))


def reused(found: World) -> list[str]:
    return [name for name, state in states(found).items() if state == "REUSED"]


PARTS: list[dict[str, Any]] = [
    {"id": "a"},
    {"id": "b", "depends_on": ["a"], "matrix": {"part": [1, 2]}},
    {"id": "c", "depends_on": ["a"]},
    {"id": "d", "depends_on": ["b", "c"]},
    {"id": "e", "depends_on": ["d"]},
]


@pytest.mark.parametrize(
    ("scope", "steps", "ran", "kept"),
    [
        ("start", (), ["a", "b", "c", "d", "e"], []),
        ("failed", (), ["c", "d", "e"], ["a", "b"]),
        ("from", ("b",), ["b"], ["a"]),
        ("from", ("a",), ["a", "b", "c", "d", "e"], []),
        ("only", ("b",), ["b"], ["a"]),
        ("only", ("a", "c"), ["a", "c"], ["b"]),
    ],
)
@pytest.mark.parametrize("latest", [False, True])
def test_each_kind_of_re_run_runs_exactly_its_part(
    scope: str, steps: tuple[str, ...], ran: list[str], kept: list[str], latest: bool
) -> None:
    """`c` failed, so `d` and `e` did not run. The newest version has one more step, which counts as not done.

    A re-run from `b` decides `d` again, which is skipped because `c` is still FAILED.
    """
    pipeline = pipeline_of(PARTS)
    ends = [TaskState.SUCCEEDED] * 3 + [TaskState.FAILED] + [TaskState.SUCCEEDED] * 2
    parent = World(pipeline, ends).run(Random(1))
    assert sorted(parent.order) == ["a", "b", "c"]
    newest = pipeline_of([*PARTS, {"id": "new", "depends_on": ["e"]}]) if latest else pipeline
    again = run_again(parent, newest, scope, *steps)
    new = ["new"] if latest and "e" in ran else []
    assert sorted(again.order) == sorted(ran + new)
    assert reused(again) == kept
    assert again.plan.ended


def test_a_re_run_of_what_failed_in_a_matrix_runs_only_the_failed_tasks() -> None:
    pipeline = pipeline_of([{"id": "a", "matrix": {"part": [1, 2, 3]}}, {"id": "b", "depends_on": ["a"]}])
    ends = [TaskState.SUCCEEDED, TaskState.FAILED, TaskState.SUCCEEDED, TaskState.SUCCEEDED]
    again = run_again(World(pipeline, ends).run(Random(1)), pipeline, "failed")
    assert sorted(again.states) == [1, 3], "the second task of the matrix, and what follows"
    assert again.plan.state is PlanState.SUCCEEDED


def test_a_re_run_that_fails_compensates_only_what_it_ran() -> None:
    """Without it a re-run of the last step of a pipeline that succeeded undoes every step that it reused."""
    undo = [{"id": f"undo_{name}", "compensates": name} for name in ("a", "b")]
    pipeline = pipeline_of([{"id": "a"}, {"id": "b", "depends_on": ["a"]}, {"id": "c", "depends_on": ["b"]}, *undo])
    parent = World(pipeline, [TaskState.SUCCEEDED] * 5).run(Random(1))
    for scope, step, ran in (("only", "c", ["c"]), ("from", "b", ["b", "c", "undo_b"])):
        again = run_again(parent, pipeline, scope, step, fails=("c",))
        assert again.plan.state is PlanState.FAILED
        assert again.order == ran
    assert again.plan.progress is not None
    assert again.plan.progress.runs[3].reason == "step 'a' did not run to its success in this plan: it is REUSED"


def test_a_step_cannot_start_from_one_that_did_not_end_as_awaited() -> None:
    pipeline = pipeline_of(PARTS)
    ends = [TaskState.SUCCEEDED] * 3 + [TaskState.FAILED] + [TaskState.SUCCEEDED] * 2
    parent = World(pipeline, ends).run(Random(1))
    with pytest.raises(rerun.InvalidRerun, match="'d' waits for 'c', which is FAILED"):
        run_again(parent, pipeline, "only", "d")
    with pytest.raises(rerun.InvalidRerun, match="'lost' is not a step"):
        run_again(parent, pipeline, "from", "lost")
