"""What the planner does by itself, one pass each: advance plans, query silent tasks, republish unconfirmed rules."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from signalbox_chassis.persistence.database import Database, UnitOfWork
from signalbox_chassis.runtime.isolation import isolate
from signalbox_contracts.states import PlanState
from signalbox_planner import lifecycle, previews
from signalbox_planner.carrier import save_changes
from signalbox_planner.dispatch import Dispatcher, repeat_cancels
from signalbox_planner.effects import PublishRules, QueryTasks
from signalbox_planner.handlers.commands import take_parked_states
from signalbox_planner.lifecycle import with_effect
from signalbox_planner.plan import Plan
from signalbox_planner.settings import PlannerSettings
from signalbox_planner.store import items, plans
from signalbox_planner.store import previews as previews_store

PLANS_A_PASS = 50


@dataclass
class Planning:
    """The loops over one database."""

    database: Database
    settings: PlannerSettings
    dispatcher: Dispatcher

    async def advance(self) -> bool:
        """Send, cancel or copy the next part of every plan that has one; True when there may be more."""
        async with self.database.connection() as connection:
            unfinished = await plans.unfinished(connection, window=self.settings.send_window)
        return await self._each(unfinished, self._advance_plan, "advance")

    async def _each(self, ids: Sequence[UUID], act: Callable[[UUID], Awaitable[bool]], part: str) -> bool:
        """Act on each of these plans; one that cannot be read stops no other. True when any moved."""
        moved = False

        async def one(some: Sequence[UUID]) -> None:
            nonlocal moved
            moved |= await act(some[0])

        for plan_id in ids:
            await isolate([plan_id], one, part=part)
        return moved

    async def _advance_plan(self, plan_id: UUID) -> bool:
        async with self.database.unit_of_work() as work:
            plan = (await plans.locked(work.connection, [plan_id])).get(plan_id)
            if plan is None or plan.ended:
                return False
            now = await plans.transaction_time(work.connection)
            after = await self.dispatcher.copy_failures(work, plan, now)
            after = await self.dispatcher.cancel_unsent(work, after, now)
            after = await self.dispatcher.send(work, after, now)
            if after is plan:
                return False
            await save_changes(work, [after], now)
        return True

    async def reconcile(self) -> bool:
        """Query task state for plans without recent updates."""
        async with self.database.connection() as connection:
            silent = await plans.due_for_query(connection, max_plans=PLANS_A_PASS)
        return await self._each(silent, self._query_plan, "reconcile") and len(silent) == PLANS_A_PASS

    async def _query_plan(self, plan_id: UUID) -> bool:
        async with self.database.unit_of_work() as work:
            plan = (await plans.locked(work.connection, [plan_id])).get(plan_id)
            if plan is not None and not plan.ended:
                await self._query(work, plan)
            await plans.mark_queried(
                work.connection, plan_id, seconds=self.settings.reconcile_seconds,
                max_seconds=self.settings.max_reconcile_seconds,
            )  # fmt: skip
        return True

    async def _query(self, work: UnitOfWork, plan: Plan) -> None:
        now, before = await plans.transaction_time(work.connection), plan
        if plan.state is PlanState.CANCELLING:
            plan = await take_parked_states(work, plan, now)
        live = await items.live(work.connection, plan.id, lifecycle.unsent_ranges(plan))
        if live:
            plan = repeat_cancels(with_effect(plan, QueryTasks(tuple(live))), live)
        if plan is not before:
            await save_changes(work, [plan], now)

    async def stop_overdue(self) -> bool:
        """Stop plans whose time limit has passed."""
        async with self.database.connection() as connection:
            due = await plans.overdue(connection, max_plans=PLANS_A_PASS)
        return await self._each(due, self._time_out, "time limits") and len(due) == PLANS_A_PASS

    async def _time_out(self, plan_id: UUID) -> bool:
        async with self.database.unit_of_work() as work:
            now = await plans.transaction_time(work.connection)
            for plan in (await plans.locked(work.connection, [plan_id])).values():
                await save_changes(work, [lifecycle.time_out(plan, now)], now)
            work.on_commit(self.dispatcher.wake)
        return True

    async def ask_again(self) -> None:
        """Ask again for selections that no executor answered; forget what ended plans occupied."""
        async with self.database.connection() as connection:
            await previews_store.free(connection)
            silent = await previews_store.silent(connection, seconds=self.settings.reconcile_seconds)
        await self._each(silent, self._ask_again, "selections")

    async def _ask_again(self, plan_id: UUID) -> bool:
        async with self.database.unit_of_work() as work:
            plan = (await plans.locked(work.connection, [plan_id])).get(plan_id)
            if plan is not None and plan.state is PlanState.RESOLVING:
                await previews.ask_again(work, plan, await plans.transaction_time(work.connection))
        return True

    async def republish_rules(self) -> bool:
        """Publish rules again that no executor has confirmed, however busy their plans are."""
        async with self.database.connection() as connection:
            due = await plans.unconfirmed(
                connection, seconds=self.settings.reconcile_seconds, max_plans=PLANS_A_PASS
            )  # fmt: skip
        return await self._each(due, self._republish_rules, "rules") and len(due) == PLANS_A_PASS

    async def _republish_rules(self, plan_id: UUID) -> bool:
        async with self.database.unit_of_work() as work:
            plan = (await plans.locked(work.connection, [plan_id])).get(plan_id)
            if plan is not None and plan.rules.published_at is not None:  # else it was confirmed meanwhile
                now = await plans.transaction_time(work.connection)
                repeated = with_effect(plan, PublishRules(repeated=True))
                await save_changes(work, [replace(repeated, rules=replace(plan.rules, published_at=now))], now)
        return True
