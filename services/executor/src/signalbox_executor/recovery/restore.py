"""What follows when this database was restored to a moment ago (`signalbox_chassis.persistence.restore_detection`)."""

from signalbox_chassis.persistence.database import UnitOfWork
from signalbox_executor.store import restore


async def after_restore(work: UnitOfWork, floor: int) -> None:
    """Raise the versions of every task that may still move, and of the engines; the loops publish them."""
    await restore.raise_versions(work, floor)
