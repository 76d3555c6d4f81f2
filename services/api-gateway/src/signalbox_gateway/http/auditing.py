"""Every call that changes something, and every refusal of permission, gets an entry of the audit trail.

Routes that write through `idempotency.write` add theirs in the same transaction; what is done elsewhere is added before
its answer is sent, and refusals where they become answers.
"""

import logging
import time
from collections import Counter
from collections.abc import MutableMapping
from typing import Any, Final

from fastapi import Request
from pydantic_core import from_json

from signalbox_chassis.persistence.connection import Connection
from signalbox_gateway.http.addresses import client_address
from signalbox_gateway.http.dependencies import Dependencies
from signalbox_gateway.http.problems import Problem
from signalbox_gateway.http.traces import current_trace_id
from signalbox_gateway.identity import audit
from signalbox_gateway.identity.audit_entry import AuditEntry

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
    """Adds entries for refused calls; bounded for callers whom nobody knows."""

    def __init__(self) -> None:
        self._minute = 0
        self._seen: Counter[str] = Counter()

    async def add(self, request: Request, deps: Dependencies, problem: Problem) -> None:
        """Add an entry if this problem refuses permission. An audit that cannot be written never hides the answer."""
        is_limit = problem.slug == "too-many-requests" and "/auth/" in request.url.path
        if not (is_limit or problem.slug in ("forbidden", "unauthenticated")) or deps.identity is None:
            return
        known = getattr(request.state, "principal", None) is not None
        if not known and (not _presents_something(request) or not self._room(request, deps)):
            return
        outcome = "refused" if known or problem.slug == "forbidden" else "unauthenticated"
        try:
            entry = await _entry(
                request, deps, outcome=outcome, status=problem.status, detail=problem.audit_detail or problem.detail
            )
            async with deps.database.connection() as connection:
                await audit.add(connection, entry)
        except Exception:
            log.exception("a refusal was not audited")

    def _room(self, request: Request, deps: Dependencies) -> bool:
        minute = int(time.monotonic() // 60)
        if minute != self._minute:
            if dropped := sum(max(0, count - MAX_ANONYMOUS_REFUSALS) for count in self._seen.values()):
                log.warning("%d refusals of unknown callers were not audited", dropped)
            self._minute, self._seen = minute, Counter()
        address = client_address(request.scope, deps.identity.trusted_proxies)
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
    request: Request, deps: Dependencies, *, outcome: str, status: int, target: str | None = None, detail: str = "",
    after: Any = None,
) -> AuditEntry:  # fmt: skip
    principal = getattr(request.state, "principal", None)
    return AuditEntry(
        actor=principal.actor if principal else getattr(request.state, "actor", "anybody"),
        action=_action(request) or f"{request.method} unknown",
        target=(target or request.url.path).removeprefix(BASE)[:500], outcome=outcome, status=status,
        reason=await _reason(request), detail=detail[:1000],
        address=client_address(request.scope, deps.identity.trusted_proxies if deps.identity else ()),
        user_agent=request.headers.get("user-agent", "").replace("\0", "")[:200],
        credential=principal.token_id if principal else "", trace_id=current_trace_id(),
        before=getattr(request.state, "before", None), after=after,
    )  # fmt: skip


def _action(request: Request) -> str:
    return getattr(request.scope.get("route"), "operation_id", "") or ""


def _presents_something(request: Request) -> bool:
    """Whether the caller showed a credential; a call without one is only a mistake."""
    return "authorization" in request.headers or "cookie" in request.headers or "/auth/" in request.url.path


async def _reason(request: Request) -> str:
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
