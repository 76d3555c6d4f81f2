"""How late the notifier is; reports it through channels that are not late."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from prometheus_client import Gauge

from signalbox_chassis.messaging.consumer import Consumer
from signalbox_chassis.persistence.database import Database
from signalbox_chassis.runtime.watchdog import lag_of
from signalbox_notifier.notices import Notice, PlanSummary
from signalbox_notifier.settings import NotifierSettings
from signalbox_notifier.store import deliveries
from signalbox_notifier.telling import Telling

log = logging.getLogger(__name__)
FACTS: Final = "facts"
MAX_CATCH_UP_SECONDS: Final = 20.0
_LATE = Gauge("signalbox_notification_lag_seconds", "How long the oldest due message, or the oldest unread fact, waits")


@dataclass
class CatchUp:
    """Whether the facts that came while this process did not run were read. It waits for that for 20 s at most."""

    consumers: Callable[[], Mapping[str, Consumer]]
    _began: float = 0.0
    _done: bool = False

    async def is_done(self) -> bool:
        if not self._done:
            self._began = self._began or time.monotonic()
            consumer = self.consumers().get(FACTS)
            is_assigned = consumer is not None and bool(consumer.assignment())
            has_read = consumer is not None and is_assigned and await lag_of(consumer) == 0
            self._done = has_read or time.monotonic() - self._began > MAX_CATCH_UP_SECONDS
            return False  # what was fetched last is handled before the next pass
        return True


@dataclass
class Lateness:
    """Measures how late this notifier is. Late channels are named in a message to the others, once."""

    database: Database
    settings: NotifierSettings
    telling: Telling
    consumers: Callable[[], Mapping[str, Consumer]]
    wake: Callable[[], None]
    """Runs the sending pass at once."""
    _behind_since: float | None = None

    async def one_pass(self) -> None:
        """Measure, and say so when it begins and when it is over."""
        unread = await self._unread_seconds()
        limit = self.settings.notifications_late_seconds
        async with self.database.unit_of_work() as work:
            late = await deliveries.lateness(work.connection)
            worst = max([unread, *late.values()])
            _LATE.set(worst)
            if worst > limit:
                since = await deliveries.raise_late_alarm(work.connection)
                if since is not None:
                    channels = {id: seconds for id, seconds in late.items() if seconds > limit}
                    log.error("notifications are %.0f s late: %s", worst, ", ".join(channels) or "facts are not read")
                    notice = late_notice(channels, unread, since)
                    await self.telling.tell(work.connection, [notice], except_channels=frozenset(channels))
                    work.on_commit(self.wake)
            elif worst < limit / 2 and await deliveries.clear_late_alarm(work.connection):
                log.warning("notifications are in time again")

    async def _unread_seconds(self) -> float:
        consumer = self.consumers().get(FACTS)
        behind = consumer is not None and (await lag_of(consumer) or 0) > 0
        now = time.monotonic()
        self._behind_since = (self._behind_since or now) if behind else None
        return now - self._behind_since if self._behind_since is not None else 0.0


def late_notice(channels: Mapping[str, float], unread_seconds: float, since: datetime) -> Notice:
    """What is late, by how much."""
    worst = max([unread_seconds, *channels.values()])
    named = ", ".join(f"{id} ({seconds:.0f} s)" for id, seconds in sorted(channels.items())[:20])
    text = f"channels: {named}" if named else f"facts are not read for {unread_seconds:.0f} s"
    return Notice(
        event_id=f"notifications-late:{since.isoformat()}", type="system.notifications_late", severity="error",
        title=f"Notifications are {worst:.0f} s late", text=text, at=since, plan=PlanSummary(UUID(int=0), "Signalbox"),
        details={"channels": {id: round(seconds, 1) for id, seconds in channels.items()}},
    )  # fmt: skip
