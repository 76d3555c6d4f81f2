"""Every call that changes something, and every refusal of permission, gets an entry of the audit trail.

Routes that write through `idempotency.write` add theirs in the same transaction; what is done elsewhere is added before
its answer is sent, and refusals where they become answers.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import MutableMapping
from typing import Any, Final

from fastapi import Request, WebSocket
from pydantic_core import from_json
from starlette.requests import HTTPConnection
from starlette.routing import WebSocketRoute

from signalbox_chassis.persistence.connection import Connection
from signalbox_chassis.persistence.database import Database
from signalbox_gateway.http.addresses import client_address
from signalbox_gateway.http.dependencies import Dependencies
from signalbox_gateway.http.problems import Problem
from signalbox_gateway.http.traces import current_trace_id
from signalbox_gateway.identity.audit_entry import AuditEntry
from signalbox_gateway.store import audit

log = logging.getLogger(__name__)
BASE: Final = "/api/v1"
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
CHANGES_NOTHING: Final = frozenset({"schedule_preview"})
"""Operations that are a POST and only answer."""
MAX_REASON_BYTES: Final = 65_536
"""A larger body is not read again for its reason."""
MAX_ANONYMOUS_REFUSALS: Final = 60
"""Entries a minute and address for callers whom nobody knows: they must not fill the trail. The rest is counted."""


async def add_done(
    request: Request, deps: Dependencies, connection: Connection, *, status: int, target: str | None, after: Any
) -> None:
    """Add the entry of a call in the transaction of what it does."""
    entry = await _entry(request, deps, outcome="done", status=status, target=target, after=after)
    await audit.add(connection, entry)
    request.state.audited = True


class RefusalAudit:
    """Adds entries for refused calls; bounded for callers whom nobody knows.

    Those of calls that are refused at the same time are written together: an attack takes one connection of the
    database from the others, no more. An answer is sent when its entry is stored.
    """

    def __init__(self) -> None:
        self._minute = 0
        self._seen: Counter[str] = Counter()
        self._waiting: list[tuple[AuditEntry, asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None

    async def add(self, request: Request, deps: Dependencies, problem: Problem) -> None:
        """Add an entry if this problem refuses permission. An audit that cannot be written never hides the answer."""
        is_limit = problem.slug == "too-many-requests" and "/auth/" in request.url.path
        if not (is_limit or problem.slug in ("forbidden", "unauthenticated")) or deps.identity is None:
            return
        known = getattr(request.state, "principal", None) is not None
        if not known and (not _presents_something(request) or not self._room(request, deps)):
            return
        outcome = "refused" if known or problem.slug == "forbidden" else "unauthenticated"
        detail = problem.audit_detail or problem.detail
        await self._add(deps, await _entry(request, deps, outcome=outcome, status=problem.status, detail=detail))

    async def add_handshake(self, websocket: WebSocket, deps: Dependencies, *, known: bool, detail: str) -> None:
        """Add an entry for a WebSocket that was not let in though it showed a credential."""
        if deps.identity is None or not _presents_something(websocket) or not (known or self._room(websocket, deps)):
            return
        outcome, status = ("refused", 403) if known else ("unauthenticated", 401)
        await self._add(deps, await _entry(websocket, deps, outcome=outcome, status=status, detail=detail))

    async def _add(self, deps: Dependencies, entry: AuditEntry) -> None:
        stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((entry, stored))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write(deps.database), name="audit of refusals")
        await stored

    async def _write(self, database: Database) -> None:
        """Store what waits, again and again until nothing does. A failure is logged and holds no answer back."""
        while self._waiting:
            batch, self._waiting = self._waiting[: audit.BATCH], self._waiting[audit.BATCH :]
            try:
                async with database.connection() as connection:
                    await audit.add(connection, *(entry for entry, _ in batch))
            except Exception:
                log.exception("%d refusals were not audited", len(batch))
            for _, stored in batch:
                if not stored.done():  # its caller may be gone
                    stored.set_result(None)

    def _room(self, request: HTTPConnection, deps: Dependencies) -> bool:
        minute = int(time.monotonic() // 60)
        if minute != self._minute:
            if dropped := sum(max(0, count - MAX_ANONYMOUS_REFUSALS) for count in self._seen.values()):
                log.warning("%d refusals of unknown callers were not audited", dropped)
            self._minute, self._seen = minute, Counter()
        address = client_address(request.scope, deps.identity.trusted_proxies if deps.identity else ())
        self._seen[address if len(self._seen) < 1000 else "others"] += 1
        return self._seen[address] <= MAX_ANONYMOUS_REFUSALS


class Audited:
    """ASGI middleware: calls that changed something without `write` get their entry before the answer is sent."""

    def __init__(self, app: Any, deps: Dependencies) -> None:
        self.app = app
        self.deps = deps

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["method"] in SAFE_METHODS:
            await self.app(scope, receive, send)
            return

        async def answer(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start" and message["status"] < 400:
                await self._add(scope, message["status"])
            await send(message)

        await self.app(scope, receive, answer)

    async def _add(self, scope: MutableMapping[str, Any], status: int) -> None:
        request = Request(scope)
        if getattr(request.state, "audited", False) or _action(request) in (CHANGES_NOTHING | {""}):
            return
        try:
            entry = await _entry(request, self.deps, outcome="done", status=status)
            async with self.deps.database.connection() as connection:
                await audit.add(connection, entry)
        except Exception:
            log.exception("what was done was not audited")


async def _entry(
    request: HTTPConnection, deps: Dependencies, *, outcome: str, status: int, target: str | None = None,
    detail: str = "", after: Any = None,
) -> AuditEntry:  # fmt: skip
    principal = getattr(request.state, "principal", None)
    return AuditEntry(
        actor=principal.actor if principal else getattr(request.state, "actor", "anybody"),
        action=_action(request) or f"{request.scope.get('method', 'WebSocket')} unknown",
        target=(target or request.url.path).removeprefix(BASE)[:500], outcome=outcome, status=status,
        reason=await _reason(request), detail=detail[:1000],
        address=client_address(request.scope, deps.identity.trusted_proxies if deps.identity else ()),
        user_agent=request.headers.get("user-agent", "").replace("\0", "")[:200],
        credential=principal.token_id if principal else "", trace_id=current_trace_id(),
        before=getattr(request.state, "before", None), after=after,
    )  # fmt: skip


def _action(request: HTTPConnection) -> str:
    route = request.scope.get("route")
    return getattr(route, "operation_id", "") or (route.name if isinstance(route, WebSocketRoute) else "")


def _presents_something(request: HTTPConnection) -> bool:
    """Whether the caller showed a credential; a call without one is only a mistake."""
    shown = {"authorization", "cookie", "sec-websocket-protocol"} & set(request.headers.keys())
    return bool(shown) or "/auth/" in request.url.path


async def _reason(request: HTTPConnection) -> str:
    """Why, as the body says, if it was read."""
    raw: bytes = getattr(request, "_body", b"")
    if not raw or len(raw) > MAX_REASON_BYTES:
        return ""
    try:
        body: Any = from_json(raw)
        found = body.get("reason") or body.get("note") or ""
    except (ValueError, AttributeError):
        return ""
    return found.replace("\0", "")[:2000] if isinstance(found, str) else ""
