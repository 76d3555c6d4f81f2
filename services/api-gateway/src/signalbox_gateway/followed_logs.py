"""Asks the executor to store the log of an attempt every 2 s while somebody looks at it."""

import time
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID, uuid4

from signalbox_chassis.persistence.database import Database
from signalbox_contracts.messages.operations import LogsFollow, LogsFollowData

FOLLOW_SECONDS: Final = 60.0
"""For how long one request asks."""


async def follow(database: Database, task: dict[str, Any], attempt: int, actor: str) -> None:
    """Ask for the log of this attempt of a task, as the API shows tasks."""
    data = LogsFollowData(
        operation_id=uuid4(), actor=actor, plan_id=UUID(task["plan_id"]), task_id=UUID(task["id"]), attempt=attempt,
        for_seconds=FOLLOW_SECONDS,
    )  # fmt: skip
    event = LogsFollow.of(
        data, subject=f"task:{data.task_id}", source="signalbox/api-gateway", time=datetime.now(UTC),
        id=data.operation_id,
    )  # fmt: skip
    async with database.unit_of_work() as work:
        work.publish(event)


class FollowedLogs:
    """Which logs this gateway has just asked for: whoever looks every few seconds asks once in most of that time."""

    def __init__(self) -> None:
        self._until: dict[tuple[str, int], float] = {}

    async def keep(self, database: Database, task: dict[str, Any], actor: str) -> None:
        """Ask for the log of the present attempt, unless that was just done."""
        now, key = time.monotonic(), (task["id"], task["attempt"])
        if self._until.get(key, 0.0) > now:
            return
        self._until = {one: until for one, until in self._until.items() if until > now}
        self._until[key] = now + FOLLOW_SECONDS * 0.8
        await follow(database, task, task["attempt"], actor)
