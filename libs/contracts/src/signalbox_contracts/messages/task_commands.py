"""`task-commands.v1`: commands of the planner to the executors. The key is the plan id.

Commands are level-triggered: `tasks.ensure` means "make sure these exist and tell me their state". The planner repeats
them until it hears, under fresh ids, so that a repetition is not taken for a duplicate; handling one twice
changes nothing.
"""

from datetime import date
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, JsonValue

from signalbox_contracts.definitions.definition import Params, PlanLabels
from signalbox_contracts.definitions.rules import OnUnknown, Priority, Retries, Rules, TimeLimits
from signalbox_contracts.definitions.selection import LookUp
from signalbox_contracts.definitions.work import Work
from signalbox_contracts.envelope import Event
from signalbox_contracts.vocabulary import (
    MAX_ITEMS,
    Count,
    Instant,
    ItemKey,
    Name,
    Ordinal,
    Person,
    PlanId,
    Position,
    TaskId,
    Text,
    Value,
    Version,
)


class PlanRulesData(Value):
    """All the rules of a plan, with their own version; an executor claims nothing of a plan without them."""

    plan_id: PlanId
    version: Version
    rules: Rules
    held: bool = False
    """Claim nothing: paused, frozen or stopped by the brake."""
    held_reason: Text = ""
    closed: bool = False
    """The plan has ended; its rules may be forgotten."""
    project: Name = "default"
    """A freeze may hold the tasks of a project."""


class PlanRules(Event[PlanRulesData], frozen=True):
    """How the executor shall run this plan; confirmed by `tasks.state`."""

    type: Literal["signalbox.plan.rules.v1"] = "signalbox.plan.rules.v1"


class TaskSpec(Value):
    """One task, whole: everything the executor needs, with templates already rendered."""

    task_id: TaskId
    item_key: ItemKey
    position: Position = 0
    step: Name | None = None
    engine: Name
    work: Work
    params: Params = Field(default_factory=dict)
    event_date: date | None = None
    retries: Retries = Retries()
    time_limits: TimeLimits = TimeLimits()
    priority: Priority = 50
    on_unknown: OnUnknown | None = None
    not_before_at: Instant | None = None
    group: Name | None = None
    """Tasks of one group count against `group_limit`: the combinations of a matrix."""
    group_limit: Annotated[int, Field(ge=1, le=100_000)] | None = None
    expected: JsonValue = None
    labels: PlanLabels = Field(default_factory=dict)
    target: Annotated[str, Field(max_length=255)] | None = None
    """What was started, such as `job:nightly`, and its version: artifacts are pinned by them."""
    target_version: Ordinal | None = None


class TasksEnsureData(Value):
    """Tasks that shall exist. Whole specs the first time; later the ids are enough to ask for their state."""

    plan_id: PlanId
    project: Name = "default"
    definitions_revision: Version
    rules_version: Version
    tasks: Annotated[tuple[TaskSpec, ...], Field(max_length=MAX_ITEMS)] = ()
    known: Annotated[tuple[TaskId, ...], Field(max_length=MAX_ITEMS)] = ()
    versions: Annotated[tuple[Version, ...], Field(max_length=MAX_ITEMS)] = ()
    """Which version of each of `known` the sender has; an owner that never published that goes on above it."""


class TasksEnsure(Event[TasksEnsureData], frozen=True):
    """Make sure these tasks exist, and say their state."""

    type: Literal["signalbox.tasks.ensure.v1"] = "signalbox.tasks.ensure.v1"


class TasksCancelData(Value):
    """Tasks that shall end; none named means all of the plan. Running ones are stopped only with `kill`."""

    plan_id: PlanId
    task_ids: Annotated[tuple[TaskId, ...], Field(max_length=MAX_ITEMS)] = ()
    kill: bool = False
    actor: Person
    reason: Text = ""


class TasksCancel(Event[TasksCancelData], frozen=True):
    """Make sure these tasks end, and say their state."""

    type: Literal["signalbox.tasks.cancel.v1"] = "signalbox.tasks.cancel.v1"


class SelectionResolveData(Value):
    """Look something up on an engine, in pages."""

    plan_id: PlanId
    selection_id: UUID
    round: Count = 0
    engine: Name
    definitions_revision: Version
    selection: LookUp


class SelectionResolve(Event[SelectionResolveData], frozen=True):
    """Resolve a selection, and say what was found."""

    type: Literal["signalbox.selection.resolve.v1"] = "signalbox.selection.resolve.v1"


MESSAGES = (PlanRules, TasksEnsure, TasksCancel, SelectionResolve)
