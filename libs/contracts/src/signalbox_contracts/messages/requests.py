"""`requests.v1`: requests and commands about a plan, from its first page to its end. The key is the plan id.

A request too large for one message comes in numbered pages; pages may be repeated, and only the last one starts the
plan, when all others are there.
"""

from datetime import date
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from signalbox_contracts.definitions.definition import Params, PlanLabels, Title
from signalbox_contracts.definitions.job import Job
from signalbox_contracts.definitions.move import Move
from signalbox_contracts.definitions.pipeline import Pipeline, StepId
from signalbox_contracts.definitions.rules import OnUnknown, Retries, Rules, TimeLimits
from signalbox_contracts.definitions.selection import Selection
from signalbox_contracts.definitions.work import Work
from signalbox_contracts.envelope import Event
from signalbox_contracts.ids import page_id
from signalbox_contracts.messages.commands import OperationData
from signalbox_contracts.vocabulary import (
    MAX_ITEMS,
    ItemKey,
    Name,
    OpenEnum,
    Person,
    PlanId,
    Text,
    Value,
    Version,
)

PreviewHash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""SHA-256 over every item of a preview with its decision."""


class Origin(OpenEnum):
    """What a request came from."""

    PERSON = "person"
    SCHEDULE = "schedule"
    TRIGGER = "trigger"
    PLAN = "plan"
    OTHER = "OTHER"


class RunJob(Value):
    """Run one job; the whole version travels along, so creating and starting it is never a race."""

    kind: Literal["job"] = "job"
    job: Job
    params: Params = Field(default_factory=dict)


class Rerun(Value):
    """Which part of an ended plan runs again; results of the other steps are reused.

    `failed`: what did not succeed, and what follows it. `from`: the named steps and what follows them. `only`: the
    named steps alone. `start`: every step.
    """

    plan_id: PlanId
    scope: Literal["start", "failed", "from", "only"] = "start"
    steps: Annotated[tuple[StepId, ...], Field(max_length=500)] = ()

    @model_validator(mode="after")
    def _names_its_steps(self) -> Self:
        if (self.scope in ("from", "only")) != bool(self.steps):
            needed = "needs at least one step" if not self.steps else "takes none: it chooses them itself"
            raise ValueError(f"scope {self.scope!r} {needed}")
        return self


class RunPipeline(Value):
    """Run a pipeline, or run a part of an earlier plan again. The whole version travels along."""

    kind: Literal["pipeline"] = "pipeline"
    pipeline: Pipeline
    params: Params = Field(default_factory=dict)
    rerun: Rerun | None = None


class RequestedItem(Value):
    """One piece of work asked for by name, in a plan that is a plain list."""

    key: ItemKey
    engine: Name | None = None
    work: Work
    depends_on: Annotated[tuple[ItemKey, ...], Field(max_length=MAX_ITEMS)] = ()


class RunItems(Value):
    """Run a list of items; they come with the pages, at most 200 each."""

    kind: Literal["items"] = "items"
    retries: Retries = Retries()
    time_limits: TimeLimits = TimeLimits()
    on_unknown: OnUnknown | None = None


class EngineSelection(Value):
    """A selection on one engine; those of a later stage wait for the earlier ones to be done."""

    engine: Name
    selection: Selection
    stage: Annotated[int, Field(ge=0, le=100)] = 0


class KnownMoves(Value):
    """The moves of coordinators as the gateway has them, whole: saving one and planning with it is never a race."""

    moves: Annotated[tuple[Move, ...], Field(max_length=1000)] = ()
    denied_engines: Annotated[tuple[Name, ...], Field(max_length=1000)] = ()
    """Airflow engines of these moves on which the caller may start nothing."""


class RunSelection(Value):
    """Run what a look-up finds: workflows, coordinator actions, files of events, on one or several engines."""

    kind: Literal["selection"] = "selection"
    selections: Annotated[tuple[EngineSelection, ...], Field(min_length=1, max_length=50)]
    retries: Retries = Retries()
    time_limits: TimeLimits = TimeLimits()
    known: KnownMoves = KnownMoves()


class RetryFailures(Value):
    """A linked child plan of what failed in another one."""

    kind: Literal["retry"] = "retry"
    parent: PlanId


What = Annotated[RunJob | RunPipeline | RunItems | RunSelection | RetryFailures, Field(discriminator="kind")]


class PlanRequestData(Value):
    """One page of a request. `what` is on the last page; items may be on any."""

    plan_id: PlanId
    page: Annotated[int, Field(ge=1, le=5000)] = 1
    pages: Annotated[int, Field(ge=1, le=5000)] = 1
    name: Title
    actor: Person
    reason: Text = ""
    origin: Origin = Origin.PERSON
    definitions_revision: Version
    what: What | None = None
    items: Annotated[tuple[RequestedItem, ...], Field(max_length=MAX_ITEMS)] = ()
    rules: Rules = Rules()
    event_date: date | None = None
    preview: bool = False
    """Stop at PREVIEWED until somebody applies it."""
    labels: PlanLabels = Field(default_factory=dict)
    parent: PlanId | None = None

    @model_validator(mode="after")
    def _pages_fit(self) -> Self:
        if self.page > self.pages:
            raise ValueError(f"page {self.page} is not allowed: there are {self.pages} pages")
        if self.page == self.pages and self.what is None:
            raise ValueError("what is missing: the last page says what to run")
        return self


class PlanRequest(Event[PlanRequestData], frozen=True):
    """Make and, unless a preview is wanted, start a plan."""

    type: Literal["signalbox.plan.request.v1"] = "signalbox.plan.request.v1"

    @classmethod
    def derive_id(cls, data: PlanRequestData, subject: str, version: int) -> str:
        """A page is identified by plan and number: asking again is the same request."""
        return page_id(cls.type_name(), subject, version, data.page)


class PlanOperationData(OperationData):
    """A command about one plan."""

    plan_id: PlanId


class PlanApplyData(PlanOperationData):
    """Start what the preview with this hash showed, and nothing else."""

    preview_hash: PreviewHash
    confirm_deletions: bool = False
    known: KnownMoves = KnownMoves()
    """As they are now: one that the preview used and that is different is refused."""


class PlanApply(Event[PlanApplyData], frozen=True):
    """Start a previewed plan; it is refused with the difference when the world has moved."""

    type: Literal["signalbox.plan.apply.v1"] = "signalbox.plan.apply.v1"


class PlanApproveData(PlanOperationData):
    """A second person agrees to the preview with this hash."""

    preview_hash: PreviewHash
    break_glass: bool = False


class PlanApprove(Event[PlanApproveData], frozen=True):
    """Approve; void when the hash has changed."""

    type: Literal["signalbox.plan.approve.v1"] = "signalbox.plan.approve.v1"


class PlanReject(Event[PlanOperationData], frozen=True):
    """Refuse a plan that waits for approval."""

    type: Literal["signalbox.plan.reject.v1"] = "signalbox.plan.reject.v1"


class PlanPause(Event[PlanOperationData], frozen=True):
    """Start nothing new of this plan."""

    type: Literal["signalbox.plan.pause.v1"] = "signalbox.plan.pause.v1"


class PlanResume(Event[PlanOperationData], frozen=True):
    """Go on with a paused plan."""

    type: Literal["signalbox.plan.resume.v1"] = "signalbox.plan.resume.v1"


class PlanCancelData(PlanOperationData):
    """End a plan: what waits is cancelled; what runs is left to end, or stopped with `kill`.

    With `item_keys`, only these items end and the plan goes on.
    """

    kill: bool = False
    item_keys: Annotated[tuple[ItemKey, ...], Field(max_length=MAX_ITEMS)] = ()


class PlanCancel(Event[PlanCancelData], frozen=True):
    """End a plan."""

    type: Literal["signalbox.plan.cancel.v1"] = "signalbox.plan.cancel.v1"


class PlanRulesRequestData(PlanOperationData):
    """The whole rules the plan shall have from now on."""

    rules: Rules


class PlanRulesRequest(Event[PlanRulesRequestData], frozen=True):
    """Change a plan's rules while it runs."""

    type: Literal["signalbox.plan.rules.v1"] = "signalbox.plan.rules.v1"


class PlanRetryData(PlanOperationData):
    """Make a linked child plan of this plan's failures. With `item_keys`, of these only."""

    child_plan_id: PlanId
    item_keys: Annotated[tuple[ItemKey, ...], Field(max_length=MAX_ITEMS)] = ()
    definitions_revision: Version


class PlanRetry(Event[PlanRetryData], frozen=True):
    """Retry the failures."""

    type: Literal["signalbox.plan.retry.v1"] = "signalbox.plan.retry.v1"


MESSAGES = (
    PlanRequest,
    PlanApply,
    PlanApprove,
    PlanReject,
    PlanPause,
    PlanResume,
    PlanCancel,
    PlanRulesRequest,
    PlanRetry,
)
