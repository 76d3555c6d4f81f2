"""The gateway's routes for launchers alone, on a port of their own: what drivers of tests claim their start at."""

import threading
from types import TracebackType
from typing import Any, Final, Self, cast

import uvicorn

from signalbox_chassis.blobs import Blobs
from signalbox_chassis.runtime.clock import SystemClock
from signalbox_chassis.start_fence import JAR
from signalbox_gateway.http.dependencies import Dependencies
from signalbox_gateway.http.factory import application
from signalbox_gateway.routes import starts
from signalbox_gateway.settings import GatewaySettings
from signalbox_local.ports import free_ports
from support.deadlines import block_until

READY_SECONDS: Final = 30


class ClaimServer:
    """Serves one blob store. It can be stopped and started again on the same port."""

    def __init__(self, blobs_url: str) -> None:
        self._blobs_url = blobs_url
        (self._port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{self._port}"
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    jar_name = JAR.name

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Return when it answers."""
        nothing: Any = None
        settings = cast("GatewaySettings", type("Defaults", (), {"token_cache_seconds": 0.0, "plan_body_bytes": 0}))
        from opentelemetry.trace import NoOpTracer

        deps = Dependencies(
            nothing, nothing, settings, NoOpTracer(), SystemClock(), blobs=Blobs(self._blobs_url)
        )  # fmt: skip
        app = application(deps, [starts.router])
        self._server = uvicorn.Server(
            uvicorn.Config(app, host="127.0.0.1", port=self._port, log_level="warning", lifespan="off")
        )
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        server = self._server
        block_until(lambda: server.started, seconds=READY_SECONDS, why="the claim server does not start")

    def stop(self) -> None:
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(READY_SECONDS)
            self._server = None
