"""Who calls, and what they may: the one place where every route is checked.

Every route declares its permission; one that does not keeps the service from starting. Where a caller has the
permission only in some places, the object of the call is looked up here; lists are given the places to filter by, and
routes that make an object check it with `require`, without which nothing is written.
"""

import hmac
import math
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.routing import iter_route_contexts

from signalbox_contracts.definitions.definition import Definition
from signalbox_contracts.definitions.job import Job
from signalbox_contracts.definitions.move import Move
from signalbox_contracts.definitions.pipeline import Pipeline
from signalbox_contracts.definitions.references import references
from signalbox_gateway.http import anonymous
from signalbox_gateway.http.addresses import client_address, limit_key
from signalbox_gateway.http.dependencies import Dependencies, Deps
from signalbox_gateway.http.objects import LIST, MAKES, Place, find, place_of
from signalbox_gateway.http.problems import Problem
from signalbox_gateway.http.queries import only_known_parameters
from signalbox_gateway.identity import roles
from signalbox_gateway.identity.authentication import ALL, Principal
from signalbox_gateway.identity.roles import NEEDS, Binding, Object, Reach, Role
from signalbox_gateway.store import objects

__all__ = [
    "Principal", "count_call", "permission", "permissions_of", "public", "require", "require_definition",
    "require_references", "still_may", "visible",
]  # fmt: skip
PUBLIC: Final = frozenset(
    {
        "/openapi.json", "/docs", "/health", "/healthz", "/problems", "/problems/{slug}", "/.well-known/jwks.json",
        "/", "/console", "/console/{path:path}", "/api/v1/starts/{run_key}/claim", "/api/v1/starts/{run_key}/end",
        "/api/v1/starts/{run_key}/progress", "/api/v1/starts/launchers/{name}",
        "/api/v1/run-hints/{engine_id}/{run_key}/{token}",
        "/api/admin/reprocessing/jobs/{id}/logs/view",
    }
)  # fmt: skip
"""Paths that need no token: nothing there is about anybody's work, or a secret of its own is asked for."""
COOKIE: Final = "signalbox_session"
CSRF_HEADER: Final = "x-csrf-token"
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
Checker = Callable[..., Coroutine[Any, Any, Any]]


class UndeclaredRoute(RuntimeError):
    """A route says neither which permission it needs nor that it is public, or names one that nobody knows."""


def permission(name: str) -> Callable[..., Coroutine[Any, Any, Principal]]:
    """The dependency of a route that needs this permission; it gives the route who calls."""

    async def needs(request: Request, deps: Deps) -> Principal:
        principal = await _authenticated(request, deps)
        request.state.principal = principal
        await count_call(request, deps, principal.name)
        reach = principal.reach(name)
        if reach.nowhere:
            raise Problem("forbidden", f"this needs the permission {name}")
        only_known_parameters(request)  # after: without a token, nothing is said about the route
        request.state.reach = reach
        if not reach.everywhere:
            principal = request.state.principal = replace(principal, unchecked=[])
            await _check_object(request, deps, principal, name, reach)
        return principal

    needs.permission = name  # type: ignore[attr-defined]
    return needs


async def still_may(request: Request, name: str) -> bool:
    """Whether the caller of a request that takes long may still do this: a token may be revoked, or run out."""
    given, cookie = request.headers.getlist("authorization"), request.cookies.get(COOKIE)
    if not given and not cookie:
        return True  # the operator lets callers without a token in, for as long as this process runs
    tokens = request.app.state.tokens
    principal: Principal | None = await (tokens.principal(given[0]) if given else tokens.of_cookie(cookie))
    if principal is None or not principal.may(name):
        return False
    reach, place = principal.reach(name), place_of(request)
    if reach.everywhere or not isinstance(place, Place):
        return reach.everywhere
    found = await find(request.app.state.dependencies.database, place, request.path_params)
    return found is not None and reach.sees(found)


def public(name: str, *, any_query: bool = False) -> Checker:
    """The dependency of a route that callers need no credentials for.

    `any_query` is for a route whose query another server writes: it may add parameters.
    """

    async def anybody(request: Request, deps: Deps) -> None:
        await count_call(request, deps, None)
        if not any_query:
            only_known_parameters(request)

    anybody.permission = name  # type: ignore[attr-defined]
    return anybody


async def count_call(request: Request, deps: Dependencies, name: str | None) -> None:
    """Count a call against the limits of its account and its address; None: nobody's account. Raises a problem."""
    if deps.identity is None:
        return
    address = limit_key(client_address(request.scope, deps.identity.trusted_proxies))
    limits = deps.identity.limits
    wait = await (limits.anonymous_call(address) if name is None else limits.call(name, address))
    if wait is not None:
        raise too_many(wait, "too many calls")


def too_many(seconds: float, detail: str) -> Problem:
    """A limit is used up for so long."""
    retry_after = str(max(1, math.ceil(seconds)))
    return Problem("too-many-requests", f"{detail}: try again in {retry_after} s", headers={"Retry-After": retry_after})


def visible(request: Request) -> tuple[list[str], list[str]] | None:
    """The places that a list is filtered by: projects and engines in pairs; None for everything."""
    reach: Reach = request.state.reach
    return reach.columns


async def require_definition(connection: Any, principal: Principal, permission: str, kind: str, id: str) -> None:
    """Check a definition as it is saved now; nothing to check when there is none."""
    if not principal.reach(permission).everywhere:
        found = await objects.definition(connection, kind, id)
        require(principal, permission, *([found] if found else []), *await objects.reached_by(connection, kind, id))
        started = await objects.started_by(connection, kind, id)
        require(principal, "plan.start", *started)  # a schedule must not start what its author may not


async def require_references(connection: Any, principal: Principal, permission: str, definition: Definition) -> None:
    """Check what a definition names before that is read: an answer may say what is in it."""
    if principal.reach(permission).everywhere:
        return
    named = references(definition)
    started = [
        await objects.definition(connection, one.kind, one.id) for one in named if one.kind in ("job", "pipeline")
    ]
    require(principal, "plan.start", *(one for one in started if one is not None))
    if isinstance(definition, Move):
        require(principal, permission, objects.routed_by(definition))
    if isinstance(definition, Job | Pipeline):
        engines = frozenset(one.id for one in named if one.kind == "engine")
        require(principal, permission, Object(definition.project, engines))


def require(principal: Principal, permission: str, *objects: Object) -> None:
    """Check what a route makes or moves. Raises a problem when a part of it is out of the caller's reach."""
    reach = principal.reach(permission)
    for found in objects:
        if not reach.changes(found):
            where = f"project {found.project}" if found.project else "every project"
            where += "".join(f", engine {engine}" for engine in sorted(found.engines)[:5])
            raise Problem("forbidden", f"this needs the permission {permission} for {where}")
    principal.unchecked.clear()


async def _authenticated(request: Request, deps: Dependencies) -> Principal:
    given = request.headers.getlist("authorization")
    if len(given) > 1:
        raise Problem("bad-request", "Authorization is given more than once")
    cookie = request.cookies.get(COOKIE)
    if given:
        principal = await request.app.state.tokens.principal(given[0])
    elif cookie:
        principal = await _of_cookie(request, cookie)
    else:
        principal = _anonymous(request, deps)
    if principal is None:
        await count_call(request, deps, None)
        raise Problem(
            "unauthenticated", "a valid token is needed", headers={"WWW-Authenticate": 'Bearer realm="signalbox"'}
        )
    return principal


async def _of_cookie(request: Request, cookie: str) -> Principal | None:
    """Whose cookie this is. A call that changes something must prove that a page of this API made it."""
    tokens = request.app.state.tokens
    principal: Principal | None = await tokens.of_cookie(cookie)
    if principal is None or request.method in SAFE_METHODS:
        return principal
    assert principal.session is not None
    expected = await tokens.csrf_token(principal.session)
    if not hmac.compare_digest(request.headers.get(CSRF_HEADER, "").encode(), expected.encode()):
        request.state.principal = principal
        raise Problem("forbidden", "a call with a cookie needs the header X-CSRF-Token that the login answered")
    return principal


def _anonymous(request: Request, deps: Dependencies) -> Principal | None:
    """Who calls without a token, where the operator lets such callers in."""
    role = deps.settings.anonymous_role
    if not role or not anonymous.is_local_call(request.headers):
        return None
    return Principal(anonymous.NAME, anonymous.NAME, frozenset({ALL}), None, (Binding(Role(role)),))


async def _check_object(request: Request, deps: Dependencies, principal: Principal, name: str, reach: Reach) -> None:
    """Check what a call is about, for a caller who may this in some places only."""
    place = place_of(request)
    if place == LIST:
        return
    if place == MAKES:
        principal.unchecked.append(name)
        return
    if place is None:
        raise Problem("forbidden", f"this needs the permission {name} everywhere, not for some projects or engines")
    found = await find(deps.database, place, request.path_params)
    reads = roles.reach(principal.bindings, f"{place.kind}.read")
    if found is None or not reads.sees(found):
        raise Problem("not-found", f"there is no {place.kind} {request.path_params[place.parameter]}")
    if name.endswith(".read"):
        return
    if not reach.changes(found):
        raise Problem("forbidden", f"this needs the permission {name} for this {place.kind}")
    if place.is_definition and name == f"{place.kind}.write":
        async with deps.database.connection() as connection:
            require(principal, name, *await objects.reached_by(connection, place.kind, request.path_params["id"]))
    if request.method == "PUT" and place.is_definition:
        principal.unchecked.append(name)  # it may move to another project


def permissions_of(app: FastAPI) -> dict[str, str]:
    """The permission of every route, by method and path. Raises `UndeclaredRoute`."""
    found: dict[str, str] = {}
    for route in iter_route_contexts(app.routes):  # those of included routers too, with their whole path
        path = route.path
        if path in PUBLIC:
            continue
        declared = _declared(route)
        if declared is None:
            raise UndeclaredRoute(f"{path} declares no permission")
        if declared not in NEEDS:
            raise UndeclaredRoute(f"{path} needs {declared}, which identity/roles.py does not have")
        for method in sorted(getattr(route, "methods", None) or ()):
            found[f"{method} {path}"] = declared
    return found


def _declared(route: Any) -> str | None:
    dependant: Any = getattr(route, "dependant", None)
    for dependency in dependant.dependencies if dependant is not None else ():
        name = getattr(dependency.call, "permission", None)
        if name is not None:
            return name
    return None
