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
from signalbox_chassis.persistence.state_list import state_list
from signalbox_chassis.runtime.clock import Clock
from signalbox_contracts.messages.operations import PlanRepublish, PlanRepublishData
from signalbox_contracts.messages.states import OperationResultData
from signalbox_contracts.states import PLAN_ENDS
from signalbox_contracts.vocabulary import MAX_ITEMS
from signalbox_gateway.definitions.publish import SOURCE
from signalbox_gateway.recovery.resend import resend_plans

ACTOR: Final = "service:api-gateway"
_ENDS: Final = state_list(PLAN_ENDS)
ALL_PLANS: Final = "plans:all"
LIVE_SECONDS: Final = 600.0
"""A plan that goes on is asked after this seldom at most; one that has ended and has gaps, once a day at most."""
UNKNOWN_QUERIES: Final = (2, 5, 8)
"""At these questions in vain the planner may not know the plan at all: then its requests are said again as well."""

# One gateway at a time is enough; nobody waits for the lock.
_ALONE: Final = "SELECT pg_try_advisory_xact_lock(hashtextextended(current_schema() || '/rebuild', 0))"
_LATEST: Final = """
SELECT r.operation_id, r.queries, r.done_at, a.details::jsonb ->> 'plans' AS plans,
    r.queried_at + $1 * interval '1 second' * least(2 ^ r.queries, 1440) < now() AS due,
    r.queried_at + $1 * 10 * interval '1 second' < now() AS old
FROM rebuild r LEFT JOIN operation_answer a USING (operation_id)
"""
_SAVE_REBUILD: Final = """
INSERT INTO rebuild AS r (operation_id) VALUES ($1)
ON CONFLICT (single) DO UPDATE SET operation_id = $1, queried_at = now(), done_at = NULL,
    queries = CASE WHEN r.done_at IS NULL THEN r.queries + 1 ELSE 1 END
"""
# Both are looked at by the index of plans that are not complete. A live plan is silent when neither news nor an answer
# came; of one that has ended something is missing.
_ASK_AFTER: Final = """
UPDATE plan SET queried_at = now(), queries = queries + 1
WHERE id IN (
    SELECT id FROM plan WHERE NOT complete AND version > 0 AND state {which} {ends}
      AND greatest(reported_at, queried_at) + least($1 * 2 ^ queries, $2) * interval '1 second' < now()
    ORDER BY reported_at LIMIT $3 FOR UPDATE SKIP LOCKED)
RETURNING id, created_at, queries, version
"""
_SILENT: Final = _ASK_AFTER.replace("{which}", "NOT IN").replace("{ends}", _ENDS)
_INCOMPLETE: Final = _ASK_AFTER.replace("{which}", "IN").replace("{ends}", _ENDS)
# Facts of tasks and items that came, and none of their plan. `seq` is the order of arrival.
_STRANGERS: Final = """
SELECT DISTINCT t.plan_id FROM task t
WHERE t.seq > $1 AND t.seq <= $2 AND NOT EXISTS (SELECT FROM plan p WHERE p.id = t.plan_id AND p.version > 0)
LIMIT $3
"""
_EMPTY: Final = ("plan_page", "task", "task_event", "task_attempt", "engine_state")


def own_question(data: OperationResultData) -> bool:
    """Whether it answers a question after single plans: what came of it is in the facts, and nobody looks it up."""
    return data.operation == "plan.republish" and data.target != ALL_PLANS


async def empty(connection: Connection) -> int:
    """Empty the read model, and have the owners asked for all of it; how many plans there were.

    A plan the planner has not answered for is the gateway's own and stays.
    """
    async with connection.transaction():
        await connection.execute("SET LOCAL statement_timeout = 0")
        await connection.execute(f"TRUNCATE {', '.join(_EMPTY)}", timeout=600)
        await connection.execute("DELETE FROM plan_event WHERE version > 0", timeout=600)
        gone = await connection.execute("DELETE FROM plan WHERE version > 0", timeout=600)
        await connection.execute("DELETE FROM rebuild")
    return int(gone.split()[-1])


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
            if not await work.connection.fetchval(_ALONE):
                return False
            await self._all(work)
            seconds, connection = self.answer_seconds, work.connection
            silent = await connection.fetch(_SILENT, seconds, LIVE_SECONDS, MAX_ITEMS)
            self._ask(work, [(row["id"], row["version"]) for row in silent], items=False, tasks=False)
            ignored = {row["id"]: row["created_at"] for row in silent if row["queries"] in UNKNOWN_QUERIES}
            await resend_plans(connection, ignored)
            gaps = await connection.fetch(_INCOMPLETE, seconds, 86_400.0, MAX_ITEMS)
            strangers = await self._strangers(connection)
            self._ask(work, [(row["id"], row["version"]) for row in gaps], items=True, tasks=True)
            self._ask(work, [(plan, 0) for plan in strangers], items=True, tasks=True)
        return len(silent) == MAX_ITEMS or len(gaps) == MAX_ITEMS

    async def _all(self, work: UnitOfWork) -> None:
        """Ask for every plan there is when there is none here, until all of them are."""
        connection = work.connection
        latest = await connection.fetchrow(_LATEST, self.answer_seconds)
        here: int = await connection.fetchval("SELECT count(*) FROM (SELECT FROM plan WHERE version > 0 LIMIT 1) p")
        first, self._began = not self._began, True
        if latest is None or (not here and (latest["old"] or (first and latest["done_at"] is not None))):
            await self._ask_all(work)
        elif latest["done_at"] is None and latest["plans"] is not None:
            here = await connection.fetchval("SELECT count(*) FROM plan WHERE version > 0")
            if here >= int(latest["plans"]):
                await connection.execute("UPDATE rebuild SET done_at = now()")
            elif latest["due"]:
                await self._ask_all(work)
        elif latest["done_at"] is None and latest["due"]:
            await self._ask_all(work)

    async def _ask_all(self, work: UnitOfWork) -> None:
        """The planner answers with how many plans there are, so the tasks are asked for apart."""
        operation = uuid4()
        await work.connection.execute(_SAVE_REBUILD, operation)
        self._publish(work, operation, (), items=True, tasks=False)
        self._publish(work, uuid4(), (), items=False, tasks=True)

    async def _strangers(self, connection: Connection) -> list[UUID]:
        """Plans of which tasks or items came a pass ago, and nothing else since."""
        newest: int = await connection.fetchval("SELECT coalesce(max(seq), 0) FROM task")
        rows = await connection.fetch(_STRANGERS, self._seen, self._newest, MAX_ITEMS)
        if len(rows) < MAX_ITEMS:
            self._seen, self._newest = self._newest, newest
        return [row["plan_id"] for row in rows]

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
