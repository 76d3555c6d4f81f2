"""Short-lived signed assertions between two services: one has checked a caller, the other relies on it.

The key is derived from the key-encryption keys both have. It signs nothing else, and never leaves a process.
"""

import base64
import hashlib
import hmac
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from pydantic_core import from_json, to_json

LIFE_SECONDS: Final = 30.0
_PURPOSE: Final = b"signalbox live feed"
MAX_BYTES: Final = 32_768


class AssertionRefused(Exception):
    """It was not signed by us, or is too old."""


def signing_keys(secret_key: str) -> tuple[bytes, ...]:
    """Keys derived from `SIGNALBOX_SECRET_KEY`, the newest first; none when it is empty."""
    parts = [part.strip() for part in secret_key.split(",") if part.strip()]
    return tuple(hmac.digest(base64.b64decode(part), _PURPOSE, hashlib.sha256) for part in parts)


def sign(keys: Sequence[bytes], claims: Mapping[str, Any]) -> str:
    """The claims as a text that `verify` takes for `LIFE_SECONDS`."""
    body = base64.urlsafe_b64encode(to_json({**claims, "expires": time.time() + LIFE_SECONDS}))
    return f"{body.decode()}.{hmac.new(keys[0], body, hashlib.sha256).hexdigest()}"


def verify(keys: Sequence[bytes], text: str) -> dict[str, Any]:
    """The claims. Raises `AssertionRefused`."""
    body, _, signature = text.partition(".")
    if len(text) > MAX_BYTES or not any(_signed(key, body, signature) for key in keys):
        raise AssertionRefused("it is not signed by this installation")
    claims = cast("dict[str, Any]", from_json(base64.urlsafe_b64decode(body)))
    if claims["expires"] < time.time():
        raise AssertionRefused("it is too old")
    return claims


def _signed(key: bytes, body: str, signature: str) -> bool:
    expected = hmac.new(key, body.encode(), hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected.encode(), signature.encode())
