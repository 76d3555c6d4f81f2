"""Topics, roles and schemas on real servers: made once, found again, and what cannot be made is said in words."""

import base64
import json
import os
import uuid
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio
from sqlalchemy.engine import make_url

from signalbox_chassis.messaging.topics import require_topics
from signalbox_chassis.persistence.connection import connect
from signalbox_chassis.persistence.provision import (
    ProvisionedService,
    ProvisionFailed,
    ProvisionSettings,
    provision_services,
    read_addresses,
    read_roles,
    services_to_provision,
    write_roles,
)
from signalbox_chassis.persistence.schema_version import wait
from signalbox_chassis.security.vault import Vault
from signalbox_contracts.topics import TOPICS
from signalbox_executor import SERVICE as EXECUTOR
from signalbox_gateway import SERVICE as GATEWAY

SPECS = (GATEWAY, EXECUTOR)


@dataclass
class Place:
    """A database, roles and topics of this test only."""

    settings: ProvisionSettings
    role_prefix: str

    async def provision(self, known: dict[str, str]) -> list[ProvisionedService]:
        return await provision_services(self.settings, SPECS, known=known, role_prefix=self.role_prefix)


@pytest_asyncio.fixture
async def place(kafka_bootstrap: str, postgres_url: str) -> AsyncGenerator[Place]:
    name = f"provision_{uuid.uuid4().hex[:8]}"
    admin = await connect(postgres_url)
    await admin.execute(f"CREATE DATABASE {name}")
    url = make_url(postgres_url).set(database=name).render_as_string(hide_password=False)
    settings = ProvisionSettings.model_validate(
        {"kafka_bootstrap": kafka_bootstrap, "database_url": url, "topic_prefix": f"{name}."}
    )
    yield Place(settings, f"{name}_")
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    for schema in ("api_gateway", "executor"):
        await admin.execute(f"DROP ROLE IF EXISTS {name}_{schema}")
    await admin.close()


async def test_all_is_made_once_and_a_second_run_locks_nobody_out(place: Place, tmp_path: Path) -> None:
    first = await place.provision({})
    write_roles(tmp_path / "roles.json", first)
    again = await place.provision(read_roles(tmp_path / "roles.json"))
    assert again == first
    assert (tmp_path / "roles.json").stat().st_mode & 0o077 == 0
    await require_topics(place.settings.kafka_bootstrap, TOPICS, prefix=place.settings.topic_prefix)
    for service in again:
        connection = await connect(service.url, server_settings={"search_path": service.schema})
        assert await connection.fetchval("SELECT count(*) FROM outbox") == 0
        await connection.close()


async def test_a_service_cannot_reach_what_is_another_ones(place: Place) -> None:
    """Without this a fault in one service could change the truth of another."""
    of = {one.schema: one.url for one in await place.provision({})}
    connection = await connect(of["api_gateway"])
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.fetch("SELECT * FROM executor.task")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("CREATE TABLE public.mine (n int)")
    finally:
        await connection.close()


async def test_secrets_are_written_by_the_gateway_and_not_by_the_executor(place: Place) -> None:
    key = base64.b64encode(os.urandom(32)).decode()
    of = {one.schema: one.url for one in await place.provision({})}
    writer, reader = (Vault(of[name], keys=key) for name in ("api_gateway", "executor"))
    try:
        await writer.set("a", "the value", ("work",), "", "user:ann")
        assert await reader.read(["a"], "work") == {"a": "the value"}
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await reader.set("a", "another", ("work",), "", "user:ann")
    finally:
        await writer.stop()
        await reader.stop()


async def test_a_database_that_does_not_let_us_in_is_named_without_its_password(place: Place) -> None:
    wrong = make_url(place.settings.database_url.get_secret_value()).set(password="not-the-one")
    settings = place.settings.model_copy(
        update={"database_url": type(place.settings.database_url)(wrong.render_as_string(hide_password=False))}
    )
    with pytest.raises(ProvisionFailed) as caught:
        await provision_services(settings, SPECS, known={}, role_prefix=place.role_prefix)
    assert "schema api_gateway: InvalidPasswordError" in str(caught.value)
    assert "not-the-one" not in str(caught.value)


async def test_a_broker_that_is_not_there_is_named_and_nothing_is_made(place: Place) -> None:
    """Without this a mistyped address of Kafka leaves roles whose passwords nobody keeps, and half an installation."""
    settings = place.settings.model_copy(update={"kafka_bootstrap": "127.0.0.1:9"})
    with pytest.raises(ProvisionFailed, match=r"^Kafka: 127\.0\.0\.1:9 does not answer: .*: nothing was made$"):
        await provision_services(settings, SPECS, known={}, role_prefix=place.role_prefix)
    connection = await connect(place.settings.database_url.get_secret_value())
    try:
        assert not await connection.fetchval(
            "SELECT count(*) FROM pg_namespace WHERE nspname = ANY ($1)", [spec.schema for spec in SPECS]
        )
        assert not await connection.fetchval(
            "SELECT count(*) FROM pg_roles WHERE starts_with(rolname, $1)", place.role_prefix
        )
    finally:
        await connection.close()


def test_a_service_without_migrations_is_named(tmp_path: Path) -> None:
    with pytest.raises(ProvisionFailed, match=f"executor: there are no migrations in {tmp_path}"):
        services_to_provision([replace(EXECUTOR, migrations=tmp_path)])


def test_a_file_that_holds_something_else_is_not_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "roles.json"
    file.write_text(json.dumps(["not", "addresses"]))
    with pytest.raises(ProvisionFailed, match=r"roles\.json cannot be read"):
        read_roles(file)


async def test_a_database_of_a_newer_version_is_left_as_it_is_and_named(place: Place) -> None:
    """Without this an old version would work on tables that it does not know."""
    known = {one.service: one.url for one in await place.provision({})}
    of = {"executor": known["executor"]}
    assert await wait(of["executor"], EXECUTOR, 10) == ""
    connection = await connect(of["executor"], server_settings={"search_path": "executor"})
    try:
        await connection.execute("UPDATE schema_version SET version_num = '9999_from_the_future'")
        with pytest.raises(ProvisionFailed, match="9999_from_the_future, which this version of executor does not know"):
            await place.provision(known)
        assert "install the newer version again" in await wait(of["executor"], EXECUTOR, 10)
        assert await connection.fetchval("SELECT version_num FROM schema_version") == "9999_from_the_future"
    finally:
        await connection.close()


async def test_a_schema_that_nobody_migrated_is_waited_for_and_named(place: Place) -> None:
    url = place.settings.database_url.get_secret_value()
    assert "the schema executor is at revision none: run the job `provision`" in await wait(url, EXECUTOR, 0.5)


def test_addresses_that_were_chosen_are_read_and_every_wrong_file_is_named(tmp_path: Path) -> None:
    good = "postgresql://signalbox_executor:chosen@db:5432/x"
    (tmp_path / "executor_database_url").write_text(f"{good}\n")
    assert read_addresses(tmp_path, [EXECUTOR], "signalbox_") == {"executor": good}
    (tmp_path / "executor_database_url").write_text("postgresql://somebody:chosen@db:5432/x")
    with pytest.raises(ProvisionFailed) as caught:
        read_addresses(tmp_path, SPECS, "signalbox_")
    assert f"{tmp_path}/api_gateway_database_url cannot be read: No such file or directory" in str(caught.value)
    assert "executor_database_url must hold postgresql://signalbox_executor:PASSWORD@" in str(caught.value)
    assert "chosen" not in str(caught.value)
