"""In: plan.request in pages, plan.pause, .resume, .cancel, .rules, .retry; plan.republish; tasks.state.
Changes: plan, page, item, tell. Out: plan.state, plan.items; plan.rules, tasks.ensure, tasks.cancel; operation.result.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import groupby
from typing import Any
from uuid import UUID

from signalbox_chassis.messaging.received import Received
from signalbox_chassis.messaging.router import Router
from signalbox_chassis.persistence.database import UnitOfWork
from signalbox_contracts.messages.operations import PlanRepublish
from signalbox_contracts.messages.requests import (
    Origin,
    PlanApply,
    PlanApprove,
    PlanCancel,
    PlanPause,
    PlanReject,
    PlanRequest,
    PlanResume,
    PlanRetry,
    PlanRulesRequest,
    RetryFailures,
    RunItems,
    RunJob,
)
from signalbox_contracts.messages.states import Outcome
from signalbox_contracts.messages.tasks import TasksStated
from signalbox_contracts.states import TASK_ENDS, TaskState
from signalbox_contracts.vocabulary import MAX_ITEMS
from signalbox_planner import expand, facts, lifecycle
from signalbox_planner.dispatch import Steps
from signalbox_planner.lifecycle import CommandRefused, Moved, Plan
from signalbox_planner.settings import PlannerSettings
from signalbox_planner.store import items, plans, republish_requests
from signalbox_planner.store.items import Item, KeyTwice, Said, Stopping

Change = Callable[[Plan, datetime], Plan]


def control(steps: Steps) -> Router:
    """Requests and commands."""
    router = Router()
    _requests(router, steps)
    _commands(router, steps)

    @router.on(PlanRetry)
    async def retry(work: UnitOfWork, events: Sequence[Received[PlanRetry]]) -> None:
        for received in events:
            data = received.event.data
            await _retry(work, steps, received, data.child_plan_id, data.item_keys)

    @router.on(PlanRepublish)
    async def tell(work: UnitOfWork, events: Sequence[Received[PlanRepublish]]) -> None:
        for received in events:
            data = received.event.data
            if data.tasks and not data.items:
                continue  # the executor's part alone
            count = await republish_requests.keep(work.connection, data.plan_ids, data.operation_id, items=data.items)
            if not data.tasks:  # else the executor answers, who has the longer part
                plan = data.plan_ids[0] if data.plan_ids else None
                now = await _now(work)
                facts.answer(
                    work, received, plan, Outcome.DONE, f"{count} plans are told", now, details={"plans": count}
                )
        work.on_commit(steps.wake)

    return router


def _requests(router: Router, steps: Steps) -> None:
    @router.on(PlanRequest)
    async def request(work: UnitOfWork, events: Sequence[Received[PlanRequest]]) -> None:
        in_order = sorted(events, key=lambda one: (one.event.data.plan_id, one.event.data.page))
        ids = [one.event.data.plan_id for one in in_order]
        known, now, first_version = await plans.locked_now(work.connection, ids)
        done: list[Plan] = []
        for plan_id, group in groupby(in_order, key=lambda one: one.event.data.plan_id):
            pages = list(group)
            plan = await _take_pages(work, steps, known.get(plan_id) or _new(pages, now, first_version), pages, now)
            if plan is not None:
                done.append(plan)
        new = {plan.id for plan in done} - known.keys()
        await plans.save(work.connection, facts.say(work, done, now), new=new)


async def _take_pages(
    work: UnitOfWork, steps: Steps, plan: Plan, pages: list[Received[PlanRequest]], now: datetime
) -> Plan | None:
    """Store what is new of these pages of one plan, and start it when nothing is missing any more."""
    if plan.started or plan.ended or plan.parent_position is not None:
        return None
    last = next((one for one in pages if one.event.data.what is not None), None)
    if last is not None and not isinstance(last.event.data.what, RunItems):
        return await _take_whole(work, steps, plan, last, now)
    if last is not None:  # only the last page says the whole
        frame = expand.frame(last.event.data, last.event.time, project=last.event.project)
        if last.event.data.event_date is None:  # items may be rendered with the one of the first page already
            frame = frame.model_copy(update={"event_date": plan.frame.event_date})
        plan = replace(plan, frame=frame)
    new = await items.seen_pages(work.connection, plan.id, [one.event.data.page for one in pages])
    try:
        if last is not None and last.event.data.preview:
            raise expand.RequestRefused("preview: a list of items needs none, it says itself what will run")
        for one in pages:
            data = one.event.data
            expand.check_page(data, pages=plan.pages, items=plan.counts.total if data.page in new else 0)
            if data.page in new:
                new.remove(data.page)
                rows = expand.page_items(
                    plan.id, data.page, data.items, event_date=plan.frame.event_date, name=data.name, actor=data.actor
                )
                plan = await _store(work, plan, data.page, rows, now)
    except (expand.RequestRefused, KeyTwice) as error:
        return lifecycle.refuse(plan, now, str(error))
    if plan.pages_seen < plan.pages:
        return plan
    return await steps.start(work, plan, now)


async def _take_whole(
    work: UnitOfWork, steps: Steps, plan: Plan, received: Received[PlanRequest], now: datetime
) -> Plan | None:
    """A request that names what to run in one message."""
    data = received.event.data
    what = data.what
    if data.preview:
        return lifecycle.refuse(plan, now, "preview: a job or a retry needs none, it says itself what will run")
    if isinstance(what, RunJob):
        try:
            item, params = expand.job_item(
                plan.id, what, event_date=plan.frame.event_date, name=data.name, actor=data.actor
            )
        except expand.RequestRefused as error:
            return lifecycle.refuse(plan, now, str(error))
        if params != plan.frame.params:  # defaults of the job came to what was asked
            plan = replace(plan, frame=plan.frame.model_copy(update={"params": params}))
        return await steps.start(work, await _store(work, plan, 1, [item], now), now, first=[item])
    if isinstance(what, RetryFailures):
        return await _copy_failures(work, steps, plan, what.parent, (), now)
    kind = what.kind if what is not None else "nothing"
    return lifecycle.refuse(plan, now, f"what.kind {kind!r} cannot be run yet: job, items and retry can")


async def _store(work: UnitOfWork, plan: Plan, page: int, rows: list[Item], now: datetime) -> Plan:
    """One page of items: kept, and said."""
    await items.store(work.connection, rows)
    if rows:
        facts.items(work, plan, page, rows, now)
    return lifecycle.stored(plan, len(rows), end_position=rows[-1].position + 1 if rows else 0)


def _new(pages: list[Received[PlanRequest]], now: datetime, version: int) -> Plan:
    """The plan a request's first messages make. Its frame may still change with the last page."""
    first = pages[-1].event
    data = first.data
    plan = Plan(
        id=data.plan_id, frame=expand.frame(data, first.time, project=first.project), created_at=now,
        definitions_revision=data.definitions_revision, traceparent=pages[-1].trace.get("traceparent"),
        pages=data.pages, rules=data.rules, version=version, rules_version=version,
    )  # fmt: skip
    return lifecycle.accept(plan, now)


def _commands(router: Router, steps: Steps) -> None:
    """What is asked about one plan: each is a change of the plan, or a refusal with its reason."""

    @router.on(PlanPause)
    async def pause(work: UnitOfWork, events: Sequence[Received[PlanPause]]) -> None:
        for received in events:
            data = received.event.data
            await _change(
                work, steps, received,
                lambda plan, now, d=data: lifecycle.pause(plan, d.operation_id, d.actor, d.reason, now),
            )  # fmt: skip

    @router.on(PlanResume)
    async def resume(work: UnitOfWork, events: Sequence[Received[PlanResume]]) -> None:
        for received in events:
            data = received.event.data
            await _change(
                work, steps, received,
                lambda plan, now, d=data: lifecycle.resume(plan, d.operation_id, d.actor, d.reason, now),
            )  # fmt: skip

    @router.on(PlanRulesRequest)
    async def rules(work: UnitOfWork, events: Sequence[Received[PlanRulesRequest]]) -> None:
        for received in events:
            data = received.event.data
            await _change(
                work, steps, received,
                lambda plan, now, d=data: lifecycle.change_rules(plan, d.operation_id, d.rules, now),
            )  # fmt: skip

    @router.on(PlanCancel)
    async def cancel(work: UnitOfWork, events: Sequence[Received[PlanCancel]]) -> None:
        for received in events:
            data = received.event.data
            if data.item_keys:
                await _cancel_items(work, received)
            else:
                await _change(
                    work, steps, received,
                    lambda plan, now, d=data: lifecycle.cancel(
                        plan, d.operation_id, d.actor, d.reason, now, kill=d.kill
                    ),
                )  # fmt: skip

    @router.on(PlanApply)
    async def apply(work: UnitOfWork, events: Sequence[Received[PlanApply]]) -> None:
        await _refuse_all(work, events)

    @router.on(PlanApprove)
    async def approve(work: UnitOfWork, events: Sequence[Received[PlanApprove]]) -> None:
        await _refuse_all(work, events)

    @router.on(PlanReject)
    async def reject(work: UnitOfWork, events: Sequence[Received[PlanReject]]) -> None:
        await _refuse_all(work, events)


async def _change(work: UnitOfWork, steps: Steps, received: Received[Any], change: Change) -> None:
    """Apply one command to its plan, say what came of it, and send the rules or the cancel that follow from it."""
    now = await _now(work)
    plan = await _found(work, received, now)
    if plan is None:
        return
    try:
        after = change(plan, now)
    except CommandRefused as error:
        facts.answer(work, received, plan.id, Outcome.REFUSED, str(error), now)
        return
    if after.rules_version > plan.rules_version:
        facts.rules(work, after, now)
    if after.stop_actor and not after.ended and (plan.stop_actor is None or after.stop_kill > plan.stop_kill):
        facts.cancel(work, after, now, kill=after.stop_kill, by=after.stop_actor, why=after.stop_reason)
    if after.ended and not plan.ended and plan.started:
        facts.rules(work, after, now)
    await plans.save(work.connection, facts.say(work, [after], now))
    work.on_commit(steps.wake)


async def _cancel_items(work: UnitOfWork, received: Received[PlanCancel]) -> None:
    """End single items of a plan that goes on."""
    data, now = received.event.data, await _now(work)
    plan = await _found(work, received, now)
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
    gone = await items.cancel_these(work.connection, plan.id, data.item_keys, plan.next_position, plan.unsent_end)
    moved = [Moved(None, TaskState.CANCELLED, gone)] if gone else []
    after = lifecycle.count(lifecycle.answer(plan, data.operation_id), moved, now)
    sent = [row for row in rows if lifecycle.was_sent(plan, row.position) and row.state not in TASK_ENDS]
    if sent:
        how = Stopping(data.kill, data.actor, data.reason)
        await items.stop_these(work.connection, plan.id, [row.position for row in sent], how)
        facts.cancel(work, after, now, sent, kill=data.kill, by=data.actor, why=data.reason)
    if after.ended:
        facts.rules(work, after, now)
    await plans.save(work.connection, facts.say(work, [after], now))


async def _retry(
    work: UnitOfWork, steps: Steps, received: Received[PlanRetry], child_id: UUID, keys: Sequence[str]
) -> None:
    """A linked child of what failed. Asked twice, there is still one."""
    data = received.event.data
    there, now, version = await plans.locked_now(work.connection, [child_id])
    parent = await _found(work, received, now)
    if parent is None or there:
        return
    frame = parent.frame.model_copy(
        update={
            "name": f"Retry of {parent.frame.name}"[:200], "actor": data.actor, "reason": data.reason,
            "parent": parent.id, "origin": Origin.PERSON,
        }
    )  # fmt: skip
    child = lifecycle.accept(
        Plan(
            id=child_id, version=version, rules_version=version,
            frame=frame, definitions_revision=data.definitions_revision, created_at=now,
            traceparent=received.trace.get("traceparent"), rules=parent.rules,
        ),
        now,
    )  # fmt: skip
    after = await _copy_failures(work, steps, child, parent.id, keys, now)
    outcome = Outcome.REFUSED if after.ended and after.counts.total == 0 else Outcome.DONE
    facts.answer(work, received, parent.id, outcome, after.reason, now)
    await plans.save(work.connection, facts.say(work, [after], now), new={child.id})
    work.on_commit(steps.wake)


async def _copy_failures(
    work: UnitOfWork, steps: Steps, child: Plan, parent_id: UUID, keys: Sequence[str], now: datetime
) -> Plan:
    """Begin to copy what failed in the parent; what does not fit in one step is copied by the loop."""
    parent = (await plans.locked(work.connection, [parent_id])).get(parent_id)
    if parent is None:
        return lifecycle.refuse(child, now, f"plan {parent_id} is not known: nothing can be retried")
    if not parent.ended:
        return lifecycle.refuse(child, now, f"plan {parent_id} is {parent.state}: only what has ended is retried")
    given = {row.key: row for row in await items.by_key(work.connection, parent_id, keys)} if keys else {}
    for key in keys:
        if key not in given or given[key].state not in ("FAILED", "CANCELLED"):
            state = given[key].state if key in given else "not in this plan"
            return lifecycle.refuse(child, now, f"item_keys: {key!r} is {state}: only FAILED and CANCELLED are retried")
    total = len(keys) or await items.count_failures(work.connection, parent_id)
    if not total:
        return lifecycle.refuse(child, now, f"nothing failed in plan {parent_id}: there is nothing to retry")
    frame = child.frame.model_copy(
        update={
            "parent": parent_id, "project": parent.frame.project, "target": parent.frame.target,
            "target_version": parent.frame.target_version, "event_date": parent.frame.event_date,
            "params": parent.frame.params, "retries": parent.frame.retries, "time_limits": parent.frame.time_limits,
            "on_unknown": parent.frame.on_unknown, "stops_at_failure": parent.frame.stops_at_failure,
        }
    )  # fmt: skip
    copying = replace(child, frame=frame, pages=facts.pages_of(total), parent_position=0)
    return await steps.copy(work, copying, now, keys=keys)


def observed(settings: PlannerSettings, steps: Steps) -> Router:
    """Facts of tasks. One transaction a batch: items by version, counts by difference, one fact a touched plan."""
    router = Router()

    @router.on(TasksStated)
    async def tasks(work: UnitOfWork, events: Sequence[Received[TasksStated]]) -> None:
        known, now, _ = await plans.locked_now(work.connection, [one.event.data.plan_id for one in events])
        moved = await items.move(work.connection, _said(events, known))
        confirmed: dict[UUID, int] = {}
        missing: dict[UUID, set[UUID]] = {}
        for one in events:
            data = one.event.data
            confirmed[data.plan_id] = max(confirmed.get(data.plan_id, 0), data.rules_version)
            missing.setdefault(data.plan_id, set()).update(data.missing)
        done: list[Plan] = []
        for plan_id, plan in known.items():
            after = lifecycle.count(plan, moved.get(plan_id, []), now)
            after = lifecycle.confirm(after, confirmed[plan_id], now)
            if lost := missing[plan_id]:
                after = await steps.send_missing(work, after, lost, now)
            after = await steps.send(work, after, now)
            if after.ended and not plan.ended:
                facts.rules(work, after, now)
            if after is not plan:
                done.append(after)
        await plans.save(work.connection, facts.say(work, done, now))
        if moved:
            await plans.heard(
                work.connection, list(moved), seconds=settings.ask_seconds, max_seconds=settings.ask_max_seconds
            )

    return router


def _said(events: Sequence[Received[TasksStated]], known: dict[UUID, Plan]) -> list[Said]:
    return [
        Said(one.event.data.plan_id, task.item_key, task.version, str(task.state))
        for one in events
        if one.event.data.plan_id in known
        for task in one.event.data.tasks
    ]


async def _found(work: UnitOfWork, received: Received[Any], now: datetime) -> Plan | None:
    data = received.event.data
    plan = (await plans.locked(work.connection, [data.plan_id])).get(data.plan_id)
    if plan is None:
        facts.answer(work, received, data.plan_id, Outcome.REFUSED,
            f"plan {data.plan_id} is not known", now,
        )  # fmt: skip
    return plan


async def _refuse_all(work: UnitOfWork, events: Sequence[Received[Any]]) -> None:
    for received in events[:MAX_ITEMS]:
        data = received.event.data
        facts.answer(work, received, data.plan_id, Outcome.REFUSED,
            "plans with a preview are not built yet: nothing waits to be applied", await _now(work),
        )  # fmt: skip


async def _now(work: UnitOfWork) -> datetime:
    return await work.connection.fetchval("SELECT now()")
