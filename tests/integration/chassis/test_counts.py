"""What a message costs in round trips, gated: counts are the same on every machine, times are not."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from aiokafka.conn import AIOKafkaConnection

from example_service.messages import COUNTERS
from signalbox_chassis.persistence.database import Database
from signalbox_local.postgres import PostgresServer
from support.service_fixture import commands, make_stand

MESSAGES = 4000
BOUNDS: dict[str, Any] = json.loads((Path(__file__).parents[2] / "bench" / "counts.json").read_text())
STATEMENT = re.compile(r"LOG:  (?:statement|execute [^:]*):\s+(\w+ ?\w*)[^\n]*")
IDLE = re.compile(
    r"FROM outbox WHERE sent_at IS|SELECT count|pg_inherits|CREATE TABLE|DROP|DELETE|RECURSIVE|advisory|SELECT 1"
)
"""What is asked by the clock or at the start, not by the message: the relay's look, ages, partitions, introspection."""
WORK_REQUESTS = {"ProduceRequest", "OffsetCommitRequest"}
"""The requests a message causes. Fetches and heartbeats go by the clock."""


async def test_statements_and_kafka_requests_per_message_stay_below_their_bounds(
    kafka_bootstrap: str, private_postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL logs each statement of the service's role; Kafka requests are counted where aiokafka writes them."""
    stand = await make_stand(kafka_bootstrap, private_postgres.url, tmp_path)
    await stand.publish(commands(200, MESSAGES // 200, filler="x" * 640))
    admin: Any = await asyncpg.connect(private_postgres.url)  # pyright: ignore[reportUnknownVariableType]
    await admin.execute(f"ALTER ROLE {stand.schema} SET log_statement = 'all'")
    await admin.close()
    requests: Counter[str] = Counter()
    write: Any = AIOKafkaConnection.send  # pyright: ignore[reportUnknownVariableType]

    def counted(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        requests[type(request).__name__] += 1
        return write(self, request, *args, **kwargs)

    monkeypatch.setenv("EXAMPLE_FACTS", "no")
    monkeypatch.setattr(AIOKafkaConnection, "send", counted)
    start = len(private_postgres.log.read_text())
    async with stand.running() as service:
        while not await every_answer_is_sent(service.database):
            pass  # the question itself takes 0.2 s
        requests_seen = Counter(requests)
        log = private_postgres.log.read_text()[start:]
    statements = Counter(match.group(1) for match in STATEMENT.finditer(log) if not IDLE.search(match.group(0)))
    work = {name: count for name, count in requests_seen.items() if name in WORK_REQUESTS}
    per_message = {
        "sql_statements_per_message": sum(statements.values()) / MESSAGES,
        "kafka_requests_per_message": sum(work.values()) / MESSAGES,
        "kafka_messages_out_per_message": len(await stand.read_all(COUNTERS)) / MESSAGES,
    }
    over = {name: count for name, count in per_message.items() if count > BOUNDS[name]}
    assert not over, f"{over} over {BOUNDS}: {statements} {requests_seen}"
    assert statements["COPY "] == statements["WITH written"] >= MESSAGES / 200, "every batch was really counted"
    assert statements["INSERT INTO"] >= statements["COPY "], "its inbox rows too"


async def every_answer_is_sent(database: Database) -> bool:
    """Asked on the service's own pool, so it is counted too; PostgreSQL sleeps, so that it is asked seldom."""
    async with database.connection() as connection:
        row = await connection.fetchrow(
            "SELECT count(*) = $1 AS done, pg_sleep(0.2) FROM outbox WHERE sent_at IS NOT NULL", MESSAGES
        )
    assert row is not None
    return bool(row["done"])
