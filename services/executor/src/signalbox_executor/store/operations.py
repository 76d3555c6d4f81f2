"""Operations that take longer than a message may: kept until they are answered, by whichever replica gets to them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from signalbox_chassis.persistence.connection import Connection, Row
from signalbox_contracts.messages.operations import EngineTest, LogsFollow, PlanRepublish

_KEEP: Final = """
INSERT INTO operation (id, kind, event_id, target, traceparent, engine_id, revision, plan_ids)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (id) DO NOTHING
"""

# Only the tests that can be made now: the definition was seen, and it is this worker that reaches the engine; or that
# can be answered without one: there is no such engine, or nobody reaches it for longer than a restart takes.
_TESTS: Final = """
SELECT o.*, now() AS at, e.id IS NOT NULL AND NOT e.deleted AS known, o.engine_id = ANY ($1) AS reached
FROM operation o LEFT JOIN engine e ON e.id = o.engine_id
WHERE o.kind = 'engine.test' AND o.revision <= (SELECT revision FROM seen)
  AND (e.id IS NULL OR e.deleted OR o.engine_id = ANY ($1)
       OR (o.requested_at < now() - interval '15 seconds' AND NOT EXISTS (
             SELECT FROM worker w WHERE NOT w.dead AND w.lease_until > now() AND o.engine_id = ANY (w.reaches))))
ORDER BY o.requested_at LIMIT 10
"""

# INVARIANT whoever removes the row answers, in the same transaction: one answer.
_DONE: Final = "DELETE FROM operation WHERE id = $1 RETURNING id"

_NEXT_REPUBLISH: Final = """
SELECT *, now() AS at FROM operation WHERE kind = 'plan.republish' ORDER BY requested_at LIMIT 1 FOR UPDATE SKIP LOCKED
"""

_ADVANCE_REPUBLISH: Final = """
UPDATE operation SET plan_ids = $2, after_plan = $3, after = $4, republished = republished + $5 WHERE id = $1
"""

_FOLLOW: Final = """
INSERT INTO log_follow AS f (task_id, attempt, until_at)
SELECT id, $2, now() + $3 * interval '1 second' FROM task WHERE id = $1 AND attempt >= $2
ON CONFLICT (task_id, attempt) DO UPDATE SET until_at = GREATEST(f.until_at, excluded.until_at)
RETURNING until_at
"""

_FORGET: Final = "DELETE FROM log_follow WHERE until_at < now() - interval '1 hour'"


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation under way, and what its answer needs."""

    id: UUID
    kind: str
    event_id: str
    target: str
    traceparent: str | None
    requested_at: datetime
    at: datetime
    """The database's time when this was read."""


@dataclass(frozen=True, slots=True)
class ConnectionTest:
    """A connection to try."""

    operation: Operation
    engine_id: str
    known: bool
    reached: bool


@dataclass(frozen=True, slots=True)
class Republish:
    """Plans whose tasks are to be republished: the first one from the task behind `after` on.

    No plan at all is every plan there is: from the task behind (`after_plan`, `after`) on.
    """

    operation: Operation
    plan_ids: Sequence[UUID]
    after_plan: UUID
    after: UUID
    republished: int


async def save_test(connection: Connection, event: EngineTest, traceparent: str | None) -> None:
    data, target = event.data, event.subject or ""
    await connection.execute(
        _KEEP, data.operation_id, "engine.test", event.id, target, traceparent, data.engine_id,
        data.definitions_revision, None,
    )  # fmt: skip


async def save_republish(connection: Connection, event: PlanRepublish, traceparent: str | None) -> None:
    data, target = event.data, event.subject or ""
    await connection.execute(
        _KEEP, data.operation_id, "plan.republish", event.id, target, traceparent, None, None, list(data.plan_ids)
    )  # fmt: skip


async def tests(connection: Connection, reached: Sequence[str]) -> list[ConnectionTest]:
    """The tests that can be made or answered now by a worker that reaches these engines."""
    rows = await connection.fetch(_TESTS, list(reached))
    return [ConnectionTest(_operation(row), row["engine_id"], bool(row["known"]), bool(row["reached"])) for row in rows]


async def next_republish(connection: Connection) -> Republish | None:
    """The oldest plan.republish nobody else works on, locked until the transaction ends."""
    row = await connection.fetchrow(_NEXT_REPUBLISH)
    return (
        Republish(_operation(row), row["plan_ids"], row["after_plan"], row["after"], row["republished"])
        if row
        else None
    )


async def advance_republish(
    connection: Connection, operation: UUID, rest: Sequence[UUID], *, after_plan: UUID, after: UUID, count: int
) -> None:
    """Remember how far the republishing is."""
    await connection.execute(_ADVANCE_REPUBLISH, operation, list(rest), after_plan, after, count)


async def done(connection: Connection, operation: UUID) -> bool:
    """The operation is over; False if another replica has answered it already."""
    return await connection.fetchval(_DONE, operation) is not None


async def follow(connection: Connection, event: LogsFollow) -> datetime | None:
    """Store the log of an attempt more often; returns until when, None if there is no such attempt."""
    data = event.data
    return await connection.fetchval(_FOLLOW, data.task_id, data.attempt, data.for_seconds)


async def forget_follows(connection: Connection) -> None:
    """Follows that are long over."""
    await connection.execute(_FORGET)


def _operation(row: Row) -> Operation:
    return Operation(**{name: row[name] for name in Operation.__dataclass_fields__})
