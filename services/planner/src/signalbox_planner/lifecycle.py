"""The rules of a plan's life: what each request, command and fact makes of it. Pure.

Every function takes a `Plan` and returns the next one, with the transitions, answers and effects that follow. A
command that does not apply raises `CommandRefused`. `TRANSITIONS` is the table of the contracts.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from signalbox_contracts.definitions.rules import Rules
from signalbox_contracts.messages.plans import Counts, Expected, PlanTransition, Waiting, WaitReason
from signalbox_contracts.states import PLAN_TRANSITIONS, TASK_ENDS, PlanState, TaskState
from signalbox_planner import graph
from signalbox_planner.brake import why_stop
from signalbox_planner.effects import CancelTasks, Effect, EndItems, PublishItems, PublishRules
from signalbox_planner.graph import Progress, Stopping
from signalbox_planner.plan import PAGE_ITEMS, Hold, Item, PendingOperation, Plan, StateChange, Stop

TRANSITIONS: Final = PLAN_TRANSITIONS
MAX_WINDOW: Final = 20_000
"""The largest number of live tasks of one plan, however high its limit is."""

COUNTED_AS: Final[dict[TaskState | None, str]] = {
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
"""The count an item in this state belongs to; None is an item without a task."""


MAX_WAIT_REASONS: Final = 20


class CommandRefused(Exception):
    """The command does not apply to the plan as it is; the text says why."""


def transition(plan: Plan, state: PlanState, at: datetime, *, actor: str | None = None, reason: str = "") -> Plan:
    """The plan in another state. A transition that is not in the table is a defect."""
    if state not in TRANSITIONS[plan.state]:
        raise AssertionError(f"plan {plan.id} cannot go from {plan.state} to {state}")
    version = plan.version + 1
    made = PlanTransition(version=version, state=state, at=at, actor=actor, reason=reason)
    return replace(plan, state=state, version=version, reason=reason, transitions=(*plan.transitions, made))


def changed(plan: Plan) -> Plan:
    """The plan with a change to publish, in the same state."""
    return plan if plan.has_unpublished_change else replace(plan, version=plan.version + 1)


def answer(plan: Plan, operation: UUID) -> Plan:
    """The next fact names this operation as one that led to it."""
    return replace(changed(plan), answered=(*plan.answered, operation))


def with_effect(plan: Plan, effect: Effect) -> Plan:
    """The plan with one more effect; an equal one is not repeated."""
    return plan if effect in plan.effects else replace(plan, effects=(*plan.effects, effect))


def accept(plan: Plan, at: datetime) -> Plan:
    """A new plan."""
    first = PlanTransition(
        version=plan.version, state=PlanState.ACCEPTED, at=at, actor=plan.spec.actor, reason=plan.spec.reason
    )
    return replace(plan, transitions=(first,))


def start(plan: Plan, at: datetime) -> Plan:
    """All items are stored: run. A plan without items succeeds at once."""
    running = replace(transition(plan, PlanState.RUNNING, at), started_at=at)
    unsent_end = 0 if plan.progress else plan.dispatch.end_position
    running = replace(
        running, dispatch=replace(plan.dispatch, unsent_end=unsent_end), rules=replace(plan.rules, published_at=at)
    )  # fmt: skip
    return finish(settle(with_effect(running, PublishRules()), at), at)


def refuse(plan: Plan, at: datetime, reason: str) -> Plan:
    """The request cannot be fulfilled: no item runs."""
    counts = plan.counts.model_copy(update={"waiting": 0, "skipped": plan.counts.total})
    refused = transition(replace(plan, counts=counts), PlanState.REFUSED, at, reason=reason[:2000])
    return replace(refused, ended_at=at, intake=replace(refused.intake, copy_position=None))


def wait_for_previous(plan: Plan, previous: UUID) -> Plan:
    """The plan starts when the previous one of its schedule or trigger has ended."""
    return replace(changed(plan), previous=previous)


def store_page(plan: Plan, page: int, items: Sequence[Item]) -> Plan:
    """One more page of items is stored; a page with items is published."""
    n, skipped = len(items), sum(item.state is not None for item in items)
    counts = plan.counts.model_copy(
        update={
            "total": plan.counts.total + n, "waiting": plan.counts.waiting + n - skipped,
            "skipped": plan.counts.skipped + skipped,
        }
    )  # fmt: skip
    intake = replace(
        plan.intake, pages_seen=plan.intake.pages_seen + 1, pages_published=plan.intake.pages_published + (n > 0)
    )
    end = max(plan.dispatch.end_position, items[-1].position + 1 if items else 0)
    stored = replace(changed(plan), counts=counts, intake=intake, dispatch=replace(plan.dispatch, end_position=end))
    return with_effect(stored, PublishItems(page, tuple(items))) if items else stored


def count(plan: Plan, changes: Sequence[StateChange], at: datetime) -> Plan:
    """Apply state changes of items: counts by difference, and the end of the plan when these were the last."""
    parts: dict[str, int] = {}
    live, versions, progress = plan.dispatch.live_tasks, plan.dispatch.task_versions, plan.progress
    for change in changes:
        before, after = COUNTED_AS[change.before], COUNTED_AS[change.after]
        parts[before] = parts.get(before, 0) - change.items
        parts[after] = parts.get(after, 0) + change.items
        if progress is not None and change.step is not None:
            progress = graph.count(progress, change.step, before, after, change.items, change.reason)
        versions += change.versions
        if change.versions:  # a restored executor may state an ended task as not ended
            live += change.items * ((change.before in TASK_ENDS) - (change.after in TASK_ENDS))
    update: dict[str, Any] = {name: getattr(plan.counts, name) + by for name, by in parts.items() if by}
    if not update and versions == plan.dispatch.task_versions:
        return plan
    counts = Counts.model_validate({**plan.counts.model_dump(), **update}) if update else plan.counts
    dispatch = replace(plan.dispatch, live_tasks=live, task_versions=versions)
    counted = replace(plan, counts=counts, dispatch=dispatch, progress=progress)
    return finish(brake(settle(changed(counted), at), at) if update else counted, at)


def brake(plan: Plan, at: datetime) -> Plan:
    """Stop a plan whose canary failed, or too large a part of it; what runs is left to end."""
    if plan.state not in (PlanState.RUNNING, PlanState.PAUSED) or not plan.counts.waiting:
        return plan
    reason = why_stop(plan.counts, plan.rules.rules)
    return _stop(plan, Stop(False, "service:planner", reason, fails=True), at) if reason else plan


def settle(plan: Plan, at: datetime) -> Plan:
    """Decide the steps of a pipeline that can be decided now. Items of steps that do not run end here."""
    if plan.progress is None or plan.ended or not plan.started:
        return plan
    stop = plan.stop if plan.state is PlanState.CANCELLING else None
    stopping = Stopping(fails=stop.fails, compensations=stop.compensations) if stop else None
    return with_progress(plan, graph.settle(plan.progress, at, stopping), at)


def with_progress(plan: Plan, progress: Progress, at: datetime) -> Plan:
    """The plan with other steps, and with the items that ended because of it."""
    if progress == plan.progress:
        return _release(plan, at)
    compensated = plan.progress is not None and plan.progress.compensating
    counts = plan.counts.model_dump()
    for ended in progress.ended_items:
        counts["waiting"] -= ended.items
        counts[ended.state.lower()] += ended.items
        plan = with_effect(plan, EndItems(ended.first, ended.end, ended.state, ended.reason))
    plan = replace(plan, counts=Counts.model_validate(counts), progress=replace(progress, ended_items=()))
    return changed(_release(plan, at, begins=progress.compensating and not compensated))


def _release(plan: Plan, at: datetime, *, begins: bool = False) -> Plan:
    """Let compensations run: neither a pause from before the cancel holds them, nor a canary or a brake."""
    rules = plan.rules.rules
    compensating = plan.progress is not None and plan.progress.compensating
    held = plan.hold.held and plan.state is PlanState.CANCELLING and compensating
    if not held and not (begins and (rules.canary or rules.brake)):
        return plan
    version = plan.rules.version + 1
    published = replace(plan.rules, version=version, published_at=at)
    hold = Hold(version=version) if held else plan.hold
    return changed(with_effect(replace(plan, hold=hold, rules=published), PublishRules()))


def finish(plan: Plan, at: datetime) -> Plan:
    """End the plan when every item has ended. An ended plan closes its rules."""
    counts = plan.counts
    if not plan.started or plan.ended or counts.waiting or counts.active or counts.unknown:
        return plan
    stop, state = plan.stop, final_state(plan)
    reason = stop.reason if stop else graph.why_failed(plan.progress) if state is PlanState.FAILED else ""
    ended = transition(plan, state, at, actor=stop.actor if stop else None, reason=reason)
    closed = replace(ended, ended_at=at, rules=replace(ended.rules, published_at=at))
    return with_effect(closed, PublishRules())


def final_state(plan: Plan) -> PlanState:
    """SUCCEEDED only when everything succeeded that was to run."""
    counts = plan.counts
    if plan.state is PlanState.CANCELLING and plan.stop and plan.stop.fails:
        return PlanState.FAILED
    if plan.state is PlanState.CANCELLING and counts.cancelled:
        return PlanState.CANCELLED
    if plan.progress is not None and graph.failed(plan.progress):
        return PlanState.FAILED
    if not counts.failed and not counts.cancelled:
        return PlanState.SUCCEEDED
    if not plan.spec.fails_with_item:
        return PlanState.COMPLETED_WITH_ERRORS
    return PlanState.FAILED if counts.failed else PlanState.CANCELLED


def confirm(plan: Plan, version: int, at: datetime) -> Plan:
    """The executor has rules of this version: operations that waited for them are answered, a pause takes effect."""
    rules = plan.rules
    if plan.ended and rules.published_at is not None and version >= rules.closing_version:
        rules = replace(rules, published_at=None)
        plan = replace(plan, rules=rules)
        version = rules.version  # the close confirms every version before it
    if version <= rules.confirmed or version > rules.version:
        return plan
    unconfirmed = plan.ended or version < rules.version
    done = tuple(one.operation_id for one in rules.pending_operations if one.rules_version <= version)
    left = tuple(one for one in rules.pending_operations if one.rules_version > version)
    synced = replace(
        rules, confirmed=version, pending_operations=left, published_at=rules.published_at if unconfirmed else None
    )
    confirmed = replace(changed(plan), rules=synced, answered=(*plan.answered, *done))
    wanted = PlanState.PAUSED if plan.hold.held else PlanState.RUNNING
    follows_rules = plan.state in (PlanState.RUNNING, PlanState.PAUSED)
    if follows_rules and plan.state != wanted and version >= plan.hold.version:
        return transition(confirmed, wanted, at, actor=plan.hold.actor, reason=plan.hold.reason)
    return confirmed


def pause(plan: Plan, operation: UUID, actor: str, reason: str, at: datetime) -> Plan:
    """Start nothing new. The plan is PAUSED when the executor has confirmed the rules that hold it."""
    _require_running(plan, "paused")
    if plan.hold.held:
        return _already(plan, operation)
    return _hold(plan, operation, at, held=True, actor=actor, reason=reason)


def resume(plan: Plan, operation: UUID, actor: str, reason: str, at: datetime) -> Plan:
    """Start items again."""
    _require_running(plan, "resumed")
    if not plan.hold.held:
        if plan.rules.pending_operations:
            return _already(plan, operation)
        raise CommandRefused(f"plan is not paused: it is {plan.state}")
    return _hold(plan, operation, at, held=False, actor=actor, reason=reason)


def change_rules(plan: Plan, operation: UUID, rules: Rules, at: datetime) -> Plan:
    """Run by other rules from now on."""
    if plan.ended or plan.state is PlanState.CANCELLING:
        raise CommandRefused(f"the rules of a plan that is {plan.state} cannot be changed")
    return _publish_rules(replace(plan, rules=replace(plan.rules, rules=rules)), operation, at)


def cancel(plan: Plan, operation: UUID, actor: str, reason: str, at: datetime, *, kill: bool) -> Plan:
    """Start nothing more. A second cancel with `kill` also stops what runs."""
    if plan.ended:
        raise CommandRefused(f"plan has ended: it is {plan.state}")
    if plan.state is PlanState.CANCELLING and plan.stop:
        undoing = plan.progress is not None and plan.progress.compensating
        stop = plan.stop._replace(
            kill=plan.stop.kill or kill, compensations=plan.stop.compensations or (kill and undoing)
        )
        answered = answer(replace(plan, stop=stop), operation)
        if stop == plan.stop:
            return answered
        return finish(settle(with_effect(answered, CancelTasks(stop)), at), at)
    if not plan.started:
        stopping = replace(plan, stop=Stop(kill, actor, reason))
        counts = plan.counts.model_copy(update={"waiting": 0, "cancelled": plan.counts.waiting})
        ended = transition(replace(stopping, counts=counts), PlanState.CANCELLED, at, actor=actor, reason=reason)
        return answer(replace(ended, ended_at=at, intake=replace(ended.intake, copy_position=None)), operation)
    return answer(_stop(plan, Stop(kill, actor, reason), at), operation)


def time_out(plan: Plan, at: datetime) -> Plan:
    """The plan's time limit has passed: what runs is stopped, and the plan fails."""
    due = plan.deadline_at
    if plan.state not in (PlanState.RUNNING, PlanState.PAUSED) or due is None or at < due:
        return plan
    reason = f"the time limit of {plan.spec.time_limit_seconds:g} s has passed"
    return _stop(plan, Stop(True, "service:planner", reason, fails=True), at)


def _stop(plan: Plan, stop: Stop, at: datetime) -> Plan:
    """Stop a started plan. Tasks of compensations that already run are left alone."""
    undoing = plan.progress is not None and plan.progress.compensating
    stopping = transition(replace(plan, stop=stop), PlanState.CANCELLING, at, actor=stop.actor, reason=stop.reason)
    return finish(settle(stopping if undoing else with_effect(stopping, CancelTasks(stop)), at), at)


def sent(plan: Plan, tasks: int, *, next_position: int, unsent_end: int, step: int | None = None) -> Plan:
    """These many more items became tasks; what is left to send, of the step, is in [next_position, unsent_end)."""
    dispatch = replace(
        plan.dispatch, tasks=plan.dispatch.tasks + tasks, live_tasks=plan.dispatch.live_tasks + tasks
    )  # fmt: skip
    if plan.progress is None or step is None:
        return replace(plan, dispatch=replace(dispatch, next_position=next_position, unsent_end=unsent_end))
    run = replace(plan.progress.runs[step], next_position=next_position, unsent_end=unsent_end)
    return replace(plan, dispatch=dispatch, progress=graph.with_run(plan.progress, step, run))


def was_sent(plan: Plan, position: int) -> bool:
    """Whether the item at this position is a task."""
    return not any(first <= position < end for first, end in unsent_ranges(plan))


def unsent_ranges(plan: Plan) -> list[tuple[int, int]]:
    """The positions of items without a task."""
    if plan.progress is not None:
        return graph.unsent_ranges(plan.progress)
    return [(plan.dispatch.next_position, plan.dispatch.unsent_end)] if plan.dispatch.unsent > 0 else []


def dispatch_capacity(plan: Plan, window: int) -> int:
    """How many more tasks may be sent now, so that the executor has enough and is not flooded.

    A wide plan gets twice its limit, at most `MAX_WINDOW`, where that is more than the window.
    """
    undoing = plan.state is PlanState.CANCELLING and plan.progress is not None and plan.progress.compensating
    stopped = plan.stop is not None and plan.stop.compensations
    if not (plan.state is PlanState.RUNNING or (undoing and not stopped)) or plan.hold.held or plan.unsent <= 0:
        return 0
    size = max(window, min(2 * (plan.rules.rules.limit or 0), MAX_WINDOW))
    free = size - plan.dispatch.live_tasks
    return free if free >= min(PAGE_ITEMS, size // 4, plan.unsent) else 0  # a small refill costs as much


def expected(plan: Plan) -> Expected | None:
    """How much there is to read of an ended plan."""
    if not plan.ended:
        return None
    return Expected(
        items=plan.counts.total, tasks=plan.dispatch.tasks, item_pages=plan.intake.pages_published,
        task_versions=plan.dispatch.task_versions,
    )  # fmt: skip


def waiting(plan: Plan) -> tuple[Waiting, ...]:
    """Why the plan as a unit does not progress."""
    if plan.previous is not None and not plan.started and not plan.ended:
        holder = f"plan {plan.previous}"
        return (Waiting(why=WaitReason.PREVIOUS_PLAN, holder=holder, since_at=plan.created_at),)
    hold = plan.hold
    if plan.ended:
        return ()
    reasons: list[Waiting] = []
    if hold.held and hold.at is not None:
        reasons.append(
            Waiting(why=WaitReason.PLAN_PAUSED, holder=hold.actor or "", since_at=hold.at, detail=hold.reason)
        )
    if plan.progress is not None and plan.started_at is not None:
        since = plan.started_at
        reasons += [
            Waiting(why=WaitReason.DEPENDENCY, holder=f"step:{step}", since_at=since, detail=detail)
            for step, detail in graph.waits(plan.progress)[: MAX_WAIT_REASONS - len(reasons)]
        ]
    return tuple(reasons)


def _require_running(plan: Plan, verb: str) -> None:
    if plan.state not in (PlanState.RUNNING, PlanState.PAUSED):
        raise CommandRefused(f"a plan that is {plan.state} cannot be {verb}")


def _already(plan: Plan, operation: UUID) -> Plan:
    """The requested hold is set or under way: answer now, or with the command that is under way."""
    if plan.rules.confirmed >= plan.hold.version:
        return answer(plan, operation)
    pending = (*plan.rules.pending_operations, PendingOperation(operation, plan.hold.version))
    return replace(changed(plan), rules=replace(plan.rules, pending_operations=pending))


def _hold(plan: Plan, operation: UUID, at: datetime, *, held: bool, actor: str, reason: str) -> Plan:
    hold = Hold(held=held, actor=actor, reason=reason, at=at, version=plan.rules.version + 1)
    return _publish_rules(replace(plan, hold=hold), operation, at)


def _publish_rules(plan: Plan, operation: UUID, at: datetime) -> Plan:
    """The next version of the rules, published; the operation is answered when the executor confirms it."""
    version = plan.rules.version + 1
    pending = (*plan.rules.pending_operations, PendingOperation(operation, version))
    rules = replace(plan.rules, version=version, published_at=at, pending_operations=pending)
    return with_effect(replace(changed(plan), rules=rules), PublishRules())
