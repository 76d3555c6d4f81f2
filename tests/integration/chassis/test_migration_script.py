"""A script of a migration runs as it is written, and is undone with its migration."""

import uuid
from pathlib import Path

import asyncpg
import pytest

from signalbox_chassis.persistence.connection import connect
from signalbox_chassis.persistence.migrations import migrate, provision

REVISION = """
from signalbox_chassis.persistence.sql_script import run_script

revision = "0001"
down_revision = None


def upgrade() -> None:
    run_script('''{script}''')
"""


async def migrated(admin_url: str, folder: Path, script: str) -> tuple[str, str]:
    """The address and the name of a schema with this script as its only migration."""
    name = f"t{uuid.uuid4().hex[:12]}"
    url = await provision(admin_url, role=name, password=name, schema=name)
    (folder / "0001_script.py").write_text(REVISION.format(script=script))
    await migrate(url, schema=name, versions=folder)
    return url, name


async def test_texts_bodies_and_comments_may_have_colons_and_semicolons(postgres_url: str, tmp_path: Path) -> None:
    """SQLAlchemy would take `:noon` for a parameter."""
    script = """
    -- a comment; with a semicolon
    CREATE TABLE note (text text DEFAULT 'at :noon; it''s late;');
    CREATE FUNCTION more() RETURNS integer LANGUAGE plpgsql AS $$ BEGIN RETURN 1; END $$;
    INSERT INTO note DEFAULT VALUES;
    """
    url, schema = await migrated(postgres_url, tmp_path, script)
    connection = await connect(url, server_settings={"search_path": schema})
    assert await connection.fetchval("SELECT text FROM note WHERE more() = 1") == "at :noon; it's late;"
    await connection.close()


async def test_of_a_script_that_fails_nothing_is_left(postgres_url: str, tmp_path: Path) -> None:
    """Else the next try would find its first tables there, and fail at them for ever."""
    with pytest.raises(asyncpg.UndefinedTableError, match='"missing"'):
        await migrated(postgres_url, tmp_path, "CREATE TABLE first_table (id integer); SELECT FROM missing;")
    connection = await connect(postgres_url)
    assert await connection.fetchval("SELECT count(*) FROM pg_tables WHERE tablename = 'first_table'") == 0
    await connection.close()
