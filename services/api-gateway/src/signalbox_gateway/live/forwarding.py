"""Forwards one client's WebSocket to a notifier, and ends it when the client may no longer see what it follows."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import aiohttp
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from signalbox_chassis.runtime.tasks import cancel
from signalbox_chassis.security.assertions import sign

log = logging.getLogger(__name__)
ASSERTION: Final = "X-Signalbox-Assertion"
CONNECT_SECONDS: Final = 2.0
CHECK_SECONDS: Final = 2.0
MAX_FRAME_BYTES: Final = 4_194_304
UNAUTHENTICATED: Final = 4401
FORBIDDEN: Final = 4403
RESTARTING: Final = 1012
TRY_LATER: Final = 1013


class NoNotifier(Exception):
    """None of the notifiers takes a client now."""


class Notifiers:
    """The notifiers' live feeds. A client is given to any of them."""

    def __init__(self, urls: Sequence[str], keys: Sequence[bytes]) -> None:
        self.urls, self.keys = urls, keys
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))

    async def stop(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def connect(self, claims: Mapping[str, Any]) -> aiohttp.ClientWebSocketResponse:
        """A connection to one notifier that takes it. Raises `NoNotifier`."""
        if not self.urls or not self.keys or self._session is None:
            raise NoNotifier("no live feed here: set SIGNALBOX_LIVE_URLS and SIGNALBOX_SECRET_KEY")
        headers = {ASSERTION: sign(self.keys, claims)}
        for url in random.sample(self.urls, len(self.urls)):
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    return await self._session.ws_connect(
                        f"{url.rstrip('/')}/live", headers=headers, max_msg_size=MAX_FRAME_BYTES
                    )
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                log.warning("the notifier at %s takes no client: %r", url, error)
        raise NoNotifier("no notifier answers")


async def forward(
    client: WebSocket, notifier: aiohttp.ClientWebSocketResponse, still_allowed: Callable[[], Awaitable[int]],
    take: Callable[[str], Awaitable[bool]],
) -> None:  # fmt: skip
    """Pass messages both ways until one side ends, or `still_allowed` returns a close code.

    `take` handles a client's message here and returns True; others go to the notifier.
    """
    tasks = [
        asyncio.create_task(_from_client(client, notifier, take)),
        asyncio.create_task(_to_client(client, notifier)),
        asyncio.create_task(_check(still_allowed)),
    ]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        code = next((task.result() for task in done if task.exception() is None), RESTARTING)
    finally:
        await cancel(*tasks)
        with suppress(Exception):
            async with asyncio.timeout(1.0):
                await notifier.close()
    if client.client_state is WebSocketState.CONNECTED and code:
        with suppress(Exception):
            async with asyncio.timeout(1.0):
                await client.close(code)


async def _from_client(
    client: WebSocket, notifier: aiohttp.ClientWebSocketResponse, take: Callable[[str], Awaitable[bool]]
) -> int:
    while True:
        try:
            text = await client.receive_text()
        except (WebSocketDisconnect, KeyError, RuntimeError):
            return 0
        if not await take(text):
            await notifier.send_str(text)


async def _to_client(client: WebSocket, notifier: aiohttp.ClientWebSocketResponse) -> int:
    async for message in notifier:
        if message.type is aiohttp.WSMsgType.TEXT:
            await client.send_text(message.data)
    code = notifier.close_code
    return code if code is not None and (code >= 4000 or code == RESTARTING) else RESTARTING


async def _check(still_allowed: Callable[[], Awaitable[int]]) -> int:
    while True:
        await asyncio.sleep(CHECK_SECONDS)
        try:
            code = await still_allowed()
        except Exception as error:  # the database is away: nobody is let in meanwhile, nobody is cut off
            log.warning("a live client cannot be checked: %r", error)
            continue
        if code:
            return code
