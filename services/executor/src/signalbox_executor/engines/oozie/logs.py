"""Oozie's own log of a job. The logs of what an action launched live where it was launched, not here."""

import time
from typing import Final

from signalbox_executor.engines.oozie.handles import parse_handle
from signalbox_executor.engines.oozie.rest import OozieRefused
from signalbox_executor.engines.oozie.server import OozieServer
from signalbox_executor.engines.port import LogPage

KEPT_SECONDS: Final = 5.0
"""Reading a log makes Oozie search its files, so what was read serves the next pages too."""
MAX_KEPT: Final = 32


class LogReader:
    """Pages of the logs of one server."""

    def __init__(self, server: OozieServer) -> None:
        self._server = server
        self._kept: dict[str, tuple[float, bytes]] = {}

    async def page(self, handle: str | None, offset: int, limit: int) -> LogPage:
        """At most `limit` bytes from `offset` on; nothing for a job Oozie does not know."""
        if handle is None:
            return LogPage(offset, b"")
        data = await self._read(str(parse_handle(handle).id))
        return LogPage(offset, data[offset : offset + limit])

    async def _read(self, id: str) -> bytes:
        job, _, action = id.partition("@")
        now = time.monotonic()
        self._kept = {key: kept for key, kept in self._kept.items() if kept[0] > now}
        if id not in self._kept:
            query = {"type_": "action", "scope": action} if action else {}
            data = (await self.show(job, "log", **query)).encode()
            if len(self._kept) < MAX_KEPT:
                self._kept[id] = (now + KEPT_SECONDS, data)
            return data
        return self._kept[id][1]

    async def show(self, job: str, what: str, **query: str) -> str:
        """`log`, `errorlog`, `auditlog`, `definition` or `info` as text; empty for a job Oozie does not know."""
        try:
            return await self._server.rest.text(f"v2/job/{job}", show=what, **query)
        except OozieRefused as refused:
            if refused.unknown:
                return ""
            raise
