"""Signatures of Standard Webhooks: HMAC-SHA256 over `id.timestamp.body`, with secrets the gateway keeps encrypted."""

import hashlib
import hmac
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from signalbox_chassis.security.vault import Keys

PREFIX: Final = "whsec_"
MAX_ID: Final = 255


class SignatureRefused(Exception):
    """The request is not from who it says, or is sent again; the text says what is wrong and repeats no secret."""


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A request whose signature is good. The same id and instant again is a replay."""

    source: str
    id: str
    sent_at: int
    tolerance_seconds: int


def key_of(secret: str) -> bytes:
    """The key in `whsec_<base64>`; raises ValueError, which repeats nothing of it."""
    try:
        key = b64decode(secret.removeprefix(PREFIX), validate=True)
    except (NotBase64, ValueError):
        raise ValueError("whsec_ and base64 is allowed") from None
    if not secret.startswith(PREFIX) or not 24 <= len(key) <= 64:
        raise ValueError("whsec_ and the base64 of 24 to 64 bytes is allowed")
    return key


def sign(key: bytes, id: str, sent_at: int, body: bytes) -> str:
    """The signature, as it stands in `webhook-signature`."""
    digest = hmac.new(key, f"{id}.{sent_at}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{b64encode(digest).decode()}"


def verify(
    source: str,
    keys: Sequence[bytes],
    headers: Mapping[str, str],
    body: bytes,
    *,
    now: datetime,
    tolerance_seconds: int,
) -> SignedRequest:
    """Check a request against the keys of its source. Raises `SignatureRefused`."""
    id, at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not 1 <= len(id) <= MAX_ID or not id.isprintable():
        raise SignatureRefused(f"webhook-id is missing or has more than {MAX_ID} characters")
    if not (at.isascii() and at.isdigit() and len(at) <= 12):
        raise SignatureRefused("webhook-timestamp is not a number of seconds since 1970")
    given = headers.get("webhook-signature", "").split(" ")[:10]
    wanted = [sign(key, id, int(at), body) for key in keys]
    good = [hmac.compare_digest(one.encode(), other.encode()) for one in given for other in wanted]
    if not any(good):
        raise SignatureRefused("no signature in webhook-signature fits: another secret, another body, or a forgery")
    if abs(now.timestamp() - int(at)) > tolerance_seconds:
        raise SignatureRefused(f"webhook-timestamp is more than {tolerance_seconds} s from now: sign the request anew")
    return SignedRequest(source, id, int(at), tolerance_seconds)


def seal(keys: Keys, source: str, secrets: Sequence[str]) -> list[bytes]:
    """Signing secrets as they are stored."""
    return [keys.wrap(key_of(secret), _about(source)) for secret in secrets]


def unseal(keys: Keys, source: str, key_id: str, sealed: Sequence[bytes]) -> list[bytes]:
    """The keys of a source; raises `SecretUnreadable`."""
    return [keys.unwrap(source, key_id, one, _about(source)) for one in sealed]


def seal_again(keys: Keys, source: str, key_id: str, sealed: Sequence[bytes]) -> list[bytes]:
    """The same secrets, encrypted with the newest key. Raises `SecretUnreadable`."""
    return [keys.wrap(key, _about(source)) for key in unseal(keys, source, key_id, sealed)]


def _about(source: str) -> bytes:
    return f"signalbox event source\n{source}".encode()
