"""`python -m signalbox_chassis.persistence.schema_version SERVICE`: wait until the schema is the one the code needs.

Where nothing orders jobs and services, as in a cluster, a service waits with it for the job that migrates. Exits 0, 1
(the database is newer than this version, or the time is over) or 2 (settings).
"""

import argparse
import asyncio
import sys
import time
from enum import Enum, auto
from pathlib import Path
from typing import Final

import asyncpg
from alembic.config import Config
from alembic.script import ScriptDirectory

from signalbox_chassis.persistence import migrations
from signalbox_chassis.persistence.connection import connect
from signalbox_chassis.settings import ServiceSettings
from signalbox_contracts.services import ServiceSpec, ServiceUnusable, service

LOOK_SECONDS: Final = 1.0


class SchemaState(Enum):
    """What the schema is to this version of the code."""

    READY = auto()
    BEHIND = auto()
    """Not migrated yet, or by an older version."""
    NEWER = auto()
    """At a revision that this version does not know."""


def judge(found: str | None, versions: Path) -> SchemaState:
    """What a schema at this revision is; None means that there is none."""
    known = revisions(versions)
    if found is None:
        return SchemaState.BEHIND
    if found not in known:
        return SchemaState.NEWER
    return SchemaState.READY if found == known[0] else SchemaState.BEHIND


def revisions(versions: Path) -> list[str]:
    """The revisions of a history, the newest first."""
    return [script.revision for script in history(versions).walk_revisions()]


def history(versions: Path) -> ScriptDirectory:
    """The migrations of a folder."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.set_main_option("path_separator", "os")
    config.set_main_option("version_locations", str(versions))
    return ScriptDirectory.from_config(config)


def newer(spec: ServiceSpec, found: str) -> str:
    """The line for people."""
    return (
        f"the schema {spec.schema} is at revision {found}, which this version of {spec.name} does not know: "
        "install the newer version again, or restore the backup from before the upgrade"
    )


async def revision_of(url: str, schema: str) -> str | None:
    """The revision a schema is at; None where it or its history is missing. Raises what asyncpg does."""
    connection = await connect(url, timeout=10, server_settings={"search_path": schema})
    try:
        return await connection.fetchval("SELECT version_num FROM schema_version")
    except asyncpg.UndefinedTableError:
        return None
    finally:
        await connection.close()


async def wait(url: str, spec: ServiceSpec, seconds: float) -> str:
    """An empty text once the schema is ready, else what stops it."""
    give_up_at = time.monotonic() + seconds
    reason = ""
    while time.monotonic() < give_up_at:
        try:
            found = await revision_of(url, spec.schema)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
            reason = f"PostgreSQL: {type(error).__name__}: {error}"
        else:
            match judge(found, spec.migrations):
                case SchemaState.READY:
                    return ""
                case SchemaState.NEWER:
                    return newer(spec, found or "")
                case SchemaState.BEHIND:
                    reason = f"the schema {spec.schema} is at revision {found or 'none'}: run the job `provision`"
        await asyncio.sleep(LOOK_SECONDS)
    return f"{reason} (waited {seconds:g} s)"


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m signalbox_chassis.persistence.schema_version", description="wait for the schema of a service"
    )
    parser.add_argument("service", help="its name, such as planner")
    parser.add_argument("--seconds", type=float, default=600, help="how long to wait at most (600)")
    arguments = parser.parse_args()
    try:
        spec = service(arguments.service)
    except ServiceUnusable as error:
        print(f"schema_version: {error}", file=sys.stderr)
        return 1
    settings = ServiceSettings.load()
    problem = asyncio.run(wait(settings.database_url.get_secret_value(), spec, arguments.seconds))
    if problem:
        print(f"schema_version: {problem}", file=sys.stderr)
        return 1
    print(f"the schema {spec.schema} is ready")
    return 0


if __name__ == "__main__":
    sys.exit(main())
