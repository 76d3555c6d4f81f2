"""A place for one example service: its own schema, role, topics and groups on the shared servers."""

import asyncio
import os
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import aiohttp
import asyncpg
import pytest_asyncio
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from pydantic import SecretStr

from example_service import MIGRATIONS
from example_service.app import example_service
from example_service.handlers import Bug
from example_service.messages import COMMANDS, COUNTERS, add
from signalbox_chassis.messaging.consumer import Consumer, KafkaRecord
from signalbox_chassis.messaging.topics import create_topics
from signalbox_chassis.persistence.connection import Connection, Row, connect
from signalbox_chassis.persistence.database import Database
from signalbox_chassis.persistence.migrations import migrate, provision
from signalbox_chassis.runtime.clock import SystemClock
from signalbox_chassis.runtime.service import Service
from signalbox_chassis.settings import ServiceSettings
from signalbox_contracts.envelope import Event
from signalbox_contracts.topics import Topic, topic
from signalbox_contracts.wire import encode
from support import queries
from support.deadlines import wait_until
from support.forked import Forked

OURS = ("operations.v1", "definitions.v1", "dead-letters.v1", "states.v1")
TOPICS = (COMMANDS, COUNTERS, *(topic(name) for name in OURS))
RawRecord = tuple[bytes | None, bytes | None, Sequence[tuple[str, bytes | None]]]
"""Key, value, headers."""
CHILD_LOGS = "child.log"


until = wait_until


@dataclass
class Stand:
    """The addresses of one example service, and what a test does to it from outside."""

    bootstrap: str
    admin_url: str
    url: str
    schema: str
    prefix: str
    folder: Path
    otlp_endpoint: str = ""
    children: list[Forked] = field(default_factory=list[Forked])

    def settings(self, **changes: Any) -> ServiceSettings:
        """Settings as the environment would give them; times are short, so that a test need not wait."""
        values: dict[str, Any] = {
            "kafka_bootstrap": self.bootstrap,
            "database_url": SecretStr(self.url),
            "database_schema": self.schema,
            "topic_prefix": self.prefix,
            "group_prefix": self.prefix,
            "session_timeout_seconds": 3.0,
            "retry_seconds": 5.0,
            "handler_timeout_seconds": 20.0,
            "stuck_seconds": 30.0,
            "otlp_endpoint": self.otlp_endpoint,
            **changes,
        }
        return ServiceSettings(**values)

    def environment(self, **changes: str) -> dict[str, str]:
        settings = self.settings().model_dump(exclude={"database_url"})
        mine = {f"SIGNALBOX_{name.upper()}": str(value) for name, value in settings.items()}
        tests = Path(__file__).parents[1]
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("SIGNALBOX_")},
            **mine,
            "SIGNALBOX_DATABASE_URL": self.url,
            "PYTHONPATH": f"{tests}:{tests / 'example' / 'src'}",
            **changes,
        }

    @asynccontextmanager
    async def running(self, bug: Bug | None = None, **changes: Any) -> AsyncGenerator[Service]:
        """The example service in this process."""
        service = example_service(self.settings(**changes), bug)
        await service.start()
        try:
            yield service
        finally:
            await service.stop()

    def spawn(self, **environment: str) -> Forked:
        """The example service as a process of its own, ended with the test."""
        child = Forked.start("example", self.environment(**environment), self.folder / CHILD_LOGS)
        self.children.append(child)
        return child

    def logs(self) -> str:
        return (self.folder / CHILD_LOGS).read_text()

    def stop_children(self) -> None:
        for child in self.children:
            child.end()

    @asynccontextmanager
    async def database(self) -> AsyncGenerator[Connection]:
        connection = await connect(self.url, server_settings={"search_path": self.schema})
        try:
            yield connection
        finally:
            await connection.close()

    async def rows(self, query: str, *args: Any) -> list[Row]:
        return await queries.rows(self.url, self.schema, query, *args)

    async def value(self, query: str, *args: Any) -> Any:
        return await queries.value(self.url, self.schema, query, *args)

    async def entries(self) -> dict[str, list[int]]:
        """The numbers applied to each counter, in the order they were."""
        found: dict[str, list[int]] = {}
        for row in await self.rows("SELECT counter, number FROM entry ORDER BY position"):
            found.setdefault(row["counter"], []).append(row["number"])
        return found

    async def until_entries(self, count: int, *, seconds: float = 60) -> None:
        async def enough() -> bool:
            return int(await self.value("SELECT count(*) FROM entry")) >= count

        await until(enough, seconds=seconds, why=f"{count} entries applied")

    async def until_sent(self, *, seconds: float = 60) -> None:
        async def sent() -> bool:
            return not await self.value("SELECT EXISTS (SELECT FROM outbox WHERE sent_at IS NULL)")

        await until(sent, seconds=seconds, why="every outbox row sent")

    async def accept(self, events: Iterable[Event[Any]], *, on: Topic = COMMANDS) -> None:
        """Write events to the service's outbox, as its own code would: accepted even while Kafka is away."""
        database = Database(self.url, schema=self.schema, pool_size=2, application="test")
        try:
            async with database.unit_of_work() as work:
                for event in events:
                    work.publish(event, topic=on)
        finally:
            await database.stop()

    async def publish(self, events: Iterable[Event[Any]], *, on: Topic = COMMANDS) -> None:
        records = [encode(event, topic=on) for event in events]
        await self.produce([(record.key, record.value, list(record.headers)) for record in records], on=on)

    async def produce(
        self,
        records: Sequence[RawRecord],
        *,
        on: Topic = COMMANDS,
    ) -> None:
        """Raw records, as any program might write them."""
        producer = AIOKafkaProducer(bootstrap_servers=self.bootstrap, linger_ms=5, max_request_size=4 << 20)
        await producer.start()
        try:
            send = cast("Callable[..., Awaitable[Any]]", producer.send)
            sent = [
                await send(on.full_name(self.prefix), value, key=key, headers=cast("Any", list(headers)))
                for key, value, headers in records
            ]
            await asyncio.gather(*sent)
        finally:
            await producer.stop()

    async def read_all(self, on: Topic) -> list[KafkaRecord]:
        """Every record now on a topic, partition by partition."""
        raw: Any = AIOKafkaConsumer(bootstrap_servers=self.bootstrap, enable_auto_commit=False)
        consumer = cast("Consumer", raw)
        await consumer.start()
        try:
            partitions = [TopicPartition(on.full_name(self.prefix), number) for number in range(on.partitions)]
            consumer.assign(partitions)
            await consumer.seek_to_beginning(*partitions)
            ends = await consumer.end_offsets(partitions)
            records: list[KafkaRecord] = []
            while any([await consumer.position(tp) < ends[tp] for tp in partitions]):
                polled = await consumer.getmany(timeout_ms=200)
                for batch in polled.values():
                    records += batch
            return records
        finally:
            await consumer.stop()


def commands(counters: int, each: int, *, filler: str = "", first: int = 0) -> list[Event[Any]]:
    """`each` additions to every counter, numbered in order, the counters taking turns."""
    now = SystemClock().now()
    return [
        add(f"counter-{counter:03d}", number, time=now, filler=filler)
        for number in range(first, first + each)
        for counter in range(counters)
    ]


def in_order_once(entries: dict[str, list[int]], counters: int, each: int) -> None:
    """Assert that every counter got each of its numbers exactly once, in order."""
    assert len(entries) == counters
    wrong = {counter: numbers for counter, numbers in entries.items() if numbers != list(range(each))}
    assert not wrong, f"lost, repeated or out of order: {dict(list(wrong.items())[:3])}"


async def make_stand(bootstrap: str, admin_url: str, folder: Path, *, otlp_endpoint: str = "") -> Stand:
    """A schema with its role, and topics, all with a name nobody else has."""
    name = f"t{uuid.uuid4().hex[:12]}"
    url = await provision(admin_url, role=name, password=uuid.uuid4().hex, schema=name)
    await migrate(url, schema=name, versions=MIGRATIONS)
    await create_topics(bootstrap, TOPICS, prefix=f"{name}.")
    return Stand(bootstrap, admin_url, url, name, f"{name}.", folder, otlp_endpoint)


async def remove_stand(stand: Stand) -> None:
    stand.stop_children()
    connection: Any = await asyncpg.connect(stand.admin_url)  # pyright: ignore[reportUnknownVariableType]
    try:
        await connection.execute(f"DROP SCHEMA {stand.schema} CASCADE")
        await connection.execute(f"DROP OWNED BY {stand.schema}")
        await connection.execute(f"DROP ROLE {stand.schema}")
    finally:
        await connection.close()


@pytest_asyncio.fixture
async def stand(kafka_bootstrap: str, postgres_url: str, tmp_path: Path) -> AsyncGenerator[Stand]:
    made = await make_stand(kafka_bootstrap, postgres_url, tmp_path)
    yield made
    await remove_stand(made)


async def forget_offsets(stand: Stand, group: str, topic: Topic) -> None:
    """Put the group back to the beginning of a topic, as if its offsets had been lost."""
    consumer = AIOKafkaConsumer(bootstrap_servers=stand.bootstrap, group_id=group, enable_auto_commit=False)
    await consumer.start()
    partitions = [TopicPartition(topic.full_name(stand.prefix), number) for number in range(topic.partitions)]
    consumer.assign(partitions)
    await consumer.commit(dict.fromkeys(partitions, 0))
    await consumer.stop()


async def ready(address: str) -> dict[str, Any]:
    """What `/readyz` says."""
    async with aiohttp.ClientSession() as session, session.get(f"{address}/readyz") as answer:
        return await answer.json()
