"""Renders the templates of a pipeline's steps. Pure."""

import json
from collections.abc import Mapping
from typing import Any, Final

from pydantic import TypeAdapter
from pydantic_core import to_json

from signalbox_contracts.definitions.pipeline import Pipeline
from signalbox_contracts.definitions.template import InvalidTemplate, render, render_all, texts, used_steps
from signalbox_contracts.definitions.work import Work
from signalbox_planner.graph import GraphStep
from signalbox_planner.plan import Plan

_WORK: Final[TypeAdapter[Any]] = TypeAdapter(Work)
MAX_TASK_BYTES: Final = 220_000
"""Work with its parameters, as JSON: the command of one task has to fit into a message."""
_FALSE: Final = frozenset({"", "0", "false", "no", "none", "off"})


def condition_steps(step: GraphStep) -> frozenset[str]:
    """The steps whose results the condition of a step uses."""
    return used_steps(step.step.condition or "")


def work_steps(step: GraphStep) -> frozenset[str]:
    """The steps whose results the work of a step uses."""
    work = step.step.work.model_dump(mode="json")
    return frozenset(name for _, text in texts(work) for name in used_steps(text))


def holds(step: GraphStep, plan: Plan, results: dict[str, Any]) -> bool:
    """Whether the condition of a step holds. Raises `InvalidTemplate`."""
    rendered = render(step.step.condition or "", _values(plan, results, None))
    return rendered.strip().lower() not in _FALSE


def work_of(
    pipeline: Pipeline, step: GraphStep, plan: Plan, results: dict[str, Any], combination: str | None
) -> str:  # fmt: skip
    """The work of one task as JSON, rendered. Raises `InvalidTemplate`."""
    values = _values(plan, results, combination)
    written = step.step.work.model_dump(mode="json")
    if pipeline.environment and isinstance(written.get("environment"), dict):
        written["environment"] = {**pipeline.environment, **written["environment"]}
    rendered = render_all(written, values)
    try:
        work: str = _WORK.validate_python(rendered).model_dump_json()
    except ValueError as error:
        raise InvalidTemplate(f"rendered, it is not allowed: {str(error)[:200]}") from None
    if too_large := oversize(work, values["params"]):
        raise InvalidTemplate(too_large)
    return work


def oversize(work: str, params: Mapping[str, Any]) -> str:
    """Why rendered work is too large for a task; empty when it is not."""
    size = len(work.encode()) + (len(to_json(params)) if params else 0)
    if size <= MAX_TASK_BYTES:
        return ""
    return f"takes {size} bytes with its parameters: at most {MAX_TASK_BYTES} are allowed"


def _values(plan: Plan, results: dict[str, Any], combination: str | None) -> dict[str, Any]:
    run = {"id": str(plan.id), "name": plan.spec.name, "actor": plan.spec.actor}
    own: dict[str, Any] = json.loads(combination) if combination else {}
    params = {**plan.spec.params, **own}
    return {"params": params, "steps": results, "event_date": plan.spec.event_date.isoformat(), "run": run}
