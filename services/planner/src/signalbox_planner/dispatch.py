"""What a plan does by itself, in bounded steps: start, send, copy what failed elsewhere, cancel what was not sent.

Each step takes the locked plan and the open unit of work and returns the plan it became; `handlers` and `loops` save
it. What does not fit in one step is gone on with by the loop.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from uuid import UUID

from signalbox_chassis.persistence.database import UnitOfWork
from signalbox_contracts.ids import task_id
from signalbox_contracts.states import PlanState, TaskState
from signalbox_planner import facts, lifecycle
from signalbox_planner.lifecycle import PAGE_ITEMS, Moved, Plan
from signalbox_planner.settings import PlannerSettings
from signalbox_planner.store import items
from signalbox_planner.store.items import Item

MAX_SENT: Final = 2000
"""Most tasks sent in one transaction."""


@dataclass
class Steps:
    settings: PlannerSettings
    wake: Callable[[], None]
    """Called when a loop should look at once."""

    async def start(self, work: UnitOfWork, plan: Plan, now: datetime, *, first: Sequence[Item] = ()) -> Plan:
        """Everything of the plan is here: say its rules and send the first tasks; `first` are all, if just stored."""
        running = lifecycle.start(plan, now)
        facts.rules(work, running, now)
        return await self.send(work, running, now, known=first)

    async def send(self, work: UnitOfWork, plan: Plan, now: datetime, *, known: Sequence[Item] = ()) -> Plan:
        """Send as many more tasks as there is room for; they are read unless they are known."""
        most = lifecycle.room(plan, self.settings.send_window)
        if most <= 0:
            return plan
        first, end, newest = plan.next_position, plan.unsent_end, plan.rules.order == "newest_first"
        rows = known or await items.unsent(
            work.connection, plan.id, first, end, most=min(most, MAX_SENT), newest=newest
        )
        fresh = [row for row in rows if row.state is None]  # single items may have been cancelled meanwhile
        if fresh:
            facts.ensure(work, plan, fresh, now)
        if most > MAX_SENT:
            work.on_commit(self.wake)
        if not rows:
            first = end
        elif newest:
            end = rows[-1].position
        else:
            first = rows[-1].position + 1
        return lifecycle.sent(plan, len(fresh), next_position=first, unsent_end=end)

    async def send_missing(self, work: UnitOfWork, plan: Plan, lost: Collection[UUID], now: datetime) -> Plan:
        """The executor does not know these: send them whole, and what was asked of them; its versions begin anew.

        They are no new tasks: they were counted when they were sent first.
        """
        if plan.ended:
            return plan
        rows = await items.live(work.connection, plan.id, plan.next_position, plan.unsent_end)
        again = [row for row in rows if task_id(plan.id, row.key) in lost]
        if not again:
            return plan
        facts.rules(work, plan, now, again=True)
        facts.ensure(work, plan, again, now)
        self.say_cancels(work, plan, again, now)
        versions = await items.forget(work.connection, plan.id, [row.position for row in again])
        return replace(plan, task_versions=plan.task_versions - versions) if versions else plan

    def say_cancels(self, work: UnitOfWork, plan: Plan, rows: Sequence[Item], now: datetime) -> None:
        """Say again which of these live tasks shall end: all, or those that were cancelled alone."""
        if plan.stop_actor and rows:
            facts.cancel(work, plan, now, kill=plan.stop_kill, by=plan.stop_actor, why=plan.stop_reason)
        for how, mine in items.stopping(rows).items():
            facts.cancel(work, plan, now, mine, kill=how.kill, by=how.actor, why=how.reason)

    async def copy(self, work: UnitOfWork, plan: Plan, now: datetime, *, keys: Sequence[str] = ()) -> Plan:
        """Copy the next failures of the parent; when that was all, start."""
        parent, position = plan.frame.parent, plan.parent_position
        if parent is None or position is None:
            return plan
        most = self.settings.step_items // PAGE_ITEMS * PAGE_ITEMS
        found = await items.failures(work.connection, parent, position, most, keys)
        first = plan.end_position
        rows = [row._replace(plan_id=plan.id, position=first + n, state=None) for n, row in enumerate(found)]
        await items.store(work.connection, rows)
        for n in range(0, len(rows), PAGE_ITEMS):
            page = rows[n : n + PAGE_ITEMS]
            facts.items(work, plan, page[0].position // PAGE_ITEMS + 1, page, now)
            plan = lifecycle.stored(plan, len(page), end_position=page[-1].position + 1)
        if not keys and len(found) == most:
            work.on_commit(self.wake)
            return replace(plan, parent_position=found[-1].position + 1)
        return await self.start(work, replace(plan, parent_position=None), now)

    async def cancel(self, work: UnitOfWork, plan: Plan, now: datetime) -> Plan:
        """End the next items that were never sent."""
        if plan.state is not PlanState.CANCELLING or plan.next_position >= plan.unsent_end:
            return plan
        end = min(plan.next_position + self.settings.step_items, plan.unsent_end)
        gone = await items.cancel_unsent(work.connection, plan.id, plan.next_position, end)
        moved = [Moved(None, TaskState.CANCELLED, gone)] if gone else []
        return lifecycle.count(replace(plan, next_position=end), moved, now)
