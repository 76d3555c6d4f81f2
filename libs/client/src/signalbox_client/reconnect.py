"""Keeps commands that wait going while the gateway is away: an upgrade restarts it.

Reads are repeated, and a POST under its `Idempotency-Key`. A PUT or DELETE is sent as `Api` sends it.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from signalbox_client.api import NOT_NOW, Api, Refused, RepeatedCursor, UnexpectedAnswer, Unreachable
from signalbox_client.output import echo

RECONNECT_SECONDS: Final = 300.0
"""How long the gateway may be away where no `--timeout` is given."""
READ_SECONDS: Final = 30.0
"""Limit of one read. A long poll takes at most 10 s of it."""
_FIRST_NOTICE_SECONDS: Final = 2.0
_NOTICE_SECONDS: Final = 10.0
_MAX_PAUSE_SECONDS: Final = 5.0
AWAY_STATUSES: Final = (502, 503, 504)
"""What a proxy answers while the gateway behind it is away, and a gateway whose database is."""


def is_away(error: Exception) -> bool:
    """Whether the same call may be answered later."""
    if isinstance(error, Refused):
        return error.status in AWAY_STATUSES or error.slug in NOT_NOW
    return isinstance(error, Unreachable) and not isinstance(error, UnexpectedAnswer | RepeatedCursor)


class Reconnect:
    """Decides how long to keep trying, and says so on stderr.

    `give_up_at` (monotonic) is the end of the command's own `--timeout`; None is `RECONNECT_SECONDS` of every outage.
    """

    def __init__(self, give_up_at: float | None = None, notice: Callable[[str], None] = echo) -> None:
        self._give_up_at = give_up_at
        self._notice = notice
        self._away_since: float | None = None
        self._noticed_at: float | None = None
        self._failures = 0

    def failed(self, error: Exception) -> None:
        """Pause before the next try. Raises the error when it is of another kind, or the time is over."""
        if not is_away(error):
            raise error
        now = time.monotonic()
        since = self._away_since = now if self._away_since is None else self._away_since
        end = since + RECONNECT_SECONDS if self._give_up_at is None else self._give_up_at
        if now >= end:
            if self._noticed_at is not None:
                self._notice(f"gateway not reachable since {now - since:.0f} s; giving up")
            raise error
        due = since + _FIRST_NOTICE_SECONDS if self._noticed_at is None else self._noticed_at + _NOTICE_SECONDS
        if now >= due:
            self._notice(f"gateway not reachable since {now - since:.0f} s; trying again ({error})")
            self._noticed_at = now
        self._failures += 1
        time.sleep(min(2 ** min(self._failures, 5) / 5, _MAX_PAUSE_SECONDS, end - now))

    def connected(self) -> None:
        """The gateway is there: the time of the next outage begins with it."""
        if self._noticed_at is not None and self._away_since is not None:
            self._notice(f"gateway reachable again after {time.monotonic() - self._away_since:.0f} s")
        self._away_since = self._noticed_at = None

    def answered(self) -> None:
        """What it sends is good: the next pause is short again."""
        self.connected()
        self._failures = 0


def patient(api: Api, reconnect: Reconnect) -> Api:
    """The same API, for waiting: `reconnect` decides after each try."""
    return replace(api, seconds=READ_SECONDS, retries=lambda: reconnect)
