"""Takes the hints that runs changed, and has these runs polled before their engine's next pass."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from signalbox_chassis.persistence.database import Database
from signalbox_contracts.definitions.engine import OozieConnection
from signalbox_executor.membership import Membership
from signalbox_executor.store import hints

MAX_HINTS: Final = 500
"""Runs of one pass."""


@dataclass
class HintTaker:
    """Takes what was kept about the engines that this worker observes, or could."""

    database: Database
    member: Membership
    poll_soon: Callable[[str, Sequence[UUID]], None]
    """Polls these tasks of an engine now, then less and less often (`Observer.recorded`)."""

    async def one_pass(self) -> bool:
        """Take one batch; True if there may be more. Costs nothing where no engine gives hints."""
        engines = [
            engine.id for engine in self.member.registered.values() if _gives_hints(engine.definition.connection)
        ]
        if not engines:
            return False
        async with self.database.connection() as connection:
            found = await hints.take(connection, engines, self.member.id, limit=MAX_HINTS)
        for engine_id, tasks in found.items():
            self.poll_soon(engine_id, tasks)
        return sum(map(len, found.values())) == MAX_HINTS


def _gives_hints(connection: object) -> bool:
    return isinstance(connection, OozieConnection) and connection.notification_url is not None
