"""What a definition says that can never happen: refused when it is saved. What was saved before stays readable."""

from collections.abc import Iterator, Mapping
from typing import Any

from signalbox_contracts.definitions.job import Job
from signalbox_contracts.definitions.params import Param
from signalbox_contracts.definitions.pipeline import Pipeline, Step
from signalbox_contracts.definitions.problems import Problem


def impossible(definition: Any) -> Iterator[Problem]:
    """Choices that no value can be, tasks that are there twice, and dependencies that cannot be met."""
    if isinstance(definition, Job | Pipeline):
        yield from _choices(definition.params)
    if isinstance(definition, Pipeline):
        for number, step in enumerate(definition.steps):
            for field, value, allowed in _of_step(step):
                yield Problem(f"steps.{number}.{field}", value, f"step {step.id!r} {allowed}")


def _choices(params: Mapping[str, Param]) -> Iterator[Problem]:
    for name, param in params.items():
        any_of_its_type = param.model_copy(update={"choices": ()})
        for number, choice in enumerate(param.choices):
            if problem := any_of_its_type.problem(choice):
                yield Problem(f"params.{name}.choices.{number}", None, problem)


def _of_step(step: Step) -> Iterator[tuple[str, str | None, str]]:
    """Field, value and what is allowed."""
    for name, values in step.matrix.items():
        shown = [repr(value) for value in values]
        if again := [text for number, text in enumerate(shown) if text in shown[:number]]:
            yield f"matrix.{name}", again[0][:100], "would have a task twice: each value is given once"
    if step.compensates is None and step.compensate_on != Step.model_fields["compensate_on"].default:
        yield "compensate_on", None, "compensates nothing: `compensates` names a step, or this is left out"
    awaited: dict[str, str] = {}
    for number, dependency in enumerate(step.depends_on):
        before = awaited.setdefault(dependency.step, dependency.when)
        if {before, dependency.when} == {"on_success", "on_failure"}:
            allowed = f"waits for {dependency.step!r} to succeed and to fail: `always` waits for its end"
            yield f"depends_on.{number}", None, allowed
