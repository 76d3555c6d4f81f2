"""A proxy before a real server that keeps chosen requests under way: they arrive when it lets them go.

A request it holds arrives even if its sender has died meanwhile. It runs in a thread of its own, as the tests that use
it block their event loops.
"""

import asyncio
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from ssl import create_default_context
from typing import Final, Self

import aiohttp
from aiohttp import web
from yarl import URL

START_SECONDS: Final = 30
HOP_BY_HOP: Final = frozenset({"host", "content-length", "transfer-encoding", "connection"})


class HoldingProxy:
    """Passes everything on, streams too. `held` names a part of the paths whose writes wait."""

    def __init__(self, upstream: str, authority: Path | None = None) -> None:
        """`upstream` is its scheme, host and port; `authority` the certificates it is trusted by, with https."""
        self.url = ""
        self._upstream = upstream
        self._authority = authority
        self._held = ""
        self._open = asyncio.Event()
        self._open.set()
        self._loop = asyncio.new_event_loop()
        self._serves = threading.Event()
        self._ends = asyncio.Event()
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._serve()), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._serves.wait(START_SECONDS), "the proxy does not serve"
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._ends.set)
        self._thread.join(START_SECONDS)

    @contextmanager
    def holding(self, part: str) -> Generator[None]:
        """Inside, writes whose path has this part are under way."""
        self._held = part
        self._loop.call_soon_threadsafe(self._open.clear)
        try:
            yield
        finally:
            self._loop.call_soon_threadsafe(self._open.set)

    async def _serve(self) -> None:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/{tail:.*}", self._handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        trusted = create_default_context(cafile=str(self._authority)) if self._authority else True
        connector = aiohttp.TCPConnector(ssl=trusted, limit=0)
        timeout = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=False) as self._session:
            self._serves.set()
            await self._ends.wait()
            await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP}
        body = await request.read()
        if request.method != "GET" and self._held in request.path:
            await self._open.wait()
        url = URL(self._upstream + request.raw_path, encoded=True)
        async with self._session.request(request.method, url, data=body or None, headers=headers) as answer:
            kept = {name: value for name, value in answer.headers.items() if name.lower() not in HOP_BY_HOP}
            response = web.StreamResponse(status=answer.status, headers=kept)
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
            await response.write_eof()
            return response
