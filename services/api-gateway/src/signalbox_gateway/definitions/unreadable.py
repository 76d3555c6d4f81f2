"""Stored definitions that cannot be read: the problem that names one, and the list of all for the status."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from prometheus_client import Gauge

from signalbox_chassis.persistence.connection import Connection
from signalbox_chassis.persistence.database import Database
from signalbox_gateway.definitions import store
from signalbox_gateway.definitions.kinds import KINDS
from signalbox_gateway.http.problems import Problem

CHECK_SECONDS: Final = 5.0
"""How often what was written meanwhile is read: any number of people may look at the status."""
BATCH: Final = 200
"""Definitions that are read at once: other requests get their turn in between."""
MAX_SHOWN: Final = 200
_UNREADABLE = Gauge("signalbox_unreadable_definitions", "Stored definitions that cannot be read, by kind", ["kind"])


def problem_of(error: store.DefinitionUnreadable) -> Problem:
    """The answer to a request that needs this definition, or one of its older versions."""
    place: dict[str, Any] = {"revision": error.revision} if error.version is None else {"version": error.version}
    return Problem("unreadable", str(error), errors=error.problems, kind=error.kind, id=error.id, **place)


@dataclass
class UnreadableDefinitions:
    """Finds the definitions that cannot be read. What was found is kept; a row is read again after it was written."""

    check_seconds: float = CHECK_SECONDS
    _writers: dict[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])
    _found: dict[tuple[str, str], store.DefinitionUnreadable] = field(
        default_factory=dict[tuple[str, str], store.DefinitionUnreadable]
    )
    _checked_at: float = float("-inf")
    _checking: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def check(self, database: Database) -> list[dict[str, Any]]:
        """Those there are, by kind and id: `kind`, `id`, `revision` and the `reason`; `MAX_SHOWN` at most."""
        async with self._checking:
            if time.monotonic() - self._checked_at >= self.check_seconds:
                async with database.connection() as connection:
                    await self._check(connection)
                counted = Counter(kind for kind, _ in self._found)
                for kind in KINDS:
                    _UNREADABLE.labels(kind).set(counted[kind])
                self._checked_at = time.monotonic()
        return [
            {"kind": kind, "id": id, "revision": error.revision, "reason": "; ".join(map(str, error.problems))[:1000]}
            for (kind, id), error in sorted(self._found.items())[:MAX_SHOWN]
        ]

    async def _check(self, connection: Connection) -> None:
        """What was read stays known when this is cancelled: the next check goes on there."""
        writers = await store.writers(connection)
        for name in self._writers.keys() - writers.keys():
            del self._writers[name]
            self._found.pop(name, None)
        changed = [name for name, writer in writers.items() if self._writers.get(name) != writer]
        for start in range(0, len(changed), BATCH):
            await self._read(connection, changed[start : start + BATCH], writers)
            await asyncio.sleep(0)

    async def _read(
        self, connection: Connection, names: Sequence[tuple[str, str]], writers: dict[tuple[str, str], str]
    ) -> None:
        for stored in await store.find_named(connection, names):
            name = stored.kind, stored.id
            self._writers[name] = writers[name]
            self._found.pop(name, None)
            try:
                stored.read()
            except store.DefinitionUnreadable as error:
                self._found[name] = error
