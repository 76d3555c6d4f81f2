"""What follows when this database was restored to an earlier moment."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID, uuid4

from signalbox_chassis.persistence.connection import Connection
from signalbox_chassis.persistence.database import UnitOfWork

# INVARIANT every fact published since the backup, and every version of the rules an executor has taken since, is older
# than what is published from now on. States are republished under the raised version, rules until they are confirmed,
# and the executors are queried for every task.
_RAISE: Final = """
WITH raised AS (
    UPDATE plan SET version = $1, published_version = $1,
        rules_version = CASE WHEN ended_at IS NULL THEN $1 ELSE rules_version END,
        rules_published_at = CASE WHEN ended_at IS NULL AND started_at IS NOT NULL THEN now() - interval '1 hour'
                                  ELSE rules_published_at END, query_at = now()
    WHERE version < $1 AND (ended_at IS NULL OR ended_at > now() - interval '10 minutes')
    RETURNING id
)
INSERT INTO republish_request (plan_id, operation_id, items) SELECT id, $2, true FROM raised
ON CONFLICT (plan_id) DO UPDATE SET items = true, page = 1
"""


# A task's versions are the executor's: only the plan's own are raised.
_AHEAD: Final = """
UPDATE plan p SET version = checked_version(p.version, r.version) + 1,
    published_version = checked_version(p.version, r.version) + 1
FROM unnest($1::uuid[], $2::bigint[]) AS r (id, version) WHERE p.id = r.id AND p.version < r.version
RETURNING p.id, r.version
"""


async def raise_above(connection: Connection, ids: Sequence[UUID], versions: Sequence[int]) -> dict[UUID, int]:
    """Go on above the versions that a reader has and that were never published; which plans, with the reader's."""
    rows = await connection.fetch(_AHEAD, list(ids), list(versions))
    return {row["id"]: row["version"] for row in rows}


async def raise_versions(work: UnitOfWork, floor: int) -> None:
    """Raise the versions of every plan that may still change, and republish it."""
    await work.connection.execute(_RAISE, floor, uuid4(), timeout=100)
