"""A proxy before the real Airflow that is away, slow, or answers 500 to half of the calls."""

import asyncio
import random
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final, Literal

import aiohttp
from aiohttp import web

Mode = Literal["well", "away", "slow", "half"]
HOP_BY_HOP: Final = frozenset({"host", "content-length", "transfer-encoding", "connection"})


class SickProxy:
    """Passes calls on as its `mode` says. Of the calls it fails every second one reached Airflow all the same."""

    def __init__(self, upstream: str) -> None:
        self.mode: Mode = "well"
        self.url = ""
        self.calls = 0
        self._upstream = upstream
        self._recovered = asyncio.Event()
        self._failed = 0
        self._random = random.Random(1)

    def become(self, mode: Mode) -> None:
        """Change how calls are treated from now on; those that hang are let go."""
        self.mode = mode
        self._recovered.set()
        self._recovered = asyncio.Event()

    @asynccontextmanager
    async def serving(self) -> AsyncGenerator["SickProxy"]:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/{tail:.*}", self._handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        async with aiohttp.ClientSession(auto_decompress=False) as self._session:
            try:
                yield self
            finally:
                self.become("well")
                await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.calls += 1
        mode = self.mode
        if mode == "away":
            assert request.transport is not None
            request.transport.abort()
            raise ConnectionResetError
        if mode == "slow":
            await self._recovered.wait()
        if mode == "half" and self._random.random() < 0.5:
            self._failed += 1
            if self._failed % 2:
                await self._pass_on(request)
            return web.Response(status=500, text="Internal Server Error")
        return await self._pass_on(request)

    async def _pass_on(self, request: web.Request) -> web.Response:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP}
        body = await request.read()
        async with self._session.request(
            request.method, self._upstream + request.raw_path, data=body, headers=headers
        ) as answer:
            kept = {name: value for name, value in answer.headers.items() if name.lower() not in HOP_BY_HOP}
            return web.Response(status=answer.status, body=await answer.read(), headers=kept)
