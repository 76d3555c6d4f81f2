"""The HTTP server as a part of the service: started after the consumers, stopped before them."""

import asyncio
import logging
import socket
from contextlib import contextmanager
from typing import Any, Final, cast

import uvicorn

from signalbox_gateway.http.protocol import BoundedProtocol

log = logging.getLogger(__name__)
DRAIN_SECONDS: Final = 5
_LOOK_SECONDS: Final = 0.005


class _Server(uvicorn.Server):
    """Signals stay the service's own."""

    @contextmanager
    def capture_signals(self):
        yield


class ApiServer:
    """uvicorn in the service's own event loop."""

    def __init__(
        self, app: Any, host: str, port: int, *, certificate: str = "", key: str = "", max_connections: int = 2000
    ) -> None:
        """`certificate` and `key` are PEM files; without them the listener speaks plain HTTP."""
        self._tls = {"ssl_certfile": certificate, "ssl_keyfile": key} if certificate else {}
        self._protocol: Any = type("Protocol", (BoundedProtocol,), {"max_connections": max_connections})
        self._app = app
        self._host, self._port = host, port
        self._server: uvicorn.Server | None = None
        self._serving: asyncio.Task[None] | None = None
        self.address = ""

    async def start(self) -> None:
        """Return when the port answers. Raises `OSError` when it is taken."""
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        listening = socket.create_server((self._host, self._port), backlog=2048, family=family)
        config = uvicorn.Config(
            self._app, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=DRAIN_SECONDS,
            server_header=False, date_header=False, timeout_keep_alive=75, http=self._protocol,
            ws="websockets-sansio", ws_max_size=65_536, ws_ping_interval=20.0, ws_ping_timeout=20.0,
            **cast("Any", self._tls),
        )  # fmt: skip
        server = self._server = _Server(config)
        self._serving = asyncio.create_task(server.serve(sockets=[listening]), name="api server")
        while not server.started and not self._serving.done():  # noqa: ASYNC110 -- uvicorn has no event for it
            await asyncio.sleep(_LOOK_SECONDS)
        if self._serving.done():
            await self._serving
        host = f"[{self._host}]" if family is socket.AF_INET6 else self._host
        self.address = f"{'https' if self._tls else 'http'}://{host}:{listening.getsockname()[1]}"
        log.info("API at %s", self.address)

    async def stop(self) -> None:
        """Let requests in flight end, for a few seconds."""
        if self._server is None or self._serving is None:
            return
        self._server.should_exit = True
        await asyncio.shield(self._serving)
        self._server = None
