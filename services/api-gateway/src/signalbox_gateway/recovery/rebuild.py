"""Rebuild the read model from its owners (`plan.republish`): all of it when empty, one plan when it has gaps.

Each pass looks at what is missing and asks for that, each time twice as late: a question, an answer and a page of an
answer may be lost, and are asked for again. Definitions, keys, operations and their answers are the gateway's own, and
parked messages are kept by no one else here: these are never emptied.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID, uuid4

from signalbox_chassis.persistence.connection import Connection
from signalbox_chassis.persistence.database import Database, UnitOfWork
from signalbox_chassis.runtime.clock import Clock
from signalbox_contracts.messages.operations import PlanRepublish, PlanRepublishData
from signalbox_contracts.messages.states import OperationResultData
from signalbox_contracts.vocabulary import MAX_ITEMS
from signalbox_gateway.definitions.publish import SOURCE
from signalbox_gateway.store import rebuild as store
from signalbox_gateway.store.resend import resend_plans

ACTOR: Final = "service:api-gateway"
ALL_PLANS: Final = "plans:all"
UNKNOWN_QUERIES: Final = (2, 5, 8)
"""At these questions in vain the planner may not know the plan at all: then its requests are said again as well."""


def own_question(data: OperationResultData) -> bool:
    """Whether it answers a question after single plans: what came of it is in the facts, and nobody looks it up."""
    return data.operation == "plan.republish" and data.target != ALL_PLANS


@dataclass
class Rebuild:
    """One pass looks at everything. `answer_seconds` is how long an owner may be silent."""

    database: Database
    clock: Clock
    answer_seconds: float
    _began: bool = False
    _seen: int = 0
    """Tasks that came up to here have had time to be followed by their plan."""
    _newest: int = 0

    async def one_pass(self) -> bool:
        """Ask for what is missing; True while there may be more."""
        async with self.database.unit_of_work() as work:
            if not await store.try_lock(work.connection):
                return False
            await self._all(work)
            seconds, connection = self.answer_seconds, work.connection
            silent = await store.take_silent(connection, answer_seconds=seconds)
            self._ask(work, [(row["id"], row["version"]) for row in silent], items=False, tasks=False)
            ignored = {row["id"]: row["created_at"] for row in silent if row["queries"] in UNKNOWN_QUERIES}
            await resend_plans(connection, ignored)
            gaps = await store.take_incomplete(connection, answer_seconds=seconds)
            strangers = await self._strangers(connection)
            self._ask(work, [(row["id"], row["version"]) for row in gaps], items=True, tasks=True)
            self._ask(work, [(plan, 0) for plan in strangers], items=True, tasks=True)
        return len(silent) == MAX_ITEMS or len(gaps) == MAX_ITEMS

    async def _all(self, work: UnitOfWork) -> None:
        """Ask for every plan there is when there is none here, until all of them are."""
        connection = work.connection
        latest = await store.load_latest(connection, answer_seconds=self.answer_seconds)
        empty = not await store.has_plans(connection)
        first, self._began = not self._began, True
        if latest is None or (empty and (latest["old"] or (first and latest["done_at"] is not None))):
            await self._ask_all(work)
        elif latest["done_at"] is None and latest["plans"] is not None:
            if await store.count_plans(connection) >= int(latest["plans"]):
                await store.finish(connection)
            elif latest["due"]:
                await self._ask_all(work)
        elif latest["done_at"] is None and latest["due"]:
            await self._ask_all(work)

    async def _ask_all(self, work: UnitOfWork) -> None:
        """The planner answers with how many plans there are, so the tasks are asked for apart."""
        operation = uuid4()
        await store.save(work.connection, operation)
        self._publish(work, operation, (), items=True, tasks=False)
        self._publish(work, uuid4(), (), items=False, tasks=True)

    async def _strangers(self, connection: Connection) -> list[UUID]:
        """Plans of which tasks or items came a pass ago, and nothing else since."""
        newest = await store.newest_task(connection)
        plans = await store.plans_without_state(connection, after=self._seen, until=self._newest)
        if len(plans) < MAX_ITEMS:
            self._seen, self._newest = self._newest, newest
        return plans

    def _ask(self, work: UnitOfWork, plans: Sequence[tuple[UUID, int]], *, items: bool, tasks: bool) -> None:
        """Ask for plans, each with the version that is here."""
        if plans:
            versions = tuple(version for _, version in plans)
            self._publish(work, uuid4(), [plan for plan, _ in plans], items=items, tasks=tasks, versions=versions)

    def _publish(self, work: UnitOfWork, operation: UUID, plans: Sequence[UUID], **which: Any) -> None:
        data = PlanRepublishData(operation_id=operation, actor=ACTOR, plan_ids=tuple(plans), **which)
        target = f"plan:{plans[0]}" if plans else ALL_PLANS
        work.publish(
            PlanRepublish.of(data, subject=target, source=SOURCE, time=self.clock.now(), id=operation),
        )
