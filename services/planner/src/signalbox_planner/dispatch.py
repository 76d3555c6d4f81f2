"""What a plan does by itself, in bounded steps: start, send tasks, copy failures, cancel what was not sent.

Each step takes the locked plan and returns the plan it became; the caller saves it with `carrier.save_changes`. What
does not fit in one step continues in the `advance` loop.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from uuid import UUID

from signalbox_chassis.persistence.database import UnitOfWork
from signalbox_contracts.ids import task_id
from signalbox_contracts.states import PlanState, TaskState
from signalbox_planner import lifecycle, steps
from signalbox_planner.effects import CancelTasks, EnsureTasks, PublishRules
from signalbox_planner.graph import is_compensation
from signalbox_planner.lifecycle import with_effect
from signalbox_planner.parked import end_stopped
from signalbox_planner.plan import PAGE_ITEMS, Item, Plan, StateChange, Stop
from signalbox_planner.rerun_decisions import retried
from signalbox_planner.settings import PlannerSettings
from signalbox_planner.store import items

MAX_SENT: Final = 2000
"""How many tasks one transaction may send."""


@dataclass
class Dispatcher:
    settings: PlannerSettings
    wake: Callable[[], None]
    """Runs the `advance` loop at once."""

    async def start(self, work: UnitOfWork, plan: Plan, now: datetime, *, unsent: Sequence[Item] = ()) -> Plan:
        """Start the plan and send its first tasks. `unsent` are all of its items, when they were just stored."""
        return await self.send(work, lifecycle.start(plan, now), now, unsent=unsent)

    async def send(self, work: UnitOfWork, plan: Plan, now: datetime, *, unsent: Sequence[Item] = ()) -> Plan:
        """Send as many more tasks as the plan has capacity for; the items are read unless they are given."""
        capacity = lifecycle.dispatch_capacity(plan, self.settings.send_window)
        if capacity <= 0:
            return plan
        if plan.progress is not None:
            if capacity > MAX_SENT:
                work.on_commit(self.wake)
            return await steps.send(work, plan, now, min(capacity, MAX_SENT))
        first, end = plan.dispatch.next_position, plan.dispatch.unsent_end
        newest = plan.rules.rules.order == "newest_first"
        rows = unsent or await items.unsent(
            work.connection, plan.id, first, end, max_items=min(capacity, MAX_SENT), newest=newest
        )
        if capacity > MAX_SENT:
            work.on_commit(self.wake)
        if not rows:
            first = end
        elif newest:
            end = rows[-1].position
        else:
            first = rows[-1].position + 1
        fresh = tuple(row for row in rows if row.state is None)  # single items may have been cancelled
        sent = lifecycle.sent(plan, len(fresh), next_position=first, unsent_end=end)
        return with_effect(sent, EnsureTasks(fresh)) if fresh else sent

    async def send_missing(
        self, work: UnitOfWork, plan: Plan, missing: Collection[UUID], now: datetime, *, parked: str = ""
    ) -> Plan:  # fmt: skip
        """The executor does not know these tasks: send them again with their rules and cancels.

        They are not new tasks: they were counted when they were first sent. Their versions begin again at 1. Those
        whose command lies `parked` there, for this reason, are not sent again: they wait, or end if they are cancelled.
        """
        if plan.ended:
            return plan
        live = await items.live(work.connection, plan.id, lifecycle.unsent_ranges(plan))
        lost = tuple(row for row in live if task_id(plan.id, row.key) in missing)
        if not lost:
            return plan
        if parked:
            return end_stopped(plan, lost, parked, now)
        plan = with_effect(with_effect(plan, PublishRules(repeated=True)), EnsureTasks(lost))
        plan = repeat_cancels(plan, lost)
        versions = await items.forget_versions(work.connection, plan.id, [row.position for row in lost])
        dispatch = replace(plan.dispatch, task_versions=plan.dispatch.task_versions - versions)
        return replace(plan, dispatch=dispatch)

    async def copy_failures(
        self, work: UnitOfWork, plan: Plan, now: datetime, *, keys: Sequence[str] = ()
    ) -> Plan:  # fmt: skip
        """Copy the next failures of the parent; start the plan when all are copied."""
        parent, position = plan.spec.parent, plan.intake.copy_position
        if parent is None or position is None:
            return plan
        max_items = self.settings.step_items // PAGE_ITEMS * PAGE_ITEMS
        failed = await items.failures(work.connection, parent, position, max_items, keys)
        first = plan.dispatch.end_position
        rows = [retried(row)._replace(plan_id=plan.id, position=first + n, state=None) for n, row in enumerate(failed)]
        await items.store(work.connection, rows)
        for n in range(0, len(rows), PAGE_ITEMS):
            page = rows[n : n + PAGE_ITEMS]
            plan = lifecycle.store_page(plan, page[0].position // PAGE_ITEMS + 1, page)
        if not keys and len(failed) == max_items:
            work.on_commit(self.wake)
            return replace(plan, intake=replace(plan.intake, copy_position=failed[-1].position + 1))
        return await self.start(work, replace(plan, intake=replace(plan.intake, copy_position=None)), now)

    async def cancel_unsent(self, work: UnitOfWork, plan: Plan, now: datetime) -> Plan:
        """End the next items that were not sent, when the plan is cancelled."""
        dispatch = plan.dispatch
        if plan.state is not PlanState.CANCELLING or plan.unsent <= 0:
            return plan
        if plan.progress is not None:
            return await steps.cancel_unsent(work, plan, now)
        end = min(dispatch.next_position + self.settings.step_items, dispatch.unsent_end)
        cancelled = await items.cancel_unsent(work.connection, plan.id, dispatch.next_position, end)
        changes = [StateChange(None, TaskState.CANCELLED, cancelled)] if cancelled else []
        return lifecycle.count(replace(plan, dispatch=replace(dispatch, next_position=end)), changes, now)


def repeat_cancels(plan: Plan, live: Sequence[Item]) -> Plan:
    """Cancel these live tasks again: all of a cancelled plan, else those that were cancelled alone."""
    if plan.stop and live:
        cancel = _cancel_of(plan, plan.stop, live)
        plan = with_effect(plan, cancel) if cancel is not None else plan
    for stop, rows in items.stopping(live).items():
        plan = with_effect(plan, CancelTasks(stop, tuple(rows)))
    return plan


def _cancel_of(plan: Plan, stop: Stop, live: Sequence[Item]) -> CancelTasks | None:
    """The cancel of a plan's live tasks. Those of its compensations go on, unless they are stopped as well."""
    if plan.progress is None or stop.compensations or not plan.progress.compensating:
        return CancelTasks(stop)
    stopped = tuple(item for item in live if not is_compensation(plan.progress, item.step))
    return CancelTasks(stop, stopped) if stopped else None
