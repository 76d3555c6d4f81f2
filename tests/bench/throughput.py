"""How fast one process takes a message from Kafka through its tables to Kafka, beside what bounds it.

`python -m bench.throughput [messages]` (or `make bench`) prints a table. 1 KiB facts over 200 aggregates, a topic
filled beforehand, everything on this machine. The yardsticks run on the same servers in the same minute: aiokafka alone
reading the same records, and asyncpg alone doing the same statements in the same batches. Rates are reported, never
asserted; that every message was counted in every table is asserted.
"""

import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

from aiokafka import AIOKafkaConsumer

from example_service import store
from example_service.messages import COMMANDS, add
from signalbox_chassis.messaging.consumer import Consumer
from signalbox_chassis.messaging.outbox import OutboxRow, pack_headers, write
from signalbox_chassis.persistence.database import Database
from signalbox_chassis.runtime.clock import SystemClock
from signalbox_contracts.wire import encode
from signalbox_local.kafka import KafkaCluster
from signalbox_local.otlp import OtlpReceiver
from signalbox_local.postgres import PostgresServer
from support.servers import FAST
from support.service_fixture import Stand, make_stand

AGGREGATES, BATCH, FILLER = 200, 200, "x" * 640


@asynccontextmanager
async def servers(folder: Path) -> AsyncGenerator[tuple[str, str, str]]:
    """Kafka, PostgreSQL with fsync off (this measures us, not the disk) and a trace receiver."""
    kafka, postgres, otlp = (
        KafkaCluster(folder / "kafka"),
        PostgresServer(folder / "pg", settings=FAST),
        OtlpReceiver(folder / "otlp"),
    )
    try:
        kafka.start()
        postgres.start()
        otlp.start()
        yield kafka.bootstrap, postgres.url, otlp.endpoint
    finally:
        otlp.stop()
        postgres.stop("immediate")
        kafka.stop()


def messages(count: int) -> list[Any]:
    now = SystemClock().now()
    return [add(f"counter-{n % AGGREGATES:03d}", n // AGGREGATES, time=now, filler=FILLER) for n in range(count)]


async def raw_kafka(stand: Stand, count: int) -> float:
    """Messages per second of aiokafka alone: getmany(200), commit each."""
    raw: Any = AIOKafkaConsumer(
        COMMANDS.full_name(stand.prefix), bootstrap_servers=stand.bootstrap, group_id=f"{stand.prefix}raw",
        auto_offset_reset="earliest", enable_auto_commit=False,
    )  # fmt: skip
    consumer = cast("Consumer", raw)
    await consumer.start()
    read, started = 0, 0.0
    while read < count:
        batches = await consumer.getmany(timeout_ms=1000, max_records=BATCH)
        started = started or time.perf_counter()
        read += sum(len(batch) for batch in batches.values())
        await raw.commit()
    took = time.perf_counter() - started
    await consumer.stop()
    return count / took


async def raw_postgres(stand: Stand, count: int) -> float:
    """Messages per second of asyncpg alone: the same rows in the same batches, one transaction each, no Kafka."""
    database = Database(stand.url, schema=stand.schema, pool_size=2)
    events = messages(count)
    rows = [outbox_row(event) for event in events]
    started = time.perf_counter()
    for at in range(0, count, BATCH):
        async with database.unit_of_work() as work:
            batch = events[at : at + BATCH]
            await work.connection.fetch(
                "INSERT INTO inbox (day, event_id)"
                " SELECT current_date, uuid_send(gen_random_uuid()) FROM generate_series(1, $1)",
                len(batch),
            )
            counters = await store.lock(work, sorted({event.subject for event in batch}))
            await store.save(work, counters, [(event.subject, event.data.number) for event in batch])
            await write(work.connection, rows[at : at + BATCH])
            await work.connection.execute(
                "UPDATE outbox SET sent_at = now() WHERE day = current_date AND id IN"
                " (SELECT id FROM outbox WHERE sent_at IS NULL ORDER BY id LIMIT $1)",
                BATCH,
            )
    took = time.perf_counter() - started
    await database.stop()
    return count / took


def outbox_row(event: Any) -> OutboxRow:
    record = encode(event, topic=COMMANDS)
    return OutboxRow(record.topic.name, record.key, pack_headers(record.headers), record.value)


async def service(stand: Stand, count: int) -> tuple[float, float, float]:
    """Messages per second of the whole path in one process, its CPU microseconds per message, and its RSS in MiB."""
    child = stand.spawn(EXAMPLE_FACTS="no")
    while not await done(stand, count):
        if child.poll() is not None:
            sys.exit(stand.logs()[-2000:])
        await asyncio.sleep(0.5)
    first, last = (await stand.rows("SELECT (SELECT min(received_at) FROM inbox), (SELECT max(sent_at) FROM outbox)"))[
        0
    ].values()
    status = Path(f"/proc/{child.pid}/status").read_text()
    rss = int(status.split("VmRSS:")[1].split()[0]) / 1024
    # read while it lives: the service is a child of a fork server, so our own children's usage has nothing of it
    fields = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()
    cpu = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    child.send_signal(signal.SIGTERM)
    child.wait()
    counts = [int(await stand.value(f"SELECT count(*) FROM {table}")) for table in ("inbox", "entry", "outbox")]  # noqa: S608
    if counts != [count] * 3:
        sys.exit(f"inbox, entries, outbox hold {counts}: every one should be {count}")
    return count / (last - first).total_seconds(), cpu / count * 1e6, rss


async def done(stand: Stand, count: int) -> bool:
    """Asked of the narrow table first: counting the wide one would take PostgreSQL away from what is measured."""
    if int(await stand.value("SELECT count(*) FROM entry")) < count:
        return False
    return not await stand.value("SELECT EXISTS (SELECT FROM outbox WHERE sent_at IS NULL)")


async def main(arguments: Sequence[str]) -> None:
    count = int(arguments[0]) if arguments else 40_000
    report: dict[str, Any] = {"messages": count, "cores": os.cpu_count(), "python": sys.version.split()[0]}
    runs = Path(__file__).parents[2] / ".local" / "test-runs"
    runs.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=runs) as name:
        folder = Path(name)
        folder.chmod(0o755)
        async with servers(folder) as (kafka, postgres, otlp):
            for tracing in ("", otlp):
                stand = await make_stand(kafka, postgres, folder, otlp_endpoint=tracing)
                await stand.publish(messages(count))
                if not tracing:
                    report["raw aiokafka getmany, messages/s"] = round(await raw_kafka(stand, count))
                rate, cpu, rss = await service(stand, count)
                label = "whole path, tracing on" if tracing else "whole path"
                report |= {
                    f"{label}, messages/s": round(rate),
                    f"{label}, CPU us/message": round(cpu),
                    f"{label}, RSS MiB": round(rss),
                }
            bare = await make_stand(kafka, postgres, folder)
            report["raw asyncpg batches, messages/s"] = round(await raw_postgres(bare, count))
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
