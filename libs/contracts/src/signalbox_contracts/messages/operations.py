"""`operations.v1`: commands about anything but a plan's own course. Each names its operation, who asked and why.

The subject is the target, `kind:id`, and is the key: operations on one thing are handled in the order they were asked.
An operation is answered by `operation.result` on `states.v1`, or by the fact it brings about.
"""

from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import Field, model_validator

from signalbox_contracts.definitions.rules import Priority
from signalbox_contracts.definitions.schedule import Overlap
from signalbox_contracts.envelope import Event
from signalbox_contracts.messages.commands import OperationData
from signalbox_contracts.messages.reprocessing import COMMANDS as REPROCESSING
from signalbox_contracts.vocabulary import MAX_ITEMS, Instant, Name, Ordinal, PlanId, Seconds, TaskId, Text, Version

ParkedIds = Annotated[tuple[UUID, ...], Field(min_length=1, max_length=MAX_ITEMS)]


class TaskResolveData(OperationData):
    """A person's decision about one attempt in UNKNOWN. `handle` names the run to adopt; else its run key does."""

    reason: Annotated[Text, Field(min_length=1)]  # pyright: ignore[reportGeneralTypeIssues] -- here it is needed
    plan_id: PlanId
    task_id: TaskId
    attempt: Ordinal
    decision: Literal["adopt", "retry", "fail"]
    handle: Annotated[str, Field(min_length=1, max_length=1024)] | None = None

    @model_validator(mode="after")
    def _adopts_what_it_names(self) -> Self:
        if self.handle is not None and self.decision != "adopt":
            raise ValueError(f"handle {self.handle[:100]!r} is not allowed with decision {self.decision!r}")
        return self


class TaskResolve(Event[TaskResolveData], frozen=True):
    """Decide what became of a task its engine cannot tell."""

    type: Literal["signalbox.task.resolve.v1"] = "signalbox.task.resolve.v1"


class EngineTestData(OperationData):
    """Try the connection of an engine as registered."""

    engine_id: Name
    definitions_revision: Version


class EngineTest(Event[EngineTestData], frozen=True):
    """Test a connection; `operation.result` says what was found."""

    type: Literal["signalbox.engine.test.v1"] = "signalbox.engine.test.v1"


class TaskSavepointData(OperationData):
    """Take a savepoint of a run. `stop` ends the run with it."""

    plan_id: PlanId
    task_id: TaskId
    attempt: Ordinal
    engine_id: Name
    stop: bool = False


class TaskSavepoint(Event[TaskSavepointData], frozen=True):
    """Write the state of a run down; `operation.result` carries its path."""

    type: Literal["signalbox.task.savepoint.v1"] = "signalbox.task.savepoint.v1"


class TaskAnnotateData(OperationData):
    """Change the note that the engine keeps of a run."""

    plan_id: PlanId
    task_id: TaskId
    attempt: Ordinal
    engine_id: Name
    handle: Annotated[str, Field(min_length=1, max_length=1024)]
    note: Annotated[str, Field(min_length=1, max_length=900)]


class TaskAnnotate(Event[TaskAnnotateData], frozen=True):
    """Change a run's note on its engine; `operation.result` carries the note as it is then."""

    type: Literal["signalbox.task.annotate.v1"] = "signalbox.task.annotate.v1"


class DagPauseData(OperationData):
    """Pause a DAG, or let it go on: the runs of a paused one stay queued."""

    engine_id: Name
    dag_id: Annotated[str, Field(min_length=1, max_length=250)]
    paused: bool


class DagPause(Event[DagPauseData], frozen=True):
    """Pause or unpause a DAG; `operation.result` says what it is then."""

    type: Literal["signalbox.dag.pause.v1"] = "signalbox.dag.pause.v1"


RunKey = Annotated[str, Field(pattern=r"^sb-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}-[1-9][0-9]{0,6}$")]
OozieJob = Annotated[str, Field(pattern=r"^\d{1,12}-\d{1,20}-[^@#\s/?&;=]{1,200}-[WCB](@\d{1,9})?$", max_length=255)]


class OozieControlData(OperationData):
    """Stop, hold, resume, close or change a job of an Oozie server, whoever started it."""

    engine_id: Name
    job: OozieJob
    """A workflow, a coordinator, a bundle, or one action of a coordinator."""
    action: Literal["kill", "suspend", "resume", "ignore", "change"]
    numbers: Annotated[tuple[Annotated[int, Field(ge=1, le=999_999_999)], ...], Field(max_length=1000)] = ()
    """`kill` and `ignore` of a coordinator: only these of its actions."""
    end_at: Instant | None = None
    pause_at: Instant | None = None
    concurrency: Annotated[int, Field(ge=1, le=10_000)] | None = None

    @model_validator(mode="after")
    def _action_fits_job(self) -> Self:
        kind = self.job.partition("@")[0][-1]
        changes = [name for name in ("end_at", "pause_at", "concurrency") if getattr(self, name) is not None]
        if "@" in self.job and (self.action not in ("kill", "ignore") or self.numbers):
            raise ValueError(f"job {self.job}: an action of a coordinator can be killed or ignored, and has no numbers")
        if self.numbers and (kind != "C" or self.action not in ("kill", "ignore")):
            raise ValueError(f"numbers: only allowed with 'kill' and 'ignore' of a coordinator, not {self.action!r}")
        if self.action in ("ignore", "change") and kind != "C":
            raise ValueError(f"action {self.action!r} is not allowed for {self.job}: only a coordinator has it")
        if (self.action == "change") != bool(changes):
            raise ValueError("end_at, pause_at, concurrency: at least one is needed with 'change', none with another")
        return self


class OozieControl(Event[OozieControlData], frozen=True):
    """Control an Oozie job; `operation.result` says which state was read back."""

    type: Literal["signalbox.oozie.control.v1"] = "signalbox.oozie.control.v1"


class OozieShowData(OperationData):
    """Read one of the texts that an Oozie server has of a job."""

    engine_id: Name
    job: OozieJob
    document: Literal["info", "configuration", "definition", "log", "errorlog", "auditlog"]


class OozieShow(Event[OozieShowData], frozen=True):
    """Read a text of an Oozie job; `operation.result` carries it, cut to 100,000 characters."""

    type: Literal["signalbox.oozie.show.v1"] = "signalbox.oozie.show.v1"


class ArtifactCheckData(OperationData):
    """Fetch an artifact, store it and pin its SHA-256 for a job version. Without `url` the engine's default one."""

    job_id: Name
    job_version: Ordinal
    engine_id: Name | None = None
    url: Annotated[str, Field(min_length=1, max_length=2048)] | None = None


class ArtifactCheck(Event[ArtifactCheckData], frozen=True):
    """Pin a job's artifact; `operation.result` carries its digest and size."""

    type: Literal["signalbox.artifact.check.v1"] = "signalbox.artifact.check.v1"


class ChannelTestData(OperationData):
    """Send a test message to a channel."""

    channel_id: Name
    definitions_revision: Version


class ChannelTest(Event[ChannelTestData], frozen=True):
    """Test a channel."""

    type: Literal["signalbox.channel.test.v1"] = "signalbox.channel.test.v1"


class DeadLetterRedriveData(OperationData):
    """Feed parked messages of one service again to the one handler that failed."""

    service: Name
    dead_letter_ids: ParkedIds


class DeadLetterRedrive(Event[DeadLetterRedriveData], frozen=True):
    """Handle parked messages once more."""

    type: Literal["signalbox.dead_letter.redrive.v1"] = "signalbox.dead_letter.redrive.v1"


class DeadLetterDropData(OperationData):
    """Give parked messages of one service up, for the stated reason."""

    service: Name
    dead_letter_ids: ParkedIds


class DeadLetterDrop(Event[DeadLetterDropData], frozen=True):
    """Give parked messages up."""

    type: Literal["signalbox.dead_letter.drop.v1"] = "signalbox.dead_letter.drop.v1"


class DeliveryResendData(OperationData):
    """Send deliveries that were given up once more."""

    channel_id: Name
    delivery_ids: Annotated[tuple[UUID, ...], Field(min_length=1, max_length=MAX_ITEMS)]


class DeliveryResend(Event[DeliveryResendData], frozen=True):
    """Send again."""

    type: Literal["signalbox.delivery.resend.v1"] = "signalbox.delivery.resend.v1"


class IncidentAcknowledgeData(OperationData):
    """Somebody looks after it."""

    incident_id: UUID


class IncidentAcknowledge(Event[IncidentAcknowledgeData], frozen=True):
    """Take an incident on."""

    type: Literal["signalbox.incident.acknowledge.v1"] = "signalbox.incident.acknowledge.v1"


class IncidentSnoozeData(OperationData):
    """Say nothing more about it until then."""

    incident_id: UUID
    until_at: Instant


class IncidentSnooze(Event[IncidentSnoozeData], frozen=True):
    """Silence an incident for a while."""

    type: Literal["signalbox.incident.snooze.v1"] = "signalbox.incident.snooze.v1"


class IncidentResolveData(OperationData):
    """What failed is mended: the incident is over until the next failure."""

    incident_id: UUID


class IncidentResolve(Event[IncidentResolveData], frozen=True):
    """End an incident."""

    type: Literal["signalbox.incident.resolve.v1"] = "signalbox.incident.resolve.v1"


class ScheduleBackfillData(OperationData):
    """Fire the ticks of a schedule in [from_at, until_at], oldest or newest first.

    `missing` fires those that have not fired, so the same range again changes nothing. `failed` fires those in `again`,
    `all` fires every one; a tick that fired before starts another plan, which follows from tick and operation.
    With `overlap` queue, `concurrency` of its plans run at once.
    """

    schedule_id: Name
    from_at: Instant
    until_at: Instant
    at_most: Annotated[int, Field(ge=1, le=10_000)] = 1000
    overlap: Overlap = "queue"
    order: Literal["oldest", "newest"] = "oldest"
    concurrency: Annotated[int, Field(ge=1, le=100)] = 1
    priority: Priority = 40
    only: Literal["missing", "failed", "all"] = "missing"
    again: Annotated[tuple[Instant, ...], Field(max_length=5000)] = ()
    definitions_revision: Version

    @model_validator(mode="after")
    def _forwards(self) -> Self:
        if self.until_at < self.from_at:
            raise ValueError(
                f"until_at {self.until_at.isoformat()} must not be before from_at {self.from_at.isoformat()}"
            )
        return self


class ScheduleBackfill(Event[ScheduleBackfillData], frozen=True):
    """Fire past ticks."""

    type: Literal["signalbox.schedule.backfill.v1"] = "signalbox.schedule.backfill.v1"


class LogsFollowData(OperationData):
    """Somebody watches the log of an attempt: store it every 2 s until then."""

    plan_id: PlanId
    task_id: TaskId
    attempt: Ordinal
    for_seconds: Annotated[Seconds, Field(gt=0, le=3600)] = 60


class LogsFollow(Event[LogsFollowData], frozen=True):
    """Store a log more often for a while."""

    type: Literal["signalbox.logs.follow.v1"] = "signalbox.logs.follow.v1"


class RunsObserveData(OperationData):
    """Runs that their engine reports as changed. That is a hint: only what the engine answers changes a state."""

    engine_id: Name
    run_keys: Annotated[tuple[RunKey, ...], Field(min_length=1, max_length=MAX_ITEMS)]


class RunsObserve(Event[RunsObserveData], frozen=True):
    """Poll these runs now, if they are running; nothing answers this."""

    type: Literal["signalbox.runs.observe.v1"] = "signalbox.runs.observe.v1"


class PlanRepublishData(OperationData):
    """Say the whole state of these plans, their items and tasks again, so that a read model can be rebuilt."""

    plan_ids: Annotated[tuple[PlanId, ...], Field(max_length=MAX_ITEMS)]
    """None: every plan there is, however old, and the engines."""
    items: bool = True
    tasks: bool = True
    versions: Annotated[tuple[Version, ...], Field(max_length=MAX_ITEMS)] = ()
    """Which version of each of `plan_ids` the sender has; an owner that never published that goes on above it."""
    note: Text = ""


class PlanRepublish(Event[PlanRepublishData], frozen=True):
    """Say it again."""

    type: Literal["signalbox.plan.republish.v1"] = "signalbox.plan.republish.v1"


MESSAGES = (
    TaskResolve,
    TaskSavepoint,
    TaskAnnotate,
    DagPause,
    OozieControl,
    OozieShow,
    EngineTest,
    ArtifactCheck,
    ChannelTest,
    DeadLetterRedrive,
    DeadLetterDrop,
    DeliveryResend,
    IncidentAcknowledge,
    IncidentSnooze,
    IncidentResolve,
    ScheduleBackfill,
    LogsFollow,
    RunsObserve,
    PlanRepublish,
    *REPROCESSING,
)
