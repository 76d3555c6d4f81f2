"""SQL of signing keys: those in use, and retired ones that are still good for checking."""

from typing import Final

from sqlalchemy import func
from sqlmodel import col, insert, update

from signalbox_chassis.persistence.connection import Connection, Row
from signalbox_gateway.store.statements import fetch
from signalbox_gateway.store.tables import SigningKey

_LOCK: Final = "SELECT pg_advisory_xact_lock(hashtextextended('signalbox signing keys', 0))"
_LOAD: Final = """
SELECT kid, purpose, wrapped_by, secret, public, retired_at IS NULL AS in_use FROM signing_key
WHERE retired_at IS NULL OR purpose = 'session' OR retired_at > now() - make_interval(secs => $1) ORDER BY created_at
"""
_DUE: Final = """
SELECT NOT EXISTS (SELECT FROM signing_key WHERE purpose = 'access' AND retired_at IS NULL
    AND created_at > now() - make_interval(days => $1))
"""


async def lock(connection: Connection) -> None:
    """Keep other gateways from making keys until the transaction ends."""
    await connection.execute(_LOCK)


async def load(connection: Connection, *, kept_seconds: float) -> list[Row]:
    """Keys in use, session keys, and access keys retired less than `kept_seconds` ago, oldest first."""
    return await connection.fetch(_LOAD, kept_seconds)


async def is_due(connection: Connection, days: int) -> bool:
    """Whether no access key in use is younger than this."""
    return await connection.fetchval(_DUE, days)


async def replace(
    connection: Connection, kid: str, *, purpose: str, wrapped_by: str, secret: bytes, public: str
) -> None:
    """Retire the key in use of this purpose, and save its successor."""
    retire = update(SigningKey).where(col(SigningKey.purpose) == purpose, col(SigningKey.retired_at).is_(None))
    await fetch(connection, retire.values(retired_at=func.now()).returning(col(SigningKey.kid)))
    values = {"kid": kid, "purpose": purpose, "wrapped_by": wrapped_by, "secret": secret, "public": public}
    await fetch(connection, insert(SigningKey).values(**values).returning(col(SigningKey.kid)))
