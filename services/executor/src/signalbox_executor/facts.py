"""`tasks.state`: publishes the states of tasks after they changed. Many items of one plan go in one message."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any, Final
from uuid import UUID, uuid4

from opentelemetry import context as otel_context
from pydantic import TypeAdapter
from pydantic_core import from_json

from signalbox_chassis.messaging.received import Received
from signalbox_chassis.observability import telemetry
from signalbox_chassis.persistence.database import UnitOfWork
from signalbox_chassis.runtime.isolation import describe_fault, note_fault, storable
from signalbox_contracts.ids import run_key
from signalbox_contracts.messages.plans import Waiting
from signalbox_contracts.messages.tasks import (
    EndCause,
    TaskAttempt,
    TaskRecord,
    TasksStated,
    TasksStatedData,
    TaskTransition,
)
from signalbox_contracts.pages import ENVELOPE_BYTES, packed
from signalbox_contracts.states import TASK_ENDS, TaskState
from signalbox_contracts.vocabulary import MAX_ITEMS
from signalbox_contracts.wire import MAX_MESSAGE_BYTES
from signalbox_executor.store.finish import AttemptResult
from signalbox_executor.store.rows import Task

SOURCE: Final = "signalbox/executor"
_NONE: Final[Mapping[UUID, AttemptResult]] = {}


def publish_changes(
    work: UnitOfWork,
    tasks: Iterable[Task],
    *,
    cause: Received[Any] | None = None,
    ended: Iterable[AttemptResult] = (),
) -> None:
    """State these tasks as part of the transaction that changed them: no transition is without its fact.

    Without a cause the fact goes on with the trace of its plan's tasks. `ended`: how attempts of theirs ended. The row
    of a task that is queued again has no handle, and no fact told of an attempt that ended at its first look.
    """
    results = {one.task_id: one for one in ended}
    in_order = sorted(tasks, key=lambda task: (task.plan_id, task.id))
    for plan_id, of_plan in groupby(in_order, key=lambda task: task.plan_id):
        changed = list(of_plan)
        time = max(task.observed_at or task.state_at for task in changed)
        token = otel_context.attach(telemetry.extract({"traceparent": changed[0].traceparent or ""}))
        try:
            for page in _pages(changed, results):
                work.publish(_fact(TasksStatedData(plan_id=plan_id, tasks=page), time), cause=cause)
        finally:
            otel_context.detach(token)


def republish(
    work: UnitOfWork,
    tasks: Iterable[Task],
    time: datetime,
    *,
    histories: Mapping[UUID, str],
    attempts: Mapping[UUID, Sequence[TaskAttempt]],
) -> None:
    """State these tasks again with all their transitions, under new ids: no reader takes them for duplicates.

    Of a task whose history is too long for a message the oldest part is left out.
    """
    in_order = sorted(tasks, key=lambda task: (task.plan_id, task.id))
    for plan_id, of_plan in groupby(in_order, key=lambda task: task.plan_id):
        plan_tasks = list(of_plan)
        records = [_full_record(task, histories.get(task.id), attempts.get(task.id, ())) for task in plan_tasks]
        token = otel_context.attach(telemetry.extract({"traceparent": plan_tasks[0].traceparent or ""}))
        try:
            for page in packed(records):
                data = TasksStatedData(plan_id=plan_id, tasks=page)
                work.publish(TasksStated.of(data, subject=plan_id, source=SOURCE, time=time, id=uuid4()))
        finally:
            otel_context.detach(token)


def _full_record(task: Task, history: str | None, attempts: Sequence[TaskAttempt]) -> TaskRecord:
    now = record(task)
    if not history and not attempts:
        return now
    transitions = (*(_TRANSITIONS.validate_json(history) if history else ()), *now.transitions)
    keep = MAX_ITEMS
    while keep > len(now.transitions):
        full = now.model_copy(update={"transitions": transitions[-keep:], "attempts": tuple(attempts)[-keep:]})
        if len(full.model_dump_json(exclude_none=True).encode()) < MAX_MESSAGE_BYTES - ENVELOPE_BYTES:
            return full
        keep //= 2
    return now


def publish_answer(
    work: UnitOfWork,
    plan_id: UUID,
    *,
    rules_version: int,
    time: datetime,
    tasks: Sequence[Task] = (),
    missing: Sequence[UUID] = (),
    parked: str = "",
    cause: Received[Any] | None = None,
) -> None:
    """Answer a command of a plan: the present states, what is not known here, and which rules we have."""
    for page in _pages(tasks):
        data = TasksStatedData(plan_id=plan_id, rules_version=rules_version, tasks=page)
        work.publish(_fact(data, time), cause=cause)
    if missing:
        data = TasksStatedData(
            plan_id=plan_id, rules_version=rules_version, missing=tuple(missing), parked=parked[:2000]
        )
        # an id of its own: what is missing a second time is no duplicate of the first answer
        work.publish(TasksStated.of(data, subject=plan_id, source=SOURCE, time=time, id=uuid4()), cause=cause)
    elif not tasks:
        work.publish(_fact(TasksStatedData(plan_id=plan_id, rules_version=rules_version), time), cause=cause)


def _fact(data: TasksStatedData, time: datetime) -> TasksStated:
    return TasksStated.of(data, subject=data.plan_id, source=SOURCE, time=time, aggregateversion=data.rules_version)


def record(task: Task, ended: AttemptResult | None = None) -> TaskRecord:
    """The state of a task, its transitions since the fact before, and how an attempt `ended` that is tried again.

    A row with content that no reader takes is published without it: it must not keep others from being published.
    """
    try:
        now = _record(task)
    except ValueError as fault:
        note_fault("facts", fault)
        reason = f"what is recorded of it cannot be published: {describe_fault(fault)}"
        bare = task._replace(handle=None, handle_url=None, waiting=None, result=None, error=reason)
        return _record(bare._replace(pending_transitions="[]"))
    if ended is None or task.state is not TaskState.QUEUED:
        return now
    try:
        return now.model_copy(update={"attempts": (_past(task, ended),)})
    except ValueError as fault:
        note_fault("facts", fault)
        return now


def _record(task: Task) -> TaskRecord:
    sent = task.state not in (TaskState.QUEUED, TaskState.CLAIMED) and task.submitted_at is not None
    # until the next attempt is sent, the row still has the times of the one before
    waiting = Waiting.model_validate_json(task.waiting) if task.waiting and task.state not in TASK_ENDS else None
    return TaskRecord(
        task_id=task.id,
        item_key=task.item_key,
        version=task.version,
        state=task.state,
        engine=task.engine_id,
        step=task.step,
        attempt=task.attempt,
        max_attempts=task.max_attempts,
        infrastructure_faults=task.infrastructure_faults,
        run_key=run_key(task.id, task.attempt) if sent else None,
        handle=task.handle,
        handle_url=task.handle_url,
        phase=task.phase,
        exit_code=task.exit_code,
        cause=task.cause,
        error=task.error,
        waiting=waiting,
        cancel_requested=task.cancel_requested_at is not None,
        not_before_at=task.not_before,
        queued_at=task.queued_at,
        submitted_at=task.submitted_at if sent else None,
        started_at=task.started_at if sent else None,
        ended_at=task.ended_at,
        observed_at=task.observed_at,
        result=from_json(task.result) if task.result else None,
        transitions=_TRANSITIONS.validate_json(task.pending_transitions),
    )


def _past(task: Task, ended: AttemptResult) -> TaskAttempt:
    """The attempt that was written over when the task was queued again."""
    return TaskAttempt(
        attempt=ended.attempt,
        handle=storable(ended.handle),
        handle_url=storable(ended.handle_url),
        submitted_at=task.submitted_at,
        started_at=task.started_at,
        ended_at=task.queued_at,
        cause=ended.verdict.cause or EndCause.FAILED,
        exit_code=task.exit_code,
        error=task.error,
    )


_TRANSITIONS: Final = TypeAdapter(tuple[TaskTransition, ...])
_PLAIN_BYTES: Final = 900
"""What a record without any text takes, at most."""
_PAGE: Final = 150
"""Ordinary records that fit into one message whatever they hold."""


def _pages(tasks: Sequence[Task], ended: Mapping[UUID, AttemptResult] = _NONE) -> Iterator[tuple[TaskRecord, ...]]:
    """The records of these tasks in few messages that fit.

    To measure a record is to write it: that is done only where the texts, at their worst, might not fit.
    """
    for at in range(0, len(tasks), _PAGE):
        some = tasks[at : at + _PAGE]
        records = [record(task, ended.get(task.id)) for task in some]
        past = sum(_past_bytes(task, ended[task.id]) for task in some if task.id in ended)
        max_bytes = len(some) * _PLAIN_BYTES + sum(map(_text_bytes, some)) + past
        if max_bytes <= MAX_MESSAGE_BYTES - ENVELOPE_BYTES:
            yield tuple(records)
        else:
            yield from packed(records)


def _past_bytes(task: Task, ended: AttemptResult) -> int:
    """What the attempt that ended before adds, at most."""
    texts = len(ended.handle or "") + len(ended.handle_url or "") + len(task.error or "")
    return 6 * texts + _PLAIN_BYTES if task.state is TaskState.QUEUED else 0


def _text_bytes(task: Task) -> int:
    """At most so many bytes of JSON: what is JSON already stays as it is, any other character may take six."""
    json_text = task.pending_transitions + (task.waiting or "") + (task.result or "")
    plain = len(task.item_key) + len(task.handle or "") + len(task.handle_url or "") + len(task.error or "")
    return 6 * plain + (len(json_text) if json_text.isascii() else len(json_text.encode()))
