"""Commands about plans: each is a change of one plan, or a refusal with its reason."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from signalbox_chassis.messaging.received import Received
from signalbox_chassis.messaging.router import Router
from signalbox_chassis.persistence.database import UnitOfWork
from signalbox_chassis.runtime.health import Restated
from signalbox_contracts.messages.operations import PlanRepublish
from signalbox_contracts.messages.requests import (
    PlanApply,
    PlanApprove,
    PlanCancel,
    PlanPause,
    PlanReject,
    PlanResume,
    PlanRetry,
    PlanRulesRequest,
)
from signalbox_contracts.messages.states import Outcome
from signalbox_contracts.states import TASK_ENDS
from signalbox_planner import facts, lifecycle, previews
from signalbox_planner.carrier import save_changes
from signalbox_planner.dispatch import Dispatcher
from signalbox_planner.effects import CancelTasks
from signalbox_planner.lifecycle import CommandRefused
from signalbox_planner.parked import states_in
from signalbox_planner.plan import Plan, Stop
from signalbox_planner.retries import child_plan, copy_failures
from signalbox_planner.store import items, plans, republish_requests, restore

STOP_SECONDS = 3.0
"""How long the tasks of a plan that was cancelled may say nothing before they are queried."""
Change = Callable[[Plan, Any, datetime], Plan]
"""What a command's data make of its plan; raises `CommandRefused`."""

_CHANGES: dict[type, Change] = {
    PlanPause: lambda plan, data, now: lifecycle.pause(plan, data.operation_id, data.actor, data.reason, now),
    PlanResume: lambda plan, data, now: lifecycle.resume(plan, data.operation_id, data.actor, data.reason, now),
    PlanRulesRequest: lambda plan, data, now: lifecycle.change_rules(plan, data.operation_id, data.rules, now),
    PlanCancel: lambda plan, data, now: lifecycle.cancel(
        plan, data.operation_id, data.actor, data.reason, now, kill=data.kill
    ),
    PlanReject: lambda plan, data, now: previews.reject(plan, data.operation_id, data.actor, data.reason, now),
}


def register(router: Router, dispatcher: Dispatcher, restated: Restated) -> None:
    """The handlers of every command."""

    @router.on(PlanPause)
    async def pause(work: UnitOfWork, events: Sequence[Received[PlanPause]]) -> None:
        await _change_plans(work, dispatcher, events)

    @router.on(PlanResume)
    async def resume(work: UnitOfWork, events: Sequence[Received[PlanResume]]) -> None:
        await _change_plans(work, dispatcher, events)

    @router.on(PlanRulesRequest)
    async def change_rules(work: UnitOfWork, events: Sequence[Received[PlanRulesRequest]]) -> None:
        await _change_plans(work, dispatcher, events)

    @router.on(PlanCancel)
    async def cancel(work: UnitOfWork, events: Sequence[Received[PlanCancel]]) -> None:
        for received in events:
            if received.event.data.item_keys:
                await _cancel_items(work, received)
            else:
                await _change_plans(work, dispatcher, [received])

    @router.on(PlanRetry)
    async def retry(work: UnitOfWork, events: Sequence[Received[PlanRetry]]) -> None:
        for received in events:
            await _retry(work, dispatcher, received)

    @router.on(PlanRepublish)
    async def republish(work: UnitOfWork, events: Sequence[Received[PlanRepublish]]) -> None:
        for received in events:
            await _keep_republish(work, received, restated)
        work.on_commit(dispatcher.wake)

    _register_approvals(router, dispatcher)


def _register_approvals(router: Router, dispatcher: Dispatcher) -> None:
    """Commands about previews."""

    @router.on(PlanApply)
    async def apply(work: UnitOfWork, events: Sequence[Received[PlanApply]]) -> None:
        for received in events:
            await _apply(work, received)

    @router.on(PlanApprove)
    async def approve(work: UnitOfWork, events: Sequence[Received[PlanApprove]]) -> None:
        await _refuse(work, events)

    @router.on(PlanReject)
    async def reject(work: UnitOfWork, events: Sequence[Received[PlanReject]]) -> None:
        await _change_plans(work, dispatcher, events)


async def _change_plans(work: UnitOfWork, dispatcher: Dispatcher, events: Sequence[Received[Any]]) -> None:
    """Apply each command to its plan."""
    for received in events:
        now = await plans.transaction_time(work.connection)
        if isinstance(received.event, PlanCancel) and await _cancel_unread(work, received, now):
            continue
        plan = await _find_plan(work, received, now)
        if plan is None:
            continue
        try:
            after = _CHANGES[type(received.event)](plan, received.event.data, now)
        except CommandRefused as error:
            facts.answer(work, received, plan.id, Outcome.REFUSED, str(error), now)
            continue
        if isinstance(received.event, PlanCancel):
            after = await take_parked_states(work, after, now)
            await plans.query_soon(work.connection, plan.id, seconds=STOP_SECONDS)
        await save_changes(work, [after], now)
        work.on_commit(dispatcher.wake)


async def take_parked_states(work: UnitOfWork, plan: Plan, now: datetime) -> Plan:
    """A stopped plan with the states of tasks in facts that lie parked here: what cannot be read keeps it no longer."""
    parked = await plans.parked_facts(work.connection, plan.id)
    found = {id: states_in(value, plan.id) for id, value in parked.items()}
    read = [id for id, states in found.items() if states]
    if not read or plan.ended:
        return plan
    changes = await items.apply_facts(work.connection, [fact for id in read for fact in found[id]])
    dropped = await plans.drop_parked_facts(
        work.connection, read, "the plan was cancelled: the states of its tasks were taken, without results"
    )
    facts.publish_dropped(work, dropped, now)
    return lifecycle.count(plan, changes.get(plan.id, ()), now)


async def _cancel_unread(work: UnitOfWork, received: Received[PlanCancel], now: datetime) -> bool:
    """End a plan whose request could not be read and was parked: it is nowhere but in the gateway. False: another."""
    data = received.event.data
    if await plans.locked(work.connection, [data.plan_id]):
        return False
    dropped = await plans.drop_unread_request(work.connection, data.plan_id, data.actor, data.reason)
    if not dropped:
        return False
    facts.publish_dropped(work, dropped, now)
    facts.publish_unread(work, data, dropped[0]["error"], now)
    facts.answer(work, received, data.plan_id, Outcome.DONE, "its request could not be read: it never started", now)
    return True


async def _cancel_items(work: UnitOfWork, received: Received[PlanCancel]) -> None:
    """End single items of a plan that goes on."""
    data, now = received.event.data, await plans.transaction_time(work.connection)
    plan = await _find_plan(work, received, now)
    if plan is None:
        return
    rows = await items.by_key(work.connection, plan.id, data.item_keys)
    refused = ""
    if plan.ended or not plan.started:
        refused = f"a plan that is {plan.state} has no items to cancel"
    elif missing := sorted(set(data.item_keys) - {row.key for row in rows}):
        refused = f"item_keys: {', '.join(missing[:10])} not in this plan"
    if refused:
        facts.answer(work, received, plan.id, Outcome.REFUSED, refused, now)
        return
    changes = await items.cancel_by_key(work.connection, plan.id, data.item_keys, lifecycle.unsent_ranges(plan))
    after = lifecycle.count(lifecycle.answer(plan, data.operation_id), changes, now)
    live = tuple(row for row in rows if lifecycle.was_sent(plan, row.position) and row.state not in TASK_ENDS)
    if live:
        stop = Stop(data.kill, data.actor, data.reason)
        await items.keep_stop(work.connection, plan.id, [row.position for row in live], stop)
        after = lifecycle.with_effect(after, CancelTasks(stop, live))
        await plans.query_soon(work.connection, plan.id, seconds=STOP_SECONDS)
    await save_changes(work, [after], now)


async def _retry(work: UnitOfWork, dispatcher: Dispatcher, received: Received[PlanRetry]) -> None:
    """A linked child plan of what failed. A repeated command makes no second one."""
    data = received.event.data
    existing, now, version = await plans.locked_now(work.connection, [data.child_plan_id])
    parent = await _find_plan(work, received, now)
    if parent is None or existing:
        return
    child = child_plan(
        parent, data.child_plan_id, actor=data.actor, reason=data.reason,
        requested_at=received.event.time, now=now, version=version,
        definitions_revision=data.definitions_revision, traceparent=received.trace.get("traceparent"),
    )  # fmt: skip
    after = await copy_failures(work, dispatcher, child, parent.id, data.item_keys, now)
    outcome = Outcome.REFUSED if after.ended and after.counts.total == 0 else Outcome.DONE
    facts.answer(work, received, parent.id, outcome, after.reason, now)
    await save_changes(work, [after], now, new={child.id})
    work.on_commit(dispatcher.wake)


async def _keep_republish(work: UnitOfWork, received: Received[PlanRepublish], restated: Restated) -> None:
    """Keep a request to republish plans. The executor answers one that includes tasks: its part takes longer."""
    data = received.event.data
    if data.tasks and not data.items:
        return  # for the executor alone
    if data.versions:
        for id, version in (await restore.raise_above(work.connection, data.plan_ids, data.versions)).items():
            restated(f"plan {id}", version)
    count = await republish_requests.keep(work.connection, data.plan_ids, data.operation_id, items=data.items)
    if not data.tasks:
        plan_id = data.plan_ids[0] if data.plan_ids else None
        now = await plans.transaction_time(work.connection)
        facts.answer(
            work, received, plan_id, Outcome.DONE, f"{count} plans are republished", now, details={"plans": count}
        )


async def _find_plan(work: UnitOfWork, received: Received[Any], now: datetime) -> Plan | None:
    """The locked plan of a command; an unknown one is answered."""
    plan_id = received.event.data.plan_id
    plan = (await plans.locked(work.connection, [plan_id])).get(plan_id)
    if plan is None:
        facts.answer(work, received, plan_id, Outcome.REFUSED, f"plan {plan_id} is not known", now)
    return plan


async def _apply(work: UnitOfWork, received: Received[PlanApply]) -> None:
    """Apply a preview: everything is looked up once more first."""
    now = await plans.transaction_time(work.connection)
    plan = await _find_plan(work, received, now)
    if plan is None:
        return
    try:
        after = await previews.apply(work, plan, received.event.data, now)
    except CommandRefused as error:
        facts.answer(work, received, plan.id, Outcome.REFUSED, str(error), now)
        return
    await save_changes(work, [after], now)


async def _refuse(work: UnitOfWork, events: Sequence[Received[Any]]) -> None:
    now = await plans.transaction_time(work.connection)
    for received in events:
        reason = "no plan waits for an approval"
        facts.answer(work, received, received.event.data.plan_id, Outcome.REFUSED, reason, now)
