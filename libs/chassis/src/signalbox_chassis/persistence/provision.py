"""`python -m signalbox_chassis.persistence.provision --roles FILE`: makes topics, roles and schemas for the services.

`--addresses FOLDER` instead of `--roles FILE`: each service's database address was chosen before and lies in a file of
its own, `<schema>_database_url` and `<schema>_worker_database_url`, as containers and clusters keep secrets. Files
named `<schema>_kafka_password` beside them make the services' Kafka users and their rights.

It makes every topic of the contracts. Each installed service gets a role that owns the service's schema and reaches no
other, and its migrations run. The schema of secrets is made for the service that writes them and those that read them.
It may run again at any time: what exists stays, what is missing is made. FILE (0600) keeps the services' database
addresses. A password in FILE is used again, so running services are not locked out.

Exits 0, 1 (something could not be made) or 2 (settings).
"""

import argparse
import asyncio
import json
import os
import secrets
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final
from urllib.parse import unquote, urlsplit

import asyncpg
from aiokafka.errors import KafkaError
from sqlalchemy.exc import SQLAlchemyError

from signalbox_chassis import setting_aliases
from signalbox_chassis.messaging.access import AccessRefused, Prefixes, grant, read_passwords
from signalbox_chassis.messaging.connection import KafkaRefused
from signalbox_chassis.messaging.topics import TopicMissing, TopicRefused, create_topics
from signalbox_chassis.persistence.migrations import migrate, provision, provision_worker
from signalbox_chassis.persistence.schema_version import SchemaState, judge, newer, revision_of
from signalbox_chassis.security.vault import provision_vault
from signalbox_chassis.settings import ServiceSettings
from signalbox_contracts.services import ServiceSpec, ServiceUnusable, installed_services
from signalbox_contracts.topics import TOPICS, Topic, source_topic

ROLE_PREFIX: Final = "signalbox_"


class ProvisionFailed(Exception):
    """What could not be made, and why, in words for people."""


@dataclass(frozen=True, slots=True)
class ProvisionedService:
    """One service, its schema, and its own database address."""

    service: str
    schema: str
    url: str
    worker_url: str = ""
    """The address of its workers' role, where it has one."""


class ProvisionSettings(ServiceSettings):
    """The settings of any service, with the administrator's database address.

    That is `DATABASE_URL`, or `POSTGRES_SERVER|USER|PASSWORD|DB`, where `SIGNALBOX_DATABASE_URL` is not set.
    """

    aliases: ClassVar = {"database_url": setting_aliases.administrator_url}


def services_to_provision(specs: Sequence[ServiceSpec] | None = None) -> Sequence[ServiceSpec]:
    """The installed services, each with at least one migration. Raises ProvisionFailed."""
    try:
        found = installed_services() if specs is None else specs
    except ServiceUnusable as error:
        raise ProvisionFailed(str(error)) from error
    if not found:
        raise ProvisionFailed("no service is installed")
    for spec in found:
        if not list(spec.migrations.glob("[0-9]*.py")):
            raise ProvisionFailed(f"{spec.name}: there are no migrations in {spec.migrations}")
    return found


async def provision_services(
    settings: ServiceSettings,
    specs: Sequence[ServiceSpec],
    *,
    known: Mapping[str, str],
    replication: int = 1,
    role_prefix: str = ROLE_PREFIX,
    passwords: Path | None = None,
) -> list[ProvisionedService]:
    """Make what is missing. `known` holds the addresses of an earlier run. Raises ProvisionFailed.

    `passwords` is a folder that may hold the passwords of the services' Kafka users.
    """
    await _refuse_newer(settings, specs)
    await _reach_kafka(settings)
    topics = asyncio.create_task(
        _create_topics(settings, [*topics_of(specs), *map(source_topic, settings.sources)], replication)
    )
    try:
        # one after the other: alembic keeps the migration it is in for the whole process
        made = [await _provision_service(settings, spec, known, role_prefix) for spec in specs]
        await _provision_secrets(settings, specs, role_prefix)
        await topics
        if passwords:
            await _provision_access(settings, specs, role_prefix, passwords)
        return made
    finally:
        await asyncio.wait({topics}, timeout=5)  # aiokafka leaves a connection open when it is cancelled midway
        topics.cancel()
        await asyncio.gather(topics, return_exceptions=True)


def topics_of(specs: Sequence[ServiceSpec]) -> list[Topic]:
    """The topics of the contracts, and those that services bring along."""
    return [*TOPICS, *(topic for spec in specs if spec.own_topics for topic in spec.load(spec.own_topics))]


async def _reach_kafka(settings: ServiceSettings) -> None:
    """Look before anything is changed. Without it roles and schemas are left behind when Kafka is not there."""
    try:
        await settings.kafka.check()
    except KafkaRefused as error:
        raise ProvisionFailed(str(error)) from error
    except KafkaError as error:
        raise ProvisionFailed(f"Kafka: {error.args[0]}: nothing was made") from error


async def _create_topics(settings: ServiceSettings, topics: Sequence[Topic], replication: int) -> None:
    try:
        await create_topics(settings.kafka, topics, prefix=settings.topic_prefix, replication=replication)
    except (KafkaError, TopicRefused, TopicMissing, OSError) as error:
        raise ProvisionFailed(f"topics on {settings.kafka_bootstrap}: {type(error).__name__}: {error}") from error


async def _provision_access(
    settings: ServiceSettings, specs: Sequence[ServiceSpec], role_prefix: str, passwords: Path
) -> None:
    """Kafka users and their rights, where the folder has passwords for them."""
    prefixes = Prefixes(settings.topic_prefix, settings.group_prefix, role_prefix)
    try:
        if read_passwords(passwords, specs):
            await grant(settings.kafka, specs, prefixes, passwords)
    except AccessRefused as error:
        raise ProvisionFailed(f"users and access on {settings.kafka_bootstrap}: {error}") from error


async def _refuse_newer(settings: ServiceSettings, specs: Sequence[ServiceSpec]) -> None:
    """Look before anything is changed. Raises ProvisionFailed for every schema that this version does not know."""
    url = settings.database_url.get_secret_value()
    problems: list[str] = []
    for spec in specs:
        try:
            found = await revision_of(url, spec.schema)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            raise ProvisionFailed(f"schema {spec.schema}: {type(error).__name__}: {error}") from error
        if judge(found, spec.migrations) is SchemaState.NEWER:
            problems.append(newer(spec, found or ""))
    if problems:
        raise ProvisionFailed("; ".join(problems))


async def _provision_service(
    settings: ServiceSettings, spec: ServiceSpec, known: Mapping[str, str], role_prefix: str
) -> ProvisionedService:
    schema = spec.schema
    password = password_of(known.get(spec.name, "")) or secrets.token_urlsafe(24)
    worker_url = ""
    try:
        url = await provision(
            settings.database_url.get_secret_value(), role=f"{role_prefix}{schema}", password=password, schema=schema
        )
        await migrate(url, schema=schema, versions=spec.migrations)
        if spec.worker_role:
            worker_url = await provision_worker(
                settings.database_url.get_secret_value(), url, role=f"{role_prefix}{schema}_worker",
                password=password_of(known.get(worker_name(spec.name), "")) or secrets.token_urlsafe(24), schema=schema,
            )  # fmt: skip
    except (asyncpg.PostgresError, asyncpg.InterfaceError, SQLAlchemyError, OSError) as error:
        raise ProvisionFailed(f"schema {schema}: {type(error).__name__}: {error}") from error
    return ProvisionedService(spec.name, schema, url, worker_url)


async def _provision_secrets(settings: ServiceSettings, specs: Sequence[ServiceSpec], role_prefix: str) -> None:
    """The schema of secrets, where an installed service writes them."""
    writer = next((spec for spec in specs if spec.writes_secrets), None)
    if writer is None:
        return
    readers = {f"{role_prefix}{spec.schema}": spec.reads_secrets for spec in specs if spec.reads_secrets}
    owners = {f"{role_prefix}{spec.schema}": spec.own_secrets for spec in specs if spec.own_secrets}
    try:
        await provision_vault(
            settings.database_url.get_secret_value(), writer_role=f"{role_prefix}{writer.schema}", readers=readers,
            owners=owners,
        )  # fmt: skip
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        raise ProvisionFailed(f"schema secrets: {type(error).__name__}: {error}") from error


def worker_name(service: str) -> str:
    """The name in FILE of the role of a service's workers."""
    return f"{service}.worker"


def password_of(url: str) -> str:
    """The password in an address, or an empty string."""
    return unquote(urlsplit(url).password or "")


def read_roles(file: Path) -> dict[str, str]:
    """Service → address, of an earlier run. Raises ProvisionFailed when the file holds something else."""
    try:
        addresses = json.loads(file.read_text())
        return {str(name): str(url) for name, url in addresses.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError) as error:
        raise ProvisionFailed(f"{file} cannot be read as the addresses of services: {error}") from error


def read_addresses(folder: Path, specs: Sequence[ServiceSpec], role_prefix: str) -> dict[str, str]:
    """Service → address that was chosen for it. Raises ProvisionFailed naming every file that is missing or wrong."""
    addresses: dict[str, str] = {}
    problems: list[str] = []
    for spec in specs:
        wanted = {
            spec.name: spec.schema,
            **({worker_name(spec.name): f"{spec.schema}_worker"} if spec.worker_role else {}),
        }
        for name, role in wanted.items():
            file = folder / f"{role}_database_url"
            try:
                addresses[name] = file.read_text().strip()
            except OSError as error:
                problems.append(f"{file} cannot be read: {error.strerror}")
                continue
            if urlsplit(addresses[name]).username != f"{role_prefix}{role}" or not password_of(addresses[name]):
                problems.append(f"{file} must hold postgresql://{role_prefix}{role}:PASSWORD@host:port/database")
    if problems:
        raise ProvisionFailed("; ".join(problems))
    return addresses


def write_roles(file: Path, prepared: list[ProvisionedService]) -> None:
    """Write the addresses in one step, readable by the owner only. Raises ProvisionFailed."""
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        draft.unlink(missing_ok=True)  # of a run that a full disk ended; in a container each has the same process id
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as handle:
            addresses = {one.service: one.url for one in prepared}
            addresses |= {worker_name(one.service): one.worker_url for one in prepared if one.worker_url}
            json.dump(addresses, handle, indent=2)
        draft.replace(file)
    except OSError as error:
        raise ProvisionFailed(f"{file} cannot be written: {error}") from error


def main() -> int:
    arguments = _arguments()
    settings = ProvisionSettings.load()
    began = time.monotonic()
    try:
        specs = services_to_provision()
        known = (
            read_addresses(arguments.addresses, specs, arguments.role_prefix)
            if arguments.addresses
            else read_roles(arguments.roles)
        )
        prepared = asyncio.run(
            provision_services(
                settings,
                specs,
                known=known,
                replication=arguments.replication,
                role_prefix=arguments.role_prefix,
                passwords=arguments.addresses,
            )
        )
        if arguments.roles:
            write_roles(arguments.roles, prepared)
    except ProvisionFailed as error:
        print(f"provision: {error}", file=sys.stderr)
        return 1
    schemas = ", ".join(one.schema for one in prepared)
    print(f"{len(TOPICS)} topics and the schemas {schemas} are there after {time.monotonic() - began:.1f} s")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m signalbox_chassis.persistence.provision", description="topics, roles, schemas"
    )
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--roles", type=Path, help="file of the services' addresses, kept private")
    where.add_argument("--addresses", type=Path, help="folder with a file for the address of each service, as chosen")
    parser.add_argument("--replication", type=int, default=1, choices=(1, 2, 3), help="copies Kafka keeps (1)")
    parser.add_argument("--role-prefix", default=ROLE_PREFIX, help="what the names of the roles begin with")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
