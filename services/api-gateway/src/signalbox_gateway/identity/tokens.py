"""SQL of principals and their tokens. A token's secret is stored as a hash."""

from typing import Final

from signalbox_chassis.persistence.connection import Connection, Row

_TOKEN: Final = """
SELECT t.secret_hash, t.permissions, t.expires_at, p.name FROM token t JOIN principal p ON p.name = t.principal
WHERE t.id = $1 AND t.revoked_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > now())
"""


async def load_token(connection: Connection, id: str) -> Row | None:
    """The hash, permissions, expiry and principal of a token that is neither revoked nor expired."""
    return await connection.fetchrow(_TOKEN, id)
