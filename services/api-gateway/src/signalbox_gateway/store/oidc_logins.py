"""SQL of logins that came back from an OpenID provider."""

from typing import Final
from uuid import UUID

from signalbox_chassis.persistence.connection import Connection

# INVARIANT a login comes back once, at whichever gateway: its row is there when it comes again.
_USE: Final = """
INSERT INTO oidc_login_used (id, expires_at) VALUES ($1, to_timestamp($2)) ON CONFLICT DO NOTHING RETURNING id
"""
_FORGET: Final = "DELETE FROM oidc_login_used WHERE expires_at < now()"


async def use(connection: Connection, id: UUID, *, expires: float) -> bool:
    """Take a login, which expires at this Unix time; False if it came back before."""
    return await connection.fetchval(_USE, id, expires) is not None


async def forget(connection: Connection) -> None:
    """Forget logins that have expired anyway."""
    await connection.execute(_FORGET)
