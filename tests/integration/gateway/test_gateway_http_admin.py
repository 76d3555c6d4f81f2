"""`python -m signalbox_gateway admin …` on a real database: tokens are printed once and kept as a hash."""

import asyncio
import base64
import hashlib
import os
import uuid
from collections.abc import AsyncGenerator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from signalbox_chassis.persistence.connection import Connection, connect, connect_arguments
from signalbox_chassis.persistence.migrations import migrate, provision
from signalbox_chassis.security.vault import Vault, provision_vault
from signalbox_gateway import MIGRATIONS
from signalbox_gateway.admin import main


@dataclass(frozen=True)
class CommandOutput:
    code: int
    out: str
    err: str


@dataclass
class Admin:
    connection: Connection
    captured: pytest.CaptureFixture[str]

    async def run(self, *words: str) -> CommandOutput:
        """The command as the shell would run it, in a thread: it has an event loop of its own."""
        code = await asyncio.to_thread(main, words)
        out, err = self.captured.readouterr()
        return CommandOutput(code, out, err)


@pytest_asyncio.fixture
async def admin(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> AsyncGenerator[Admin]:
    name = f"a{uuid.uuid4().hex[:12]}"
    url = await provision(postgres_url, role=name, password=uuid.uuid4().hex, schema=name)
    await migrate(url, schema=name, versions=MIGRATIONS)
    monkeypatch.setenv("SIGNALBOX_DATABASE_URL", url)
    monkeypatch.setenv("SIGNALBOX_DATABASE_SCHEMA", name)
    monkeypatch.setenv("SIGNALBOX_KAFKA_BOOTSTRAP", "127.0.0.1:9")
    connection = await connect(url, **connect_arguments(name, "test"))
    yield Admin(connection, capsys)
    await connection.close()
    owner = await connect(postgres_url)
    await owner.execute(f"DROP SCHEMA {name} CASCADE; DROP OWNED BY {name}; DROP ROLE {name}")
    await owner.close()


async def test_a_token_is_printed_once_listed_without_its_secret_and_revoked(admin: Admin) -> None:
    made = await admin.run("create", "ann", "--days", "30")
    assert made.code == 0, made.err
    (token,) = made.out.split()
    _, id, secret = token.split("_", 2)
    query = "SELECT secret_hash, expires_at IS NULL AS endless FROM token WHERE id = $1"
    row = await admin.connection.fetchrow(query, id)
    assert row is not None
    assert (row["secret_hash"], row["endless"]) == (hashlib.sha256(secret.encode()).digest(), False)
    listed = (await admin.run("list")).out
    assert id in listed
    assert secret not in listed
    assert (await admin.run("revoke", id)).code == 0
    assert "revoked" in (await admin.run("list")).out


async def test_what_cannot_be_done_is_reported_and_changes_nothing(admin: Admin) -> None:
    assert (await admin.run("create", "ann")).code == 0
    for words, answer in ((("create", "ann"), "is there already"), (("token", "bob"), "there is no bob"),
                        (("revoke", "nothing"), "there is no token")):  # fmt: skip
        refused = await admin.run(*words)
        assert refused.code == 1
        assert answer in refused.err
        assert not refused.out
    assert (await admin.run("create", "eve", "--days", "0")).code == 2
    assert await admin.connection.fetchval("SELECT count(*) FROM token") == 1


async def test_secrets_are_wrapped_with_a_new_key_by_the_writers_role_alone(
    admin: Admin, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    role = await admin.connection.fetchval("SELECT current_user")
    url = os.environ["SIGNALBOX_DATABASE_URL"]
    old, new = (base64.b64encode(os.urandom(32)).decode() for _ in range(2))
    refused = await admin.run("rewrap")
    assert (refused.code, "no secrets are kept" in refused.err) == (1, True)
    await provision_vault(postgres_url, writer_role=role, readers={}, schema=f"{role}_secrets")
    vault = Vault(url, keys=old, schema=f"{role}_secrets")
    await vault.start()
    for name in ("a", "b"):
        await vault.set(name, "value", uses=["work"], actor="user:ann")
    await vault.stop()
    monkeypatch.setenv("SIGNALBOX_SECRETS_URL", url)
    monkeypatch.setenv("SIGNALBOX_SECRETS_SCHEMA", f"{role}_secrets")
    monkeypatch.setenv("SIGNALBOX_SECRET_KEY", f"{new},{old}")
    done = await admin.run("rewrap")
    assert done.code == 0, done.err
    assert done.out.splitlines() == [
        "0 event sources are now encrypted with the newest key", "2 secrets are now wrapped with the newest key"
    ]  # fmt: skip
    assert (await admin.run("rewrap")).out.endswith("\n0 secrets are now wrapped with the newest key\n")
    forget_its_key = f"UPDATE {role}_secrets.secret_value SET key_id = 'gone' WHERE name = 'a'"  # noqa: S608
    await admin.connection.execute(forget_its_key)
    lost = await admin.run("rewrap")
    assert (lost.code, lost.out.splitlines()[-1]) == (1, "0 secrets are now wrapped with the newest key")
    assert "1 secrets have a key that was not given: a" in lost.err
    owner = await connect(postgres_url)
    await owner.execute(f"DROP SCHEMA {role}_secrets CASCADE")
    await owner.close()


async def test_a_dry_prune_counts_and_deletes_nothing(admin: Admin) -> None:
    await admin.connection.execute(
        "INSERT INTO plan (id, version, state, name, project, actor, labels, created_at, ended_at, record) SELECT "
        "gen_random_uuid(), 1, 'FAILED', 'p', 'default', 'user:ann', '{}', now() - interval '1 year', "
        "now() - interval '1 year', '{}' FROM generate_series(1, 450)"
    )
    dry = await admin.run("prune", "--dry-run")
    assert "would delete what is older than 90 days: 450 plans" in dry.out
    assert await admin.connection.fetchval("SELECT count(*) FROM plan") == 450
    assert "deleted" in (await admin.run("prune", "--days", "30")).out
    assert await admin.connection.fetchval("SELECT count(*) FROM plan") == 0
