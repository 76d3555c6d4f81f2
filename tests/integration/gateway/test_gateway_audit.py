"""The audit trail on a real gateway: what was done and refused is in it, and nobody changes it unseen."""

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from signalbox_chassis.persistence.database import Database
from signalbox_gateway.identity.audit_entry import AuditEntry
from signalbox_gateway.store import audit
from support.gateway import JOB, SCRIPTED, Gateway, running_gateway
from support.proofs import proves

pytestmark = pytest.mark.asyncio(loop_scope="module")
GOOD = "four unrelated words here"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(postgres_url: str, kafka_bootstrap: str) -> AsyncGenerator[Gateway]:
    async with running_gateway(postgres_url, kafka_bootstrap, token_cache_seconds=0.5) as made:
        await made.ask("POST", "/engines", SCRIPTED)
        yield made


async def entries(api: Gateway, query: str) -> list[dict[str, Any]]:
    return (await api.ask("GET", f"/audit?{query}"))["items"]


async def test_what_is_done_has_who_what_why_from_where_before_and_after(api: Gateway) -> None:
    await api.ask("POST", "/jobs", JOB)
    await api.ask("PUT", "/jobs/nightly", {**JOB, "project": "lake"}, headers={"User-Agent": "a test"})
    (changed,) = await entries(api, "action=job_update&target=/jobs/nightly")
    assert (changed["actor"], changed["outcome"], changed["status"]) == ("user:ann", "done", 200)
    assert (changed["before"]["project"], changed["after"]["project"]) == ("default", "lake")
    assert (changed["address"], changed["user_agent"]) == ("127.0.0.1", "a test")
    assert len(changed["trace_id"]) == 32
    paused = {"reason": "maintenance"}
    await api.ask("POST", "/engines/scripted/pause", paused)
    (pause,) = await entries(api, "action=engine_pause&actor=user:ann")
    assert pause["reason"] == "maintenance"
    assert await entries(api, "since=2099-01-01T00:00:00Z") == []
    assert await entries(api, "actor=user:nobody") == []


async def test_no_secret_gets_into_an_entry(api: Gateway) -> None:
    await api.ask("PUT", "/secrets/lake-password", {"value": "hunter2 in clear", "uses": ["work"]})
    body = {"username": "quiet", "password": GOOD}
    await api.ask("POST", "/users", body)
    tokens = await api.ask("POST", "/auth/login", body, token="")
    key = await api.ask("POST", "/keys", {"label": "x"})
    await api.request("POST", "/auth/login", {**body, "password": "a wrong one, too"}, token="")
    async with api.connection() as connection:
        # one statement: an entry moves from one table to the other meanwhile
        rows = await connection.fetch("SELECT record FROM audit UNION ALL SELECT record FROM audit_pending")
        everything = "".join(row["record"] for row in rows)
    assert "secret_set" in everything
    for secret in ("hunter2", GOOD, "a wrong one", tokens["access_token"], tokens["refresh_token"], key["key"]):
        assert secret not in everything


async def test_every_refusal_is_in_it(api: Gateway) -> None:
    await api.ask("POST", "/users", {"username": "looker", "password": GOOD, "role": "viewer"})
    mine = (await api.ask("POST", "/auth/login", {"username": "looker", "password": GOOD}, token=""))["access_token"]
    assert (await api.request("POST", "/jobs", {**JOB, "id": "x"}, token=mine)).status == 403
    (refused,) = await entries(api, "actor=user:looker&outcome=refused")
    assert (refused["action"], refused["detail"]) == ("job_create", "this needs the permission job.write")
    assert (await api.request("GET", "/jobs", token="forged.to.ken")).status == 401
    (unknown, *_) = await entries(api, "outcome=unauthenticated&action=job_list")
    assert unknown["actor"] == "anybody"
    assert (
        await api.request("POST", "/auth/login", {"username": "looker", "password": "x" * 20}, token="")
    ).status == 401
    (wrong,) = await entries(api, "actor=user:looker&outcome=unauthenticated")
    assert (wrong["action"], wrong["detail"]) == ("auth_login", "wrong password")


async def test_a_path_with_a_zero_byte_does_not_stop_the_trail(api: Gateway) -> None:
    """Anybody may call such a path. The column takes no zero byte, and every later entry would wait for ever."""
    assert (await api.request("GET", "/jobs/zero%00byte", token="forged.to.ken")).status == 401
    (entry, *_) = await entries(api, "outcome=unauthenticated&action=job_show")
    assert entry["target"] == "/jobs/zero\0byte"
    assert [one["seq"] for one in await entries(api, "target=/jobs/zero%EF%BF%BDbyte")] == [entry["seq"]]
    assert (await api.ask("GET", "/audit/verify"))["good"]


@proves("gateway.store.audit: the head's row is locked: two gateways")
async def test_gateways_that_chain_at_once_give_no_two_entries_one_place(api: Gateway) -> None:
    """Without it two gateways that chain together would make two entries with one number, or a broken chain."""
    entry = AuditEntry("user:ann", "job_create", "/jobs/many", "done", 201).record()
    gateways = [Database(api.database_url, schema=api.schema, pool_size=1) for _ in range(4)]
    try:
        async with api.connection() as connection:
            last = await connection.fetchval("SELECT seq FROM audit_head")
            add = "INSERT INTO audit_pending (record) SELECT $1 FROM generate_series(1, 2500)"
            await connection.execute(add, entry)

        async def drain(database: Database) -> None:
            while await audit.chain(database):
                pass

        await asyncio.gather(*map(drain, gateways))
        verified = await audit.verify(gateways[0])
        assert (verified.broken_at, verified.last_seq >= last + 2500) == (None, True)
        assert await api.value("SELECT count(*) - count(DISTINCT seq) FROM audit") == 0
    finally:
        for gateway in gateways:
            await gateway.stop()


async def test_a_changed_or_missing_entry_is_found_and_the_table_refuses_both(api: Gateway) -> None:
    """Without it whoever can write to the table could make anything not have happened."""
    for number in range(5):
        await api.ask("POST", "/engines/scripted/resume", {"reason": f"number {number}"})
    good = await api.ask("GET", "/audit/verify")
    assert good["good"]
    assert good["entries"] >= 5
    async with api.connection() as connection:
        for statement in ("UPDATE audit SET actor = 'user:eve'", "DELETE FROM audit", "TRUNCATE audit"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
        victim = good["last_seq"] - 2
        before = await connection.fetchval("SELECT record FROM audit WHERE seq = $1", victim)
        await connection.execute("ALTER TABLE audit DISABLE TRIGGER audit_rows_stay")
        change = "UPDATE audit SET record = $2 WHERE seq = $1"
        await connection.execute(change, victim, before.replace("user:ann", "user:eve"))
        assert (await api.ask("GET", "/audit/verify"))["broken_at"] == victim
        await connection.execute(change, victim, before)
        assert (await api.ask("GET", "/audit/verify"))["good"]
        await connection.execute("DELETE FROM audit WHERE seq = $1", victim)
        assert (await api.ask("GET", "/audit/verify"))["broken_at"] == victim + 1


async def test_it_is_exported_as_json_lines(api: Gateway) -> None:
    answer = await api.request("GET", "/audit/export?from_seq=1")
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert answer.headers["Content-Type"].startswith("application/x-ndjson")
    assert [one["seq"] for one in lines] == sorted(one["seq"] for one in lines)
    assert {"actor", "action", "target", "hash", "record"} <= set(lines[0])
