"""Republishes plans whose facts a reader lost, page by page (`plan.republish`)."""

from dataclasses import replace
from datetime import datetime
from uuid import uuid4

from signalbox_chassis.persistence.database import Database, UnitOfWork
from signalbox_planner import facts
from signalbox_planner.effects import PublishItems
from signalbox_planner.plan import PAGE_ITEMS, Plan
from signalbox_planner.store import items, plans, republish_requests
from signalbox_planner.store.republish_requests import RepublishRequest

PAGES_A_PASS = 20


class Republisher:
    """One pass publishes the next part of one requested plan, under event ids of its own."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def one_pass(self) -> bool:
        """Republish the next part; False when nothing is requested."""
        async with self._database.unit_of_work() as work:
            request = await republish_requests.next_request(work.connection)
            if request is None:
                return False
            plan = (await plans.locked(work.connection, [request.plan_id])).get(request.plan_id)
            next_page = None if plan is None else await _republish(work, plan, request)
            await republish_requests.advance(work.connection, request.plan_id, next_page)
        return True


async def _republish(work: UnitOfWork, plan: Plan, request: RepublishRequest) -> int | None:
    """Publish one part; the page where the next part begins, None after the last."""
    now = await plans.transaction_time(work.connection)
    with facts.in_trace(plan):
        if request.page == 1:
            made = await plans.transitions(work.connection, plan.id)
            facts.publish_plan(work, replace(plan, transitions=made, answered=()), now, id=uuid4())
        return await _republish_items(work, plan, request.page, now) if request.items else None


async def _republish_items(work: UnitOfWork, plan: Plan, first: int, now: datetime) -> int | None:
    last = facts.pages_of(plan.dispatch.end_position)
    end = min(first + PAGES_A_PASS, last + 1)
    rows = await items.page(work.connection, plan.id, (first - 1) * PAGE_ITEMS, (end - 1) * PAGE_ITEMS)
    for number in range(first, end):
        page = tuple(row for row in rows if row.position // PAGE_ITEMS == number - 1)
        facts.publish_items(work, plan, PublishItems(number, page, repeated=True), now)
    return end if end <= last else None
