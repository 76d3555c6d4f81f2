"""Calls of the OpenID provider: its metadata, its keys, and the exchange of a code. Every answer is bounded.

Its addresses come from the operator's issuer and from what that answers, so each call passes the egress guard: an
internal provider must be on `SIGNALBOX_EGRESS_ALLOW`.
"""

import asyncio
import base64
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self, cast
from urllib.parse import quote_plus, urlencode

import aiohttp
from joserfc.jwk import Key
from pydantic_core import from_json

from signalbox_chassis.security.egress import AddressRefused, EgressGuard
from signalbox_gateway.identity.oidc import id_tokens
from signalbox_gateway.identity.oidc.id_tokens import IdTokenRefused, KeyNotKnown, Person
from signalbox_gateway.settings import GatewaySettings

SECONDS: Final = 5.0
"""How long one call of the provider may take."""
MAX_BYTES: Final = 262_144
KEPT_SECONDS: Final = 600.0
"""How long metadata and keys are kept."""
MIN_REFRESH_SECONDS: Final = 5.0
"""A `kid` that nobody knows fetches the keys again, and not more often than this."""


class ProviderAway(Exception):
    """The provider does not answer, or not as an OpenID provider does."""


class ProviderRefused(Exception):
    """The provider does not accept this gateway: its client id or secret is wrong."""


class CodeRefused(Exception):
    """The provider does not accept the code: it was used, has expired, or belongs to another login."""


@dataclass(frozen=True, slots=True)
class _Metadata:
    authorization: str
    token: str
    keys: str
    userinfo: str
    token_methods: tuple[str, ...]
    answers_issuer: bool
    at: float


@dataclass
class OidcProvider:
    """One provider, as one client of it."""

    guard: EgressGuard
    issuer: str
    client_id: str
    client_secret: str
    redirect_url: str
    scopes: str
    _metadata: _Metadata | None = field(default=None, init=False)
    _keys: Sequence[Key] = field(default=(), init=False)
    _keys_at: float = field(default=float("-inf"), init=False)
    _session: aiohttp.ClientSession | None = field(default=None, init=False)

    @classmethod
    def of(cls, settings: GatewaySettings) -> Self | None:
        """The provider of the settings, if they name one."""
        if not settings.oidc_issuer:
            return None
        return cls(
            settings.guard(), settings.oidc_issuer, settings.oidc_client_id,
            settings.oidc_client_secret.get_secret_value(), settings.oidc_redirect_url, settings.oidc_scopes,
        )  # fmt: skip

    async def authorization_url(self, *, state: str, nonce: str, challenge: str) -> str:
        """Where a browser goes to sign in. Raises `ProviderAway`."""
        query = {
            "response_type": "code", "client_id": self.client_id, "redirect_uri": self.redirect_url,
            "scope": self.scopes, "state": state, "nonce": nonce, "code_challenge": challenge,
            "code_challenge_method": "S256",
        }  # fmt: skip
        authorization = (await self._described()).authorization
        return f"{authorization}{'&' if '?' in authorization else '?'}{urlencode(query)}"

    async def answers_issuer(self) -> bool:
        """Whether the provider names itself when it sends a browser back (RFC 9207)."""
        return (await self._described()).answers_issuer

    async def person(self, code: str, *, verifier: str, nonce: str) -> Person:
        """Who the code stands for. Raises `ProviderAway`, `ProviderRefused`, `CodeRefused`, `IdTokenRefused`."""
        tokens = await self._exchange(code, verifier)
        token = tokens.get("id_token")
        if not isinstance(token, str):
            raise IdTokenRefused("the provider answered no ID token")
        try:
            claims = await self._check(token, nonce, await self._loaded_keys())
        except KeyNotKnown:
            claims = await self._check(token, nonce, await self._loaded_keys(again=True))
        return id_tokens.person(self.issuer, {**await self._more_claims(claims, tokens), **claims})

    async def close(self) -> None:
        """Close the connections to the provider."""
        if self._session is not None:
            await self._session.close()

    async def _check(self, token: str, nonce: str, keys: Sequence[Key]) -> Mapping[str, Any]:
        # RSA takes a millisecond: not worth a thread
        return id_tokens.check(token, keys, issuer=self.issuer, client_id=self.client_id, nonce=nonce)

    async def _exchange(self, code: str, verifier: str) -> Mapping[str, Any]:
        found = await self._described()
        form = {
            "grant_type": "authorization_code", "code": code, "redirect_uri": self.redirect_url,
            "code_verifier": verifier,
        }  # fmt: skip
        headers = {"Accept": "application/json"}
        if self.client_secret and "client_secret_basic" in found.token_methods:
            # RFC 6749, section 2.3.1: both are form-encoded first
            pair = f"{quote_plus(self.client_id)}:{quote_plus(self.client_secret)}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        else:
            form |= {"client_id": self.client_id}
            form |= {"client_secret": self.client_secret} if self.client_secret else {}
        status, answered = await self._call("POST", found.token, data=form, headers=headers)
        error = str(answered.get("error", ""))[:100]
        if status == 200:
            return answered
        if error == "invalid_grant":
            raise CodeRefused(error)
        if status in (401, 403) or error in ("invalid_client", "unauthorized_client"):
            raise ProviderRefused(f"the token endpoint answered {status} {error}")
        raise ProviderAway(f"the token endpoint answered {status} {error}".strip())

    async def _more_claims(self, claims: Mapping[str, Any], tokens: Mapping[str, Any]) -> Mapping[str, Any]:
        """What the userinfo endpoint adds: strict providers put names and addresses nowhere else."""
        endpoint, access = (await self._described()).userinfo, tokens.get("access_token")
        if not endpoint or not isinstance(access, str) or "preferred_username" in claims or "email" in claims:
            return {}
        try:
            status, answered = await self._call("GET", endpoint, headers={"Authorization": f"Bearer {access}"})
        except ProviderAway:
            return {}  # who it is, is known: only the name is not
        return answered if status == 200 and answered.get("sub") == claims.get("sub") else {}

    async def _described(self) -> _Metadata:
        known = self._metadata
        if known is not None and time.monotonic() - known.at < KEPT_SECONDS:
            return known
        url = f"{self.issuer.rstrip('/')}/.well-known/openid-configuration"
        try:
            status, answered = await self._call("GET", url)
            self._metadata = found = self._read(status, answered)
        except ProviderAway:
            if known is None:
                raise
            return known  # an answer of before is better than none
        return found

    def _read(self, status: int, answered: Mapping[str, Any]) -> _Metadata:
        if status != 200:
            raise ProviderAway(f"its metadata answers HTTP {status}")
        if answered.get("issuer") != self.issuer:
            raise ProviderAway(f"its metadata names the issuer {str(answered.get('issuer'))[:200]!r}")
        methods = answered.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        names = tuple(map(str, cast("list[Any]", methods))) if isinstance(methods, list) else ()
        return _Metadata(
            self._address(answered, "authorization_endpoint"), self._address(answered, "token_endpoint"),
            self._address(answered, "jwks_uri"),
            self._address(answered, "userinfo_endpoint") if "userinfo_endpoint" in answered else "",
            names, answered.get("authorization_response_iss_parameter_supported") is True, time.monotonic(),
        )  # fmt: skip

    def _address(self, answered: Mapping[str, Any], name: str) -> str:
        value = answered.get(name)
        scheme = "https://" if self.issuer.startswith("https://") else "http"
        if not isinstance(value, str) or not value.startswith(scheme) or len(value) > 2000:
            raise ProviderAway(f"its metadata has no usable {name}")
        return value

    async def _loaded_keys(self, *, again: bool = False) -> Sequence[Key]:
        age = time.monotonic() - self._keys_at
        if age < (MIN_REFRESH_SECONDS if again else KEPT_SECONDS):
            return self._keys
        status, answered = await self._call("GET", (await self._described()).keys)
        if status != 200:
            raise ProviderAway(f"its keys answer HTTP {status}")
        self._keys, self._keys_at = id_tokens.public_keys(answered), time.monotonic()
        return self._keys

    async def _call(self, method: str, url: str, **more: Any) -> tuple[int, Mapping[str, Any]]:
        """Status and JSON object of an answer; an empty object for anything else. Raises `ProviderAway`."""
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=SECONDS)
            self._session = self.guard.session(limit=20, timeout=timeout)
        try:
            async with (
                asyncio.timeout(SECONDS),
                self._session.request(method, url, allow_redirects=False, **more) as response,
            ):
                body = await response.content.read(MAX_BYTES + 1)
                while len(body) <= MAX_BYTES and (chunk := await response.content.read(MAX_BYTES)):
                    body += chunk
                if len(body) > MAX_BYTES:
                    raise ProviderAway(f"it answers more than {MAX_BYTES} bytes")
                status = response.status
        except AddressRefused as refused:
            raise ProviderAway(str(refused)) from None
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise ProviderAway(f"{type(error).__name__} at {url.partition('?')[0]}") from error
        try:
            answered: Any = from_json(body)
        except ValueError:
            answered = None
        return status, cast("Mapping[str, Any]", answered) if isinstance(answered, Mapping) else {}
