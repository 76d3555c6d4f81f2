"""A proxy before the real Airflow that is away, slow, answers 500 to half of the calls, or whose clock is wrong."""

import asyncio
import random
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from typing import Final, Literal
from urllib.parse import quote, unquote

import aiohttp
from aiohttp import web
from yarl import URL

Mode = Literal["well", "away", "slow", "half"]
HOP_BY_HOP: Final = frozenset({"host", "content-length", "transfer-encoding", "connection"})
_INSTANT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)")


def moved(text: str, by: timedelta) -> str:
    """The text with every instant in it this much later."""
    return _INSTANT.sub(lambda found: (datetime.fromisoformat(found[0]) + by).isoformat(), text)


class SickProxy:
    """Passes calls on as its `mode` says. Of the calls it fails every second one reached Airflow all the same."""

    def __init__(self, upstream: str) -> None:
        self.mode: Mode = "well"
        self.url = ""
        self.calls = 0
        self.clock_off = timedelta()
        """How far the clock of this Airflow is before that of the machine."""
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
        path, body = request.raw_path, await request.read()
        if self.clock_off:
            headers["Accept-Encoding"] = "identity"  # a compressed answer could not be moved
            place, mark, query = path.partition("?")
            parts = [name + "=" + quote(moved(unquote(value), -self.clock_off)) for name, value in _pairs(query)]
            path, body = place + mark + "&".join(parts), moved(body.decode(), -self.clock_off).encode()
        async with self._session.request(
            request.method, URL(self._upstream + path, encoded=True), data=body, headers=headers
        ) as answer:
            kept = {name: value for name, value in answer.headers.items() if name.lower() not in HOP_BY_HOP}
            content = await answer.read()
            if self.clock_off:
                content = moved(content.decode(), self.clock_off).encode()
                date = parsedate_to_datetime(answer.headers["Date"]) + self.clock_off  # uvicorn writes `date`
                kept = {name: value for name, value in kept.items() if name.lower() != "date"}
                kept["Date"] = format_datetime(date, usegmt=True)
            return web.Response(status=answer.status, body=content, headers=kept)


def _pairs(query: str) -> list[tuple[str, str]]:
    return [(name, value) for part in query.split("&") if part for name, _, value in [part.partition("=")]]
