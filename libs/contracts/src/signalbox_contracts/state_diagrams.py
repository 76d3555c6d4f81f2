"""The states of plans and tasks as a page: drawn from the tables of `states`, so that the drawing cannot be wrong."""

from collections.abc import Mapping, Set
from typing import Final, TypeVar

from signalbox_contracts.states import PLAN_ENDS, PLAN_TRANSITIONS, TASK_ENDS, TASK_TRANSITIONS, PlanState, TaskState

S = TypeVar("S", TaskState, PlanState)

_HEAD: Final = """# States

Generated from `signalbox_contracts.states` by `make generate`; the tables there are the only place where a move is
allowed. A state with no arrow out of it is an end, and never changes again.
"""


def states_page() -> str:
    """Both drawings, in Markdown with Mermaid."""
    tasks = _drawing("Task", TASK_TRANSITIONS, TaskState.QUEUED, TASK_ENDS)
    plans = _drawing("Plan", PLAN_TRANSITIONS, PlanState.ACCEPTED, PLAN_ENDS)
    return f"{_HEAD}\n{tasks}\n{plans}"


def _drawing(name: str, moves: Mapping[S, Set[S]], first: S, ends: Set[S]) -> str:
    arrows = [f"    {one.value} --> {after.value}" for one in moves for after in sorted(moves[one])]
    lines = [f"    [*] --> {first.value}", *arrows, *(f"    {end.value} --> [*]" for end in sorted(ends))]
    return "\n".join([f"## {name}", "", "```mermaid", "stateDiagram-v2", *lines, "```", ""])
