"""What follows when this database was restored to a moment ago (`signalbox_chassis.persistence.restore_detection`)."""

from typing import Final
from uuid import uuid4

from signalbox_chassis.persistence.database import UnitOfWork

# INVARIANT whatever was said of a plan since the backup, and whichever rules an executor has taken since, is older than
# what is said from now on. The state is told again under the raised version; rules are said until they are confirmed;
# the executors are asked how every task is.
_RAISE: Final = """
WITH raised AS (
    UPDATE plan SET version = $1, said_version = $1,
        rules_version = CASE WHEN ended_at IS NULL THEN $1 ELSE rules_version END,
        rules_said_at = CASE WHEN ended_at IS NULL AND started_at IS NOT NULL THEN now() - interval '1 hour'
                             ELSE rules_said_at END, ask_at = now()
    WHERE version < $1 AND (ended_at IS NULL OR ended_at > now() - interval '10 minutes')
    RETURNING id
)
INSERT INTO tell (plan_id, operation_id, items) SELECT id, $2, true FROM raised
ON CONFLICT (plan_id) DO UPDATE SET items = true, page = 1
"""


async def after_restore(work: UnitOfWork, floor: int) -> None:
    """Raise the versions of every plan that may still move, and say it again."""
    await work.connection.execute(_RAISE, floor, uuid4(), timeout=100)
