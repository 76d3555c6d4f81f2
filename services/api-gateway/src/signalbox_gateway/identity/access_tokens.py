"""Access tokens: JWTs signed with Ed25519, good for minutes. Nothing else is one, whatever its header says."""

import secrets
import time
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwt import JWTClaimsRegistry
from joserfc.util import json_b64decode

from signalbox_gateway.identity.signing import SigningKeys

AUDIENCE: Final = "signalbox-api"
ALGORITHM: Final = "Ed25519"
MAX_CHARACTERS: Final = 4096
LEEWAY_SECONDS: Final = 5
"""How far the clocks of two gateways may differ."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What a good access token says."""

    name: str
    session: UUID
    credentials_version: int
    expires_at: float


@dataclass(frozen=True, slots=True)
class AccessTokens:
    """Issues and checks access tokens."""

    keys: SigningKeys
    issuer: str
    seconds: int

    async def issue(self, name: str, session: UUID, credentials_version: int) -> str:
        """A token of this account and session."""
        key = await self.keys.current()
        now = int(time.time())
        claims = {
            "iss": self.issuer, "aud": AUDIENCE, "sub": name, "iat": now, "nbf": now, "exp": now + self.seconds,
            "jti": secrets.token_hex(8), "sid": session.hex, "ver": credentials_version,
        }  # fmt: skip
        return jwt.encode({"alg": ALGORITHM, "kid": key.kid, "typ": "JWT"}, claims, key, algorithms=[ALGORITHM])

    async def check(self, token: str) -> Claims | None:
        """What a token says; None for any that is not good, whatever is wrong with it."""
        if len(token) > MAX_CHARACTERS or token.count(".") != 2:
            return None
        try:
            header = _header(token)
            key = await self.keys.of(str(header.get("kid", "")))
            if key is None or header.get("alg") != ALGORITHM:
                return None
            claims = jwt.decode(token, key, algorithms=[ALGORITHM]).claims
            self._registry().validate(claims)
            return Claims(claims["sub"], UUID(claims["sid"]), int(claims["ver"]), float(claims["exp"]))
        except (JoseError, ValueError, KeyError, TypeError):
            return None

    def _registry(self) -> JWTClaimsRegistry:
        return JWTClaimsRegistry(
            leeway=LEEWAY_SECONDS, iss={"essential": True, "value": self.issuer}, sub={"essential": True},
            aud={"essential": True, "value": AUDIENCE}, exp={"essential": True}, nbf={"essential": True},
            iat={"essential": True}, sid={"essential": True}, ver={"essential": True},
        )  # fmt: skip


def _header(token: str) -> dict[str, Any]:
    """The header of a token, read before its signature is checked: only to find the key."""
    return json_b64decode(token.partition(".")[0].encode())
