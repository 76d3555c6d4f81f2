"""The live feed: events of plans as they happen. A connection that breaks off is made again, and no event is missed.

Of each followed plan the last sequence is kept: the feed goes on after it, at whichever notifier.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from signalbox_client.api import BASE, Api, Refused, Unreachable, object_of
from signalbox_client.reconnect import AWAY_STATUSES, Reconnect

PROTOCOL: Final = Subprotocol("signalbox.v1")
UNAUTHENTICATED: Final = 4401
FORBIDDEN: Final = 4403
MAX_BYTES: Final = 4_194_304


@dataclass
class Feed:
    """One subscription, kept up over as many connections as it takes."""

    api: Api
    plan: str | None = None
    after: int | None = None
    filter: dict[str, Any] = field(default_factory=dict[str, Any])
    _reconnect: Reconnect = field(default_factory=Reconnect)
    _renewed: bool = False

    def events(self, *, give_up_at: float | None = None) -> Iterator[dict[str, Any]]:
        """Events in the order of their plan. `{"snapshot_needed": …}` comes where events are not kept any more.

        Of one plan also `{"subscribed": …}`, each time the feed begins to send: nothing after `newest` has happened.

        Ends at `give_up_at` (monotonic). Raises `Refused`, `Unreachable`.
        """
        self._reconnect = Reconnect(give_up_at)
        while give_up_at is None or time.monotonic() < give_up_at:
            try:
                yield from self._connection(give_up_at)
            except ConnectionClosed as error:
                code = error.rcvd.code if error.rcvd else 0
                self._end_when_refused(code)
                self._reconnect.failed(Unreachable(f"the live feed keeps closing (code {code})"))
            except InvalidStatus as error:
                away = Unreachable(f"the live feed answers HTTP {error.response.status_code}")
                if error.response.status_code not in AWAY_STATUSES:
                    raise away from None
                self._reconnect.failed(away)
            except (OSError, UnicodeError, WebSocketException) as error:  # no route, no name of a host, no WebSocket
                self._reconnect.failed(Unreachable(f"the live feed does not answer: {error}"))

    def _connection(self, give_up_at: float | None) -> Iterator[dict[str, Any]]:
        headers = {"Authorization": f"Bearer {self.api.bearer}"}
        with connect(
            _address(self.api.url), additional_headers=headers, subprotocols=[PROTOCOL], max_size=MAX_BYTES,
            proxy=None, open_timeout=10, close_timeout=1,
        ) as socket:  # fmt: skip
            subscribe: dict[str, Any] = {"id": "watch", "filter": self.filter}
            if self.plan is not None:
                subscribe |= {"plan": self.plan, **({"after": self.after} if self.after is not None else {})}
            socket.send(json.dumps({"subscribe": subscribe}))
            while give_up_at is None or time.monotonic() < give_up_at:
                try:
                    message = object_of(socket.recv(timeout=1.0))
                except TimeoutError:
                    continue
                if message is None:
                    raise Unreachable("the live feed sends no messages of Signalbox: is the address right?")
                yield from self._read(message)

    def _read(self, message: dict[str, Any]) -> Iterator[dict[str, Any]]:
        if "refused" in message:
            problem = message["refused"]
            raise Refused(403 if problem["type"].endswith("/forbidden") else 422, problem)
        for name in ("subscribed", "snapshot_needed"):
            if name in message:
                self._reconnect.answered()
                self._renewed = False
                self.after = message[name]["sequence"] if self.plan is not None else None
        if "snapshot_needed" in message or ("subscribed" in message and self.plan is not None):
            yield message
        for event in message.get("events", ()):
            if self.plan is not None:
                if self.after is not None and event["sequence"] <= self.after:
                    continue
                self.after = event["sequence"]
            yield event

    def _end_when_refused(self, code: int) -> None:
        if code == UNAUTHENTICATED:
            if self._renewed or not self.api.renewed():
                raise Refused(401, {"type": "/problems/unauthenticated", "detail": "a valid token is needed"})
            self._renewed = True
        if code == FORBIDDEN:
            raise Refused(403, {"type": "/problems/forbidden", "detail": "the live feed needs plan.read"})


def _address(url: str) -> str:
    parts = urlsplit(url.rstrip("/"))
    scheme = "wss" if parts.scheme == "https" else "ws"
    return urlunsplit((scheme, parts.netloc, f"{parts.path}{BASE}/ws", "", ""))
