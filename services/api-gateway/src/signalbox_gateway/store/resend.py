"""SQL of resending: what nobody has answered, and rows of the outbox that are sent once more."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Final
from uuid import UUID

from signalbox_chassis.persistence.connection import Connection, Row

MAX_RESENT: Final = 200
"""Plans, and operations, that one transaction resends."""

# A plan the planner has not answered for.
_UNANSWERED_PLANS: Final = f"""
UPDATE plan SET queried_at = now(), queries = queries + 1
WHERE id IN (
    SELECT id FROM plan WHERE version = 0
      AND coalesce(queried_at, created_at) + least($1 * 2 ^ queries, 600) * interval '1 second' < now()
    ORDER BY created_at LIMIT {MAX_RESENT} FOR UPDATE SKIP LOCKED)
RETURNING id, created_at
"""  # noqa: S608
_AGAIN: Final = """
UPDATE outbox SET sent_at = NULL
WHERE day = ANY($1::date[]) AND topic = 'requests.v1' AND key = ANY($2::bytea[]) AND sent_at IS NOT NULL
"""
# Operations that nobody has answered, each after a wait that doubles, so that those without an answer do not displace
# newer ones. A log is followed for a minute only: a later request would follow a log that nobody reads.
_UNANSWERED: Final = f"""
UPDATE operation SET resent_at = now(), resends = resends + 1
WHERE id IN (
    SELECT o.id FROM operation o
    WHERE o.requested_at > now() - interval '1 hour'
      AND coalesce(o.resent_at, o.requested_at) + $1 * 2 ^ o.resends * interval '1 second' < now()
      AND o.operation <> 'logs.follow' AND NOT EXISTS (SELECT FROM operation_answer a WHERE a.operation_id = o.id)
    ORDER BY o.requested_at LIMIT {MAX_RESENT} FOR UPDATE SKIP LOCKED)
RETURNING target, requested_at
"""  # noqa: S608
_COMMAND_AGAIN: Final = """
UPDATE outbox SET sent_at = NULL
WHERE day = $1 AND topic IN ('requests.v1', 'operations.v1') AND key = $2 AND sent_at IS NOT NULL
  AND created_at >= $3::timestamptz AND created_at < $3::timestamptz + interval '10 seconds'
"""


# A transaction's rows have its time or a later one; none takes two seconds to commit; else it is only published twice.
_KNOWN: Final = """
SELECT (SELECT count(*) FROM definition WHERE NOT deleted) AS known,
    least(now(), (SELECT min(created_at) FROM outbox WHERE topic = 'definitions.v1' AND sent_at IS NULL))
    - interval '2 seconds' AS before
"""


async def take_unanswered_plans(connection: Connection, *, seconds: float) -> dict[UUID, datetime]:
    """Plans the planner has not answered for that are due, by when they were made; they count as resent."""
    rows = await connection.fetch(_UNANSWERED_PLANS, seconds)
    return {row["id"]: row["created_at"] for row in rows}


async def take_unanswered_operations(connection: Connection, *, seconds: float) -> list[Row]:
    """Target and time of operations without an answer that are due; they count as resent."""
    return await connection.fetch(_UNANSWERED, seconds)


async def resend_command(connection: Connection, target: str, requested_at: datetime) -> None:
    """Send the command of an operation once more."""
    key = target.removeprefix("plan:").encode()
    await connection.execute(_COMMAND_AGAIN, requested_at.date(), key, requested_at)


async def resend_plans(connection: Connection, plans: Mapping[UUID, datetime]) -> None:
    """Send everything that was asked about these plans once more; by when they were made."""
    if not plans:
        return
    first, today = min(plans.values()).date(), await connection.fetchval("SELECT (now() AT TIME ZONE 'UTC')::date")
    days = [
        date.fromordinal(day) for day in range(max(first.toordinal(), today.toordinal() - 7), today.toordinal() + 1)
    ]
    await connection.execute(_AGAIN, days, [str(plan).encode() for plan in plans])


async def count_definitions(connection: Connection) -> tuple[int, datetime]:
    """How many definitions there are, and since when there may be some that the relay has not sent yet."""
    row = await connection.fetchrow(_KNOWN)
    assert row is not None
    return row["known"], row["before"]
