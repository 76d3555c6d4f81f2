"""Keeps the servers while what stands on them is started: one that ends is started again, and that is reported.

A server that keeps ending is named at once, with its log, instead of everything waiting for it until its time is up.
"""

import time
from collections import Counter
from collections.abc import Mapping
from typing import Final, Protocol

from signalbox_local.errors import CannotContinue, ServerNotReady
from signalbox_local.progress import Reporter

MAX_RESTARTS: Final = 2
"""A server that ends once more than that while `up` waits is given up."""
LOOK_SECONDS: Final = 0.5


class Kept(Protocol):
    """What is needed of a server."""

    def running(self) -> bool: ...
    def launch(self) -> None: ...


class Keeper:
    """The servers of one `up`, by name, and where the log of each is."""

    def __init__(self, servers: Mapping[str, Kept], logs: Mapping[str, str], reporter: Reporter) -> None:
        self._servers, self._logs, self._reporter = servers, logs, reporter
        self._restarts: Counter[str] = Counter()
        self._looked_at = 0.0

    @property
    def restarts(self) -> int:
        """How many servers were started again so far."""
        return self._restarts.total()

    def look(self) -> None:
        """Start again what ended. Raises ServerNotReady, with the name and the log, when one keeps ending."""
        if time.monotonic() - self._looked_at < LOOK_SECONDS:
            return
        self._looked_at = time.monotonic()
        for name, server in self._servers.items():
            if server.running():
                continue
            log = self._logs.get(name, "-")
            if self._restarts[name] >= MAX_RESTARTS:
                raise ServerNotReady(f"{name} keeps ending while the services start; its log is {log}", f"read {log}")
            self._restarts[name] += 1
            self._reporter.report(f"{name} ended while the services start: it is started again; its log is {log}")
            try:
                server.launch()
            except CannotContinue as error:
                raise ServerNotReady(f"{name} ended and does not start: {error.what}", f"read {log}") from error
