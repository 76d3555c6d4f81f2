"""What a trivial task costs in statements, WAL, messages and engine calls, gated: counts are alike on every machine."""

import json
import re
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp

from signalbox_chassis.messaging.topics import create_topics
from signalbox_chassis.persistence.connection import Connection, connect
from signalbox_local.postgres import PostgresServer
from support.executor import TOPICS, Stand, ensure, make_store, remove_topics, rules_of, spec
from support.service_fixture import until

TASKS = 2000
BOUNDS: dict[str, Any] = json.loads((Path(__file__).parents[2] / "bench" / "counts.json").read_text())
STATEMENT = re.compile(r"LOG:  (?:statement|execute [^:]*):\s+(\w+)")
PRODUCTION = {
    "claim_seconds": 0.5, "publish_delay_seconds": 30.0, "explain_seconds": 1.0, "explain_after_seconds": 30.0,
    "renew_seconds": 10.0, "worker_lease_seconds": 30.0, "engine_lease_seconds": 30.0,
}  # fmt: skip
"""As in production, but nothing is said or explained because the machine is slow."""


async def test_statements_wal_messages_and_engine_calls_per_task_stay_below_their_bounds(
    kafka_bootstrap: str, scripted_url: str, private_postgres: PostgresServer, tmp_path: Path
) -> None:
    store = await make_store(private_postgres.url)
    stand = Stand(store.url, store.schema, kafka_bootstrap, scripted_url, tmp_path)
    await create_topics(kafka_bootstrap, TOPICS, prefix=stand.prefix)
    await stand.register(concurrency=10_000, observe_every_seconds=1)
    admin = await connect(private_postgres.url)
    await admin.execute(f"ALTER ROLE {stand.schema} SET log_statement = 'all'")
    await admin.execute(f"SET search_path = {stand.schema}")
    plan = uuid4()
    async with stand.running(**PRODUCTION):
        log, wal, calls = len(private_postgres.log.read_text()), await wal_bytes(admin), await engine_calls(stand)
        tasks = [spec(plan, number) for number in range(TASKS)]
        pages = [ensure(plan, tasks[at : at + 200]) for at in range(0, TASKS, 200)]
        await stand.send(rules_of(plan), *pages)

        async def all_ended() -> bool:
            """Operation as the superuser, whose statements are not logged."""
            return int(await admin.fetchval("SELECT count(*) FROM task WHERE state = 'SUCCEEDED'")) == TASKS

        await until(all_ended, seconds=200, why="every task succeeded")
        statements = STATEMENT.findall(private_postgres.log.read_text()[log:])
        written = (await wal_bytes(admin)) - wal
        calls_made = await engine_calls(stand) - calls
        messages = int(await admin.fetchval("SELECT count(*) FROM outbox WHERE topic = 'tasks.v1'"))
    await admin.close()
    await remove_topics(stand)
    per_task = {
        "executor_statements_per_task": len(statements) / TASKS,
        "executor_wal_bytes_per_task": written / TASKS,
        "executor_messages_out_per_task": messages / TASKS,
        "engine_calls_per_task": calls_made / TASKS,
    }
    over = {name: count for name, count in per_task.items() if count > BOUNDS[name]}
    assert not over, f"{over} over {BOUNDS}"
    assert calls_made >= TASKS, "every submit was counted"
    assert per_task["executor_statements_per_task"] > 0.01, "statements were really counted"


async def wal_bytes(admin: Connection) -> int:
    return int(await admin.fetchval("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn"))


async def engine_calls(stand: Stand) -> int:
    async with aiohttp.ClientSession() as session, session.get(f"{stand.engine_url}/counts") as answer:
        counts = await answer.json()
    calls: dict[str, int] = counts["calls"]
    return sum(calls.values())
