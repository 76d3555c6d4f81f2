"""Hints of engines that runs changed, on their way to the executor. Out: runs.observe.

A hint is worth one early look at a run. So they are gathered and sent a few times a second, each run once, and are
lost with the process: the executor polls as if there were none.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final
from uuid import uuid4

from signalbox_chassis.persistence.database import Database
from signalbox_contracts.messages.operations import RunsObserve, RunsObserveData
from signalbox_contracts.vocabulary import MAX_ITEMS
from signalbox_gateway.definitions.publish import SOURCE

SEND_SECONDS: Final = 0.2
MAX_WAITING: Final = 10_000
"""Runs that wait to be sent; what comes beyond is dropped."""
MAX_A_MINUTE: Final = 60
"""Hints about one run: a workflow gives a handful in its life."""


@dataclass
class RunHints:
    """The hints that this gateway has taken."""

    database: Database
    _waiting: dict[str, dict[str, None]] = field(default_factory=dict[str, "dict[str, None]"])
    _taken: dict[str, int] = field(default_factory=dict[str, int])
    _minute: int = 0

    def take(self, engine_id: str, run_key: str, now: datetime) -> bool:
        """Keep a hint; False when there were too many about this run within a minute."""
        minute = int(now.timestamp()) // 60
        if minute != self._minute:
            self._taken, self._minute = {}, minute
        taken = self._taken[run_key] = self._taken.get(run_key, 0) + 1
        if taken > MAX_A_MINUTE:
            return False
        if sum(map(len, self._waiting.values())) < MAX_WAITING:
            self._waiting.setdefault(engine_id, {})[run_key] = None
        return True

    async def send(self) -> None:
        """Send what waits."""
        waiting, self._waiting = self._waiting, {}
        for engine_id, runs in waiting.items():
            keys = list(runs)
            async with self.database.unit_of_work() as work:
                for first in range(0, len(keys), MAX_ITEMS):
                    work.publish(_message(engine_id, tuple(keys[first : first + MAX_ITEMS])))


def _message(engine_id: str, run_keys: tuple[str, ...]) -> RunsObserve:
    target = f"engine:{engine_id}"
    data = RunsObserveData(operation_id=uuid4(), actor=target, engine_id=engine_id, run_keys=run_keys)
    return RunsObserve.of(data, subject=target, source=SOURCE, time=datetime.now(UTC), id=data.operation_id)
