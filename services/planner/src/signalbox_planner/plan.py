"""The values of the planner: a plan with its groups, an item, and the changes of items. Pure.

A `Plan` is a frozen value. The rules in `lifecycle` take one and return the next one; what has to be published or
sent because of a change is in its `effects`, and `carrier` performs them in the transaction that saves the plan.
"""

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple
from uuid import UUID

from pydantic import Field, JsonValue

from signalbox_contracts.definitions.definition import Labels, Params, Title
from signalbox_contracts.definitions.rules import OnUnknown, Priority, Retries, Rules, TimeLimits
from signalbox_contracts.messages.plans import Counts, PlanTransition
from signalbox_contracts.messages.requests import Origin
from signalbox_contracts.states import PLAN_ENDS, PlanState, TaskState
from signalbox_contracts.vocabulary import Name, Person, PlanId, Text, Value
from signalbox_planner.graph import Progress

if TYPE_CHECKING:
    from signalbox_planner.effects import Effect

PAGE_ITEMS: Final = 200
"""Item n of page p has position (p - 1) * 200 + n, so pages may come in any order."""


class Item(NamedTuple):
    """One piece of work of a plan. `work` is its JSON."""

    plan_id: UUID
    position: int
    key: str
    engine: str
    work: str
    state: str | None = None
    step: int | None = None
    """The index of its step, in a pipeline."""
    combination: str | None = None
    """The values of its step's matrix, as JSON."""
    reason: str | None = None
    """Why it ended without a task."""
    stopping: str | None = None
    """How the item was cancelled alone, as JSON of `Stop`; the cancel is repeated until the task ends."""
    task_version: int = 0
    """The newest version of its task; 0 before the first fact."""


class Stop(NamedTuple):
    """A cancel, of a plan or of single items: who, why, and whether running tasks are killed."""

    kill: bool
    actor: str
    reason: str
    fails: bool = False
    """The time limit of the plan passed: it fails."""
    compensations: bool = False
    """Compensations are stopped as well."""


class StateChange(NamedTuple):
    """A number of items of one plan that went from one state to another. `versions` is the sum of the version steps."""

    before: TaskState | None
    after: TaskState
    items: int
    versions: int = 0
    step: int | None = None
    reason: str = ""
    """Of failed items of a step: why the first of them failed."""


class PreviewState(Value):
    """How far a plan that comes from selections is: looked up, shown, applied."""

    wanted: bool = False
    """A person applies it; otherwise it starts as soon as it is looked up."""
    round: int = 0
    """How often it was looked up again: once for each apply."""
    hash: str | None = None
    expires_at: datetime | None = None
    apply_operation: UUID | None = None
    """The apply that is under way."""
    difference: JsonValue = None
    """Why it was refused: what is not as previewed."""


class PlanSpec(Value):
    """What the request says. It does not change once the plan has started."""

    name: Title
    project: Name = "default"
    origin: Origin = Origin.PERSON
    actor: Person
    reason: Text = ""
    target: Annotated[str, Field(max_length=255)] | None = None
    target_version: int | None = None
    parent: PlanId | None = None
    labels: Labels = Field(default_factory=dict)
    event_date: date
    params: Params = Field(default_factory=dict)
    retries: Retries = Retries()
    time_limits: TimeLimits = TimeLimits()
    on_unknown: OnUnknown | None = None
    priority: Priority = 50
    fails_with_item: bool = False
    """One job: a failed item fails the plan. A list completes with errors instead."""
    time_limit_seconds: float | None = None
    preview: PreviewState | None = None
    """Of a plan that comes from selections."""


@dataclass(frozen=True, slots=True)
class Intake:
    """How the items arrive: in pages of the request, or copied from the failures of a parent plan."""

    pages: int = 1
    pages_seen: int = 0
    pages_published: int = 0
    copy_position: int | None = None
    """The position in the parent where the copy of its failures continues; None when nothing is left to copy."""


@dataclass(frozen=True, slots=True)
class Dispatch:
    """Which items were sent as tasks. Items in [next_position, unsent_end) were not."""

    end_position: int = 0
    """One past the last item."""
    next_position: int = 0
    unsent_end: int = 0
    """Set when the plan starts. With `newest_first` items are sent from this end."""
    tasks: int = 0
    """How many items became tasks."""
    live_tasks: int = 0
    """Tasks that have not ended."""
    task_versions: int = 0
    """The sum of the newest versions of all tasks."""

    @property
    def unsent(self) -> int:
        """How many positions were not sent."""
        return self.unsent_end - self.next_position


@dataclass(frozen=True, slots=True)
class PendingOperation:
    """An operation that is answered when the executor confirms rules of this version."""

    operation_id: UUID
    rules_version: int


@dataclass(frozen=True, slots=True)
class RulesSync:
    """The rules of the plan, and which version of them the executor has confirmed."""

    rules: Rules = field(default_factory=Rules)
    version: int = 1
    confirmed: int = 0
    published_at: datetime | None = None
    """When the newest rules were last published; None once they are confirmed. The rules of an ended plan close it."""
    pending_operations: tuple[PendingOperation, ...] = ()

    @property
    def closing_version(self) -> int:
        """The version that closes the rules of an ended plan: one more than the last it ran by."""
        return self.version + 1


@dataclass(frozen=True, slots=True)
class Hold:
    """Whether the plan is to be paused, and since which version of its rules."""

    held: bool = False
    actor: str | None = None
    reason: str = ""
    at: datetime | None = None
    version: int = 1
    """The version of the rules that set `held`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One plan as it is now. `version` counts its facts."""

    id: UUID
    spec: PlanSpec
    definitions_revision: int
    traceparent: str | None = None
    state: PlanState = PlanState.ACCEPTED
    version: int = 1
    published_version: int = 0
    """The version of the last published fact."""
    counts: Counts = field(default_factory=Counts)
    reason: str = ""
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    intake: Intake = Intake()
    dispatch: Dispatch = Dispatch()
    progress: Progress | None = None
    """How far the steps of a pipeline are."""
    rules: RulesSync = field(default_factory=RulesSync)
    hold: Hold = Hold()
    previous: UUID | None = None
    """The plan of the same schedule or trigger that has to end before this one starts."""
    stop: Stop | None = None
    answered: tuple[UUID, ...] = ()
    """Operations that led to the next fact. Not saved."""
    transitions: tuple[PlanTransition, ...] = ()
    """Made since this value was loaded: published with the next fact and saved."""
    effects: "tuple[Effect, ...]" = ()
    """What has to be published because of the changes since this value was loaded. Not saved."""

    @property
    def ended(self) -> bool:
        return self.state in PLAN_ENDS

    @property
    def started(self) -> bool:
        return self.started_at is not None

    @property
    def unsent(self) -> int:
        """How many positions are ready to be sent."""
        return self.dispatch.unsent if self.progress is None else self.progress.unsent

    @property
    def deadline_at(self) -> datetime | None:
        """When the time limit of a started plan passes."""
        limit = self.spec.time_limit_seconds
        return self.started_at + timedelta(seconds=limit) if self.started_at and limit else None

    @property
    def has_unpublished_change(self) -> bool:
        return self.version > self.published_version
