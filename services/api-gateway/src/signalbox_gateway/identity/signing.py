"""Signing keys: Ed25519 for access tokens, and one from which refresh tokens and cookies are made.

They are in the database, wrapped by `SIGNALBOX_SECRET_KEY` where it is set, so that every gateway has the same. A
retired key signs nothing, and is good for checking as long as tokens signed with it may live.
"""

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc.jwk import OKPKey

from signalbox_chassis.persistence.connection import Connection, Row
from signalbox_chassis.persistence.database import Database
from signalbox_chassis.security.vault import Keys
from signalbox_gateway.store import signing_keys as store

KEPT_SECONDS: Final = 3600.0
"""How long a retired key is good for checking: longer than any access token."""
_REFRESH_SECONDS: Final = 30.0
_MIN_REFRESH_SECONDS: Final = 1.0
_RAW: Final = serialization.Encoding.Raw


@dataclass(frozen=True, slots=True)
class _Loaded:
    signing: OKPKey
    checking: Mapping[str, OKPKey]
    family: bytes
    at: float


@dataclass
class SigningKeys:
    """The keys as last read. Made in the database by the first gateway that needs them."""

    database: Database
    secret_key: str
    _loaded: _Loaded | None = field(default=None, init=False)

    async def current(self) -> OKPKey:
        """The key that signs now."""
        return (await self._load()).signing

    async def of(self, kid: str) -> OKPKey | None:
        """The key of this id, if it is still good; read again for one that is not known."""
        loaded = await self._load()
        if kid not in loaded.checking and time.monotonic() - loaded.at > _MIN_REFRESH_SECONDS:
            loaded = await self._load(again=True)
        return loaded.checking.get(kid)

    async def jwks(self) -> dict[str, Any]:
        """The public halves, as a JSON Web Key Set."""
        keys = (await self._load()).checking.values()
        return {"keys": [{**key.as_dict(private=False), "use": "sig", "alg": "Ed25519"} for key in keys]}

    async def secret_of(self, session: UUID, purpose: str) -> str:
        """The text that only the holder of this session has, for this purpose."""
        key = (await self._load()).family
        mac = hmac.new(key, f"{purpose}:{session.hex}".encode(), hashlib.sha256).digest()
        return base64.urlsafe_b64encode(mac).decode().rstrip("=")

    async def rotate(self) -> str:
        """Sign with a fresh key from now on; its id."""
        async with self.database.unit_of_work() as work:
            await store.lock(work.connection)
            kid = await self._make(work.connection, "access")
        self._loaded = None
        return kid

    async def rotate_when_due(self, days: int) -> None:
        """Rotate when the key in use is older than this."""
        async with self.database.connection() as connection:
            due = await store.is_due(connection, days)
        if due:
            await self.rotate()

    async def _load(self, *, again: bool = False) -> _Loaded:
        loaded = self._loaded
        if loaded is not None and not again and time.monotonic() - loaded.at < _REFRESH_SECONDS:
            return loaded
        async with self.database.connection() as connection:
            rows = await store.load(connection, kept_seconds=KEPT_SECONDS)
        if {row["purpose"] for row in rows if row["in_use"]} != {"access", "session"}:
            rows = await self._make_missing()
        self._loaded = loaded = self._read(rows)
        return loaded

    async def _make_missing(self) -> list[Row]:
        async with self.database.unit_of_work() as work:
            await store.lock(work.connection)
            rows = await store.load(work.connection, kept_seconds=KEPT_SECONDS)
            for purpose in {"access", "session"} - {row["purpose"] for row in rows if row["in_use"]}:
                await self._make(work.connection, purpose)
            return await store.load(work.connection, kept_seconds=KEPT_SECONDS)

    async def _make(self, connection: Connection, purpose: str) -> str:
        kid, secret = secrets.token_hex(8), secrets.token_bytes(32)
        wrapped_by, stored = "", secret
        if self.secret_key:
            keys = Keys(self.secret_key)
            wrapped_by, stored = keys.newest, keys.wrap(secret, _about(kid))
        public = _encoded(_public(secret)) if purpose == "access" else ""
        await store.replace(
            connection, kid, purpose=purpose, wrapped_by=wrapped_by, secret=stored, public=public
        )  # fmt: skip
        return kid

    def _read(self, rows: list[Row]) -> _Loaded:
        checking: dict[str, OKPKey] = {}
        signing, family = "", b""
        for row in rows:
            if row["purpose"] == "session":
                family = self._unwrap(row) if row["in_use"] else family
                continue
            values = {"kty": "OKP", "crv": "Ed25519", "x": row["public"], "kid": row["kid"]}
            if row["in_use"]:
                signing = row["kid"]
                values["d"] = _encoded(self._unwrap(row))
            checking[row["kid"]] = OKPKey.import_key(values)
        return _Loaded(checking[signing], checking, family, time.monotonic())

    def _unwrap(self, row: Row) -> bytes:
        if not row["wrapped_by"]:
            return row["secret"]
        return Keys(self.secret_key).unwrap(
            f"signing key {row['kid']}", row["wrapped_by"], row["secret"], _about(row["kid"])
        )


def _about(kid: str) -> bytes:
    return f"signalbox signing key {kid}".encode()


def _public(secret: bytes) -> bytes:
    return Ed25519PrivateKey.from_private_bytes(secret).public_key().public_bytes(_RAW, serialization.PublicFormat.Raw)


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
