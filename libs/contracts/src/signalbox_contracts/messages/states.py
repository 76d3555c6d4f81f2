"""`states.v1`: whole states of engines, schedules, triggers and incidents, and the results of operations.

The subject is `kind:id` and is the key. States carry versions, like every fact.
"""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, JsonValue

from signalbox_contracts.definitions.channel import Severity
from signalbox_contracts.definitions.definition import PlanLabels, Title
from signalbox_contracts.envelope import Attribute, Event
from signalbox_contracts.messages.commands import Target
from signalbox_contracts.messages.reprocessing import ReprocessingStated
from signalbox_contracts.vocabulary import Count, Instant, Name, OpenEnum, Person, PlanId, Seconds, Text, Value, Version


class BreakerState(OpenEnum):
    """Whether an engine is asked: yes, no, or once to see."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"
    OTHER = "OTHER"


class Intake(OpenEnum):
    """Whether an engine takes new work."""

    OPEN = "open"
    PAUSED = "paused"
    DRAINING = "draining"
    DRAINED = "drained"
    FROZEN = "frozen"
    OTHER = "OTHER"


class EngineRecord(Value):
    """The whole state of an engine as we see it."""

    engine_id: Name
    version: Version
    definitions_revision: Version
    breaker: BreakerState = BreakerState.CLOSED
    breaker_since_at: Instant | None = None
    failures: Count = 0
    intake: Intake = Intake.OPEN
    slots: Count = 0
    slots_used: Count = 0
    queued: Count = 0
    unknown: Count = 0
    server_version: Annotated[str, Field(max_length=255)] = ""
    last_answer_at: Instant | None = None
    last_error: Text | None = None


class EngineStated(Event[EngineRecord], frozen=True):
    """What is true of an engine now."""

    type: Literal["signalbox.engine.state.v1"] = "signalbox.engine.state.v1"


class ScheduleRecord(Value):
    """The whole state of a schedule."""

    schedule_id: Name
    version: Version
    definitions_revision: Version
    paused: bool = False
    note: Text = ""
    next_due_at: Instant | None = None
    last_due_at: Instant | None = None
    last_fired_at: Instant | None = None
    fired: Count = 0
    skipped: Count = 0


class ScheduleStated(Event[ScheduleRecord], frozen=True):
    """What is true of a schedule now."""

    type: Literal["signalbox.schedule.state.v1"] = "signalbox.schedule.state.v1"


class MatchOutcome(OpenEnum):
    """What a trigger made of an event."""

    MATCHED = "matched"
    NOT_MATCHED = "not_matched"
    REPEATED = "repeated"
    DEBOUNCED = "debounced"
    OVERLAPPED = "overlapped"
    REFUSED = "refused"
    BATCHED = "batched"
    """It waits for its batch; the plan's fact comes when the batch is closed."""
    HELD = "held"
    """It came during a freeze, and is decided when that ends."""
    SKIPPED = "skipped"
    """The trigger is paused, or its policy for events of a freeze leaves this one out."""
    OTHER = "OTHER"


class MatchRecord(Value):
    """One event, what the trigger made of it, and why."""

    event_id: Attribute
    event_source: Attribute
    event_type: Attribute
    outcome: MatchOutcome
    why: Text = ""
    plan_id: PlanId | None = None
    at: Instant


class TriggerRecord(Value):
    """The whole state of a trigger, and the events looked at since the last fact."""

    trigger_id: Name
    version: Version
    definitions_revision: Version
    paused: bool = False
    matched: Count = 0
    not_matched: Count = 0
    last_matched_at: Instant | None = None
    events: Annotated[tuple[MatchRecord, ...], Field(max_length=200)] = ()


class TriggerStated(Event[TriggerRecord], frozen=True):
    """What is true of a trigger now."""

    type: Literal["signalbox.trigger.state.v1"] = "signalbox.trigger.state.v1"


class SourceRecord(Value):
    """What came from one source of events in one hour."""

    source: Attribute
    hour_at: Instant
    version: Version
    received: Count = 0
    unclaimed: Count = 0
    """Events whose type, source and subject no trigger looks at."""
    repeated: Count = 0
    """Events that were received before; `received` counts them too."""
    last_event_at: Instant | None = None
    lag_seconds: Seconds = 0
    """How long the last one took from the broker to its decision."""


class SourceStated(Event[SourceRecord], frozen=True):
    """How many events came from a source."""

    type: Literal["signalbox.source.state.v1"] = "signalbox.source.state.v1"


class Trouble(Value):
    """Something in a process that keeps failing."""

    part: Annotated[str, Field(max_length=255)]
    reason: Text


class ServiceRecord(Value):
    """How one process of a service is. Published when it changes, and again and again while something is wrong."""

    service: Name
    instance: Annotated[str, Field(max_length=63)]
    """Another one for each process."""
    version: Version
    troubles: Annotated[tuple[Trouble, ...], Field(max_length=100)] = ()
    restated: Count = 0
    """How often a reader had a version that this process' service never published: it went on above it."""
    last_restated: Text = ""


class ServiceStated(Event[ServiceRecord], frozen=True):
    """What keeps failing in a process of a service, or no longer does."""

    type: Literal["signalbox.service.state.v1"] = "signalbox.service.state.v1"


class IncidentState(OpenEnum):
    """Where an incident is."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    SNOOZED = "snoozed"
    RECOVERED = "recovered"
    OTHER = "OTHER"


class IncidentRecord(Value):
    """The whole state of an incident: what belongs together by plan and fingerprint of the error."""

    incident_id: UUID
    version: Version
    state: IncidentState
    severity: Severity
    title: Title
    fingerprint: Annotated[str, Field(max_length=64)]
    plan_id: PlanId | None = None
    engine_id: Name | None = None
    labels: PlanLabels = Field(default_factory=dict)
    occurrences: Count = 1
    first_at: Instant
    last_at: Instant
    acknowledged_by: Person | None = None
    snoozed_until_at: Instant | None = None
    recovered_at: Instant | None = None
    note: Text = ""


class IncidentStated(Event[IncidentRecord], frozen=True):
    """What is true of an incident now."""

    type: Literal["signalbox.incident.state.v1"] = "signalbox.incident.state.v1"


class Outcome(OpenEnum):
    """How an operation ended."""

    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"
    OTHER = "OTHER"


class OperationResultData(Value):
    """The answer to one operation or plan command."""

    operation_id: UUID
    target: Target
    operation: Annotated[str, Field(max_length=255)]
    """The command's name, such as `engine.test`."""
    outcome: Outcome
    reason: Text = ""
    details: JsonValue = None
    took_seconds: Seconds | None = None


class OperationResult(Event[OperationResultData], frozen=True):
    """An operation is over."""

    type: Literal["signalbox.operation.result.v1"] = "signalbox.operation.result.v1"


MESSAGES = (
    EngineStated, ScheduleStated, TriggerStated, SourceStated, ServiceStated, IncidentStated, OperationResult,
    ReprocessingStated,
)  # fmt: skip
