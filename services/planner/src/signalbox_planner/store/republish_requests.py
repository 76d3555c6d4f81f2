"""Plans that are to be told again, page by page."""

from collections.abc import Sequence
from typing import Final, NamedTuple
from uuid import UUID

from signalbox_chassis.persistence.connection import Connection

_KEEP: Final = """
INSERT INTO tell (plan_id, operation_id, items) SELECT unnest($1::uuid[]), $2, $3
ON CONFLICT (plan_id) DO UPDATE SET operation_id = excluded.operation_id, items = tell.items OR excluded.items, page = 1
"""
# what still moves first, then from the newest back: that is what people look at
_KEEP_ALL: Final = """
INSERT INTO tell (plan_id, operation_id, items)
SELECT id, $1, $2 FROM plan ORDER BY ended_at IS NOT NULL, created_at DESC
ON CONFLICT (plan_id) DO UPDATE SET operation_id = excluded.operation_id, items = tell.items OR excluded.items, page = 1
"""


class Tell(NamedTuple):
    """Say this plan again, its items from this page on."""

    plan_id: UUID
    items: bool
    page: int


async def keep(connection: Connection, plan_ids: Sequence[UUID], operation_id: UUID, *, items: bool) -> int:
    """Remember what was asked, no plan at all meaning every one; asked again, it begins anew. How many there are."""
    if plan_ids:
        done = await connection.execute(_KEEP, list(plan_ids), operation_id, items)
    else:
        done = await connection.execute(_KEEP_ALL, operation_id, items)
    return int(done.split()[-1])


async def following(connection: Connection) -> Tell | None:
    """The next one, locked."""
    row = await connection.fetchrow("SELECT plan_id, items, page FROM tell ORDER BY seq LIMIT 1 FOR UPDATE SKIP LOCKED")
    return Tell(row["plan_id"], row["items"], row["page"]) if row else None


async def advance(connection: Connection, plan_id: UUID, page: int | None) -> None:
    """Go on with this page; None when all was said."""
    if page is None:
        await connection.execute("DELETE FROM tell WHERE plan_id = $1", plan_id)
    else:
        await connection.execute("UPDATE tell SET page = $2 WHERE plan_id = $1", plan_id, page)
