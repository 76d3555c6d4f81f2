"""The rules of a plan's life: what each request, command and fact makes of it. Pure.

A `Plan` is a value. Every function here takes one and returns the next, with the moves and answers that are still to
be said in it; a command that does not apply raises `CommandRefused`. `TRANSITIONS` is the contracts' own table.
"""

from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Annotated, Any, Final
from uuid import UUID

from pydantic import Field

from signalbox_contracts.definitions.definition import Labels, Params, Title
from signalbox_contracts.definitions.rules import OnUnknown, Priority, Retries, Rules, TimeLimits
from signalbox_contracts.messages.plans import Counts, Expected, PlanTransition, Waiting, WaitReason
from signalbox_contracts.messages.requests import Origin
from signalbox_contracts.states import PLAN_ENDS, PLAN_TRANSITIONS, TASK_ENDS, PlanState, TaskState
from signalbox_contracts.vocabulary import Name, Person, PlanId, Text, Value

TRANSITIONS: Final = PLAN_TRANSITIONS
PAGE_ITEMS: Final = 200
"""Positions are given by page: item n of page p has position (p - 1) * 200 + n, so pages may come in any order."""


class CommandRefused(Exception):
    """The command does not apply to the plan as it is; the text says why."""


class Frame(Value):
    """What was asked, and never changes."""

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
    stops_at_failure: bool = False
    """One job: a failure is the plan's own. A list ends with errors instead."""


@dataclass(frozen=True, slots=True)
class Awaited:
    """An operation that is answered when the executor has confirmed these rules."""

    operation_id: UUID
    rules_version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One plan as it is now. Versions count its facts; positions are those of its items."""

    id: UUID
    frame: Frame
    definitions_revision: int
    traceparent: str | None = None
    state: PlanState = PlanState.ACCEPTED
    version: int = 1
    counts: Counts = field(default_factory=Counts)
    reason: str = ""
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    pages: int = 1
    pages_seen: int = 0
    pages_said: int = 0
    """How many pages of items were published."""
    end_position: int = 0
    """One past the last item."""
    next_position: int = 0
    """The first item that was not sent yet."""
    unsent_end: int = 0
    """One past the last item that was not sent yet, once the plan has started: newest first is sent from the end."""
    tasks: int = 0
    """How many items were sent; each is a task."""
    live_tasks: int = 0
    """Tasks of ours that have not ended."""
    task_versions: int = 0
    rules: Rules = field(default_factory=Rules)
    rules_version: int = 1
    rules_confirmed: int = 0
    rules_said_at: datetime | None = None
    """While the newest rules are not confirmed: when they were last said. Those of an ended plan close it."""
    held: bool = False
    held_by: str | None = None
    held_reason: str = ""
    held_at: datetime | None = None
    held_version: int = 1
    """The rules that brought `held` to what it is."""
    stop_actor: str | None = None
    stop_reason: str = ""
    stop_kill: bool = False
    awaited: tuple[Awaited, ...] = ()
    parent_position: int | None = None
    """While failures of the parent are still being copied: where to go on."""
    said_version: int = 0
    """The version of the last fact; what is newer is to be said."""
    answered: tuple[UUID, ...] = ()
    moves: tuple[PlanTransition, ...] = field(default=())
    """Made since this value was read: to be said, and to be kept."""

    @property
    def ended(self) -> bool:
        return self.state in PLAN_ENDS

    @property
    def started(self) -> bool:
        return self.started_at is not None

    @property
    def to_say(self) -> bool:
        return self.version > self.said_version


def move(plan: Plan, state: PlanState, at: datetime, *, actor: str | None = None, reason: str = "") -> Plan:
    """The plan in another state, with the move to be said. A move that is not in the table is a defect."""
    if state not in TRANSITIONS[plan.state]:
        raise AssertionError(f"plan {plan.id} cannot move from {plan.state} to {state}")
    version = plan.version + 1
    transition = PlanTransition(version=version, state=state, at=at, actor=actor, reason=reason)
    return replace(plan, state=state, version=version, reason=reason, moves=(*plan.moves, transition))


def changed(plan: Plan) -> Plan:
    """The plan with something new to say, in the same state."""
    return plan if plan.to_say else replace(plan, version=plan.version + 1)


def answer(plan: Plan, operation: UUID) -> Plan:
    """The next fact names this operation as one that led to it."""
    return replace(changed(plan), answered=(*plan.answered, operation))


def accept(plan: Plan, at: datetime) -> Plan:
    """A new plan, with the move that says so."""
    first = PlanTransition(
        version=plan.version, state=PlanState.ACCEPTED, at=at, actor=plan.frame.actor, reason=plan.frame.reason
    )
    return replace(plan, moves=(first,))


def start(plan: Plan, at: datetime) -> Plan:
    """Every item is here: run. A plan of nothing has succeeded."""
    running = replace(move(plan, PlanState.RUNNING, at), started_at=at, rules_said_at=at)
    return finish(replace(running, unsent_end=plan.end_position), at)


def refuse(plan: Plan, at: datetime, reason: str) -> Plan:
    """It cannot be: nothing of it will run."""
    counts = plan.counts.model_copy(update={"waiting": 0, "skipped": plan.counts.total})
    refused = move(replace(plan, counts=counts), PlanState.REFUSED, at, reason=reason[:2000])
    return replace(refused, ended_at=at, parent_position=None)


def stored(plan: Plan, items: int, *, end_position: int) -> Plan:
    """One more page of items is here."""
    counts = plan.counts.model_copy(update={"total": plan.counts.total + items, "waiting": plan.counts.waiting + items})
    return replace(
        changed(plan), counts=counts, pages_seen=plan.pages_seen + 1, pages_said=plan.pages_said + (items > 0),
        end_position=max(plan.end_position, end_position),
    )  # fmt: skip


COUNTED: Final[dict[TaskState | None, str]] = {
    None: "waiting",
    TaskState.QUEUED: "waiting",
    TaskState.CLAIMED: "active",
    TaskState.SUBMITTING: "active",
    TaskState.RUNNING: "active",
    TaskState.UNKNOWN: "unknown",
    TaskState.OTHER: "unknown",
    TaskState.SUCCEEDED: "succeeded",
    TaskState.FAILED: "failed",
    TaskState.CANCELLED: "cancelled",
}
"""Which count an item in this state is part of; None is an item that was not sent yet."""


@dataclass(frozen=True, slots=True)
class Moved:
    """Items of one plan that went from one state to another; `versions` is by how much theirs grew together."""

    before: TaskState | None
    after: TaskState
    items: int
    versions: int = 0


def count(plan: Plan, moved: list[Moved], at: datetime) -> Plan:
    """The plan after its items moved: counts by difference, and its end when that was the last."""
    parts: dict[str, int] = {}
    live, versions = plan.live_tasks, plan.task_versions
    for one in moved:
        before, after = COUNTED[one.before], COUNTED[one.after]
        parts[before] = parts.get(before, 0) - one.items
        parts[after] = parts.get(after, 0) + one.items
        versions += one.versions
        if one.versions:  # an executor that was restored may say that what had ended has not
            live += one.items * ((one.before in TASK_ENDS) - (one.after in TASK_ENDS))
    update: dict[str, Any] = {name: getattr(plan.counts, name) + by for name, by in parts.items() if by}
    if not update and versions == plan.task_versions:
        return plan
    counts = Counts.model_validate({**plan.counts.model_dump(), **update}) if update else plan.counts
    counted = replace(plan, counts=counts, live_tasks=live, task_versions=versions)
    return finish(changed(counted) if update else counted, at)


def confirm(plan: Plan, rules_version: int, at: datetime) -> Plan:
    """The executor has these rules: what waited for them is true now."""
    if plan.ended and plan.rules_said_at is not None and rules_version >= closing_version(plan):
        plan = replace(plan, rules_said_at=None)
        rules_version = plan.rules_version  # whoever closed it has taken all before
    if rules_version <= plan.rules_confirmed or rules_version > plan.rules_version:
        return plan
    waits = plan.ended or rules_version < plan.rules_version
    confirmed = replace(
        changed(plan), rules_confirmed=rules_version, rules_said_at=plan.rules_said_at if waits else None
    )
    done = tuple(one.operation_id for one in plan.awaited if one.rules_version <= rules_version)
    left = tuple(one for one in plan.awaited if one.rules_version > rules_version)
    confirmed = replace(confirmed, awaited=left, answered=(*confirmed.answered, *done))
    wanted = PlanState.PAUSED if confirmed.held else PlanState.RUNNING
    moves_with_rules = confirmed.state in (PlanState.RUNNING, PlanState.PAUSED)
    if moves_with_rules and confirmed.state != wanted and rules_version >= confirmed.held_version:
        return move(confirmed, wanted, at, actor=confirmed.held_by, reason=confirmed.held_reason)
    return confirmed


def closing_version(plan: Plan) -> int:
    """The version of the rules that close an ended plan: one more than it ever ran by."""
    return plan.rules_version + 1


def pause(plan: Plan, operation: UUID, actor: str, reason: str, at: datetime) -> Plan:
    """Start nothing new. It is PAUSED once the executor has confirmed it."""
    _must_run(plan, "paused")
    if plan.held:
        return _again(plan, operation)
    return _with_rules(plan, operation, at, held=True, actor=actor, reason=reason)


def resume(plan: Plan, operation: UUID, actor: str, reason: str, at: datetime) -> Plan:
    """Go on."""
    _must_run(plan, "resumed")
    if not plan.held:
        if plan.awaited:
            return _again(plan, operation)
        raise CommandRefused(f"plan is not paused: it is {plan.state}")
    return _with_rules(plan, operation, at, held=False, actor=actor, reason=reason)


def change_rules(plan: Plan, operation: UUID, rules: Rules, at: datetime) -> Plan:
    """Run by other rules from now on."""
    if plan.ended or plan.state is PlanState.CANCELLING:
        raise CommandRefused(f"the rules of a plan that is {plan.state} cannot be changed")
    version = plan.rules_version + 1
    return replace(
        changed(plan), rules=rules, rules_version=version, rules_said_at=at,
        awaited=(*plan.awaited, Awaited(operation, version)),
    )  # fmt: skip


def cancel(plan: Plan, operation: UUID, actor: str, reason: str, at: datetime, *, kill: bool) -> Plan:
    """Start nothing more. Asked again with `kill`, what runs is stopped as well."""
    if plan.ended:
        raise CommandRefused(f"plan has ended: it is {plan.state}")
    if plan.state is PlanState.CANCELLING:
        stopping = replace(plan, stop_kill=plan.stop_kill or kill)
        return answer(stopping, operation)
    marked = replace(plan, stop_actor=actor, stop_reason=reason, stop_kill=kill)
    if not plan.started:
        counts = plan.counts.model_copy(update={"waiting": 0, "cancelled": plan.counts.total})
        ended = move(replace(marked, counts=counts), PlanState.CANCELLED, at, actor=actor, reason=reason)
        return answer(replace(ended, ended_at=at, parent_position=None), operation)
    return finish(answer(move(marked, PlanState.CANCELLING, at, actor=actor, reason=reason), operation), at)


def sent(plan: Plan, tasks: int, *, next_position: int, unsent_end: int) -> Plan:
    """These many more items were sent as tasks; what is left to send is in [next_position, unsent_end)."""
    return replace(
        plan, tasks=plan.tasks + tasks, live_tasks=plan.live_tasks + tasks, next_position=next_position,
        unsent_end=unsent_end,
    )  # fmt: skip


def was_sent(plan: Plan, position: int) -> bool:
    """Whether the item at this position is a task already."""
    return not plan.next_position <= position < plan.unsent_end


def finish(plan: Plan, at: datetime) -> Plan:
    """The plan in its end, when every item is in its own."""
    counts = plan.counts
    if not plan.started or plan.ended or counts.waiting or counts.active or counts.unknown:
        return plan
    ended = move(plan, end_of(plan), at, actor=plan.stop_actor, reason=plan.stop_reason)
    return replace(ended, ended_at=at, rules_said_at=at)


def end_of(plan: Plan) -> PlanState:
    """Green only when everything succeeded that was to run."""
    counts = plan.counts
    if plan.state is PlanState.CANCELLING and counts.cancelled:
        return PlanState.CANCELLED
    if not counts.failed and not counts.cancelled:
        return PlanState.SUCCEEDED
    return PlanState.FAILED if plan.frame.stops_at_failure else PlanState.COMPLETED_WITH_ERRORS


def expected(plan: Plan) -> Expected | None:
    """How much there is to be read of an ended plan."""
    if not plan.ended:
        return None
    return Expected(
        items=plan.counts.total, tasks=plan.tasks, item_pages=plan.pages_said, task_versions=plan.task_versions
    )


def room(plan: Plan, window: int) -> int:
    """How many more tasks may be sent now, so that the executor always has enough and never a flood.

    Twice the plan's limit at least, so that a wide plan is not held back by the window; 20,000 at most.
    """
    if plan.state is not PlanState.RUNNING or plan.held or plan.next_position >= plan.unsent_end:
        return 0
    most = max(window, min(2 * (plan.rules.limit or 0), 20_000))
    left = most - plan.live_tasks
    # small refills cost as much as large ones
    return left if left >= min(PAGE_ITEMS, most // 4, plan.unsent_end - plan.next_position) else 0


def waiting(plan: Plan) -> tuple[Waiting, ...]:
    """Why the plan as a whole does not move."""
    if not plan.held or plan.ended or plan.held_at is None:
        return ()
    return (
        Waiting(
            why=WaitReason.PLAN_PAUSED, holder=plan.held_by or "", since_at=plan.held_at, detail=plan.held_reason
        ),
    )  # fmt: skip


def _must_run(plan: Plan, verb: str) -> None:
    if plan.state not in (PlanState.RUNNING, PlanState.PAUSED):
        raise CommandRefused(f"a plan that is {plan.state} cannot be {verb}")


def _again(plan: Plan, operation: UUID) -> Plan:
    """What is asked for is so, or soon will be: answered with the command that is under way, or at once."""
    if plan.rules_confirmed >= plan.held_version:
        return answer(plan, operation)
    return replace(changed(plan), awaited=(*plan.awaited, Awaited(operation, plan.held_version)))


def _with_rules(plan: Plan, operation: UUID, at: datetime, *, held: bool, actor: str, reason: str) -> Plan:
    version = plan.rules_version + 1
    return replace(
        changed(plan), held=held, held_by=actor, held_reason=reason, held_at=at, held_version=version,
        rules_version=version, rules_said_at=at, awaited=(*plan.awaited, Awaited(operation, version)),
    )  # fmt: skip
