"""Schemas of the services: one role and one alembic history each, applied under an advisory lock."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any
from zlib import crc32

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection as SyncConnection
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine

from signalbox_chassis.persistence.connection import ROLE_SETTINGS, Connection, connect


async def provision(admin_url: str, *, role: str, password: str, schema: str) -> str:
    """Create the role and its schema where missing, bring their settings up to date, and return the role's DSN.

    The role owns its schema and can reach no other. `admin_url` needs CREATEROLE and CREATE on the database.
    """
    connection = await connect(_plain(admin_url), timeout=10)
    try:
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", crc32(b"signalbox provision"))
            await _provision(connection, role=role, password=password, schema=schema)
    finally:
        await connection.close()
    return make_url(admin_url).set(drivername="postgresql", username=role, password=password).render_as_string(False)


async def provision_worker(admin_url: str, service_url: str, *, role: str, password: str, schema: str) -> str:
    """Create the role of a service's workers, grant it what the service's `allow_worker` says; returns its DSN."""
    connection = await connect(_plain(admin_url), timeout=10)
    try:
        quote = await connection.fetchrow(
            "SELECT quote_ident($1) AS role, quote_literal($2) AS password,"
            " quote_ident(current_database()) AS database",
            role, password,
        )  # fmt: skip
        assert quote is not None
        exists = await connection.fetchval("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", role)
        verb = "ALTER" if exists else "CREATE"
        await connection.execute(
            f"{verb} ROLE {quote['role']} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD {quote['password']}"
        )
        await connection.execute(f"GRANT CONNECT ON DATABASE {quote['database']} TO {quote['role']}")
    finally:
        await connection.close()
    service = await connect(_plain(service_url), timeout=10, server_settings={"search_path": schema})
    try:
        await service.execute("SELECT allow_worker($1)", role)
    finally:
        await service.close()
    return make_url(admin_url).set(drivername="postgresql", username=role, password=password).render_as_string(False)


async def _provision(connection: Connection, *, role: str, password: str, schema: str) -> None:
    quote = await connection.fetchrow(
        "SELECT quote_ident($1) AS role, quote_ident($2) AS schema, quote_literal($3) AS password,"
        " quote_ident(current_database()) AS database, quote_ident(current_user) AS me",
        role,
        schema,
        password,
    )
    assert quote is not None
    exists = await connection.fetchval("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", role)
    verb = "ALTER" if exists else "CREATE"
    await connection.execute(
        f"{verb} ROLE {quote['role']} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD {quote['password']}"
    )
    for setting, value in ROLE_SETTINGS.items():
        await connection.execute(f"ALTER ROLE {quote['role']} SET {setting} = '{value}'")
    await connection.execute(f"GRANT {quote['role']} TO {quote['me']}")
    await connection.execute(f"GRANT CONNECT ON DATABASE {quote['database']} TO {quote['role']}")
    await connection.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {quote['schema']} AUTHORIZATION {quote['role']}")


async def migrate(url: str, *, schema: str, versions: Path | Sequence[Path], revision: str = "head") -> None:
    """Bring one schema to `revision`. `url` is the service role's own DSN; `versions` holds its alembic revisions.

    Several processes may call this at once: one migrates, the others wait and find nothing to do.
    """
    folders = [versions] if isinstance(versions, Path) else list(versions)
    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=partial(_connect, url, schema),  # asyncpg reads the address itself, `sslmode` included
    )
    try:
        async with engine.connect() as connection:
            await connection.run_sync(_upgrade, schema, folders, revision)
            await connection.commit()
    finally:
        await engine.dispose()


async def _connect(url: str, schema: str) -> Any:
    settings = {"search_path": schema, "lock_timeout": "10s", "statement_timeout": "0"}
    return await connect(_plain(url), timeout=10, server_settings=settings)


def _upgrade(connection: SyncConnection, schema: str, folders: list[Path], revision: str) -> None:
    connection.execute(
        text("SELECT pg_advisory_xact_lock(:key)"), {"key": crc32(f"signalbox migrate {schema}".encode())}
    )
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    config.set_main_option("version_locations", ":".join(str(folder) for folder in folders))
    config.attributes.update(connection=connection, schema=schema)
    command.upgrade(config, revision)


def _plain(url: str) -> str:
    return make_url(url).set(drivername="postgresql").render_as_string(False)
