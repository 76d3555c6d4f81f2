"""A plan and its task as a run of a workflow. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from signalbox_contracts.states import PLAN_ENDS, TaskState
from signalbox_gateway.workflows.values import Run, RunTask
from signalbox_gateway.workflows.words import run_state

_ENDS = frozenset(state.value for state in PLAN_ENDS)
_NOT_SENT = frozenset({TaskState.QUEUED.value, TaskState.CLAIMED.value})


@dataclass(frozen=True, slots=True)
class RunView:
    """A run as shown, and what its control calls depend on."""

    run: Run
    has_ended: bool
    is_sent: bool
    """Airflow may have it."""
    task: Mapping[str, Any] | None
    """The task that runs it, as the API shows tasks."""


def run_of(
    workflow_id: str,
    dag_id: str,
    plan: Mapping[str, Any],
    task: Mapping[str, Any] | None,
    *,
    request: Mapping[str, Any],
    progress: Mapping[str, Any],
    note: str = "",
) -> RunView:
    """`asked` is what the run was started with, `progress` how far it is: empty where that is not known.

    `note` is the one that was given to the run since.
    """
    dag, _, dag_run_id = (task["handle"] or "").partition("/") if task else ("", "", "")
    run = Run(
        id=plan["id"],
        workflow_id=workflow_id,
        dag_id=dag or dag_id,
        dag_run_id=dag_run_id or None,
        url=task["handle_url"] if task else None,
        state=run_state(plan, task),
        task_id=request.get("task_id"),
        dataset_id=request.get("dataset_id"),
        parameters=request.get("parameters"),
        retry_of=plan.get("parent"),
        note=note or request.get("note") or plan["reason"],
        triggered_by=plan["actor"],
        waiting=_waiting(plan, task, progress),
        error=task["error"] if task else None,
        result=task["result"] if task else None,
        tasks=[_task(step) for step in progress.get("steps", ())],
        task=UUID(str(task["id"])) if task else None,
        created_at=plan["created_at"],
        started_at=plan.get("started_at"),
        ended_at=plan.get("ended_at"),
        trace_id=plan["trace_id"],
    )
    sent = task is not None and task["state"] not in _NOT_SENT
    return RunView(run, plan["state"] in _ENDS, sent, task)


def _waiting(
    plan: Mapping[str, Any], task: Mapping[str, Any] | None, progress: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """What it waits for: with us, or inside Airflow once that has it."""
    if task is not None and task["waiting"]:
        return [task["waiting"]]
    sentence = progress.get("waiting")
    if sentence and task is not None and run_state(plan, task) == "queued":
        holder = f"engine:{task['engine']}"
        return [{"why": "engine_queue", "holder": holder, "since_at": progress["at"], "detail": sentence}]
    return list(plan["waiting"])


def _task(step: Mapping[str, Any]) -> RunTask:
    return RunTask(
        task_id=step["name"], state=step["state"], try_number=step["attempt"], started_at=step["started_at"],
        ended_at=step["ended_at"],
    )  # fmt: skip
