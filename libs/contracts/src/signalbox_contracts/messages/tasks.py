"""`tasks.v1`: facts about tasks. The key is the plan id.

Each task is stated whole, with its own version: an older version is ignored, and a reader that missed some loses
nothing, because `transitions` are the moves since the last fact.
"""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, JsonValue

from signalbox_contracts.envelope import Event
from signalbox_contracts.ids import items_fact_id, page_id
from signalbox_contracts.messages.plans import Waiting
from signalbox_contracts.states import TaskState
from signalbox_contracts.vocabulary import (
    MAX_ITEMS,
    Count,
    ExitCode,
    Instant,
    ItemKey,
    Name,
    OpenEnum,
    Ordinal,
    PlanId,
    Result,
    TaskId,
    Text,
    Value,
    Version,
)


class Phase(OpenEnum):
    """What an engine says of a run now. *lost*: it says, with authority, that it does not know the run."""

    SUBMITTED = "submitted"
    RUNNING = "running"
    SUSPENDED = "suspended"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    KILLED = "killed"
    LOST = "lost"
    OTHER = "OTHER"


class EndCause(OpenEnum):
    """Why an attempt or task ended as it did."""

    COMPLETED = "completed"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    REFUSED = "refused"
    LOST = "lost"
    CHANGED = "changed"
    KILLED = "killed"
    CANCELLED = "cancelled"
    INFRASTRUCTURE = "infrastructure"
    RESOLVED = "resolved"
    OTHER = "OTHER"


class TaskTransition(Value):
    """One move of a task."""

    version: Version
    state: TaskState
    attempt: Ordinal = 1
    at: Instant
    reason: Text = ""


class TaskAttempt(Value):
    """A try of a task that is over."""

    attempt: Ordinal
    handle: Annotated[str, Field(max_length=1024)] | None = None
    handle_url: Annotated[str, Field(max_length=2048)] | None = None
    submitted_at: Instant | None = None
    started_at: Instant | None = None
    ended_at: Instant
    cause: EndCause
    exit_code: ExitCode | None = None
    error: Text | None = None


class TaskRecord(Value):
    """The whole state of a task."""

    task_id: TaskId
    item_key: ItemKey
    version: Version
    state: TaskState
    engine: Name
    step: Name | None = None
    attempt: Ordinal = 1
    max_attempts: Ordinal = 1
    infrastructure_faults: Count = 0
    run_key: Annotated[str, Field(max_length=63)] | None = None
    handle: Annotated[str, Field(max_length=1024)] | None = None
    handle_url: Annotated[str, Field(max_length=2048)] | None = None
    phase: Phase | None = None
    """The last observation; absent until there is one."""
    exit_code: ExitCode | None = None
    cause: EndCause | None = None
    error: Text | None = None
    waiting: Waiting | None = None
    cancel_requested: bool = False
    not_before_at: Instant | None = None
    queued_at: Instant
    submitted_at: Instant | None = None
    started_at: Instant | None = None
    ended_at: Instant | None = None
    observed_at: Instant | None = None
    result: Result = None
    transitions: Annotated[tuple[TaskTransition, ...], Field(max_length=MAX_ITEMS)] = ()
    attempts: Annotated[tuple[TaskAttempt, ...], Field(max_length=MAX_ITEMS)] = ()
    """Tries before this one: the last when it ended and the next is queued; all when the task is told again
    (`plan.republish`), and `transitions` are then all it made."""


class TasksStatedData(Value):
    """States of tasks of one plan. `rules_version` confirms which rules the executor has."""

    plan_id: PlanId
    rules_version: Version = 0
    tasks: Annotated[tuple[TaskRecord, ...], Field(max_length=MAX_ITEMS)] = ()
    missing: Annotated[tuple[TaskId, ...], Field(max_length=MAX_ITEMS)] = ()
    """Asked for by id alone and not known here: send them whole."""
    parked: Text = ""
    """Why the command that named the missing tasks lies parked here: sent again, it would be parked again."""


class TasksStated(Event[TasksStatedData], frozen=True):
    """What is true of these tasks now."""

    type: Literal["signalbox.tasks.state.v1"] = "signalbox.tasks.state.v1"

    @classmethod
    def derive_id(cls, data: TasksStatedData, subject: str, version: int) -> str:
        """From every task and its version; `version` is that of the confirmed rules."""
        missing = ((task, -1) for task in data.missing)
        versions = [(task.task_id, task.version) for task in data.tasks]
        return items_fact_id(cls.type_name(), subject, [*versions, *missing, ("rules", data.rules_version)])


class ResolvedItem(Value):
    """One thing a look-up found, with what was true of it."""

    key: ItemKey
    target: Annotated[str, Field(max_length=2048)]
    phase: Phase | None = None
    engine_state: Annotated[str, Field(max_length=64)] = ""
    """The engine's own word."""
    nominal_at: Instant | None = None
    size_bytes: Count | None = None
    run: Count | None = None
    last_modified: Annotated[str, Field(max_length=64)] | None = None
    skip_nodes: Annotated[tuple[str, ...], Field(max_length=1000)] = ()
    deletes: Annotated[tuple[Text, ...], Field(max_length=100)] = ()
    details: JsonValue = None


class SelectionResolvedData(Value):
    """One page of what a look-up found; the last page says whether all of it could be found."""

    plan_id: PlanId
    selection_id: UUID
    round: Count = 0
    page: Ordinal
    pages: Ordinal
    items: Annotated[tuple[ResolvedItem, ...], Field(max_length=MAX_ITEMS)] = ()
    error: Text | None = None


class SelectionResolved(Event[SelectionResolvedData], frozen=True):
    """A page of a resolved selection."""

    type: Literal["signalbox.selection.resolved.v1"] = "signalbox.selection.resolved.v1"

    @classmethod
    def derive_id(cls, data: SelectionResolvedData, subject: str, version: int) -> str:
        """From the look-up, which carries its round, and the page."""
        return page_id(cls.type_name(), str(data.selection_id), version, data.page)


class WorkerProgress(Value):
    """How far one worker of a task is."""

    worker: Count = 0
    phase: Phase = Phase.RUNNING
    files_total: Count = 0
    files_done: Count = 0
    lines_read: Count = 0
    sent: Count = 0
    skipped: Count = 0
    failed: Count = 0
    bytes_total: Count = 0
    bytes_done: Count = 0
    current_file: Annotated[str, Field(max_length=2048)] | None = None
    current_line: Count = 0
    current_timestamp: Annotated[str, Field(max_length=64)] | None = None
    error: Text | None = None


class StepProgress(Value):
    """How far one part of a run is, by the engine's own name of it: a task of an Airflow DAG."""

    name: Annotated[str, Field(min_length=1, max_length=255)]
    state: Annotated[str, Field(max_length=64)]
    """The engine's own word."""
    phase: Phase | None = None
    """What that word means; absent for a part that did not begin, or that ran before this attempt."""
    attempt: Count | None = None
    started_at: Instant | None = None
    ended_at: Instant | None = None


class TaskProgressData(Value):
    """How far an attempt is; a newer `sequence` of the same attempt replaces an older one."""

    plan_id: PlanId
    task_id: TaskId
    attempt: Ordinal
    sequence: Version
    at: Instant
    fraction: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None
    message: Text = ""
    workers: Annotated[tuple[WorkerProgress, ...], Field(max_length=MAX_ITEMS)] = ()
    steps: Annotated[tuple[StepProgress, ...], Field(max_length=MAX_ITEMS)] = ()
    waiting: Text = ""
    """Why the engine has not begun what it accepted."""


class TaskProgress(Event[TaskProgressData], frozen=True):
    """How far a task is."""

    type: Literal["signalbox.task.progress.v1"] = "signalbox.task.progress.v1"

    @classmethod
    def derive_id(cls, data: TaskProgressData, subject: str, version: int) -> str:
        """From task, attempt and sequence; the subject is the plan."""
        versions = [(data.task_id, data.attempt), *((worker.worker, -1) for worker in data.workers)]
        return items_fact_id(cls.type_name(), subject, [*versions, ("sequence", data.sequence)])


MESSAGES = (TasksStated, SelectionResolved, TaskProgress)
