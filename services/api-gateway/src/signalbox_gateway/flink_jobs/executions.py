"""Runs of a job as the document lists them: one plan is one execution. Pure."""

from collections.abc import Mapping
from typing import Any, Final

from signalbox_contracts.states import PlanState, TaskState

STATUSES: Final[Mapping[TaskState, str]] = {
    TaskState.QUEUED: "PENDING",
    TaskState.CLAIMED: "PENDING",
    TaskState.SUBMITTING: "PENDING",
    TaskState.RUNNING: "RUNNING",
    TaskState.UNKNOWN: "UNKNOWN",
    TaskState.SUCCEEDED: "SUCCEEDED",
    TaskState.FAILED: "FAILED",
    TaskState.CANCELLED: "STOPPED",
}
"""The document's word for each state of an execution's task."""
PLAN_STATUSES: Final[Mapping[PlanState, str]] = {
    PlanState.SUCCEEDED: "SUCCEEDED",
    PlanState.COMPLETED_WITH_ERRORS: "FAILED",
    PlanState.FAILED: "FAILED",
    PlanState.REFUSED: "FAILED",
    PlanState.CANCELLED: "STOPPED",
}
"""The word for an execution whose plan ended; until then its task says it."""


def status(plan_state: str, task_state: str | None) -> str:
    """The document's word for an execution."""
    ended = PLAN_STATUSES.get(PlanState(plan_state))
    return ended or STATUSES.get(TaskState(task_state or "QUEUED"), "PENDING")


def execution(plan: Mapping[str, Any], task: Mapping[str, Any] | None, jar: Mapping[str, Any] | None) -> dict[str, Any]:
    """One execution. `jar` is what its run was given, as the executor recorded it; None before it was sent."""
    found = task or {}
    waiting = found.get("waiting") or next(iter(plan.get("waiting") or ()), None)
    return {
        "id": plan["id"],
        "jobId": str(plan.get("target") or "").partition(":")[2],
        "jobVersion": plan.get("target_version"),
        "status": status(plan["state"], found.get("state")),
        "state": plan["state"],
        "taskId": found.get("id"),
        "attempt": found.get("attempt"),
        "flinkJobId": found.get("handle"),
        "flinkURL": found.get("handle_url"),
        "jarURL": jar["jar_url"] if jar else None,
        "jarSHA256": jar["jar_sha256"] if jar else None,
        "startedBy": plan.get("actor"),
        "createdAt": plan.get("created_at"),
        "startedAt": found.get("started_at"),
        "finishedAt": found.get("ended_at") or plan.get("ended_at"),
        "error": found.get("error") or (plan.get("reason") or None),
        "waiting": waiting["sentence"] if waiting else None,
    }
