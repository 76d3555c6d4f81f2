"""`tasks.state`: what is said of tasks after they changed. Many items of one plan go in one message."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any, Final
from uuid import UUID

from opentelemetry import context as otel_context

from signalbox_chassis import telemetry
from signalbox_chassis.database import UnitOfWork
from signalbox_chassis.received import Received
from signalbox_contracts.ids import run_key
from signalbox_contracts.messages.plans import Waiting
from signalbox_contracts.messages.tasks import TaskRecord, TasksStated, TasksStatedData, TaskTransition
from signalbox_contracts.pages import packed
from signalbox_contracts.states import TASK_ENDS, TaskState
from signalbox_executor.store.rows import Task

SOURCE: Final = "signalbox/executor"


def publish_changes(work: UnitOfWork, tasks: Iterable[Task], *, cause: Received[Any] | None = None) -> None:
    """State these tasks as part of the transaction that changed them: no move is without its fact.

    Without a cause the fact goes on with the trace of its plan's tasks.
    """
    in_order = sorted(tasks, key=lambda task: (task.plan_id, task.id))
    for plan_id, mine in groupby(in_order, key=lambda task: task.plan_id):
        changed = list(mine)
        time = max(task.observed_at or task.state_at for task in changed)
        token = otel_context.attach(telemetry.extract({"traceparent": changed[0].traceparent or ""}))
        try:
            for page in packed([record(task) for task in changed]):
                work.publish(_fact(TasksStatedData(plan_id=plan_id, tasks=page), time), cause=cause)
        finally:
            otel_context.detach(token)


def publish_answer(
    work: UnitOfWork,
    plan_id: UUID,
    *,
    rules_version: int,
    time: datetime,
    tasks: Sequence[Task] = (),
    missing: Sequence[UUID] = (),
    cause: Received[Any] | None = None,
) -> None:
    """Answer a command of a plan: the present states, what is not known here, and which rules we have."""
    records = [record(task) for task in tasks]
    pages = list(packed(records)) or [()]
    for number, page in enumerate(pages):
        lost = tuple(missing) if number == 0 else ()
        data = TasksStatedData(plan_id=plan_id, rules_version=rules_version, tasks=page, missing=lost)
        work.publish(_fact(data, time), cause=cause)


def _fact(data: TasksStatedData, time: datetime) -> TasksStated:
    return TasksStated.of(data, subject=data.plan_id, source=SOURCE, time=time, aggregateversion=data.rules_version)


def record(task: Task) -> TaskRecord:
    """The whole state of a task, and the moves that led there since the fact before."""
    sent = task.state not in (TaskState.QUEUED, TaskState.CLAIMED) and task.submitted_at is not None
    # until the next attempt is sent, the row still has the times of the one before
    waiting = Waiting.model_validate(task.waiting) if task.waiting and task.state not in TASK_ENDS else None
    return TaskRecord(
        task_id=task.id,
        run_key=run_key(task.id, task.attempt) if sent else None,
        submitted_at=task.submitted_at if sent else None,
        started_at=task.started_at if sent else None,
        engine=task.engine_id,
        cancel_requested=task.cancel_requested_at is not None,
        not_before_at=task.not_before,
        waiting=waiting,
        transitions=tuple(TaskTransition.model_validate(move) for move in task.moves),
        **_same(task),
    )


_SAME: Final = (
    "item_key", "version", "state", "step", "attempt", "max_attempts", "infrastructure_faults", "handle", "phase",
    "exit_code", "cause", "error", "queued_at", "ended_at", "observed_at", "result",
)  # fmt: skip
"""What has the same name in the row and in the fact."""


def _same(task: Task) -> Mapping[str, Any]:
    return {name: getattr(task, name) for name in _SAME}
