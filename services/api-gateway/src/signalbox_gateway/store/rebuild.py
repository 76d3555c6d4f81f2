"""SQL of rebuilding the read model: what is missing, what was asked for, and emptying it."""

from typing import Final
from uuid import UUID

from signalbox_chassis.persistence.connection import Connection, Row
from signalbox_chassis.persistence.state_list import state_list
from signalbox_contracts.states import PLAN_ENDS
from signalbox_contracts.vocabulary import MAX_ITEMS

_ENDS: Final = state_list(PLAN_ENDS)
LIVE_SECONDS: Final = 600.0
"""A plan that goes on is asked after this seldom at most; one that has ended and has gaps, once a day at most."""
DAY_SECONDS: Final = 86_400.0

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


async def try_lock(connection: Connection) -> bool:
    """Whether this gateway is the one that looks, until the transaction ends."""
    return await connection.fetchval(_ALONE)


async def load_latest(connection: Connection, *, answer_seconds: float) -> Row | None:
    """The latest question after all plans, with its answer; None when none was asked."""
    return await connection.fetchrow(_LATEST, answer_seconds)


async def save(connection: Connection, operation: UUID) -> None:
    """Save a question after all plans."""
    await connection.execute(_SAVE_REBUILD, operation)


async def finish(connection: Connection) -> None:
    """Everything that was asked for is here."""
    await connection.execute("UPDATE rebuild SET done_at = now()")


async def has_plans(connection: Connection) -> bool:
    """Whether the planner has published any plan that is here."""
    return await connection.fetchval("SELECT EXISTS (SELECT FROM plan WHERE version > 0)")


async def count_plans(connection: Connection) -> int:
    """How many plans of the planner are here."""
    return await connection.fetchval("SELECT count(*) FROM plan WHERE version > 0")


async def take_silent(connection: Connection, *, answer_seconds: float) -> list[Row]:
    """Live plans without news that are due to be asked after; they count as asked."""
    return await connection.fetch(_SILENT, answer_seconds, LIVE_SECONDS, MAX_ITEMS)


async def take_incomplete(connection: Connection, *, answer_seconds: float) -> list[Row]:
    """Ended plans with gaps that are due to be asked after; they count as asked."""
    return await connection.fetch(_INCOMPLETE, answer_seconds, DAY_SECONDS, MAX_ITEMS)


async def newest_task(connection: Connection) -> int:
    """The place of the newest task in the order of arrival."""
    return await connection.fetchval("SELECT coalesce(max(seq), 0) FROM task")


async def plans_without_state(connection: Connection, *, after: int, until: int) -> list[UUID]:
    """Plans that are not here, of which tasks or items came at these places; 200 at most."""
    return [row["plan_id"] for row in await connection.fetch(_STRANGERS, after, until, MAX_ITEMS)]


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
