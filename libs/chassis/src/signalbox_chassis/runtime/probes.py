"""`/livez`, `/readyz` and `/metrics`: all the HTTP a service other than the gateway speaks."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from signalbox_chassis.observability.logs import redact

log = logging.getLogger(__name__)
Check = Callable[[], Awaitable[str]]
"""Returns why the service is not ready, or an empty string."""


class Probes:
    """The probe server of one process. Liveness is that this coroutine runs at all; readiness asks every check."""

    def __init__(self, host: str, port: int, checks: Mapping[str, Check], *, check_seconds: float = 3.0) -> None:
        self._host, self._port = host, port
        self._checks = checks
        self._check_seconds = check_seconds
        self._runner: web.AppRunner | None = None
        self.address = ""

    async def start(self) -> None:
        app = web.Application()
        app.add_routes([web.get("/livez", _livez), web.get("/readyz", self._readyz), web.get("/metrics", _metrics)])
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.address = f"http://{host}:{port}"
        log.info("probes at %s", self.address)

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def not_ready(self) -> dict[str, str]:
        """Each failing check with its reason."""
        results = {name: await self._ask(check) for name, check in self._checks.items()}
        return {name: why for name, why in results.items() if why}

    async def _ask(self, check: Check) -> str:
        try:
            async with asyncio.timeout(self._check_seconds):
                return await check()
        except Exception as error:
            return redact(f"{type(error).__name__}: {error}")[:300]

    async def _readyz(self, _: web.Request) -> web.Response:
        reasons = await self.not_ready()
        return web.json_response({"ready": not reasons, "reasons": reasons}, status=503 if reasons else 200)


async def _livez(_: web.Request) -> web.Response:
    return web.json_response({"alive": True, "monotonic_seconds": time.monotonic()})


async def _metrics(_: web.Request) -> web.Response:
    return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})
