"""What the planner does by itself, one pass each: go on with what is unfinished, ask after the silent, tell again."""

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from signalbox_chassis.persistence.database import Database, UnitOfWork
from signalbox_planner import facts
from signalbox_planner.dispatch import Steps
from signalbox_planner.lifecycle import PAGE_ITEMS, Plan
from signalbox_planner.settings import PlannerSettings
from signalbox_planner.store import items, plans, republish_requests

PAGES_A_PASS = 20


@dataclass
class Planning:
    """The loops over one database."""

    database: Database
    settings: PlannerSettings
    steps: Steps

    async def go_on(self) -> bool:
        """Send, cancel or copy the next part of every plan that has something left; True if there may be more."""
        async with self.database.connection() as connection:
            found = await plans.unfinished(connection, window=self.settings.send_window)
        progress = False
        for plan_id in found:
            progress |= await self._step(plan_id)
        return progress

    async def _step(self, plan_id: UUID) -> bool:
        async with self.database.unit_of_work() as work:
            plan = (await plans.locked(work.connection, [plan_id])).get(plan_id)
            if plan is None or plan.ended:
                return False
            now = await _now(work)
            after = await self.steps.copy(work, plan, now)
            after = await self.steps.cancel(work, after, now)
            after = await self.steps.send(work, after, now)
            if after is plan:
                return False
            if after.ended:
                facts.rules(work, after, now)
            await plans.save(work.connection, facts.say(work, [after], now))
        return True

    async def ask(self) -> bool:
        """Ask after the tasks of plans nobody spoke of."""
        async with self.database.connection() as connection:
            due = await plans.unheard(connection, most=50)
        for plan_id in due:
            async with self.database.unit_of_work() as work:
                plan = (await plans.locked(work.connection, [plan_id])).get(plan_id)
                if plan is not None and not plan.ended:
                    await self._ask(work, plan)
                await plans.asked(
                    work.connection, plan_id, seconds=self.settings.ask_seconds,
                    max_seconds=self.settings.ask_max_seconds,
                )  # fmt: skip
        return len(due) == 50

    async def _ask(self, work: UnitOfWork, plan: Plan) -> None:
        now = await _now(work)
        rows = await items.live(work.connection, plan.id, plan.next_position, plan.unsent_end)
        facts.ask(work, plan, rows, now)
        self.steps.say_cancels(work, plan, rows, now)

    async def repeat_rules(self) -> bool:
        """Say rules again that no executor confirmed, however busy their plans are."""
        async with self.database.connection() as connection:
            due = await plans.unconfirmed(connection, seconds=self.settings.ask_seconds, most=50)
        for plan_id in due:
            async with self.database.unit_of_work() as work:
                plan = (await plans.locked(work.connection, [plan_id])).get(plan_id)
                if plan is None or plan.rules_said_at is None:
                    continue  # confirmed meanwhile
                now = await _now(work)
                facts.rules(work, plan, now, again=True)
                await plans.save(work.connection, [replace(plan, rules_said_at=now)])
        return len(due) == 50

    async def tell(self) -> bool:
        """Say the next part of a plan that somebody wants to hear again."""
        async with self.database.unit_of_work() as work:
            told = await republish_requests.following(work.connection)
            if told is None:
                return False
            plan = (await plans.locked(work.connection, [told.plan_id])).get(told.plan_id)
            if plan is None:
                await republish_requests.advance(work.connection, told.plan_id, None)
                return True
            now = await _now(work)
            if told.page == 1:
                facts.told(work, plan, now, await plans.moves(work.connection, plan.id))
            last = facts.pages_of(plan.end_position)
            end = min(told.page + PAGES_A_PASS, last + 1) if told.items else last + 1
            if told.items:
                first = (told.page - 1) * PAGE_ITEMS
                rows = await items.page(work.connection, plan.id, first, (end - 1) * PAGE_ITEMS)
                for number in range(told.page, end):
                    mine = [row for row in rows if row.position // PAGE_ITEMS == number - 1]
                    facts.items(work, plan, number, mine, now, again=True)
            await republish_requests.advance(work.connection, told.plan_id, end if end <= last else None)
        return True


async def _now(work: UnitOfWork) -> datetime:
    return await work.connection.fetchval("SELECT now()")
