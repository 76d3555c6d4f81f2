"""What operations answer, as models. They describe the API; answers themselves are built from rows, not validated.

Fields come from the contracts wherever a fact has them, so the API's document follows the messages.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue, create_model
from pydantic.fields import FieldInfo

from signalbox_contracts.definitions import KINDS
from signalbox_contracts.messages.dead_letters import DeadLetterParkedData
from signalbox_contracts.messages.deliveries import DeliveryRecord
from signalbox_contracts.messages.plans import ItemRecord, PlanRecord
from signalbox_contracts.messages.states import EngineRecord, IncidentRecord, ScheduleRecord, TriggerRecord
from signalbox_contracts.messages.tasks import EndCause, Phase, StepProgress, TaskRecord
from signalbox_contracts.states import PlanState, TaskState
from signalbox_contracts.vocabulary import OpenEnum


class AnswerModel(BaseModel):
    """Every field of an answer is present, null where there is no value."""

    model_config = ConfigDict(
        json_schema_serialization_defaults_required=True, use_attribute_docstrings=True, frozen=True
    )


class _MadeModel(AnswerModel):
    """Base of what `create_model` makes: it has no source, which pydantic would look for in every loaded module."""

    model_config = ConfigDict(use_attribute_docstrings=False)


def from_record(name: str, record: type[BaseModel], *, without: Collection[str] = (), **more: Any) -> Any:
    """A model with the fields of a fact's record, less some and with others. Its docstring is the record's."""
    kept: dict[str, Any] = {
        field: (_with_metadata(info), info)
        for field, info in record.model_fields.items()
        if field not in without and field not in more
    }
    made: Any = create_model(name, __base__=_MadeModel, __doc__=record.__doc__, **more, **kept)
    return made


def _with_metadata(info: FieldInfo) -> Any:
    annotated: Any = Annotated
    return annotated[(info.annotation, *info.metadata)] if info.metadata else info.annotation


def page_of(model: type[BaseModel], name: str | None = None) -> type[BaseModel]:
    """One page of a list of these."""
    list_of: Any = list
    return create_model(
        name or f"{model.__name__}Page", __base__=_MadeModel, __doc__="One page of a list.",
        items=(list_of[model], Field(description="In the order of the list.")),
        next_cursor=(str | None, Field(description="`cursor` of the next page; null on the last one.")),
    )  # fmt: skip


class Waiting(AnswerModel):
    """What something waits for, and what would free it."""

    why: str
    """A reason of the contracts, or `planner` and `executor` when nobody is there to act. An open enumeration."""
    sentence: str
    """All of it in one sentence."""
    holder: str
    """What holds it, as `kind:id`; may be empty."""
    since_at: datetime | None
    until_at: datetime | None
    detail: str


class PlanWaiting(Waiting):
    """What a plan, or tasks of it, wait for."""

    tasks: int = 0
    """How many tasks share this reason; absent for a reason of the plan itself."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=False)


class PendingOperation(AnswerModel):
    """A requested operation without an answer yet."""

    operation_id: UUID
    operation: str
    actor: str
    requested_at: datetime


_TRACE: Final = (str | None, Field(description="The trace of the request."))
_PENDING: Final = (PendingOperation | None, Field(description="The newest operation without an answer."))
Plan: Final = from_record(
    "Plan", PlanRecord, without={"plan_id", "answered", "transitions"}, id=(UUID, ...),
    waiting=(list[PlanWaiting], Field(description="Why it does not move.")), trace_id=_TRACE,
    pending_operation=_PENDING,
    complete=(bool, Field(description="It has ended, and every fact of its tasks was read.")),
)  # fmt: skip
Task: Final = from_record(
    "Task", TaskRecord, without={"task_id", "transitions", "attempts"}, id=(UUID, ...), plan_id=(UUID, ...),
    waiting=(Waiting | None, Field(description="Why it does not start.")), trace_id=_TRACE, pending_operation=_PENDING,
)  # fmt: skip


class WorkerPhase(AnswerModel):
    """Where one part of many is, such as an index of an Indexed Job."""

    worker: int
    phase: Phase
    error: str | None


class ReportedProgress(AnswerModel):
    """How far an attempt is, as its engine reported last."""

    at: datetime
    attempt: int
    fraction: float | None
    """Between 0 and 1; null where the engine does not know."""
    message: str
    steps: list[StepProgress]
    """The parts that the engine names, such as the tasks of an Airflow DAG."""
    workers: list[WorkerPhase]
    """The parts that have a number, such as the indexes of an Indexed Job; failed ones first."""


TaskShown: Final = from_record(
    "TaskShown", Task,
    progress=(ReportedProgress | None, Field(description="How far it is; null where nothing is known.")),
)  # fmt: skip
Item: Final = from_record("Item", ItemRecord)


class PlanCounts(AnswerModel):
    """Plans by state."""

    counts: dict[str, int]


class PlanEvent(AnswerModel):
    """One move of a plan."""

    version: int
    state: PlanState
    at: datetime
    actor: str | None
    reason: str


class TaskEvent(AnswerModel):
    """One move of a task."""

    version: int
    state: TaskState
    attempt: int
    at: datetime
    reason: str


class Attempt(AnswerModel):
    """One try of a task."""

    attempt: int
    state: TaskState | None
    """The state of the task while this was its present try, and of its end."""
    run_key: str | None
    handle: str | None
    handle_url: str | None
    phase: Phase | None
    cause: EndCause | None
    exit_code: int | None
    error: str | None
    submitted_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None


class PlanOperation(AnswerModel):
    """A requested operation, and the plan as it is now."""

    operation_id: UUID
    plan: Plan  # pyright: ignore[reportInvalidTypeForm] -- made from the record


class TaskOperation(AnswerModel):
    """A requested operation, and the task as it is now."""

    operation_id: UUID
    task: Task  # pyright: ignore[reportInvalidTypeForm] -- made from the record


class JobOperation(AnswerModel):
    """The cancel of one plan."""

    operation_id: UUID
    plan_id: UUID


class JobOperations(AnswerModel):
    """One operation for each live plan of a job."""

    operations: list[JobOperation]


class PipelineOutcome(AnswerModel):
    """What became of one pipeline of an apply."""

    id: str
    outcome: Literal["created", "changed", "unchanged"]
    version: int


class PipelineOutcomes(AnswerModel):
    """What became of every pipeline of an apply."""

    items: list[PipelineOutcome]
    dry_run: bool
    """Nothing was saved."""


class DeadLetterState(OpenEnum):
    """Where a parked message is."""

    PARKED = "PARKED"
    REQUESTED = "REQUESTED"
    REDRIVING = "REDRIVING"
    REDRIVEN = "REDRIVEN"
    DROPPED = "DROPPED"
    OTHER = "OTHER"


_LETTER: Final[dict[str, Any]] = {
    "id": (UUID, ...),
    "state": (DeadLetterState, ...),
    "operation_id": (UUID | None, ...),
}
DeadLetter: Final = from_record("DeadLetter", DeadLetterParkedData, without={"dead_letter_id"}, **_LETTER)
DeadLetterEntry: Final = from_record(
    "DeadLetterEntry", DeadLetterParkedData, without={"dead_letter_id", "headers", "value_start"}, **_LETTER
)


class DeadLetterOperation(AnswerModel):
    """What one service was asked to do with its parked messages."""

    operation_id: UUID
    service: str
    ids: list[UUID]


class DeadLetterOperations(AnswerModel):
    """One operation for each service."""

    operations: list[DeadLetterOperation]


Incident: Final = from_record(
    "Incident", IncidentRecord, without={"incident_id"}, id=(UUID, ...), project=(str, ...), opened_at=(datetime, ...)
)
Delivery: Final = from_record("Delivery", DeliveryRecord, without={"delivery_id"}, id=(UUID, ...))


class DeliveryOperation(AnswerModel):
    """The deliveries of one channel that are sent again."""

    operation_id: UUID
    channel_id: str
    ids: list[UUID]


class DeliveryOperations(AnswerModel):
    """One operation for each channel."""

    operations: list[DeliveryOperation]


class Operation(AnswerModel):
    """What was requested, and its result."""

    id: UUID
    operation: str
    """The command's name, such as `engine.test`."""
    target: str
    """`kind:id`."""
    actor: str
    reason: str
    state: str
    """`pending`, `done`, `refused` or `failed`. An open enumeration."""
    answer: str
    details: JsonValue
    trace_id: str | None
    requested_at: datetime
    answered_at: datetime | None


class Secret(AnswerModel):
    """A secret without its value."""

    name: str
    version: int
    uses: list[Literal["work", "engine", "channel"]]
    description: str
    created_at: datetime
    updated_at: datetime
    updated_by: str


class MyBinding(AnswerModel):
    """A role, and where: `*` is any project, any engine."""

    role: str
    project: str
    engine: str


class Me(AnswerModel):
    """Whose token this is, and what it may do."""

    name: str
    actor: str
    token_id: str
    permissions: list[str]
    """Names such as `plan.start`: what the credential in use may do somewhere."""
    expires_at: datetime | None
    id: UUID | None
    """The account; null for callers without a token."""
    bindings: list[MyBinding]
    csrf_token: str | None
    """With a cookie: for the header `X-CSRF-Token` of every call that changes something."""


class Span(AnswerModel):
    """One span of a trace."""

    span_id: str | None
    parent_id: str | None
    service: str
    name: str
    start_ns: str | int | None
    end_ns: str | int | None
    status: str
    attributes: dict[str, JsonValue]


class Trace(AnswerModel):
    """Every span of a trace, earliest first."""

    trace_id: str
    spans: list[Span]


class PartStatus(AnswerModel):
    """Whether a part answers; `problem` says what is wrong."""

    ok: bool
    problem: str | None = None
    oldest_unsent_seconds: float | None = None
    """Of the outbox: the age of the oldest message that was not published yet."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=False)


class ConsumerGroup(AnswerModel):
    """A consumer group of a service."""

    group: str
    members: int
    lag: int


class FreezeState(AnswerModel):
    """What a freeze does now."""

    active: bool
    phase: Literal["planned", "holding", "draining", "drained", "ended"]
    since_at: datetime | None
    until_at: datetime | None
    next_at: datetime | None
    """When it holds next, of one that does not hold now."""
    running: int
    """Tasks it covers that are on their engines; they go on."""
    waiting: int
    """Tasks it covers that are queued."""


class FreezeBanner(FreezeState):
    """A freeze that holds now."""

    id: str
    reason: str
    author: str
    mode: Literal["hold", "drain"]
    engines: list[str]
    projects: list[str]


class FreezeNotice(AnswerModel):
    """A freeze that holds work of the caller now."""

    reason: str
    mode: Literal["hold", "drain"]
    since_at: datetime | None
    until_at: datetime | None
    everything: bool
    """Whether it holds all projects and engines."""
    engines: list[str]
    """Those it holds that the caller may see, or that the caller's projects use."""
    projects: list[str]
    """Those it holds that the caller may see."""


class FreezeNotices(AnswerModel):
    """The freezes that hold work of the caller now."""

    items: list[FreezeNotice]


class ServiceTrouble(AnswerModel):
    """Something in a process that keeps failing."""

    service: str
    instance: str
    part: str
    reason: str
    at: datetime
    """When the process published that last."""


class ServiceRestated(AnswerModel):
    """A service of which readers had versions that it never published: somebody else wrote to its topic."""

    service: str
    instance: str
    times: int
    last: str
    at: datetime


class UnreadableDefinition(AnswerModel):
    """A stored definition that cannot be read: a newer version wrote it, or it is damaged."""

    kind: str
    id: str
    revision: int
    reason: str
    """The fields that cannot be read, and what is allowed there."""


class Status(AnswerModel):
    """How the parts are. A part that does not answer has `ok: false`; what depends on it is null."""

    database: PartStatus
    kafka: PartStatus
    groups: list[ConsumerGroup] | None
    outbox: PartStatus
    engines: list[EngineRecord] | PartStatus | None
    plans: dict[str, int] | None
    """Plans by state."""
    tasks: dict[str, int] | None
    """Tasks by state."""
    parked: int | None
    """Parked messages that were not given up."""
    freezes: list[FreezeBanner] | None
    """Freezes that hold now."""
    troubles: list[ServiceTrouble] | None
    """What keeps failing in a process of a service."""
    restated: list[ServiceRestated] | None
    """Services that went on above versions they never published."""
    unreadable: list[UnreadableDefinition] | PartStatus | None = None
    """Definitions that cannot be read: lists leave them out, services use the form they read last. The first 200."""


class Users(AnswerModel):
    """What uses a definition, as `kind:id`."""

    users: list[str]


class DifferenceAnswer(AnswerModel):
    """One changed field."""

    path: str
    """A JSON Pointer (RFC 6901)."""
    change: Literal["added", "removed", "changed"]
    before: JsonValue
    after: JsonValue


class Diff(AnswerModel):
    """What changed between two versions."""

    from_version: Annotated[int, Field(serialization_alias="from")]
    to_version: Annotated[int, Field(serialization_alias="to")]
    changes: list[DifferenceAnswer]


JOB_DOCUMENT: Final[dict[str, Any]] = {
    "jarURL": (str | None, Field(description="Flink jobs: `work.jar_url` in the document's words.")),
    "jarSHA256": (str | None, Field(description="Flink jobs: `work.jar_sha256`.")),
    "entryClass": (str | None, Field(description="Flink jobs: `work.entry_class`.")),
    "config": (dict[str, str] | None, Field(description="Flink jobs: each pair becomes `--key value`.")),
    "arguments": (list[str] | None, Field(description="Flink jobs: arguments after those of `config`.")),
    "parallelism": (int | None, Field(description="Flink jobs: `work.parallelism`.")),
    "flinkConfiguration": (dict[str, str] | None, Field(description="Flink jobs: Flink's own settings.")),
    "savepointPath": (str | None, Field(description="Flink jobs: the savepoint to start from.")),
    "allowNonRestoredState": (bool | None, Field(description="Flink jobs: `work.allow_non_restored_state`.")),
    "stopWithSavepoint": (bool | None, Field(description="Flink jobs: a stop takes a savepoint.")),
    "schedule": (str | None, Field(description="Flink jobs: the cron rule of `POST /jobs/{id}/schedule`.")),
}
"""The document's fields of a job; null for a job that is no Flink job."""
_STATES: Final[dict[str, Any]] = {
    "engine": EngineRecord,
    "freeze": FreezeState,
    "schedule": ScheduleRecord,
    "trigger": from_record("TriggerState", TriggerRecord, without=("events",)),
}
"""What the owner of a kind publishes about it."""


def _definition_models() -> dict[str, tuple[type[BaseModel], type[BaseModel]]]:
    """For each kind: its present form and one of its versions, as the API returns them."""
    models: dict[str, tuple[type[BaseModel], type[BaseModel]]] = {}
    for kind, model in KINDS.items():
        name = model.__name__
        saved: dict[str, Any] = {
            "version": (int, Field(description="Grows with each change.")),
            "revision": (int, Field(description="Grows with each change of any definition; the `ETag`.")),
            "created_at": (datetime, ...),
        }
        present = {**saved, "updated_at": (datetime, ...), "updated_by": (str, ...)}
        if kind in _STATES:
            present["state"] = (_STATES[kind] | None, Field(description="What its owner last published."))
        if kind == "job":
            present |= JOB_DOCUMENT
        version = {**saved, "created_by": (str, ...), "reason": (str, ...)}
        models[kind] = (
            from_record(name, model, without=(), **present),
            from_record(f"{name}Version", model, without=(), **version),
        )
    return models


DEFINITIONS: Final = _definition_models()


class BulkOperationEntry(AnswerModel):
    """One request about many plans or tasks."""

    id: UUID
    action: str
    """`plan.` or `task.` and the action, such as `plan.cancel`."""
    filter: str
    """The query that chose them; empty if they were named."""
    actor: str
    reason: str
    total: int
    """Plans or tasks."""
    trace_id: str | None
    requested_at: datetime


class BulkOperation(BulkOperationEntry):
    """One request about many plans or tasks, and how far it is."""

    counts: dict[str, int]
    """Items in each state: `pending`, `done`, `refused`, `failed`, `forgotten`. An open enumeration."""


class BulkItem(AnswerModel):
    """What was requested of one plan or task, and its result."""

    position: int
    target: str
    """`plan:id` or `task:id`."""
    name: str
    """The plan's name, or the task's item key."""
    operation_id: UUID | None
    """The operation that was requested; None if it was refused at once."""
    plan_id: UUID | None
    """The linked plan that *retry* made."""
    state: str
    """`pending`, `done`, `refused` or `failed`; `forgotten` after retention deleted the answer."""
    answer: str
