"""The vault on a real PostgreSQL: what is stored, who reads what, keys that change."""

import base64
import os
import uuid
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from signalbox_chassis.persistence.connection import connect
from signalbox_chassis.persistence.migrations import provision
from signalbox_chassis.security.vault import (
    InvalidSecret,
    SecretMissing,
    SecretNotAllowed,
    SecretUnreadable,
    Vault,
    provision_vault,
)
from support.proofs import proves

VALUE = "hunter2-and-more"


def key() -> str:
    return base64.b64encode(os.urandom(32)).decode()


@dataclass
class Place:
    """A vault's schema with a writer and two readers."""

    admin_url: str
    schema: str
    urls: dict[str, str]
    key: str
    opened: list[Vault] = field(default_factory=list[Vault])

    def vault(self, role: str, keys: str = "") -> Vault:
        self.opened.append(Vault(self.urls[role], keys=keys or self.key, schema=self.schema))
        return self.opened[-1]

    async def sql(self, query: str, *args: Any, url: str = "") -> list[Any]:
        connection = await connect(url or self.admin_url, server_settings={"search_path": self.schema})
        try:
            return [tuple(row.values()) for row in await connection.fetch(query, *args)]
        finally:
            await connection.close()


@pytest_asyncio.fixture
async def place(postgres_url: str) -> AsyncGenerator[Place]:
    name = f"v{uuid.uuid4().hex[:10]}"
    roles = {role: f"{name}_{role}" for role in ("gateway", "executor", "notifier", "owner")}
    urls = {
        role: await provision(postgres_url, role=full, password=uuid.uuid4().hex, schema=full)
        for role, full in roles.items()
    }
    for _ in range(2):  # again changes nothing
        await provision_vault(
            postgres_url,
            writer_role=roles["gateway"],
            readers={roles["executor"]: ("work", "engine"), roles["notifier"]: ("channel",)},
            owners={roles["owner"]: "own-"},
            schema=name,
        )
    place = Place(postgres_url, name, urls, key())
    yield place
    for vault in place.opened:
        await vault.stop()
    connection = await connect(postgres_url)
    await connection.execute(f"DROP SCHEMA {name} CASCADE")
    for full in roles.values():
        await connection.execute(f"DROP SCHEMA {full} CASCADE; DROP OWNED BY {full}; DROP ROLE {full}")
    await connection.close()


async def test_what_the_writer_sets_a_reader_with_the_use_reads_also_in_a_new_process(place: Place) -> None:
    writer, reader = place.vault("gateway"), place.vault("executor")
    made = await writer.set("db-password", VALUE, ["work"], "of the warehouse", "user:ann")
    assert (made.name, made.uses, made.description, made.updated_by) == (
        "db-password",
        ("work",),
        "of the warehouse",
        "user:ann",
    )
    assert await reader.read(["db-password"], "work") == {"db-password": VALUE}
    assert await writer.info("db-password") == made
    assert [info.name for info in await writer.listed()] == ["db-password"]
    changed = await writer.set("db-password", "another-value", ["work"], actor="user:ben")
    assert changed.version > made.version
    assert await reader.versions(["db-password", "absent"]) == {"db-password": changed.version}
    assert await place.vault("executor").read({"db-password"}, "work") == {"db-password": "another-value"}


async def test_an_owner_writes_and_removes_the_secrets_of_its_names_and_no_others(place: Place) -> None:
    owner, writer = place.vault("owner"), place.vault("gateway")
    await writer.set("db-password", VALUE, ["work"])
    await owner.set("own-1", "value", ["work"])
    assert [info.name for info in await owner.listed()] == ["own-1"]
    assert await place.vault("executor").read(["own-1"], "work") == {"own-1": "value"}
    with pytest.raises(asyncpg.PostgresError):
        await owner.set("other", "value", ["work"])
    with pytest.raises(asyncpg.PostgresError):
        await owner.set("db-password", "value", ["work"])
    with pytest.raises(SecretMissing):
        await owner.delete("db-password")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await owner.read(["own-1"], "work")
    await owner.delete("own-1")
    assert [info.name for info in await writer.listed()] == ["db-password"]


async def test_no_table_holds_the_value(place: Place) -> None:
    await place.vault("gateway").set("s", VALUE, ["work"])
    for table in ("secret", "secret_value", "secret_change"):
        for row in await place.sql("TABLE " + table):
            shown = b"".join(part if isinstance(part, bytes) else str(part).encode() for part in row)
            assert VALUE.encode() not in shown


async def test_a_role_reads_only_what_has_one_of_its_uses(place: Place) -> None:
    writer = place.vault("gateway")
    await writer.set("s", VALUE, ["work"])
    with pytest.raises(SecretNotAllowed, match="'channel'"):
        await place.vault("notifier").read(["s"], "channel")
    with pytest.raises(SecretNotAllowed):  # the application asks wrongly: the row is hidden all the same
        await place.vault("notifier").read(["s"], "work")
    with pytest.raises(SecretNotAllowed):
        await place.vault("executor").read(["s"], "engine")
    query = "SELECT name FROM secret_value"
    assert await place.sql(query, url=place.urls["notifier"]) == []
    assert await place.sql(query, url=place.urls["executor"]) == [("s",)]


async def test_the_writer_cannot_read_a_value_even_with_the_key(place: Place) -> None:
    writer = place.vault("gateway")
    await writer.set("s", VALUE, ["work"])
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await writer.read(["s"], "work")


async def test_a_reader_cannot_write(place: Place) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await place.vault("executor").set("s", VALUE, ["work"])


async def test_a_missing_secret_is_named_and_nothing_is_handed_out(place: Place) -> None:
    writer = place.vault("gateway")
    await writer.set("one", VALUE, ["work"])
    with pytest.raises(SecretMissing, match="'two'"):
        await place.vault("executor").read(["one", "two"], "work")
    with pytest.raises(SecretMissing):
        await writer.info("two")
    with pytest.raises(SecretMissing):
        await writer.delete("two", "user:ann")
    await writer.delete("one", "user:ann")
    assert await writer.listed() == []
    assert await place.sql("SELECT action, actor FROM secret_change ORDER BY id") == [
        ("created", ""),
        ("deleted", "user:ann"),
    ]


async def test_a_row_moved_or_widened_in_the_database_cannot_be_read(place: Place) -> None:
    writer, reader = place.vault("gateway"), place.vault("executor")
    for name in ("one", "two"):
        await writer.set(name, f"{VALUE}-{name}", ["work"])
    move = "UPDATE secret_value SET wrapped = o.wrapped, ciphertext = o.ciphertext FROM secret_value o"
    await place.sql(f"{move} WHERE secret_value.name = 'one' AND o.name = 'two'")
    with pytest.raises(SecretUnreadable):
        await reader.read(["one"], "work")
    await place.sql("UPDATE secret SET uses = '{engine,work}' WHERE name = 'two'")
    with pytest.raises(SecretUnreadable):
        await reader.read(["two"], "engine")


@proves("chassis.security.vault: a version is taken")
async def test_an_old_value_put_back_cannot_be_read(place: Place) -> None:
    writer = place.vault("gateway")
    await writer.set("s", VALUE, ["work"])
    [old] = await place.sql("SELECT key_id, wrapped, ciphertext FROM secret_value")
    await writer.delete("s")
    await writer.set("s", "a-newer-value", ["work"])
    await place.sql("UPDATE secret_value SET key_id = $1, wrapped = $2, ciphertext = $3", *old)
    with pytest.raises(SecretUnreadable):
        await place.vault("executor").read(["s"], "work")


@proves("chassis.security.vault: a value that was set anew")
async def test_keys_change_without_a_value_being_decrypted(place: Place) -> None:
    await place.vault("gateway").set("s", VALUE, ["work"])
    [before] = await place.sql("SELECT ciphertext FROM secret_value")
    newer = key()
    both = f"{newer},{place.key}"
    assert await place.vault("executor", both).read(["s"], "work") == {"s": VALUE}
    with pytest.raises(SecretUnreadable, match="is not among"):
        await place.vault("executor", newer).read(["s"], "work")
    assert await place.vault("gateway", both).rewrap() == (1, [])
    assert await place.vault("gateway", both).rewrap() == (0, [])
    assert await place.sql("SELECT ciphertext FROM secret_value") == [before]
    assert await place.vault("executor", newer).read(["s"], "work") == {"s": VALUE}


@pytest.mark.parametrize(
    ("name", "value", "uses", "field"),
    [
        ("-x", "v", ["work"], "name"),
        ("x", "", ["work"], "value"),
        ("x", "a\0b", ["work"], "value"),
        ("x", "v" * 65_537, ["work"], "value"),
        ("x", "v", [], "uses"),
        ("x", "v", ["everything"], "uses"),
    ],
)
async def test_what_is_not_allowed_is_refused_with_the_field(
    place: Place, name: str, value: str, uses: list[str], field: str
) -> None:
    with pytest.raises(InvalidSecret) as refused:
        await place.vault("gateway").set(name, value, uses)
    assert refused.value.field == field
    assert await place.sql("SELECT * FROM secret") == []
