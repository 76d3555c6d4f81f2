"""Raises versions and fences after this database was restored from a backup."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from signalbox_chassis.persistence.connection import Connection
from signalbox_chassis.persistence.database import UnitOfWork
from signalbox_executor.store.rows import UNPUBLISHED, with_states

# INVARIANT readers have facts from after the backup: versions go on above the floor, so the present state is newer than
# those facts, and no fact has the id of one they have. What ended stays as it is. Fences given since the backup are not
# given again: a worker that still has one writes nothing. Run keys stay the same: what was submitted since the backup
# is adopted when it is submitted again.
_TASKS: Final = with_states(
    """
UPDATE task t SET version = $1, pending_transitions = {unpublished}, published = false, fence = t.fence + 1000
WHERE t.version < $1
  AND (t.state NOT IN {ended} OR t.ended_at > now() - interval '10 minutes')
""".replace("{unpublished}", UNPUBLISHED)
)
_ENGINES: Final = "UPDATE engine_state SET version = $1, published = 'null' WHERE version < $1"


_AHEAD: Final = """
UPDATE task t SET version = checked_version(t.version, r.version) + 1, pending_transitions = {unpublished},
    published = false
FROM unnest($1::uuid[], $2::bigint[]) AS r (id, version) WHERE t.id = r.id AND t.version < r.version
RETURNING t.id, r.version
""".replace("{unpublished}", UNPUBLISHED)


async def raise_above(connection: Connection, ids: Sequence[UUID], versions: Sequence[int]) -> dict[UUID, int]:
    """Go on above the versions that a reader has and that were never published; which tasks, with the reader's."""
    rows = await connection.fetch(_AHEAD, list(ids), list(versions))
    return {row["id"]: row["version"] for row in rows}


async def raise_versions(work: UnitOfWork, floor: int) -> None:
    """Raise the versions of every task that may still move, and of the engines; the loops publish them."""
    await work.connection.execute(_TASKS, floor, timeout=100)
    await work.connection.execute(_ENGINES, floor)
