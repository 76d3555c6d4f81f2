"""Pipelines: saved, versioned graphs of steps; each step is work on one engine."""

from collections.abc import Iterator
from itertools import product
from math import prod
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, JsonValue, model_validator

from signalbox_contracts.definitions import graph
from signalbox_contracts.definitions.definition import Definition, ParamName, ShortText, Texts
from signalbox_contracts.definitions.job import check_templates
from signalbox_contracts.definitions.params import Param
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
    """A template. The step is skipped when it renders to `false`, `0`, `no`, `none` or nothing."""
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
        _refuse_repeated([step.id for step in self.steps])
        edges = self.edges()
        before = graph.upstream(edges)
        tasks = sum(prod(len(values) for values in step.matrix.values()) for step in self.steps)
        if tasks > MAX_TASKS:
            raise ValueError(f"steps expand to {tasks} tasks: at most {MAX_TASKS} are allowed")
        for step in self.steps:
            _check_step(step, edges, before, self.params)
        for name, text in self.environment.items():
            try:
                check_template(text, params=frozenset(self.params))
            except ValueError as error:
                raise ValueError(f"environment.{name}: {error}") from None
        return self


def values_for(step: Step, params: dict[str, JsonValue], combination: dict[str, Scalar]) -> dict[str, JsonValue]:
    """The `params` one task of a step sees: the run's, with its own combination over them."""
    return {**params, **combination}


def _refuse_repeated(ids: list[str]) -> None:
    repeated = sorted({id for id in ids if ids.count(id) > 1})
    if repeated:
        raise ValueError(f"steps: the id {repeated[0]!r} is used more than once; each step needs its own")


def _check_step(
    step: Step, edges: dict[str, tuple[str, ...]], before: dict[str, frozenset[str]], params: dict[str, Param]
) -> None:
    if step.compensates is None:
        known = before[step.id]
    else:
        if step.compensates not in edges:
            raise ValueError(f"step {step.id!r} compensates {step.compensates!r}: allowed are {', '.join(edges)}")
        if step.matrix and prod(len(values) for values in step.matrix.values()) > 1000:
            raise ValueError(f"step {step.id!r} compensates another: its matrix may have 1000 tasks")
        if step.depends_on:
            raise ValueError(f"step {step.id!r} compensates another, so it cannot depend on steps")
        known = before[step.compensates] | {step.compensates}
    names = frozenset(params) | frozenset(step.matrix)
    try:
        check_templates(step.work, names, known)
        if step.condition is not None:
            _check_condition(step.condition, frozenset(params), known)
    except ValueError as error:
        raise ValueError(f"step {step.id!r}: {error}") from None


def _check_condition(text: str, params: frozenset[str], steps: frozenset[str]) -> None:
    """A condition is decided once for all tasks of a step, so it cannot use values of the matrix."""
    if not is_template(text):
        raise ValueError(f"condition {text[:100]!r} is not a template: write {{{{ params.mode == 'x' }}}}")
    try:
        check_template(text, params=params, steps=steps)
    except ValueError as error:
        raise ValueError(f"condition: {error}") from None
