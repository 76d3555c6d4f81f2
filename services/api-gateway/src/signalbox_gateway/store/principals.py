"""SQL of principals and their tokens, as the operator's commands change them.

A token is `sbt_<id>_<secret>`. It is printed once; the table keeps a hash of the secret.
"""

import hashlib
import re
import secrets
from datetime import datetime
from typing import Final

from signalbox_chassis.persistence.connection import Connection

ALL_PERMISSIONS: Final = ("*",)
_NAME: Final = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,199}$")
_ID_CHARACTERS: Final = "abcdefghijklmnopqrstuvwxyz0123456789"
_MAKE: Final = """
INSERT INTO token (id, principal, secret_hash, permissions, expires_at)
VALUES ($1, $2, $3, $4, now() + make_interval(days => $5)) RETURNING expires_at
"""
_LIST: Final = """
SELECT p.name, t.id, t.permissions, t.created_at, t.expires_at, t.revoked_at
FROM principal p LEFT JOIN token t ON t.principal = p.name ORDER BY p.name, t.created_at
"""


class CannotDo(Exception):
    """Why not, in words for people."""


async def create(connection: Connection, name: str, days: int | None) -> str:
    """A new principal with its first token, which may do everything. Raises `CannotDo` when the name is taken."""
    if not _NAME.match(name):
        raise CannotDo(f"{name[:100]!r} is not a name: up to 200 letters, digits, '.', '_', '@' and '-'")
    async with connection.transaction():
        made = await connection.fetchval(
            "INSERT INTO principal (name) VALUES ($1) ON CONFLICT DO NOTHING RETURNING name", name
        )
        if made is None:
            raise CannotDo(f"{name} is there already: `admin token {name}` makes another token")
        await connection.execute(
            "INSERT INTO binding (principal, role, created_by) VALUES ($1, 'admin', 'admin')", name
        )
        return await _token(connection, name, days)


async def token(connection: Connection, name: str, days: int | None) -> str:
    """One more token of a principal; its others stay good. Raises `CannotDo` when there is no such principal."""
    async with connection.transaction():
        if not await connection.fetchval("SELECT EXISTS (SELECT FROM principal WHERE name = $1)", name):
            raise CannotDo(f"there is no {name[:100]}: `admin create {name[:100]}` makes one")
        return await _token(connection, name, days)


async def revoke(connection: Connection, token_id: str) -> str:
    """Make a token worthless for good; the name of whom it belonged to. The whole token may be given as well."""
    id = token_id.removeprefix("sbt_").partition("_")[0]
    name: str | None = await connection.fetchval(
        "UPDATE token SET revoked_at = COALESCE(revoked_at, now()) WHERE id = $1 RETURNING principal", id
    )
    if name is None:
        raise CannotDo(f"there is no token {id[:20]}: `admin list` shows them")
    return name


async def listed(connection: Connection) -> list[str]:
    """One line a token: whose, its id, what it may, until when."""
    lines: list[str] = []
    for row in await connection.fetch(_LIST):
        if row["id"] is None:
            lines.append(f"{row['name']}  no token")
            continue
        state = _until(row["expires_at"], row["revoked_at"])
        lines.append(f"{row['name']}  {row['id']}  {','.join(row['permissions'])}  {state}")
    return lines


async def _token(connection: Connection, name: str, days: int | None) -> str:
    id = "".join(secrets.choice(_ID_CHARACTERS) for _ in range(12))
    secret = secrets.token_urlsafe(32)
    hashed = hashlib.sha256(secret.encode()).digest()
    await connection.fetchval(_MAKE, id, name, hashed, list(ALL_PERMISSIONS), days)
    return f"sbt_{id}_{secret}"


def _until(expires_at: datetime | None, revoked_at: datetime | None) -> str:
    if revoked_at:
        return f"revoked {revoked_at:%Y-%m-%d %H:%M} UTC"
    return f"until {expires_at:%Y-%m-%d %H:%M} UTC" if expires_at else "without end"
