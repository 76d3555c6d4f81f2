"""Pipelines: saved, versioned graphs of steps; each step is work on one engine."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, product
from math import prod
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from signalbox_contracts.definitions import graph
from signalbox_contracts.definitions.definition import Definition, ParamName, ShortText, Texts
from signalbox_contracts.definitions.job import work_problems
from signalbox_contracts.definitions.params import Param
from signalbox_contracts.definitions.problems import InvalidFields
from signalbox_contracts.definitions.rules import OnUnknown, Priority, Retries, Rules, TimeLimits
from signalbox_contracts.definitions.template import check_template, is_template
from signalbox_contracts.definitions.work import Work
from signalbox_contracts.vocabulary import Name, Ordinal, Value

MAX_STEPS = 500
MAX_TASKS = 10_000
"""Steps after matrix expansion, in one pipeline."""

StepId = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,63}$")]
"""A word, so that a template can say `steps.<id>.result`."""

Scalar = str | int | float | bool


class Dependency(Value):
    """A step to wait for, and the outcome that lets the next one start. `"load"` alone means on success."""

    step: StepId
    when: Literal["on_success", "on_failure", "always"] = "on_success"


def _spelt_out(value: Any) -> Any:
    return {"step": value} if isinstance(value, str) else value


class Step(Value):
    """One step. A matrix makes one task per combination; each combination's values are `params` of that task.

    A step that `compensates` another is not part of the order: it runs when the plan fails or is cancelled after the
    other one succeeded.
    """

    id: StepId
    name: ShortText = ""
    engine: Name | None = None
    work: Work
    depends_on: Annotated[
        tuple[Annotated[Dependency, BeforeValidator(_spelt_out)], ...], Field(max_length=MAX_STEPS)
    ] = ()
    matrix: Annotated[
        dict[ParamName, Annotated[tuple[Scalar, ...], Field(min_length=1, max_length=1000)]], Field(max_length=10)
    ] = Field(default_factory=dict)
    concurrency: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """How many tasks of this step's matrix at once."""
    condition: Annotated[str, Field(min_length=1, max_length=4096)] | None = None
    """A template. The step is skipped when it renders to `false`, `0`, `no`, `none`, `off` or nothing."""
    priority: Priority | None = None
    """Which ready step is sent first; None means the priority of the run."""
    retries: Retries = Retries()
    time_limits: TimeLimits = TimeLimits()
    on_unknown: OnUnknown | None = None
    required: bool = True
    """Whether the pipeline fails when this step does and nothing handles it."""
    compensates: StepId | None = None
    compensate_on: Annotated[tuple[Literal["failure", "cancel"], ...], Field(min_length=1, max_length=2)] = (
        "failure",
        "cancel",
    )

    def combinations(self) -> Iterator[dict[str, Scalar]]:
        """The matrix, expanded; one empty combination where there is none."""
        for values in product(*self.matrix.values()):
            yield dict(zip(self.matrix, values, strict=True))


class Pipeline(Definition):
    """A graph of steps over any engines."""

    kind: Literal["pipeline"] = "pipeline"
    version: Ordinal = 1
    params: Annotated[dict[ParamName, Param], Field(max_length=200)] = Field(default_factory=dict)
    steps: Annotated[tuple[Step, ...], Field(min_length=1, max_length=MAX_STEPS)]
    rules: Rules = Rules()
    environment: Annotated[Texts, Field(max_length=100)] = Field(default_factory=dict)
    """Templates for the environment of every step whose work has one; a step's own values win."""
    time_limit_seconds: Annotated[float, Field(gt=0, le=31_536_000, allow_inf_nan=False)] | None = None
    """How long a run may take. After it the run is stopped and has failed."""

    def edges(self) -> dict[str, tuple[str, ...]]:
        """What each step waits for, compensations left out."""
        return {
            step.id: tuple(dependency.step for dependency in step.depends_on)
            for step in self.steps
            if step.compensates is None
        }

    def step(self, id: str) -> Step:
        """The step of this id; raises `KeyError`."""
        return {step.id: step for step in self.steps}[id]

    @model_validator(mode="after")
    def _steps_fit_together(self) -> Self:
        for problems in (_step_problems(self.steps), _graph_problems(self), _work_problems(self)):
            if found := list(problems):  # each part is only looked at when those before it are right
                raise InvalidFields(found)
        return self


def _step_problems(steps: Sequence[Step]) -> Iterator[tuple[str, str]]:
    """Ids that are used twice, and more tasks than a pipeline may have."""
    seen: set[str] = set()
    tasks = 0
    for number, step in enumerate(steps):
        if step.id in seen:
            yield f"steps.{number}.id", f"step {step.id!r} is used more than once: each step needs an id of its own"
        seen.add(step.id)
        size = prod(len(values) for values in step.matrix.values())
        tasks += size
        if tasks > MAX_TASKS:
            field = f"steps.{number}.matrix" if step.matrix else f"steps.{number}"
            words = f"step {step.id!r} has {size} tasks: with the steps before it {tasks}"
            yield field, f"{words}, at most {MAX_TASKS} are allowed"
            return


def _graph_problems(pipeline: Pipeline) -> Iterator[tuple[str, str]]:
    """Steps that are not there, a cycle, and compensations that cannot be."""
    edges = pipeline.edges()
    unknown = False
    for number, step in enumerate(pipeline.steps):
        place = f"steps.{number}"
        if step.compensates is not None:
            yield from ((f"{place}.{field}", allowed) for field, allowed in _compensation_problems(step, edges))
            continue
        for n, dependency in enumerate(step.depends_on):
            if dependency.step not in edges:
                unknown = True
                allowed = ", ".join(other for other in edges if other != step.id) or "none"
                yield (
                    f"{place}.depends_on.{n}",
                    f"step {step.id!r} depends on {dependency.step!r}: allowed are {allowed}",
                )
    if unknown:
        return
    try:
        graph.order(edges)
    except graph.InvalidGraph as error:
        first = error.steps[0]
        number = next(n for n, step in enumerate(pipeline.steps) if step.id == first)
        yield f"steps.{number}.depends_on", str(error)


def _compensation_problems(step: Step, edges: Mapping[str, tuple[str, ...]]) -> Iterator[tuple[str, str]]:
    if step.compensates not in edges:
        yield "compensates", f"step {step.id!r} compensates {step.compensates!r}: allowed are {', '.join(edges)}"
    if step.matrix and prod(len(values) for values in step.matrix.values()) > 1000:
        yield "matrix", f"step {step.id!r} compensates another: its matrix may have 1000 tasks"
    if step.depends_on:
        yield "depends_on", f"step {step.id!r} compensates another, so it cannot depend on steps"


def _work_problems(pipeline: Pipeline) -> Iterator[tuple[str, str]]:
    """Templates that are not allowed, or that name a parameter or step whose value is not known there."""
    before = graph.upstream(pipeline.edges())
    params = frozenset(pipeline.params)
    for number, step in enumerate(pipeline.steps):
        undone = step.compensates
        known = before[step.id] if undone is None else before[undone] | {undone}
        problems = work_problems(step.work, params | frozenset(step.matrix), known)
        problems = chain(problems, _condition_problems(step.condition, params, known))
        yield from ((f"steps.{number}.{field}", f"step {step.id!r}: {allowed}") for field, allowed in problems)
    for name, text in pipeline.environment.items():
        try:
            check_template(text, params=params)
        except ValueError as error:
            yield f"environment.{name}", str(error)


def _condition_problems(
    text: str | None, params: frozenset[str], steps: frozenset[str]
) -> Iterator[tuple[str, str]]:  # fmt: skip
    """A condition is decided once for all tasks of a step, so it cannot use values of the matrix."""
    if text is None:
        return
    if not is_template(text):
        yield "condition", f"{text[:100]!r} is not a template: write {{{{ params.mode == 'x' }}}}"
        return
    try:
        check_template(text, params=params, steps=steps)
    except ValueError as error:
        yield "condition", str(error)
