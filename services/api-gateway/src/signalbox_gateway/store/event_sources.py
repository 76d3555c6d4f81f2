"""SQL of the sources of events: their signing secrets as they are kept, and the signed requests that were seen."""

from typing import Any, Final

from signalbox_chassis.persistence.connection import Connection, Row

_COLUMNS: Final = (
    "name, description, tolerance_seconds, cardinality(secrets) AS secrets, created_at, updated_at, updated_by"
)
_SET: Final = f"""
INSERT INTO event_source AS s (name, description, key_id, secrets, tolerance_seconds, updated_by)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (name) DO UPDATE SET description = excluded.description, key_id = excluded.key_id,
    secrets = excluded.secrets, tolerance_seconds = excluded.tolerance_seconds, updated_by = excluded.updated_by,
    updated_at = now()
RETURNING {_COLUMNS}
"""  # noqa: S608
_SEEN: Final = """
INSERT INTO signed_request (source, id, sent_at, expires_at)
VALUES ($1, $2, $3, now() + make_interval(secs => $4::float8)) ON CONFLICT DO NOTHING RETURNING true
"""
_FORGET: Final = """
DELETE FROM signed_request WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM signed_request WHERE expires_at < now() LIMIT 100))
"""


async def save(
    connection: Connection, name: str, *, description: str, key_id: str, secrets: list[bytes], tolerance_seconds: int,
    actor: str,
) -> dict[str, Any]:  # fmt: skip
    """Keep a source and its encrypted signing secrets."""
    row = await connection.fetchrow(_SET, name, description, key_id, secrets, tolerance_seconds, actor)
    assert row is not None
    return dict(row)


async def listed(connection: Connection) -> list[dict[str, Any]]:
    """Every source, without secrets."""
    return [dict(row) for row in await connection.fetch(f"SELECT {_COLUMNS} FROM event_source ORDER BY name")]  # noqa: S608


async def load(connection: Connection, name: str) -> dict[str, Any] | None:
    """One source, without secrets."""
    row = await connection.fetchrow(f"SELECT {_COLUMNS} FROM event_source WHERE name = $1", name)  # noqa: S608
    return None if row is None else dict(row)


async def sealed(connection: Connection, name: str) -> Row | None:
    """The encrypted secrets of a source."""
    return await connection.fetchrow(
        "SELECT key_id, secrets, tolerance_seconds FROM event_source WHERE name = $1", name
    )


async def encrypted_with_others(connection: Connection, key_id: str) -> list[Row]:
    """Sources whose secrets are encrypted with another key than this one, locked."""
    return await connection.fetch(
        "SELECT name, key_id, secrets FROM event_source WHERE key_id <> $1 ORDER BY name FOR UPDATE", key_id
    )


async def encrypt_again(connection: Connection, name: str, key_id: str, secrets: list[bytes]) -> None:
    """Keep the same secrets as another key encrypts them. The source did not change for its readers."""
    await connection.execute("UPDATE event_source SET key_id = $2, secrets = $3 WHERE name = $1", name, key_id, secrets)


async def delete(connection: Connection, name: str) -> bool:
    """Forget a source; whether there was one."""
    return await connection.fetchval("DELETE FROM event_source WHERE name = $1 RETURNING true", name) is True


async def see(connection: Connection, source: str, id: str, sent_at: int, keep_seconds: float) -> bool:
    """Remember a signed request; False when it was seen before."""
    await connection.execute(_FORGET)
    return await connection.fetchval(_SEEN, source, id, sent_at, keep_seconds) is True
