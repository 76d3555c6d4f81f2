"""SQL of keys: what programs sign in with. A key is shown once; the table keeps a hash of its secret."""

import hashlib
import secrets
from datetime import datetime
from typing import Any, Final

from sqlalchemy import func
from sqlmodel import col, insert, update

from signalbox_chassis.persistence.connection import Connection, Row
from signalbox_gateway.store.statements import columns, fetch, fetchrow
from signalbox_gateway.store.tables import Key

_SHOWN: Final[Any] = (
    Key.id, Key.principal, Key.label, Key.permissions, Key.created_at, Key.created_by, Key.expires_at, Key.revoked_at,
    Key.last_used_at,
)  # fmt: skip
_ID_CHARACTERS: Final = "abcdefghijklmnopqrstuvwxyz0123456789"


async def load(connection: Connection, id: str) -> Row | None:
    return await fetchrow(connection, columns(*_SHOWN).where(Key.id == id))


async def list_keys(connection: Connection, *, principal: str | None, after: str, limit: int) -> list[Row]:
    """Keys by id, of one account or of all."""
    statement = columns(*_SHOWN).where(Key.id > after).order_by(col(Key.id)).limit(limit)
    if principal is not None:
        statement = statement.where(Key.principal == principal)
    return await fetch(connection, statement)


async def create(
    connection: Connection, principal: str, *, label: str, scopes: list[str], expires_at: datetime | None, actor: str
) -> tuple[Row, str]:
    """A new key, and its text."""
    id = "".join(secrets.choice(_ID_CHARACTERS) for _ in range(12))
    secret = secrets.token_urlsafe(32)
    values = {"id": id, "principal": principal, "label": label, "permissions": scopes, "expires_at": expires_at}
    values |= {"secret_hash": hashlib.sha256(secret.encode()).digest(), "created_by": actor}
    statement: Any = insert(Key).values(**values)
    row = await fetchrow(connection, statement.returning(*_SHOWN))
    assert row is not None
    return row, f"sbt_{id}_{secret}"


async def revoke(connection: Connection, id: str) -> Row | None:
    """Revoke a key."""
    revoked_at = func.coalesce(Key.revoked_at, func.now())
    statement: Any = update(Key).where(col(Key.id) == id).values(revoked_at=revoked_at)
    return await fetchrow(connection, statement.returning(*_SHOWN))
