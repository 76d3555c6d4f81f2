"""What follows when this database was restored to an earlier moment."""

from typing import Final
from uuid import uuid4

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


async def raise_versions(work: UnitOfWork, floor: int) -> None:
    """Raise the versions of every plan that may still change, and republish it."""
    await work.connection.execute(_RAISE, floor, uuid4(), timeout=100)
