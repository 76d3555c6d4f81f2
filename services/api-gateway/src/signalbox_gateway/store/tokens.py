"""SQL of credentials: the account, the scopes and the roles behind a key or a session. One query each."""

from typing import Final
from uuid import UUID

from signalbox_chassis.persistence.connection import Connection, Row

_ACCOUNT: Final = """
a.name, a.id, a.credentials_version, coalesce(b.roles, '{}') AS roles, coalesce(b.projects, '{}') AS projects,
    coalesce(b.engines, '{}') AS engines
"""
_BINDINGS: Final = """
LEFT JOIN LATERAL (
    SELECT array_agg(role ORDER BY id) AS roles, array_agg(project ORDER BY id) AS projects,
        array_agg(engine ORDER BY id) AS engines
    FROM binding WHERE principal = a.name) b ON true
"""
_TOKEN: Final = f"""
SELECT t.secret_hash, t.permissions, t.expires_at, {_ACCOUNT}
FROM token t JOIN principal a ON a.name = t.principal {_BINDINGS}
WHERE t.id = $1 AND t.revoked_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > now()) AND a.disabled_at IS NULL
"""  # noqa: S608
_SESSION: Final = f"""
SELECT s.kind, s.expires_at, {_ACCOUNT} FROM session s JOIN principal a ON a.name = s.principal {_BINDINGS}
WHERE s.id = $1 AND s.revoked_at IS NULL AND s.expires_at > now() AND a.disabled_at IS NULL
"""  # noqa: S608
_USED: Final = """
UPDATE token SET last_used_at = now()
WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < now() - interval '60 seconds')
"""


async def load_token(connection: Connection, id: str) -> Row | None:
    """Hash, scopes, expiry, account and roles of a key that is neither revoked nor expired."""
    return await connection.fetchrow(_TOKEN, id)


async def load_session(connection: Connection, id: UUID) -> Row | None:
    """The account and roles of a session that is neither ended nor expired."""
    return await connection.fetchrow(_SESSION, id)


async def note_use(connection: Connection, id: str) -> None:
    """Remember when a key was used, to the minute."""
    await connection.execute(_USED, id)
