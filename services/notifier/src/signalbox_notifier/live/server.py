"""The WebSocket server of the live feed. Gateways forward clients here, each with a signed assertion of who it is.

The gateway has authenticated the client and says which projects it may see; it cuts the connection when that changes.
"""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from aiohttp import WSMsgType, web
from pydantic import ValidationError

from signalbox_chassis.persistence.database import Database
from signalbox_chassis.runtime.tasks import cancel
from signalbox_chassis.security.assertions import AssertionRefused, verify
from signalbox_contracts.definitions.problems import problems_in
from signalbox_contracts.live import Filter, Request, Subscribe
from signalbox_notifier.live.client import MAX_FOLLOWING, RESTARTING, SLOW, Client, Following
from signalbox_notifier.live.hub import Hub

log = logging.getLogger(__name__)
COALESCE_SECONDS: Final = 0.05
HEARTBEAT_SECONDS: Final = 20.0
SEND_SECONDS: Final = 10.0
"""A client that takes nothing for so long is slow."""
MAX_MESSAGE_BYTES: Final = 65_536
ASSERTION: Final = "X-Signalbox-Assertion"


class LiveServer:
    """A part of the service: listens for gateways."""

    def __init__(self, hub: Hub, database: Database, keys: Sequence[bytes], host: str, port: int) -> None:
        self.hub, self.database, self.keys = hub, database, keys
        self._host, self._port = host, port
        self._runner: web.AppRunner | None = None
        self._open: set[web.WebSocketResponse] = set()
        self.address = ""

    async def start(self) -> None:
        app = web.Application()
        app.add_routes([web.get("/livez", _livez), web.get("/live", self._serve)])
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port, backlog=2048).start()
        host, port = self._runner.addresses[0][:2]
        self.address = f"http://{host}:{port}"
        log.info("live feed at %s", self.address)

    async def stop(self) -> None:
        """Close every client with 1012: it comes back to another notifier, and goes on where it was."""
        for socket in list(self._open):
            with suppress(Exception):
                await asyncio.wait_for(socket.close(code=RESTARTING, message=b"this notifier stops"), 0.5)
        if self._runner is not None:
            await self._runner.cleanup()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        try:
            claims = verify(self.keys, request.headers.get(ASSERTION, ""))
        except (AssertionRefused, ValueError):
            return web.Response(status=401, text="a gateway's assertion is needed")
        socket = web.WebSocketResponse(heartbeat=HEARTBEAT_SECONDS, max_msg_size=MAX_MESSAGE_BYTES)
        await socket.prepare(request)
        projects: list[str] | None = claims.get("projects")
        client = Client(
            None if projects is None else frozenset(projects),
            plain=bool(claims.get("plain")),
            user=str(claims.get("user", "")),
        )
        self._open.add(socket)
        self.hub.add(client)
        sending = asyncio.create_task(_send(socket, client, request.transport), name="live client")
        try:
            if claims.get("follow") is not None:
                self.hub.follow_all(client, Following("path", None, Filter.model_validate(claims["follow"])))
            await self._read(socket, client)
        finally:
            self.hub.remove(client)
            self._open.discard(socket)
            await cancel(sending)
        return socket

    async def _read(self, socket: web.WebSocketResponse, client: Client) -> None:
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                client.refuse(None, "invalid", "a message is JSON text")
                continue
            try:
                request = Request.model_validate_json(message.data)
            except ValidationError as error:
                first = problems_in(error)[0]
                client.refuse(None, "invalid", f"{first.field}: {first.allowed}")
                continue
            try:
                await self._answer(client, request)
            except Exception as error:  # the database is away: the client asks again, others go on
                log.warning("a live request failed: %r", error)
                client.refuse(None, "unavailable", "the feed cannot be read now: ask again")

    async def _answer(self, client: Client, request: Request) -> None:
        if request.ping is not None:
            client.answer("pong", request.ping)
        elif request.unsubscribe is not None:
            self.hub.unfollow(client, request.unsubscribe)
            client.answer("unsubscribed", {"id": request.unsubscribe})
        elif request.subscribe is not None:
            await self._subscribe(client, request.subscribe)

    async def _subscribe(self, client: Client, wanted: Subscribe) -> None:
        if wanted.id not in client.following and len(client.following) >= MAX_FOLLOWING:
            client.refuse(wanted.id, "conflict", f"one connection has at most {MAX_FOLLOWING} subscriptions")
            return
        if wanted.task is not None:  # a gateway that is newer or older than this notifier keeps these to itself
            client.refuse(wanted.id, "invalid", "task: logs are served by the gateway, not by the notifier")
            return
        project = wanted.filter.project
        if project is not None and not client.may_see(project):
            client.refuse(wanted.id, "forbidden", f"project {project} is not yours to see")
            return
        following = Following(wanted.id, wanted.plan, wanted.filter)
        if wanted.plan is not None:
            await self.hub.follow_plan(client, following, wanted.after)
            return
        self.hub.follow_all(client, following)
        client.confirm(wanted.id, 0, 0)


async def _send(socket: web.WebSocketResponse, client: Client, transport: asyncio.Transport | None) -> None:
    """Send what is queued, at most every 50 ms. A client that does not keep up is closed with 4408."""
    try:
        while not client.overflowed:
            await client.has_frames.wait()
            await asyncio.sleep(COALESCE_SECONDS)
            async with asyncio.timeout(SEND_SECONDS):
                for frame in client.take():
                    await socket.send_str(frame)
    except TimeoutError:
        pass
    except (ConnectionError, RuntimeError):
        return  # it is gone
    finally:
        client.abandon()
    with suppress(Exception):
        async with asyncio.timeout(1.0):
            await socket.close(code=SLOW, message=b"too slow: resume from the last sequence")
    if transport is not None:
        transport.abort()


async def _livez(_: web.Request) -> web.Response:
    return web.json_response({"alive": True})
