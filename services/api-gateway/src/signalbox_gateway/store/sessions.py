"""SQL of sessions. A session is one login; its refresh tokens are a family of which one is good at a time."""

from datetime import datetime
from typing import Any, Final
from uuid import UUID, uuid4

from sqlalchemy import func
from sqlmodel import col, insert, select, update

from signalbox_chassis.persistence.connection import Connection, Row
from signalbox_gateway.store.statements import fetch, fetchrow
from signalbox_gateway.store.tables import Session

_FORGET: Final = "DELETE FROM session WHERE id IN (SELECT id FROM session WHERE expires_at < now() LIMIT 5000)"
_ROTATE: Final = """
SELECT s.*, a.disabled_at, a.credentials_version, extract(epoch FROM now() - s.rotated_at)::float8 AS rotated_ago
FROM session s JOIN principal a ON a.name = s.principal WHERE s.id = $1 FOR UPDATE OF s
"""


async def begin(
    connection: Connection, principal: str, *, kind: str, address: str, user_agent: str, expires_at: datetime
) -> UUID:
    """A new session of an account; its id."""
    id = uuid4()
    values = {"id": id, "principal": principal, "kind": kind, "expires_at": expires_at}
    values |= {"address": address[:100], "user_agent": user_agent[:200]}
    await fetch(connection, insert(Session).values(**values).returning(col(Session.id)))
    return id


async def load_for_rotation(connection: Connection, id: UUID) -> Row | None:
    """A session with its account, locked until the transaction ends."""
    return await connection.fetchrow(_ROTATE, id)


async def rotate(connection: Connection, id: UUID, generation: int) -> None:
    """From now on only the refresh token of this generation is good."""
    values = {"generation": generation, "rotated_at": func.now()}
    await fetch(connection, update(Session).where(col(Session.id) == id).values(**values).returning(col(Session.id)))


async def end(connection: Connection, id: UUID, reason: str) -> bool:
    """End one session; whether it was live."""
    return bool(await _end(connection, col(Session.id) == id, reason))


async def end_all(connection: Connection, principal: str, reason: str) -> list[UUID]:
    """End every session of an account."""
    return await _end(connection, col(Session.principal) == principal, reason)


async def knows_address(connection: Connection, principal: str, address: str) -> bool:
    """Whether the account has signed in from this address before."""
    statement = select(Session.id).where(Session.principal == principal, Session.address == address).limit(1)
    return await fetchrow(connection, statement) is not None


async def forget(connection: Connection) -> None:
    """Delete sessions that are over."""
    await connection.execute(_FORGET)


async def _end(connection: Connection, which: Any, reason: str) -> list[UUID]:
    statement = (
        update(Session).where(which, col(Session.revoked_at).is_(None))
        .values(revoked_at=func.now(), revoked_reason=reason).returning(col(Session.id))
    )  # fmt: skip
    return [row["id"] for row in await fetch(connection, statement)]
