"""SQL of idempotency keys: one answer for each key of a principal."""

from typing import Any, Final

from signalbox_chassis.persistence.connection import Connection, Row

KEPT_HOURS: Final = 24
_LOCK: Final = "SELECT pg_try_advisory_xact_lock(hashtextextended($1 || E'\\n' || $2, 0))"
_FOUND: Final = """
SELECT request_hash, status, answer, headers FROM idempotency
WHERE principal = $1 AND key = $2 AND created_at > now() - make_interval(hours => $3)
"""
_KEEP: Final = """
INSERT INTO idempotency (principal, key, request_hash, status, answer, headers) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (principal, key) DO UPDATE SET request_hash = excluded.request_hash, status = excluded.status,
    answer = excluded.answer, headers = excluded.headers, created_at = now()
"""
_FORGET: Final = "DELETE FROM idempotency WHERE created_at < now() - make_interval(hours => $1)"


async def lock(connection: Connection, principal: str, key: str) -> bool:
    """Whether nobody else answers a request with this key; held until the transaction ends."""
    return await connection.fetchval(_LOCK, principal, key)


async def load(connection: Connection, principal: str, key: str) -> Row | None:
    """The stored answer, unless it is too old."""
    return await connection.fetchrow(_FOUND, principal, key, KEPT_HOURS)


async def save(
    connection: Connection, principal: str, key: str, request_hash: bytes, *, status: int, answer: Any, headers: str
) -> None:
    """Store the answer of a request."""
    await connection.execute(_KEEP, principal, key, request_hash, status, answer, headers)


async def forget(connection: Connection) -> None:
    """Delete answers that are too old."""
    await connection.execute(_FORGET, KEPT_HOURS)
