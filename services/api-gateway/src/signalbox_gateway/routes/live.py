"""In: live_ticket; the WebSockets /ws, /ws/user/{user_id}, /ws/workflow/{workflow_id} and both together.
Changes: live_ticket. Out: nothing; events come from a notifier.
"""

from collections.abc import Awaitable, Callable
from typing import Annotated, Final
from urllib.parse import urlsplit
from uuid import UUID

from fastapi import Depends, Request, Response, WebSocket
from pydantic import BaseModel

from signalbox_gateway.http.access import COOKIE, Principal, permission
from signalbox_gateway.http.auditing import RefusalAudit
from signalbox_gateway.http.dependencies import Dependencies, Deps
from signalbox_gateway.http.prefix_router import PrefixRouter
from signalbox_gateway.identity.authentication import Authentication
from signalbox_gateway.identity.roles import ANY, Reach
from signalbox_gateway.live import tickets
from signalbox_gateway.live.forwarding import FORBIDDEN, TRY_LATER, UNAUTHENTICATED, NoNotifier, Notifiers, forward
from signalbox_gateway.live.log_topics import LogTopics
from signalbox_gateway.routes.params import answer
from signalbox_gateway.store import live_tickets, objects

router = PrefixRouter(tags=["live feed"])
PERMISSION: Final = "plan.read"
LOG_PERMISSION: Final = "task.read"
PROTOCOL: Final = "signalbox.v1"
TICKET: Final = "ticket."
COOKIE_SCHEME: Final = "Signalbox-Cookie"
MAX_WORD: Final = 255
Follower = Annotated[Principal, Depends(permission("feed.follow"))]


class LiveTicket(BaseModel):
    """Lets one WebSocket in. Send it as subprotocol `ticket.<ticket>`, beside `signalbox.v1`."""

    ticket: str
    expires_at: str


def _live(websocket: WebSocket) -> None:
    """Declares the permission; the handshake checks it, and the connection checks it again and again."""


_live.permission = PERMISSION  # type: ignore[attr-defined]
LIVE: Final = [Depends(_live)]


@router.post("/ws/tickets", operation_id="live_ticket_create", status_code=201, response_model=LiveTicket)
async def live_ticket_create(request: Request, deps: Deps, _: Follower) -> Response:
    """Create a ticket for one WebSocket: valid once, for 30 seconds, and only for pages of the same origin."""
    ticket = tickets.new_ticket()
    sealed = tickets.seal(ticket, request.headers.get("authorization", ""))
    async with deps.database.connection() as connection:
        expires_at = await live_tickets.save(
            connection, tickets.ticket_hash(ticket), request.headers.get("origin", ""), sealed, tickets.TICKET_SECONDS
        )
    response = answer({"ticket": ticket, "expires_at": expires_at})
    response.status_code = 201
    return response


@router.websocket("/ws", dependencies=LIVE)
async def live_all(websocket: WebSocket) -> None:
    """All that the caller may see; with `signalbox.v1`, what it subscribes to."""
    await _serve(websocket, {})


@router.websocket("/ws/user/{user_id}", dependencies=LIVE)
async def live_user(websocket: WebSocket, user_id: str) -> None:
    """Plans that a user started."""
    await _serve(websocket, {"user": user_id})


@router.websocket("/ws/workflow/{workflow_id}", dependencies=LIVE)
async def live_workflow(websocket: WebSocket, workflow_id: str) -> None:
    """Runs of a workflow, job or pipeline."""
    await _serve(websocket, {"workflow": workflow_id})


@router.websocket("/ws/user/{user_id}/workflow/{workflow_id}", dependencies=LIVE)
async def live_user_workflow(websocket: WebSocket, user_id: str, workflow_id: str) -> None:
    """Runs of a workflow that a user started."""
    await _serve(websocket, {"user": user_id, "workflow": workflow_id})


async def _serve(websocket: WebSocket, follow: dict[str, str]) -> None:
    """Check who it is, forward it to a notifier, and go on checking."""
    offered = [one.strip() for one in websocket.headers.get("sec-websocket-protocol", "").split(",") if one.strip()]
    explicit = PROTOCOL in offered
    refusals: RefusalAudit = websocket.app.state.refusals
    deps: Dependencies = websocket.app.state.dependencies
    if not _same_origin(websocket):
        await refusals.add_handshake(websocket, deps, known=False, detail="a page of another origin")
        await _refuse(websocket, FORBIDDEN)
        return
    credential = await _credential(websocket, offered)
    principal = websocket.state.principal = await _principal(websocket, credential)
    if principal is None or not principal.may(PERMISSION):
        detail = f"this needs the permission {PERMISSION}" if principal else "no credential that is good"
        await refusals.add_handshake(websocket, deps, known=principal is not None, detail=detail)
        await _refuse(websocket, FORBIDDEN if principal else UNAUTHENTICATED)
        return
    reach = principal.reach(PERMISSION)
    if any(len(value) > MAX_WORD for value in follow.values()):
        await _refuse(websocket, FORBIDDEN)
        return
    notifiers: Notifiers = websocket.app.state.dependencies.live
    # a client that drives the feed itself begins with nothing on `/ws`; every other begins with its path
    claims = {
        "projects": _projects(reach), "plain": not explicit, "follow": follow if follow or not explicit else None,
        "user": principal.actor.removeprefix("user:"),
    }  # fmt: skip
    try:
        notifier = await notifiers.connect(claims)
    except NoNotifier:
        await _refuse(websocket, TRY_LATER)
        return
    await websocket.accept(subprotocol=PROTOCOL if explicit else None)
    logs = LogTopics(
        websocket.app.state.dependencies, principal.actor, websocket.send_text, _log_reader(websocket, credential)
    )
    try:
        await forward(websocket, notifier, _checker(websocket, credential, reach), logs.take if explicit else _not_ours)
    finally:
        await logs.stop()


async def _refuse(websocket: WebSocket, code: int) -> None:
    """Accept and close with the code: a browser shows no other answer to a handshake."""
    offered = websocket.headers.get("sec-websocket-protocol", "")
    await websocket.accept(subprotocol=PROTOCOL if PROTOCOL in offered else None)
    await websocket.close(code)


def _same_origin(websocket: WebSocket) -> bool:
    """Pages of other sites may not connect: a browser sends our cookies along with theirs."""
    origin = websocket.headers.get("origin")
    if origin is None:
        return True
    allowed: str = websocket.app.state.dependencies.settings.live_origins
    known = {one.strip().rstrip("/") for one in allowed.split(",") if one.strip()}
    return urlsplit(origin).netloc == websocket.headers.get("host") or origin in known


async def _credential(websocket: WebSocket, offered: list[str]) -> str:
    """What the caller proves itself with, as an `Authorization` header; empty for nothing that is good."""
    given = websocket.headers.getlist("authorization")
    if given:
        return given[0] if len(given) == 1 else ""
    ticket = next((one.removeprefix(TICKET) for one in offered if one.startswith(TICKET)), "")
    if not ticket:
        return _session_cookie(websocket)
    async with websocket.app.state.dependencies.database.connection() as connection:
        taken = await live_tickets.take(connection, tickets.ticket_hash(ticket))
    if taken is None or taken.origin != websocket.headers.get("origin", taken.origin):
        return ""
    return tickets.unseal(ticket, taken.credential) or ""


def _session_cookie(websocket: WebSocket) -> str:
    """The cookie of a page of this very origin. Without `Origin` no page asks, and a cookie proves nothing."""
    cookie, origin = websocket.cookies.get(COOKIE, ""), websocket.headers.get("origin")
    same = origin is not None and urlsplit(origin).netloc == websocket.headers.get("host")
    return f"{COOKIE_SCHEME} {cookie}" if cookie and same else ""


async def _principal(websocket: WebSocket, credential: str) -> Principal | None:
    tokens: Authentication = websocket.app.state.tokens
    scheme, _, value = credential.partition(" ")
    if scheme == COOKIE_SCHEME:
        return await tokens.of_cookie(value)
    return await tokens.principal(credential) if credential else None


def _projects(reach: Reach) -> list[str] | None:
    """The projects whose events may be followed; None for all. A place on some engines of a project gives none: an
    event of a plan may tell of several engines.
    """
    return None if reach.everywhere else sorted({project for project, engine in reach.places if engine == ANY})


async def _not_ours(_: str) -> bool:
    return False


def _log_reader(websocket: WebSocket, credential: str) -> Callable[[UUID], Awaitable[bool]]:
    """Whether the caller may read the log of a task, as it is now."""

    async def may(task_id: UUID) -> bool:
        principal = await _principal(websocket, credential)
        if principal is None or not principal.may(LOG_PERMISSION):
            return False
        reach = principal.reach(LOG_PERMISSION)
        if reach.everywhere:
            return True
        async with websocket.app.state.dependencies.database.connection() as connection:
            found = await objects.task(connection, task_id)
        return found is not None and reach.sees(found)

    return may


def _checker(websocket: WebSocket, credential: str, reach: Reach) -> Callable[[], Awaitable[int]]:
    """Returns 0 while the caller may follow what it could when it connected, else the code to close with."""

    async def check() -> int:
        principal = await _principal(websocket, credential)
        if principal is None:
            return UNAUTHENTICATED
        return 0 if principal.reach(PERMISSION) == reach else FORBIDDEN

    return check
