"""Keeps a wave of logins from taking the event loop from all other requests."""

import asyncio
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from signalbox_gateway.identity.passwords import MAX_WAITING

PATHS: Final = frozenset({"/api/v1/auth/login", "/api/v1/auth/register"})
AT_ONCE: Final = MAX_WAITING + 2
"""As many as may wait for a hash, and two that are read or answered meanwhile."""


class LoginGate:
    """ASGI middleware: of the requests that bring a password so many are worked on, and the others wait their turn.

    Without it 200 that come at once are all read, checked and refused in turns with every other request, which then
    takes as long as all of them together. Nobody has a turn while their body is awaited: one that comes slowly or never
    keeps no one out.
    """

    def __init__(self, app: ASGIApp, at_once: int = AT_ONCE) -> None:
        self._app = app
        self._turns = asyncio.Semaphore(at_once)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] not in PATHS:
            await self._app(scope, receive, send)
            return

        async def receive_without_a_turn() -> Message:
            self._turns.release()
            try:
                return await receive()
            finally:
                await self._turns.acquire()

        async with self._turns:
            await self._app(scope, receive_without_a_turn, send)
