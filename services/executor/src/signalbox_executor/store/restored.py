"""What follows when this database was restored to a moment ago (`signalbox_chassis.persistence.restore_detection`)."""

from typing import Final

from signalbox_chassis.persistence.database import UnitOfWork
from signalbox_executor.store.rows import UNSAID

# INVARIANT whatever was said of a task since the backup is older than what is said from now on: its readers take the
# present state for news, and no fact has the id of one they have heard. What ended is as it was. A fence that was given
# since the backup is not given again: a worker that still has it writes nothing. The keys of runs stay the same: what
# was submitted since the backup is adopted when it is submitted again.
_TASKS: Final = """
UPDATE task t SET version = $1, moves = {unsaid}, said = false, fence = t.fence + 1000
WHERE t.version < $1
  AND (t.state NOT IN ('SUCCEEDED', 'FAILED', 'CANCELLED') OR t.ended_at > now() - interval '10 minutes')
""".replace("{unsaid}", UNSAID)
_ENGINES: Final = "UPDATE engine_state SET version = $1, said = 'null' WHERE version < $1"


async def after_restore(work: UnitOfWork, floor: int) -> None:
    """Raise the versions of every task that may still move, and of the engines; the loops say them."""
    await work.connection.execute(_TASKS, floor, timeout=100)
    await work.connection.execute(_ENGINES, floor)
