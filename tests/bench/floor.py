"""The least a start could take: the same hops with nothing of ours in them.

A door (HTTP), a middle and an end, three processes as gateway, planner and executor are; each message is carried by the
same Kafka, each transaction (one at the door, one in the middle, two at the end) is BEGIN, one INSERT and COMMIT on the
same PostgreSQL, and the end asks the same engine. No checks, no outbox, no inbox, no limits, no traces: what a start
takes beyond this is ours, and what this takes is the machine's.

`python -m bench.floor ROLE` is one of the three processes.
"""

import asyncio
import os
import sys
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, cast

import aiohttp
import asyncpg
from aiohttp import web
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from bench.api import HOME, Bench, percentile

TOPICS = ("bench.floor.requests", "bench.floor.commands")
_INSERT = "INSERT INTO bench_floor.done (key) VALUES ($1)"


async def measure(bench: Bench, samples: int) -> dict[str, float]:
    """Milliseconds from before the request is written to the engine's own receive stamp."""
    await _prepare(bench)
    outside = {
        **os.environ,
        **bench.environment,
        "PYTHONPATH": f"{HOME / 'tests'}:{HOME / 'tests' / 'example' / 'src'}",
    }
    children = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bench.floor", role, env=outside, stdout=asyncio.subprocess.PIPE
        )
        for role in ("end", "middle", "door")
    ]
    try:
        response = [await cast("asyncio.StreamReader", child.stdout).readline() for child in children]
        url = f"http://127.0.0.1:{int(response[-1])}/start"
        requested: dict[str, float] = {}
        for _ in range(samples + 20):
            key = f"floor-{uuid.uuid4()}"
            requested[key] = time.monotonic()
            async with bench.session.post(url, data=key) as answer:
                await answer.read()
            requested[key] = (await _received(bench, key) - requested[key]) * 1000
        times = list(requested.values())[20:]
        return {"p50 ms": round(percentile(times, 0.5), 1), "p99 ms": round(percentile(times, 0.99), 1)}
    finally:
        for child in children:
            child.kill()
            await child.wait()


async def _prepare(bench: Bench) -> None:
    connection = await _connect(bench.environment["SIGNALBOX_DATABASE_URL"])
    await connection.execute("CREATE SCHEMA IF NOT EXISTS bench_floor")
    await connection.execute("CREATE TABLE IF NOT EXISTS bench_floor.done (key text, at timestamptz DEFAULT now())")
    await connection.close()
    admin = AIOKafkaAdminClient(bootstrap_servers=bench.environment["SIGNALBOX_KAFKA_BOOTSTRAP"])
    await admin.start()
    known = await admin.list_topics()
    await admin.create_topics([NewTopic(name, 6, 1) for name in TOPICS if name not in known])
    await admin.close()


async def _received(bench: Bench, key: str) -> float:
    """The engine's receive stamp of this key, on the machine's monotonic clock."""
    for _ in range(500):
        if found := (await bench.starts()).get(key):
            return found[0]["monotonic"]
        await asyncio.sleep(0.02)
    sys.exit(f"{key} did not reach the engine")


async def _connect(url: str) -> Any:
    return cast("Any", await asyncpg.connect(url.replace("+asyncpg", "")))  # pyright: ignore[reportUnknownMemberType]


class Hop:
    """What each of the three processes has: a connection, a producer, and a reader of the hop before."""

    def __init__(self) -> None:
        self._bootstrap = os.environ["SIGNALBOX_KAFKA_BOOTSTRAP"]
        self._producer = AIOKafkaProducer(bootstrap_servers=self._bootstrap, enable_idempotence=True, acks="all")

    async def __aenter__(self) -> "Hop":
        self._connection = await _connect(os.environ["SIGNALBOX_DATABASE_URL"])
        await self._producer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._producer.stop()
        await self._connection.close()

    async def transaction(self, key: str) -> None:
        async with self._connection.transaction():
            await self._connection.execute(_INSERT, key)

    async def send(self, topic: str, key: str) -> None:
        send = cast("Callable[..., Awaitable[Any]]", self._producer.send_and_wait)
        await send(topic, key.encode(), key=key.encode())

    async def read(self, topic: str, handle: Callable[[str], Awaitable[None]]) -> None:
        consumer: Any = AIOKafkaConsumer(bootstrap_servers=self._bootstrap, group_id=None, auto_offset_reset="latest")
        await consumer.start()
        partitions = [TopicPartition(topic, number) for number in range(6)]
        consumer.assign(partitions)
        await consumer.seek_to_end(*partitions)
        for partition in partitions:
            await consumer.position(partition)
        print("ready", flush=True)
        while True:
            for batch in (await consumer.getmany(timeout_ms=1000)).values():
                for record in batch:
                    await handle(record.value.decode())


async def door() -> None:
    async with Hop() as hop:
        sending: list[asyncio.Task[None]] = []

        async def start(request: web.Request) -> web.Response:
            key = await request.text()
            await hop.transaction(key)
            sending.append(asyncio.create_task(hop.send(TOPICS[0], key)))
            return web.Response(status=202)

        application = web.Application()
        application.router.add_post("/start", start)
        runner = web.AppRunner(application)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        print(runner.addresses[0][1], flush=True)
        await asyncio.Event().wait()


async def middle() -> None:
    async with Hop() as hop:

        async def handle(key: str) -> None:
            await hop.transaction(key)
            await hop.send(TOPICS[1], key)

        await hop.read(TOPICS[0], handle)


async def end() -> None:
    async with Hop() as hop, aiohttp.ClientSession() as session:

        async def handle(key: str) -> None:
            await hop.transaction(key)
            await hop.transaction(key)
            url = f"{os.environ['SIGNALBOX_SCRIPTED_URL']}/runs"
            async with session.post(url, json={"run_key": key, "script": {}}) as answer:
                await answer.read()

        await hop.read(TOPICS[1], handle)


if __name__ == "__main__":
    asyncio.run({"door": door, "middle": middle, "end": end}[sys.argv[1]]())
