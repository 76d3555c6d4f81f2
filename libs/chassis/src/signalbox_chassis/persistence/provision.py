"""`python -m signalbox_chassis.persistence.provision --roles FILE`: topics, roles, schemas, before services start.

Every topic of the contracts; for each service of the entry-point group `signalbox.migrations` a role of its own, which
owns its schema and can reach no other, and its migrations; the place of secrets, which the gateway writes and the
executor reads. May be run again at any time: what is there is left as it
is, what is missing is made. FILE keeps the services' addresses with their passwords, readable by its owner only; a
password in it is used again, so running services are not locked out.

Exits 0, 1 (something would not be made) or 2 (settings).
"""

import argparse
import asyncio
import json
import os
import secrets
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

import asyncpg
from aiokafka.errors import KafkaError
from sqlalchemy.exc import SQLAlchemyError

from signalbox_chassis.messaging.topics import TopicMissing, TopicRefused, create_topics
from signalbox_chassis.persistence.migrations import migrate, provision
from signalbox_chassis.security.vault import provision_vault
from signalbox_chassis.settings import ServiceSettings
from signalbox_contracts.topics import TOPICS

GROUP: Final = "signalbox.migrations"
ROLE_PREFIX: Final = "signalbox_"
SECRETS_WRITER: Final = "api-gateway"
SECRETS_READERS: Final = {"executor": ("work", "engine")}
"""Service → the uses of secrets it may read. The writer reads none."""


class CannotPrepare(Exception):
    """What could not be made, and why, in words for people."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """One service: its schema, its migrations, and its own way into the database."""

    service: str
    schema: str
    url: str


class PrepareSettings(ServiceSettings):
    """What a service takes, read here with the administrator's database address."""


def migrations(found: Mapping[str, Path] | None = None) -> dict[str, Path]:
    """The folder of each service's migrations, by the service's name; raises `CannotPrepare`."""
    folders: dict[str, Path] = dict(found or {})
    if found is None:
        for point in entry_points(group=GROUP):
            try:
                folders[point.name] = point.load()
            except Exception as error:
                raise CannotPrepare(f"{point.name}: entry point {point.value} cannot be loaded: {error!r}") from error
    if not folders:
        raise CannotPrepare(f"no service is installed: nothing names migrations in the entry-point group {GROUP}")
    for name, folder in folders.items():
        if not list(folder.glob("[0-9]*.py")):
            raise CannotPrepare(f"{name}: there are no migrations in {folder}")
    return dict(sorted(folders.items()))


def schema_of(service: str) -> str:
    """As the service itself names it by default."""
    return service.replace("-", "_")


async def prepare(
    settings: ServiceSettings,
    folders: Mapping[str, Path],
    *,
    known: Mapping[str, str],
    replication: int = 1,
    role_prefix: str = ROLE_PREFIX,
) -> list[Prepared]:
    """Make what is missing. `known` holds the addresses of an earlier run. Raises `CannotPrepare`."""
    topics = asyncio.create_task(_topics(settings, replication))
    try:
        # one after the other: alembic keeps the migration it is in for the whole process
        made = [await _service(settings, name, folder, known, role_prefix) for name, folder in folders.items()]
        await _vault(settings, folders, role_prefix)
        await topics
        return made
    finally:
        await asyncio.wait({topics}, timeout=5)  # aiokafka leaves a connection open that is cut off in the making
        topics.cancel()
        await asyncio.gather(topics, return_exceptions=True)


async def _topics(settings: ServiceSettings, replication: int) -> None:
    try:
        await create_topics(settings.kafka_bootstrap, TOPICS, prefix=settings.topic_prefix, replication=replication)
    except (KafkaError, TopicRefused, TopicMissing, OSError) as error:
        raise CannotPrepare(f"topics on {settings.kafka_bootstrap}: {type(error).__name__}: {error}") from error


async def _service(
    settings: ServiceSettings, name: str, folder: Path, known: Mapping[str, str], role_prefix: str
) -> Prepared:
    schema = schema_of(name)
    password = password_of(known.get(name, "")) or secrets.token_urlsafe(24)
    try:
        url = await provision(
            settings.database_url.get_secret_value(), role=f"{role_prefix}{schema}", password=password, schema=schema
        )
        await migrate(url, schema=schema, versions=folder)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, SQLAlchemyError, OSError) as error:
        raise CannotPrepare(f"schema {schema}: {type(error).__name__}: {error}") from error
    return Prepared(name, schema, url)


async def _vault(settings: ServiceSettings, services: Iterable[str], role_prefix: str) -> None:
    """The place of secrets, where there is a service that may write them."""
    here = set(services)
    if SECRETS_WRITER not in here:
        return
    try:
        await provision_vault(
            settings.database_url.get_secret_value(),
            writer_role=f"{role_prefix}{schema_of(SECRETS_WRITER)}",
            readers={f"{role_prefix}{schema_of(name)}": uses for name, uses in SECRETS_READERS.items() if name in here},
        )
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        raise CannotPrepare(f"schema secrets: {type(error).__name__}: {error}") from error


def password_of(url: str) -> str:
    """The password in an address, or an empty string."""
    return unquote(urlsplit(url).password or "")


def read_roles(file: Path) -> dict[str, str]:
    """Service → address, of an earlier run; raises `CannotPrepare` when the file is something else."""
    try:
        said = json.loads(file.read_text())
        return {str(name): str(url) for name, url in said.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError) as error:
        raise CannotPrepare(f"{file} cannot be read as the addresses of services: {error}") from error


def write_roles(file: Path, prepared: list[Prepared]) -> None:
    """In one step, readable by the owner only. Raises `CannotPrepare`."""
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as handle:
            json.dump({one.service: one.url for one in prepared}, handle, indent=2)
        draft.replace(file)
    except OSError as error:
        raise CannotPrepare(f"{file} cannot be written: {error}") from error


def main() -> int:
    arguments = _arguments()
    settings = PrepareSettings.load()
    began = time.monotonic()
    try:
        known = read_roles(arguments.roles)
        prepared = asyncio.run(
            prepare(
                settings,
                migrations(),
                known=known,
                replication=arguments.replication,
                role_prefix=arguments.role_prefix,
            )
        )
        write_roles(arguments.roles, prepared)
    except CannotPrepare as error:
        print(f"prepare: {error}", file=sys.stderr)
        return 1
    schemas = ", ".join(one.schema for one in prepared)
    print(f"prepared {len(TOPICS)} topics and the schemas {schemas} in {time.monotonic() - began:.1f} s")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m signalbox_chassis.persistence.provision", description="topics, roles, schemas"
    )
    parser.add_argument("--roles", type=Path, required=True, help="file of the services' addresses, kept private")
    parser.add_argument("--replication", type=int, default=1, choices=(1, 2, 3), help="copies Kafka keeps (1)")
    parser.add_argument("--role-prefix", default=ROLE_PREFIX, help="what the names of the roles begin with")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
