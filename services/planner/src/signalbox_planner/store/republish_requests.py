"""Plans that are to be republished, and how far each is."""

from collections.abc import Sequence
from typing import Final, NamedTuple
from uuid import UUID

from signalbox_chassis.persistence.connection import Connection

_KEEP: Final = """
INSERT INTO republish_request (plan_id, operation_id, items) SELECT unnest($1::uuid[]), $2, $3
ON CONFLICT (plan_id) DO UPDATE
SET operation_id = excluded.operation_id, items = republish_request.items OR excluded.items, page = 1
"""
# plans that still change first, then from the newest back: readers need those first
_KEEP_ALL: Final = """
INSERT INTO republish_request (plan_id, operation_id, items)
SELECT id, $1, $2 FROM plan ORDER BY ended_at IS NOT NULL, created_at DESC
ON CONFLICT (plan_id) DO UPDATE
SET operation_id = excluded.operation_id, items = republish_request.items OR excluded.items, page = 1
"""
_NEXT: Final = "SELECT plan_id, items, page FROM republish_request ORDER BY seq LIMIT 1 FOR UPDATE SKIP LOCKED"


class RepublishRequest(NamedTuple):
    """Republish this plan; with `items` also its items, from this page on."""

    plan_id: UUID
    items: bool
    page: int


async def keep(connection: Connection, plan_ids: Sequence[UUID], operation_id: UUID, *, items: bool) -> int:
    """Keep a request for these plans, or for every plan when none is named; returns how many. A repeat starts over."""
    if plan_ids:
        done = await connection.execute(_KEEP, list(plan_ids), operation_id, items)
    else:
        done = await connection.execute(_KEEP_ALL, operation_id, items)
    return int(done.split()[-1])


async def next_request(connection: Connection) -> RepublishRequest | None:
    """The next request, locked."""
    row = await connection.fetchrow(_NEXT)
    return RepublishRequest(row["plan_id"], row["items"], row["page"]) if row else None


async def advance(connection: Connection, plan_id: UUID, page: int | None) -> None:
    """Continue with this page; None when the plan is republished."""
    if page is None:
        await connection.execute("DELETE FROM republish_request WHERE plan_id = $1", plan_id)
    else:
        await connection.execute("UPDATE republish_request SET page = $2 WHERE plan_id = $1", plan_id, page)
