"""Tries a pipeline's templates before it starts: what cannot be rendered is refused, and fails no step later."""

import asyncio
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from pydantic import ValidationError

from signalbox_contracts.definitions.pipeline import Pipeline, Step
from signalbox_contracts.definitions.problems import Problem, problems_in
from signalbox_contracts.definitions.template import (
    InvalidTemplate,
    render,
    replace_texts,
    texts,
    used_params,
    used_steps,
)  # fmt: skip
from signalbox_gateway.http.problems import MAX_ERRORS, invalid_all
from signalbox_gateway.plan_requests.validation import SOME_RUN

MAX_TRIED_BYTES: Final = 262_144
"""Work that is tried, as it is written, beyond the first combination of each step: about 1,000 small tasks. It is what
a pipeline may have in all, so that the other combinations at most double the time."""


async def try_templates(
    pipeline: Pipeline, params: Mapping[str, Any], *, steps: Collection[str] | None = None, all_known: bool = True
) -> None:
    """Refuse templates that cannot be rendered with these parameters, and work that is not allowed then.

    `steps` are those that will run; None means all. What uses the result of a step, or a parameter whose value is not
    known (unless `all_known`), is rendered when its turn comes; so is the work of a step with a condition. Other
    requests get their turn meanwhile.
    """
    problems: dict[str, Problem] = {}
    left = MAX_TRIED_BYTES
    values = {"steps": {}, "event_date": "2000-01-01", "run": SOME_RUN | {"name": pipeline.name}}
    for number, step in enumerate(pipeline.steps):
        if steps is not None and step.id not in steps:
            continue
        task = _Tried(pipeline, number, frozenset(params), all_known)
        for count, combination in enumerate(step.combinations() if step.condition is None else [{}]):
            left -= task.size if count else 0
            if left < 0:
                break
            given = values | {"params": {**params, **combination}}
            if found := task.problems(given, combination):
                problems |= {problem.field: problem for problem in found}
                break  # the other combinations often fail alike
            await asyncio.sleep(0)
        if len(problems) >= MAX_ERRORS:
            break
    if problems:
        raise invalid_all(list(problems.values())[:MAX_ERRORS])


class _Tried:
    """What is tried of one step: its condition, or the work that each of its tasks gets."""

    def __init__(self, pipeline: Pipeline, number: int, params: frozenset[str], all_known: bool) -> None:
        self.step: Step = pipeline.steps[number]
        self.place = f"steps.{number}"
        self.shared: dict[str, str] = {}
        """Texts of the pipeline's environment, which the planner adds to that of the work."""
        self.written: dict[str, Any] = {"condition": self.step.condition}
        if self.step.condition is None:
            self.written = {"work": self.step.work.model_dump(mode="json")}
            own = self.written["work"].get("environment")
            if isinstance(own, dict):
                self.shared = {name: text for name, text in pipeline.environment.items() if name not in own}
                self.written["work"]["environment"] = {**self.shared, **own}
        known = params | frozenset(self.step.matrix)
        found = [text for _, text in texts(self.written)]
        self.size = sum(map(len, found))
        self.untried = frozenset(
            text for text in found if used_steps(text) or not (all_known or used_params(text) <= known)
        )

    def problems(self, values: Mapping[str, Any], combination: Mapping[str, Any]) -> list[Problem]:
        """What is wrong with the task of these values, each with the field that has to be changed."""
        found: list[tuple[str, str]] = []

        def replace(place: str, text: str) -> str:
            try:
                return text if text in self.untried else render(text, values)
            except InvalidTemplate as error:
                found.append((place.removeprefix("."), str(error)))
                return text

        rendered = replace_texts(self.written, replace)
        if not found and "work" in rendered:
            found.extend(self._misfits(rendered["work"]))
        where = f"step {self.step.id}"
        if combination:
            where += f" with {', '.join(f'{name}={value!r}'[:50] for name, value in combination.items())}"
        return [Problem(self._field(place), None, f"{where}: {allowed}") for place, allowed in found]

    def _misfits(self, work: Any) -> Iterator[tuple[str, str]]:
        try:
            type(self.step.work).model_validate(work)
        except ValidationError as error:
            yield from ((f"work.{one.field}", f"rendered, {one.allowed}") for one in problems_in(error))

    def _field(self, place: str) -> str:
        name = place.removeprefix("work.environment.")
        return f"environment.{name}" if name != place and name in self.shared else f"{self.place}.{place}"
