"""Workers: one lease row per executor process, renewed while it lives, never again once it ran out.

Locks of two worker rows are taken in id order, else two workers that take each other over deadlock.
"""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from signalbox_chassis.persistence.connection import Connection, Row
from signalbox_chassis.persistence.restore_detection import REPLAY_COMPLETE
from signalbox_chassis.runtime import crash_points
from signalbox_executor.store.rows import COLUMNS, with_states

_REGISTER: Final = """
INSERT INTO worker (id, host_id, lease_until) VALUES ($1, $2, clock_timestamp() + $3 * interval '1 second')
"""

# INVARIANT a lease that ran out is never renewed: whoever finds it so has dropped out, and takes a new id.
_RENEW: Final = """
UPDATE worker SET lease_until = clock_timestamp() + $2 * interval '1 second'
WHERE id = $1 AND NOT dead AND lease_until > clock_timestamp()
RETURNING id
"""

# INVARIANT locked, not only looked at: without the lock a worker that is just declared dead could claim afterwards,
# and nobody would sweep it again. FOR SHARE conflicts with the FOR UPDATE of a take-over.
_IS_LIVE: Final = """
SELECT id FROM worker WHERE id = $1 AND NOT dead AND lease_until > clock_timestamp() FOR SHARE
"""

_LOCK_VICTIM: Final = """
SELECT id FROM worker WHERE id = $1 AND (dead OR lease_until < clock_timestamp()) FOR UPDATE
"""

_EXPIRED: Final = with_states(
    """
SELECT w.id FROM worker w
WHERE w.id <> $1 AND CASE WHEN w.dead
  THEN EXISTS (SELECT FROM task t WHERE t.owner = w.id AND t.state IN {owned})
  ELSE w.lease_until < clock_timestamp() END
  AND {replay_complete}
ORDER BY w.lease_until LIMIT 10
""".replace("{replay_complete}", REPLAY_COMPLETE)
)

_RETIRE: Final = "UPDATE worker SET lease_until = clock_timestamp() WHERE id = $1 AND NOT dead"

_MARK_DEAD: Final = "UPDATE worker SET dead = true WHERE id = $1"

# INVARIANT fence + 1: everything the victim still has on its way is stale from here on. CLAIMED and SUBMITTING only:
# what runs has no owner.
_TAKE: Final = with_states("""
UPDATE task SET owner = $1, fence = fence + 1 WHERE owner = $2 AND state IN {owned}
RETURNING id
""")

# INVARIANT nothing is sent of rows that were restored before what came since is read again.
# INVARIANT a worker finds its own rows again that no coroutine of its submits: the answer of a commit was lost, and its
# own live lease would keep the row from everybody else for ever. It submits them under the row's own fence.
_OWN: Final = with_states(
    """
SELECT {columns}, t.spec::text AS spec FROM task t
WHERE t.owner = $1 AND t.state IN {owned} AND t.id <> ALL ($2::uuid[]) AND {replay_complete}
ORDER BY t.id LIMIT $3
""".replace("{columns}", COLUMNS).replace("{replay_complete}", REPLAY_COMPLETE)
)

_REACHES: Final = "UPDATE worker SET reaches = $2 WHERE id = $1 AND reaches <> $2"

_PRUNE: Final = with_states("""
DELETE FROM worker w WHERE w.dead AND w.lease_until < clock_timestamp() - interval '1 day'
  AND NOT EXISTS (SELECT FROM task t WHERE t.owner = w.id AND t.state IN {owned})
""")


async def register(connection: Connection, worker: UUID, *, host_id: str, lease_seconds: float) -> None:
    await connection.execute(_REGISTER, worker, host_id, lease_seconds)


async def renew(connection: Connection, worker: UUID, *, lease_seconds: float) -> bool:
    """False: this id is over. Drop all work and take a new one."""
    return await connection.fetchval(_RENEW, worker, lease_seconds) is not None


async def reach(connection: Connection, worker: UUID, engine_ids: Sequence[str]) -> None:
    """Say which engines this worker can talk to."""
    await connection.execute(_REACHES, worker, sorted(engine_ids))


async def retire(connection: Connection, worker: UUID) -> None:
    """End one's own lease now, so that what is left need not wait for its end."""
    await connection.execute(_RETIRE, worker)


async def is_live(connection: Connection, worker: UUID) -> bool:
    """Whether this worker lives, and keep it so until the transaction ends."""
    return await connection.fetchval(_IS_LIVE, worker) is not None


async def expired(connection: Connection, me: UUID) -> list[UUID]:
    """Workers that may be taken over."""
    return [row["id"] for row in await connection.fetch(_EXPIRED, me)]


async def take_over(connection: Connection, me: UUID, victim: UUID) -> list[UUID] | None:
    """Declare a worker dead and take what it claimed; None if it lives after all, or if this worker does not."""
    locked = [
        await (is_live(connection, me) if id == me else _lock_victim(connection, victim)) for id in sorted((me, victim))
    ]
    if not all(locked):
        return None
    await connection.execute(_MARK_DEAD, victim)
    crash_points.point("executor.taking_over")
    return [row["id"] for row in await connection.fetch(_TAKE, me, victim)]


async def _lock_victim(connection: Connection, victim: UUID) -> bool:
    return await connection.fetchval(_LOCK_VICTIM, victim) is not None


async def own_rows(connection: Connection, me: UUID, *, submitting: Sequence[UUID], limit: int) -> list[Row]:
    """Rows of this worker that no coroutine submits, as `claim.claim_of` reads them."""
    return await connection.fetch(_OWN, me, list(submitting), limit)


async def prune(connection: Connection) -> None:
    """Forget workers that are dead for a day and own nothing."""
    await connection.execute(_PRUNE)
