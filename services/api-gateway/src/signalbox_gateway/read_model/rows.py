"""Facts as the read model keeps them: pure, and cheap, because everything that happens passes through here.

A task's record leaves out what has no value; `TASK_DEFAULTS` puts it back when it is read.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from pydantic_core import to_json

from signalbox_contracts.ids import run_key, task_id
from signalbox_contracts.messages.dead_letters import DeadLetterParkedData
from signalbox_contracts.messages.plans import ItemRecord, PlanItemsData, PlanRecord
from signalbox_contracts.messages.states import OperationResultData
from signalbox_contracts.messages.tasks import TaskRecord, TasksStatedData
from signalbox_contracts.states import PLAN_ENDS, TASK_ENDS, TaskState

_NOT_KEPT: Final = {"transitions", "attempts"}
"""Fields of a task's record that go to tables of their own."""
TASK_DEFAULTS: Final[dict[str, Any]] = {
    name: (None if info.is_required() else info.get_default(call_default_factory=False))
    for name, info in TaskRecord.model_fields.items()
    if name not in _NOT_KEPT
}
_NOT_SENT: Final = frozenset({TaskState.QUEUED, TaskState.CLAIMED})


class PlanRow(NamedTuple):
    id: UUID
    version: int
    state: str
    name: str
    project: str
    target: str | None
    actor: str
    parent: UUID | None
    labels: str
    created_at: datetime
    ended_at: datetime | None
    trace_id: str | None
    record: str
    expected: str | None


class PlanEventRow(NamedTuple):
    plan_id: UUID
    version: int
    state: str
    at: datetime
    actor: str | None
    reason: str


class TaskRow(NamedTuple):
    id: UUID
    plan_id: UUID
    item_key: str
    version: int
    state: str
    engine: str
    why: str | None
    record: str


class TaskEventRow(NamedTuple):
    task_id: UUID
    version: int
    state: str
    attempt: int
    at: datetime
    reason: str


class AttemptRow(NamedTuple):
    task_id: UUID
    attempt: int
    version: int
    ended: bool
    record: dict[str, Any]


class PageRow(NamedTuple):
    plan_id: UUID
    page: int
    round: int
    version: int
    pages: int


class ItemRow(NamedTuple):
    id: UUID
    plan_id: UUID
    item_key: str
    position: int
    decision: str
    round: int
    item: str


class AnswerRow(NamedTuple):
    operation_id: UUID
    state: str
    answer: str
    details: str | None
    answered_at: datetime


class ParkedRow(NamedTuple):
    id: UUID
    service: str
    topic: str
    parked_at: datetime
    record: str


@dataclass(slots=True)
class TaskFacts:
    """What a batch of `tasks.state` says, each task once and at its newest."""

    tasks: dict[UUID, TaskRow] = field(default_factory=dict[UUID, TaskRow])
    events: dict[tuple[UUID, int], TaskEventRow] = field(default_factory=dict[tuple[UUID, int], TaskEventRow])
    attempts: dict[tuple[UUID, int], AttemptRow] = field(default_factory=dict[tuple[UUID, int], AttemptRow])

    def add(self, data: TasksStatedData) -> None:
        """Take in one message."""
        plan = data.plan_id
        for record in data.tasks:
            seen = self.tasks.get(record.task_id)
            if seen is None or seen.version < record.version:
                self.tasks[record.task_id] = task_row(plan, record)
            for move in record.transitions:
                self.events[record.task_id, move.version] = TaskEventRow(
                    record.task_id, move.version, move.state.value, move.attempt, move.at, move.reason
                )
            for attempt in attempt_rows(record):
                key = (attempt.task_id, attempt.attempt)
                self.attempts[key] = merged(self.attempts.get(key), attempt)


def task_row(plan_id: UUID, record: TaskRecord) -> TaskRow:
    """The row of a task as stated."""
    return TaskRow(
        record.task_id,
        plan_id,
        record.item_key,
        record.version,
        record.state.value,
        record.engine,
        record.waiting.why.value if record.waiting else None,
        record.model_dump_json(exclude_none=True, exclude=_NOT_KEPT),
    )


def attempt_rows(record: TaskRecord) -> Iterable[AttemptRow]:
    """What a task's state says of its tries: of the one that was sent, of the one before a new one was queued, and of
    all before when it is told again. Of these, what was said while they ran is newer.
    """
    for past in record.attempts:
        values = past.model_dump(mode="python", exclude_none=True)
        values["run_key"] = run_key(record.task_id, past.attempt)
        yield AttemptRow(record.task_id, past.attempt, 0, True, values)
    if record.state not in _NOT_SENT and record.run_key:
        yield _attempt(record, record.attempt, record.version, record.state in TASK_ENDS, record.ended_at)
    elif record.attempt > 1 and record.state is TaskState.QUEUED and record.cause is not None:
        queued = [move.at for move in record.transitions if move.state is TaskState.QUEUED]
        at = queued[-1] if queued else record.observed_at  # the first may be of the task's accept, said only now
        yield _attempt(record, record.attempt - 1, record.version, True, at)


def merged(had: AttemptRow | None, update: AttemptRow) -> AttemptRow:
    """What two facts say of one try: all of both, and the newer's where they differ."""
    if had is None:
        return update
    old, new = (had, update) if had.version < update.version else (update, had)
    return new._replace(ended=old.ended or new.ended, record=old.record | new.record)


def _attempt(record: TaskRecord, number: int, version: int, ended: bool, ended_at: datetime | None) -> AttemptRow:
    values: dict[str, Any] = {"attempt": number, "ended_at": ended_at, "cause": record.cause, "error": record.error}
    values["exit_code"] = record.exit_code
    if number == record.attempt:
        values |= {
            "state": record.state,
            "run_key": record.run_key,
            "handle": record.handle,
            "handle_url": record.handle_url,
            "phase": record.phase,
            "submitted_at": record.submitted_at,
            "started_at": record.started_at,
        }
    kept = {name: value for name, value in values.items() if value is not None}
    return AttemptRow(record.task_id, number, version, ended, kept)


def plan_row(record: PlanRecord, trace_id: str | None) -> PlanRow:
    """The row of a plan as stated."""
    return PlanRow(
        record.plan_id,
        record.version,
        record.state.value,
        record.name,
        record.project,
        record.target,
        record.actor,
        record.parent,
        to_json(record.labels).decode(),
        record.created_at,
        record.ended_at,
        trace_id,
        record.model_dump_json(exclude={"transitions", "answered"}),
        record.expected.model_dump_json() if record.expected and record.state in PLAN_ENDS else None,
    )


def plan_events(record: PlanRecord) -> Iterable[PlanEventRow]:
    for move in record.transitions:
        yield PlanEventRow(record.plan_id, move.version, move.state.value, move.at, move.actor, move.reason)


def page_row(data: PlanItemsData) -> PageRow:
    return PageRow(data.plan_id, data.page, data.round, data.version, data.pages)


def item_rows(data: PlanItemsData) -> list[ItemRow]:
    """A row per item of the page. One without a task gets the id its task would have."""
    return [_item(data, item) for item in data.items]


def _item(data: PlanItemsData, item: ItemRecord) -> ItemRow:
    id = item.task_id or task_id(data.plan_id, item.key)
    record = item.model_dump_json(exclude_none=True)
    return ItemRow(id, data.plan_id, item.key, item.position, item.decision.value, data.round, record)


def answer_row(data: OperationResultData, at: datetime) -> AnswerRow:
    details = to_json(data.details).decode() if data.details is not None else None
    return AnswerRow(data.operation_id, data.outcome.value, data.reason, details, at)


def parked_row(data: DeadLetterParkedData) -> ParkedRow:
    return ParkedRow(data.dead_letter_id, data.service, data.topic, data.parked_at, data.model_dump_json())


def trace_id(traceparent: str | None) -> str | None:
    """The trace id inside a `traceparent`."""
    return traceparent.split("-")[1] if traceparent and traceparent.count("-") >= 3 else None


def columns(rows: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Rows turned into columns, as `unnest` takes them."""
    return list(zip(*rows, strict=True))
