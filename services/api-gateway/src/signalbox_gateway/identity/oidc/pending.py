"""Logins that a browser has begun and the provider has not answered yet.

Nothing is stored for them: the browser keeps a signed cookie, and state, nonce and PKCE verifier are made from its id
with the gateways' key. A login that came back is remembered until it would have expired: it comes back once.
"""

import base64
import hashlib
import hmac
import re
import time
from dataclasses import asdict, dataclass
from typing import Any, Final, cast
from uuid import UUID, uuid4

from pydantic_core import from_json, to_json

from signalbox_chassis.persistence.connection import Connection
from signalbox_gateway.identity.logins import LoginRefused
from signalbox_gateway.identity.signing import SigningKeys
from signalbox_gateway.store import oidc_logins

SECONDS: Final = 600
"""How long a person has at the provider."""
HANDOVER_SECONDS: Final = 60
"""How long a command line has to fetch its tokens."""
_COOKIE: Final = re.compile(r"^([0-9a-f]{32})\.(\d{1,12})\.([A-Za-z0-9_-]{1,1000})\.([A-Za-z0-9_-]{43})$")
_HANDOVER: Final = re.compile(r"^([0-9a-f]{32})\.(\d{1,12})\.([A-Za-z0-9_-]{43})$")


@dataclass(frozen=True, slots=True)
class Purpose:
    """What a login is for: a page of the console, or a command line that listens on a port of its machine."""

    return_to: str = "/console/"
    port: int | None = None
    challenge: str = ""
    """SHA-256 of what the command line proves itself with, base64url."""


@dataclass(frozen=True, slots=True)
class PendingLogin:
    """One login, and what the provider must answer or get for it."""

    id: UUID
    expires: int
    purpose: Purpose
    cookie: str
    state: str
    nonce: str
    verifier: str

    @property
    def challenge(self) -> str:
        """The verifier as the provider sees it first (RFC 7636, S256)."""
        return challenge_of(self.verifier)


def challenge_of(verifier: str) -> str:
    """SHA-256 of a PKCE verifier, base64url without padding."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")


@dataclass(frozen=True, slots=True)
class PendingLogins:
    """Begins logins and takes them back."""

    keys: SigningKeys

    async def begin(self, purpose: Purpose) -> PendingLogin:
        """A login, for the browser that keeps its cookie."""
        return await self._made(uuid4(), int(time.time()) + SECONDS, purpose)

    async def take(self, connection: Connection, cookie: str, state: str) -> PendingLogin:
        """The login that comes back with this cookie and state. Raises `LoginRefused`."""
        matched = _COOKIE.match(cookie)
        if matched is None:
            raise LoginRefused("the login was begun in another browser, or has expired")
        try:
            written: Any = from_json(base64.urlsafe_b64decode(matched[3] + "=="))
            purpose = Purpose(**cast("dict[str, Any]", written))
            login = await self._made(UUID(matched[1]), int(matched[2]), purpose)
        except (ValueError, TypeError):
            raise LoginRefused("the login cookie is not ours") from None
        if not hmac.compare_digest(login.cookie, cookie):
            raise LoginRefused("the login cookie is not ours")
        if not hmac.compare_digest(login.state.encode(), state.encode()):
            raise LoginRefused("the state belongs to another login")
        if login.expires < time.time():
            raise LoginRefused("the login has expired")
        if not await oidc_logins.use(connection, login.id, expires=float(login.expires)):
            raise LoginRefused("the login came back before")
        return login

    async def handover(self, session: UUID, challenge: str) -> str:
        """A code for the command line that knows what the challenge was made of."""
        expires = int(time.time()) + HANDOVER_SECONDS
        return f"{session.hex}.{expires}.{await self._handover_mac(session, expires, challenge)}"

    async def taken_over(self, code: str, verifier: str) -> UUID:
        """The session of a code. Raises `LoginRefused`."""
        matched = _HANDOVER.match(code)
        if matched is None:
            raise LoginRefused("not a code of ours")
        session, expires = UUID(matched[1]), int(matched[2])
        expected = await self._handover_mac(session, expires, challenge_of(verifier))
        if not hmac.compare_digest(matched[3], expected):
            raise LoginRefused("the code belongs to another command line")
        if expires < time.time():
            raise LoginRefused("the code has expired")
        return session

    async def _handover_mac(self, session: UUID, expires: int, challenge: str) -> str:
        return await self.keys.secret_of(session, f"oidc handover {expires} {challenge}")

    async def _made(self, id: UUID, expires: int, purpose: Purpose) -> PendingLogin:
        payload = base64.urlsafe_b64encode(to_json(asdict(purpose))).decode().rstrip("=")
        mac = await self.keys.secret_of(id, f"oidc cookie {expires} {payload}")
        parts = [await self.keys.secret_of(id, f"oidc {part}") for part in ("state", "nonce", "verifier")]
        return PendingLogin(id, expires, purpose, f"{id.hex}.{expires}.{payload}.{mac}", *parts)
