"""Who a credential belongs to: one query a credential, remembered for a moment."""

import hashlib
import hmac
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from signalbox_chassis.persistence.connection import Row
from signalbox_chassis.persistence.database import Database
from signalbox_gateway.identity.access_tokens import AccessTokens
from signalbox_gateway.identity.roles import Binding, Reach, Role, permissions, reach
from signalbox_gateway.identity.signing import SigningKeys
from signalbox_gateway.store import tokens

_LookUp = Callable[[], Awaitable["Principal | None"]]
ALL: Final = "*"
MAX_REMEMBERED: Final = 10_000
_KEY: Final = re.compile(r"^sbt_([a-z0-9]{12})_([A-Za-z0-9_-]{32,128})$")
_COOKIE: Final = re.compile(r"^([0-9a-f]{32})\.([A-Za-z0-9_-]{43})$")


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls. `permissions` are the credential's scopes: names such as `plan.start`, or `*` for all."""

    name: str
    token_id: str
    permissions: frozenset[str]
    expires_at: datetime | None
    bindings: tuple[Binding, ...] = ()
    session: UUID | None = None
    id: UUID | None = None
    unchecked: list[str] = field(default_factory=list[str])
    """Permissions whose object only the route knows, until `require` has checked it."""

    @property
    def actor(self) -> str:
        return f"user:{self.name}"

    @property
    def is_admin(self) -> bool:
        """Whether the account is an administrator everywhere."""
        return Binding(Role.ADMIN) in self.bindings

    @property
    def roles(self) -> tuple[str, ...]:
        """The names of its roles, the greatest first."""
        return tuple(sorted({one.role.value for one in self.bindings}, key=lambda name: -Role(name).rank))

    def may(self, permission: str) -> bool:
        """Whether it has this permission anywhere."""
        return not self.reach(permission).nowhere

    def reach(self, permission: str) -> Reach:
        """Where it has this permission."""
        if ALL not in self.permissions and permission not in self.permissions:
            return Reach()
        return reach(self.bindings, permission, self.actor)

    def granted(self) -> frozenset[str]:
        """Every permission it has anywhere."""
        mine = permissions(self.bindings)
        return mine if ALL in self.permissions else mine & self.permissions


@dataclass
class Authentication:
    """Turns credentials into principals. A good one is remembered for `remember_seconds`, on each gateway."""

    database: Database
    keys: SigningKeys
    access_tokens: AccessTokens
    remember_seconds: float
    _good: dict[bytes, tuple[float, Principal]] = field(default_factory=dict[bytes, tuple[float, Principal]])

    async def principal(self, header: str) -> Principal | None:
        """Whose `Authorization` this is; None for any that is not good, whatever is wrong with it."""
        scheme, _, credential = header.partition(" ")
        credential = credential.strip()
        if scheme.lower() != "bearer" or not credential:
            return None
        return await self._remembered(credential, lambda: self._of_bearer(credential))

    async def of_cookie(self, cookie: str) -> Principal | None:
        """Whose session cookie this is."""
        return await self._remembered(f"cookie {cookie}", lambda: self._of_cookie(cookie))

    async def csrf_token(self, session: UUID) -> str:
        """What a browser's calls that change something carry in `X-CSRF-Token`."""
        return await self.keys.secret_of(session, "csrf")

    async def cookie(self, session: UUID) -> str:
        """The value of a session's cookie."""
        return f"{session.hex}.{await self.keys.secret_of(session, 'cookie')}"

    def forget(self) -> None:
        """Look every credential up again: something about accounts has changed."""
        self._good.clear()

    async def _of_bearer(self, credential: str) -> Principal | None:
        key = _KEY.match(credential)
        return await (self._of_key(*key.groups()) if key else self._of_jwt(credential))

    async def _remembered(self, credential: str, look_up: _LookUp) -> Principal | None:
        digest = hashlib.sha256(credential.encode()).digest()
        known = self._good.get(digest)
        if known and known[0] > time.monotonic():
            return known[1]
        found = await look_up()
        if found is None:
            self._good.pop(digest, None)
            return None
        if len(self._good) > MAX_REMEMBERED:
            self._good.clear()
        until = time.monotonic() + self.remember_seconds
        if found.expires_at is not None:
            until = min(until, time.monotonic() + (found.expires_at - datetime.now(UTC)).total_seconds())
        self._good[digest] = (until, found)
        return found

    async def _of_key(self, id: str, secret: str) -> Principal | None:
        hashed = hashlib.sha256(secret.encode()).digest()
        async with self.database.connection() as connection:
            row = await tokens.load_token(connection, id)
            if row is None or not hmac.compare_digest(row["secret_hash"], hashed):
                return None
            await tokens.note_use(connection, id)
        return _principal(row, id, frozenset(row["permissions"]), row["expires_at"])

    async def _of_jwt(self, token: str) -> Principal | None:
        claims = await self.access_tokens.check(token)
        if claims is None:
            return None
        async with self.database.connection() as connection:
            row = await tokens.load_session(connection, claims.session)
        if row is None or row["name"] != claims.name or row["credentials_version"] != claims.credentials_version:
            return None
        expires_at = datetime.fromtimestamp(claims.expires_at, UTC)
        return _principal(row, f"session-{claims.session.hex}", frozenset({ALL}), expires_at, claims.session)

    async def _of_cookie(self, cookie: str) -> Principal | None:
        matched = _COOKIE.match(cookie)
        if matched is None:
            return None
        session = UUID(matched[1])
        if not hmac.compare_digest(matched[2], await self.keys.secret_of(session, "cookie")):
            return None
        async with self.database.connection() as connection:
            row = await tokens.load_session(connection, session)
        if row is None or row["kind"] != "cookie":
            return None
        return _principal(row, f"session-{session.hex}", frozenset({ALL}), row["expires_at"], session)


def _principal(
    row: Row, token_id: str, scopes: frozenset[str], expires_at: datetime | None, session: UUID | None = None
) -> Principal:
    bindings = tuple(
        Binding(Role(role), project, engine)
        for role, project, engine in zip(row["roles"], row["projects"], row["engines"], strict=True)
    )
    return Principal(row["name"], token_id, scopes, expires_at, bindings, session, row["id"])
