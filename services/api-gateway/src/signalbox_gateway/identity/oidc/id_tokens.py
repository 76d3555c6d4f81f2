"""ID tokens of a provider: which are good. Pure rules; OpenID Connect Core 1.0, section 3.1.3.7."""

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry, Key
from joserfc.jwt import JWTClaimsRegistry
from joserfc.util import json_b64decode

ALGORITHMS: Final = ("RS256", "PS256", "ES256", "ES384", "Ed25519")
"""Every one needs the provider's private key. `none` and the algorithms with a shared secret are not among them."""
MAX_CHARACTERS: Final = 16_384
MAX_KEYS: Final = 50
MAX_SUBJECT: Final = 255
LEEWAY_SECONDS: Final = 30
"""How far the clocks of the provider and the gateway may differ."""


class IdTokenRefused(Exception):
    """An ID token that is not good. Why is for the audit."""


class KeyNotKnown(IdTokenRefused):
    """No key of the provider has the token's `kid`: the keys may have been rotated."""


@dataclass(frozen=True, slots=True)
class Person:
    """Who a provider says has signed in."""

    issuer: str
    subject: str
    username: str = ""
    name: str = ""
    email: str = ""
    """Empty unless the provider has verified it."""


def public_keys(written: Any) -> list[Key]:
    """The usable keys of a JSON Web Key Set. What cannot be read is left out: it spoils no other key."""
    entries = cast("Mapping[str, Any]", written).get("keys") if isinstance(written, Mapping) else None
    found: list[Key] = []
    for entry in cast("list[Any]", entries)[:MAX_KEYS] if isinstance(entries, list) else []:
        try:
            if entry.get("kty") in ("RSA", "EC", "OKP") and entry.get("use", "sig") == "sig":
                found.append(JWKRegistry.import_key({name: value for name, value in entry.items() if name != "d"}))
        except (JoseError, ValueError, TypeError, AttributeError, KeyError):
            continue
    return found


def check(token: str, keys: Sequence[Key], *, issuer: str, client_id: str, nonce: str) -> Mapping[str, Any]:
    """The claims of a good token. Raises `KeyNotKnown`, `IdTokenRefused`."""
    if not isinstance(token, str) or len(token) > MAX_CHARACTERS or token.count(".") != 2:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise IdTokenRefused("the provider's ID token is not a signed JWT")
    try:
        header: dict[str, Any] = json_b64decode(token.partition(".")[0].encode())
        if header.get("alg") not in ALGORITHMS:
            raise IdTokenRefused(f"the ID token's algorithm {str(header.get('alg'))[:20]!r} is not allowed")
        claims = jwt.decode(token, _key(header.get("kid"), keys), algorithms=list(ALGORITHMS)).claims
        JWTClaimsRegistry(
            leeway=LEEWAY_SECONDS, iss={"essential": True, "value": issuer}, sub={"essential": True},
            aud={"essential": True, "value": client_id}, exp={"essential": True}, iat={"essential": True},
        ).validate(claims)  # fmt: skip
    except (JoseError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise IdTokenRefused(f"the ID token is not good: {str(error)[:200] or type(error).__name__}") from None
    _check_party(claims, client_id)
    given = claims.get("nonce")
    if not isinstance(given, str) or not hmac.compare_digest(given.encode(), nonce.encode()):
        raise IdTokenRefused("the ID token belongs to another login: its nonce differs")
    return claims


def person(issuer: str, claims: Mapping[str, Any]) -> Person:
    """Who the claims are about. Raises `IdTokenRefused` without a subject."""
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 1 <= len(subject) <= MAX_SUBJECT or not subject.isprintable():
        raise IdTokenRefused("the ID token names no subject")
    verified = claims.get("email_verified") is True
    return Person(
        issuer, subject, username=_text(claims.get("preferred_username")) or _text(claims.get("nickname")),
        name=_text(claims.get("name")), email=_text(claims.get("email")) if verified else "",
    )  # fmt: skip


def _key(kid: Any, keys: Sequence[Key]) -> Key:
    if kid is None and len(keys) == 1:
        return keys[0]
    found = next((key for key in keys if kid is not None and key.kid == kid), None)
    if found is None:
        raise KeyNotKnown(f"no key of the provider has the ID token's kid {str(kid)[:100]!r}")
    return found


def _check_party(claims: Mapping[str, Any], client_id: str) -> None:
    """A token for several audiences must be made for this client."""
    audience, party = claims["aud"], claims.get("azp")
    if (isinstance(audience, list) and len(cast("list[Any]", audience)) > 1 and party is None) or (
        party is not None and party != client_id
    ):
        raise IdTokenRefused("the ID token was made for another client")


def _text(value: Any) -> str:
    """A claim as text of one line; empty for anything else."""
    return "".join(one for one in value if one.isprintable())[:200].strip() if isinstance(value, str) else ""
