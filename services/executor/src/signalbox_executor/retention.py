"""What the executor deletes past retention: tasks of closed plans, and their logs in the blob store."""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Final
from uuid import UUID

from signalbox_chassis.blobs import Blobs
from signalbox_chassis.persistence.retention import Retention
from signalbox_executor.store import retention

MAX_AT_ONCE: Final = 16


def executor_retention(blobs: Blobs | None) -> Retention:
    """The retention of tasks; without a blob store there are no logs to delete."""
    delete = partial(_delete_logs, blobs) if blobs is not None else None
    return Retention(count=retention.count, prune=partial(retention.prune, delete_logs=delete))


async def _delete_logs(blobs: Blobs, tasks: Sequence[UUID]) -> None:
    at_once = asyncio.Semaphore(MAX_AT_ONCE)

    async def delete(task: UUID) -> None:
        async with at_once:
            await blobs.delete_folder(f"logs/{task}")

    await asyncio.gather(*(delete(task) for task in tasks))
