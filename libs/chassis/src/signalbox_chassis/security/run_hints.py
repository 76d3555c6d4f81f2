"""Addresses at which an engine reports that a run changed: each is good for hints about one run, and for nothing else.

The address carries a signature over engine and run key, by a key derived from the key-encryption keys that executor
and gateway both have. So nothing is stored for it, and whoever reads the address of one run learns that of no other.
"""

import base64
import hashlib
import hmac
from collections.abc import Sequence
from typing import Final

PATH: Final = "/api/v1/run-hints"
_PURPOSE: Final = b"signalbox run hints"
_TOKEN_BYTES: Final = 18


def hint_keys(secret_key: str) -> tuple[bytes, ...]:
    """Keys derived from `SIGNALBOX_SECRET_KEY`, the newest first; none when it is empty."""
    parts = [part.strip() for part in secret_key.split(",") if part.strip()]
    return tuple(hmac.digest(base64.b64decode(part), _PURPOSE, hashlib.sha256) for part in parts)


def hint_url(keys: Sequence[bytes], base_url: str, engine_id: str, run_key: str) -> str:
    """The address of one run, below the API's own. `keys` must not be empty."""
    return f"{base_url.rstrip('/')}{PATH}/{engine_id}/{run_key}/{_token(keys[0], engine_id, run_key)}"


def is_hint(keys: Sequence[bytes], engine_id: str, run_key: str, token: str) -> bool:
    """Whether the token is the one of this run. Without keys none is."""
    good = [hmac.compare_digest(_token(key, engine_id, run_key).encode(), token.encode()) for key in keys]
    return any(good)


def _token(key: bytes, engine_id: str, run_key: str) -> str:
    digest = hmac.digest(key, f"{engine_id}\n{run_key}".encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(digest[:_TOKEN_BYTES]).decode()
