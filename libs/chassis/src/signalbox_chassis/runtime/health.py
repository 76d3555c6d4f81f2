"""Publishes what keeps failing in this process (`service.state`): nobody needs to look at each `/readyz` to see it."""

import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final
from uuid import uuid4

from prometheus_client import Counter

from signalbox_chassis.persistence.database import Database
from signalbox_chassis.runtime.clock import Clock
from signalbox_chassis.runtime.isolation import storable
from signalbox_contracts.messages.states import ServiceRecord, ServiceStated, Trouble

AGAIN_SECONDS: Final = 30.0
"""How often troubles are published again: a process that died says nothing more, and is forgotten after a while."""
_RESTATED: Final = Counter("signalbox_restated_total", "Versions of readers that this service never published")


Restated = Callable[[str, int], None]
"""Notes that a reader had this version of something, which its owner never published."""


class Health:
    """The health of one process. `restate` is called by an owner whose reader is ahead of it."""

    def __init__(self, service: str, database: Database, clock: Clock) -> None:
        self._service, self._database, self._clock = service, database, clock
        self.instance = uuid4().hex
        self.troubles: Callable[[], Mapping[str, str]] = dict
        self._published = ServiceRecord(service=service, instance="", version=0)
        self._published_at = 0.0
        self._restated, self._last = 0, ""

    def restate(self, what: str, reader: int) -> None:
        """A reader has a version of this that was never published: versions go on above it."""
        self._restated += 1
        self._last = f"{what}: a reader had version {reader}, which was never published"
        _RESTATED.inc()

    async def publish(self) -> None:
        """One pass: publish what changed, and troubles again after a while."""
        record = ServiceRecord(
            service=self._service, instance=self.instance, version=self._published.version + 1,
            troubles=tuple(
                Trouble(part=storable(part)[:255], reason=storable(reason)[:2000])
                for part, reason in list(self.troubles().items())[:100]
            ),
            restated=self._restated, last_restated=self._last[:2000],
        )  # fmt: skip
        before, again = self._published, time.monotonic() - self._published_at >= AGAIN_SECONDS
        same = (record.troubles, record.restated) == (before.troubles, before.restated)
        if same and not (again and record.troubles):
            return
        now: datetime = self._clock.now()
        name = self._service
        event = ServiceStated.of(record, subject=f"service:{name}", source=f"signalbox/{name}", time=now, id=uuid4())
        async with self._database.unit_of_work() as work:
            work.publish(event)
        self._published, self._published_at = record, time.monotonic()
