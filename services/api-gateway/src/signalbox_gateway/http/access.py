"""Who calls, and what they may.

Every route declares its permission; one that does not keeps the service from starting.
"""

import hashlib
import hmac
import re
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.routing import iter_route_contexts

from signalbox_chassis.persistence.database import Database
from signalbox_gateway.http import anonymous
from signalbox_gateway.http.dependencies import Deps
from signalbox_gateway.http.problems import Problem
from signalbox_gateway.http.queries import only_known_parameters
from signalbox_gateway.identity.tokens import load_token

_TOKEN: Final = re.compile(r"^sbt_([a-z0-9]{12})_([A-Za-z0-9_-]{32,128})$")
ALL: Final = "*"
PUBLIC: Final = frozenset({"/openapi.json", "/docs", "/health", "/healthz", "/problems", "/problems/{slug}"})
"""Paths that need no token: nothing there is about anybody's work."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls. `permissions` holds names such as `plan.start`, or `*` for all."""

    name: str
    token_id: str
    permissions: frozenset[str]
    expires_at: datetime | None

    @property
    def actor(self) -> str:
        return f"user:{self.name}"

    def may(self, permission: str) -> bool:
        return ALL in self.permissions or permission in self.permissions


@dataclass
class Tokens:
    """Looks tokens up. A good one is remembered for a moment, so that a busy client costs no query a call."""

    database: Database
    remember_seconds: float
    _good: dict[bytes, tuple[float, Principal]] = field(default_factory=dict[bytes, tuple[float, Principal]])

    async def principal(self, header: str) -> Principal | None:
        """Whose token this is; None for any that is not good, whatever is wrong with it."""
        scheme, _, token = header.partition(" ")
        said = _TOKEN.match(token.strip()) if scheme.lower() == "bearer" else None
        if said is None:
            return None
        id, secret = said.groups()
        hashed = hashlib.sha256(secret.encode()).digest()
        key = id.encode() + hashed
        known = self._good.get(key)
        if known and known[0] > time.monotonic():
            return known[1]
        found = await self._look_up(id, hashed)
        if found is None:
            self._good.pop(key, None)
            return None
        if len(self._good) > 10_000:
            self._good.clear()
        self._good[key] = (time.monotonic() + self.remember_seconds, found)
        return found

    async def _look_up(self, id: str, hashed: bytes) -> Principal | None:
        async with self.database.connection() as connection:
            row = await load_token(connection, id)
        if row is None or not hmac.compare_digest(row["secret_hash"], hashed):
            return None
        return Principal(row["name"], id, frozenset(row["permissions"]), row["expires_at"])


class UndeclaredRoute(RuntimeError):
    """A route says neither which permission it needs nor that it is public."""


def permission(name: str) -> Callable[..., Coroutine[Any, Any, Principal]]:
    """The dependency of a route that needs this permission; it gives the route who calls."""

    async def needs(request: Request, deps: Deps) -> Principal:
        tokens: Tokens = request.app.state.tokens
        given = request.headers.getlist("authorization")
        if len(given) > 1:
            raise Problem("bad-request", "Authorization is given more than once")
        principal = await tokens.principal(given[0]) if given else _anonymous(request, deps)
        if principal is None:
            raise Problem(
                "unauthenticated", "a valid token is needed", headers={"WWW-Authenticate": 'Bearer realm="signalbox"'}
            )
        if not principal.may(name):
            raise Problem("forbidden", f"this needs the permission {name}")
        only_known_parameters(request)  # after: without a token, nothing is said about the route
        request.state.principal = principal
        return principal

    needs.permission = name  # type: ignore[attr-defined]
    return needs


async def still_may(request: Request, name: str) -> bool:
    """Whether the caller of a request that takes long may still do this: a token may be revoked, or run out."""
    given = request.headers.getlist("authorization")
    if not given:
        return True  # the operator lets callers without a token in, for as long as this process runs
    tokens: Tokens = request.app.state.tokens
    principal = await tokens.principal(given[0])
    return principal is not None and principal.may(name)


def _anonymous(request: Request, deps: Deps) -> Principal | None:
    """Who calls without a token, where the operator lets such callers in."""
    role = deps.settings.anonymous_role
    if not role or not anonymous.is_local_call(request.headers):
        return None
    known = frozenset(permissions_of(request.app).values())
    return Principal(anonymous.NAME, anonymous.NAME, anonymous.permissions_of_role(role, known), None)


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
