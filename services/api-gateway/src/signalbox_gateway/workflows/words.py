"""The state words of the workflows API, and which of our states each stands for. Pure.

`docs/architecture/workflows.md` shows this table; a test compares them.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal

from signalbox_contracts.messages.tasks import Phase
from signalbox_contracts.states import PlanState, TaskState

RunState = Literal[
    "triggered", "queued", "running", "paused", "stopping", "completed", "failed", "stopped", "unknown"
]  # fmt: skip

_P = PlanState
PLAN_WORDS: Final[Mapping[PlanState, RunState]] = {
    _P.ACCEPTED: "triggered",
    _P.RESOLVING: "triggered",
    _P.PREVIEWED: "triggered",
    _P.AWAITING_APPROVAL: "triggered",
    _P.PAUSED: "paused",
    _P.CANCELLING: "stopping",
    _P.SUCCEEDED: "completed",
    _P.COMPLETED_WITH_ERRORS: "failed",
    _P.FAILED: "failed",
    _P.REFUSED: "failed",
    _P.CANCELLED: "stopped",
}
"""By the plan's state. A plan that is RUNNING has the word of its task."""

TASK_WORDS: Final[Mapping[TaskState, RunState]] = {
    TaskState.QUEUED: "triggered",
    TaskState.CLAIMED: "triggered",
    TaskState.SUBMITTING: "triggered",
    TaskState.RUNNING: "running",
    TaskState.UNKNOWN: "unknown",
    TaskState.SUCCEEDED: "completed",
    TaskState.FAILED: "failed",
    TaskState.CANCELLED: "stopped",
}
"""By the task's state, while the plan is RUNNING. A run that waits inside Airflow is `queued`."""

ENDED: Final[frozenset[RunState]] = frozenset({"completed", "failed", "stopped"})


def run_state(plan: Mapping[str, Any], task: Mapping[str, Any] | None) -> RunState:
    """The word for a plan and its task, as the API shows both."""
    word = PLAN_WORDS.get(PlanState(plan["state"]))
    if word is not None:
        return word
    if task is None:
        return "triggered"
    state = TaskState(task["state"])
    if state is TaskState.RUNNING and task["phase"] == Phase.SUBMITTED.value:
        return "queued"
    return TASK_WORDS.get(state, "running")
