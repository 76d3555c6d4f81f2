"""`plans.v1`: facts about plans. The key is the plan id.

`plan.state` is the whole state, so a reader needs only the newest version; `transitions` are the moves since the last
one sent, so nobody misses a step. A terminal one carries the expected counts: a reader then knows when it has
everything.
"""

from datetime import date
from typing import Annotated, Literal, Self

from pydantic import Field, JsonValue, model_validator

from signalbox_contracts.definitions.definition import PlanLabels, Title
from signalbox_contracts.definitions.rules import Rules
from signalbox_contracts.envelope import Event
from signalbox_contracts.ids import page_id
from signalbox_contracts.messages.requests import Origin, PreviewHash
from signalbox_contracts.states import PLAN_ENDS, PlanState, StepState, TaskState
from signalbox_contracts.vocabulary import (
    MAX_ITEMS,
    Count,
    Instant,
    ItemKey,
    Name,
    OpenEnum,
    Ordinal,
    Person,
    PlanId,
    Position,
    TaskId,
    Text,
    Value,
    Version,
)


class Decision(OpenEnum):
    """What the planner decided about an item."""

    RUN = "run"
    SKIP = "skip"
    BLOCKED = "blocked"
    OTHER = "OTHER"


class WaitReason(OpenEnum):
    """What something waits for; the holder and the limit are in the words beside it."""

    DEPENDENCY = "dependency"
    PLAN_LIMIT = "plan_limit"
    STEP_LIMIT = "step_limit"
    """The `concurrency` of a pipeline's step."""
    ENGINE_LIMIT = "engine_limit"
    START_RATE = "start_rate"
    BREAKER_OPEN = "breaker_open"
    ENGINE_UNREACHABLE = "engine_unreachable"
    ENGINE_THROTTLED = "engine_throttled"
    """The engine answers, and asks to be sent the work later."""
    ENGINE_PAUSED = "engine_paused"
    ENGINE_PENDING = "engine_pending"
    """The engine accepted it and has not begun it."""
    FROZEN = "frozen"
    PLAN_PAUSED = "plan_paused"
    CANARY = "canary"
    RETRY_DELAY = "retry_delay"
    DEFINITION_NOT_SEEN = "definition_not_seen"
    RULES_NOT_SEEN = "rules_not_seen"
    APPROVAL = "approval"
    PREVIOUS_PLAN = "previous_plan"
    PRIORITY = "priority"
    PERSON = "person"
    OTHER = "OTHER"


class Waiting(Value):
    """What it waits for, who holds that, since when, and what would free it."""

    why: WaitReason
    holder: Annotated[str, Field(max_length=255)] = ""
    since_at: Instant
    until_at: Instant | None = None
    detail: Text = ""


class Counts(Value):
    """Where the items of a plan are. Every item is in exactly one of these, at every moment."""

    total: Count = 0
    waiting: Count = 0
    active: Count = 0
    unknown: Count = 0
    succeeded: Count = 0
    failed: Count = 0
    skipped: Count = 0
    cancelled: Count = 0

    @model_validator(mode="after")
    def _balances(self) -> Self:
        ended = self.succeeded + self.failed + self.skipped + self.cancelled
        parts = self.waiting + self.active + self.unknown + ended
        if parts != self.total:
            raise ValueError(f"total {self.total} is not the sum of its parts, {parts}")
        return self


class Expected(Value):
    """How much there is to be read of an ended plan."""

    items: Count
    tasks: Count
    item_pages: Count
    task_versions: Count
    """The sum of the last version of every task."""


class PlanTransition(Value):
    """One move of a plan."""

    version: Version
    state: PlanState
    at: Instant
    actor: Person | None = None
    reason: Text = ""


class StepSummary(Value):
    """One step of a pipeline, or stage of a plan, as far as it has come."""

    id: Name
    counts: Counts
    state: StepState = StepState.WAITING
    reason: Text = ""
    """Why the step was skipped, or failed, or is reused from another plan."""
    depends_on: Annotated[tuple[Annotated[str, Field(max_length=80)], ...], Field(max_length=500)] = ()
    """What the step waits for, as `load` or `load:on_failure`."""
    compensates: Name | None = None
    started_at: Instant | None = None
    ended_at: Instant | None = None


class PlanRecord(Value):
    """The whole state of a plan."""

    plan_id: PlanId
    version: Version
    state: PlanState
    name: Title
    project: Name = "default"
    origin: Origin = Origin.PERSON
    actor: Person
    target: Annotated[str, Field(max_length=255)] | None = None
    """What it runs, as `job:<id>` or `pipeline:<id>`."""
    target_version: Ordinal | None = None
    parent: PlanId | None = None
    labels: PlanLabels = Field(default_factory=dict)
    event_date: date | None = None
    counts: Counts = Counts()
    steps: Annotated[tuple[StepSummary, ...], Field(max_length=500)] = ()
    rules: Rules = Rules()
    rules_version: Version = 0
    rules_confirmed: Version = 0
    """The newest rules the executor has confirmed; PAUSED is recorded only then."""
    preview_hash: PreviewHash | None = None
    preview_expires_at: Instant | None = None
    waiting: Annotated[tuple[Waiting, ...], Field(max_length=20)] = ()
    reason: Text = ""
    difference: JsonValue = None
    """Why apply was refused: what is not as previewed."""
    created_at: Instant
    started_at: Instant | None = None
    ended_at: Instant | None = None
    expected: Expected | None = None
    answered: Annotated[tuple[str, ...], Field(max_length=MAX_ITEMS)] = ()
    """The ids of the operations that led here since the last fact."""
    transitions: Annotated[tuple[PlanTransition, ...], Field(max_length=MAX_ITEMS)] = ()

    @model_validator(mode="after")
    def _ended_plan_has_its_end(self) -> Self:
        if self.state in PLAN_ENDS and self.expected is None:
            raise ValueError(f"expected is missing: state {self.state} is an end")
        return self


class PlanStated(Event[PlanRecord], frozen=True):
    """What is true of a plan now."""

    type: Literal["signalbox.plan.state.v1"] = "signalbox.plan.state.v1"


class ItemRecord(Value):
    """One line of a plan as decided."""

    key: ItemKey
    position: Position
    decision: Decision
    reason: Text = ""
    step: Name | None = None
    engine: Name | None = None
    task_id: TaskId | None = None
    state: TaskState | None = None
    depends_on: Annotated[tuple[ItemKey, ...], Field(max_length=500)] = ()
    expected: JsonValue = None
    """What was true of the world when this was decided."""
    deletes: Annotated[tuple[Text, ...], Field(max_length=100)] = ()
    """What running it would delete or overwrite."""
    owner_plan: PlanId | None = None
    """The live plan that already owns this piece of work."""


class PlanItemsData(Value):
    """One page of the decided items. `round` grows when the plan is resolved again, and its pages replace the old."""

    plan_id: PlanId
    round: Count = 0
    version: Version
    page: Ordinal
    pages: Ordinal
    items: Annotated[tuple[ItemRecord, ...], Field(max_length=MAX_ITEMS)]


class PlanItems(Event[PlanItemsData], frozen=True):
    """A page of a plan's items."""

    type: Literal["signalbox.plan.items.v1"] = "signalbox.plan.items.v1"

    @classmethod
    def derive_id(cls, data: PlanItemsData, subject: str, version: int) -> str:
        """Pages of one version are told apart by their number."""
        return page_id(cls.type_name(), subject, version, data.page)


MESSAGES = (PlanStated, PlanItems)
