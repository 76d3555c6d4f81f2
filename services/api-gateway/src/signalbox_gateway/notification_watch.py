"""Whether the notifier works, seen from outside of it: an alarm that does not need the notifier.

A notifier that is dead, or reads nothing, cannot say so itself. Every gateway looks at its consumer groups in Kafka,
and at messages that are overdue in the read model; one of them posts the alarm to `SIGNALBOX_ALARM_URL`.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import aiohttp
from prometheus_client import Gauge

from signalbox_chassis.persistence.database import Database
from signalbox_chassis.security.egress import AddressRefused
from signalbox_gateway.read_model import notifications
from signalbox_gateway.settings import GatewaySettings

log = logging.getLogger(__name__)
GROUPS: Final = "notifier."
"""What follows the prefix of all groups in the names of the notifier's."""
OVERDUE_FACTOR: Final = 5.0
"""A message may be overdue for so many times the limit: a receiver may have asked for a pause."""
POST_SECONDS: Final = 10.0
_LATE = Gauge("signalbox_notifier_late_seconds", "For how long the notifier reads nothing, or is late with messages")
Groups = Callable[[], Awaitable[list[dict[str, Any]]]]


@dataclass
class NotificationWatch:
    """Looks every few seconds. `groups` gives members and lag of every consumer group."""

    database: Database
    settings: GatewaySettings
    groups: Groups
    _silent_since: float | None = None
    _lags: dict[str, int] | None = None

    async def one_pass(self) -> None:
        """Measure; post when messages begin to be late, and when they are in time again."""
        limit = self.settings.notifications_late_seconds
        silent, problem = await self._silence()
        async with self.database.connection() as connection:
            overdue = await notifications.overdue_seconds(connection)
        late = max(silent, overdue / OVERDUE_FACTOR)
        _LATE.set(late)
        if late > limit:
            problem = problem if silent >= overdue / OVERDUE_FACTOR else f"a message is due for {overdue:.0f} s"
            await self._raise(problem)
        elif late < limit / 2:
            await self._clear()

    async def _silence(self) -> tuple[float, str]:
        """For how long a group has had no member, or unread facts and no progress; and which."""
        ours = self.settings.group_prefix + GROUPS
        known = {one["group"]: one for one in await self.groups() if one["group"].startswith(ours)}
        lags = {name: one["lag"] for name, one in known.items()}
        before, self._lags = self._lags or {}, lags
        absent = sorted(name for name, one in known.items() if not one["members"])
        stuck = sorted(name for name, lag in lags.items() if lag > 0 and lag >= before.get(name, lag + 1))
        now = time.monotonic()
        self._silent_since = (self._silent_since or now) if absent or stuck else None
        if self._silent_since is None:
            return 0.0, ""
        what = "no notifier runs" if absent else "facts are not read"
        return now - self._silent_since, f"{what}: {', '.join(absent or stuck)}"

    async def _raise(self, problem: str) -> None:
        async with self.database.connection() as connection:
            since = await notifications.raise_alarm(connection)
        if since is None:
            return
        log.error("notifications are late: %s", problem)
        if not await self._post(f"Signalbox: notifications are late: {problem}", "system.notifications_late", since):
            async with self.database.connection() as connection:
                await notifications.clear_alarm(connection)  # the next pass tries again, here or at another gateway

    async def _clear(self) -> None:
        async with self.database.connection() as connection:
            since = await notifications.clear_alarm(connection)
        if since is not None:
            log.warning("notifications are in time again")
            await self._post("Signalbox: notifications are in time again", "system.notifications_recovered", since)

    async def _post(self, text: str, kind: str, since: datetime) -> bool:
        """Whether it was taken, or nobody wants it. The text is in Slack's own field."""
        url = self.settings.alarm_url.get_secret_value()
        if not url:
            return True
        body = {"text": text, "type": kind, "since": since.isoformat()}
        try:
            async with (
                asyncio.timeout(POST_SECONDS),
                self.settings.guard().session() as session,
                session.post(url, json=body, allow_redirects=False) as response,
            ):
                if response.status < 300:
                    return True
                log.error("the alarm was answered HTTP %d", response.status)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError, AddressRefused) as error:
            log.error("the alarm cannot be posted: %r", error)
        return False
