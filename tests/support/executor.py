"""A place for executors: schema, topics, plans and tasks as the planner would send them."""

import os
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar, cast

import aiohttp
import asyncpg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from pydantic import SecretStr

from signalbox_chassis.messaging.consumer import Consumer
from signalbox_chassis.persistence.connection import Connection, Row, connect
from signalbox_chassis.persistence.migrations import migrate, provision
from signalbox_chassis.runtime.service import Service
from signalbox_contracts.definitions.engine import Engine, EngineLimits, ScriptedConnection
from signalbox_contracts.definitions.rules import Retries, Rules
from signalbox_contracts.definitions.work import ScriptedWork
from signalbox_contracts.envelope import Event
from signalbox_contracts.ids import run_key, task_id
from signalbox_contracts.messages.definitions import DefinitionSnapshot, DefinitionSnapshotData
from signalbox_contracts.messages.task_commands import (
    PlanRules,
    PlanRulesData,
    TasksCancel,
    TasksCancelData,
    TasksEnsure,
    TasksEnsureData,
    TaskSpec,
)
from signalbox_contracts.messages.tasks import TasksStated
from signalbox_contracts.topics import Topic, topic, topic_of
from signalbox_contracts.wire import decode, encode
from signalbox_executor import MIGRATIONS
from signalbox_executor.app import executor
from signalbox_executor.engines.registry import KINDS
from signalbox_executor.settings import ExecutorSettings
from signalbox_executor.store import accept, claim, engines, rules, workers
from support import queries
from support.forked import Forked

TOPICS = tuple(
    topic(name)
    for name in ("task-commands.v1", "operations.v1", "definitions.v1", "tasks.v1", "dead-letters.v1", "states.v1")
)

PLANNER = "signalbox/planner"
E = TypeVar("E", bound=Event[Any])


def spec(plan: uuid.UUID, number: int, engine: str = "e1", **changes: Any) -> TaskSpec:
    """Task `number` of a plan."""
    key = f"item/{number}"
    values: dict[str, Any] = {
        "task_id": task_id(plan, key),
        "item_key": key,
        "position": number,
        "engine": engine,
        "work": ScriptedWork(),
        "retries": Retries(delay_seconds=0, max_delay_seconds=0),
        **changes,
    }
    return TaskSpec(**values)


def engine(id: str = "e1", url: str = "http://127.0.0.1:1", **changes: Any) -> Engine:
    """A scripted engine; fields of its limits are given beside its own."""
    limits = {name: changes.pop(name) for name in EngineLimits.model_fields if name in changes}
    values: dict[str, Any] = {
        "id": id,
        "name": id,
        "connection": ScriptedConnection(url=url),
        "limits": EngineLimits(**limits),
        "observe_every_seconds": 0.1,
        **changes,
    }
    return Engine(**values)


@dataclass
class Store:
    """A schema of its own, and what a test puts there without any message."""

    url: str
    schema: str

    @asynccontextmanager
    async def connection(self) -> AsyncGenerator[Connection]:
        connection = await connect(self.url, **queries.patient(self.schema))
        try:
            yield connection
        finally:
            await connection.close()

    async def rows(self, query: str, *args: Any) -> list[Row]:
        return await queries.rows(self.url, self.schema, query, *args)

    async def value(self, query: str, *args: Any) -> Any:
        return await queries.value(self.url, self.schema, query, *args)

    async def worker(self, *, lease_seconds: float = 60) -> uuid.UUID:
        id = uuid.uuid4()
        async with self.connection() as connection:
            await workers.register(connection, id, host_id="here", lease_seconds=lease_seconds)
        return id

    async def engine(self, id: str = "e1", *, revision: int = 1, **changes: Any) -> None:
        async with self.connection() as connection:
            await engines.define(connection, revision, engine(id, **changes), deleted=False)
            await engines.saw(connection, revision)

    async def plan(
        self, count: int = 1, *, engine: str = "e1", rules: Rules | None = None, **changes: Any
    ) -> uuid.UUID:
        """A plan with rules and that many queued tasks."""
        plan = uuid.uuid4()
        await self.rules(plan, rules or Rules())
        await self.tasks(plan, [spec(plan, number, engine, **changes) for number in range(count)])
        return plan

    async def rules(self, plan: uuid.UUID, wanted: Rules, *, version: int = 1, **changes: Any) -> None:
        async with self.connection() as connection:
            await rules.save_rules(connection, PlanRulesData(plan_id=plan, version=version, rules=wanted, **changes))

    async def tasks(self, plan: uuid.UUID, specs: Sequence[TaskSpec]) -> None:
        async with self.connection() as connection:
            for at in range(0, len(specs), 200):
                data = TasksEnsureData(
                    plan_id=plan, definitions_revision=1, rules_version=1, tasks=tuple(specs[at : at + 200])
                )
                await accept.accept(connection, data, None)

    async def claim(self, worker: uuid.UUID, limit: int = 100, *, group: str = "default") -> list[claim.Claim]:
        async with self.connection() as connection, connection.transaction():
            reachable = [row["id"] for row in await connection.fetch("SELECT id FROM engine")]
            return await claim.claim(connection, worker, group=group, reachable=reachable, limit=limit)

    async def states(self) -> dict[str, int]:
        found = await self.rows("SELECT state, count(*) AS n FROM task GROUP BY 1")
        return {row["state"]: row["n"] for row in found}

    async def expire(self, worker: uuid.UUID) -> None:
        await self.rows("UPDATE worker SET lease_until = now() - interval '1 second' WHERE id = $1", worker)


@dataclass
class Stand(Store):
    """A schema with topics and a scripted engine: executors in this process or as children."""

    bootstrap: str
    engine_url: str
    folder: Path
    children: list[Forked] = field(default_factory=list[Forked])

    @property
    def prefix(self) -> str:
        return f"{self.schema}."

    def settings(self, **changes: Any) -> ExecutorSettings:
        """Times are short, so that a test need not wait."""
        values: dict[str, Any] = {
            "kafka_bootstrap": self.bootstrap,
            "database_url": SecretStr(self.url),
            "database_schema": self.schema,
            "topic_prefix": self.prefix,
            "group_prefix": self.prefix,
            "session_timeout_seconds": 3.0,
            "worker_lease_seconds": 1.0,
            "renew_seconds": 0.3,
            "claim_seconds": 0.05,
            "take_over_seconds": 0.2,
            "engine_lease_seconds": 1.5,
            "resend_seconds": 0.5,
            "stop_seconds": 0.3,
            "unknown_seconds": 0.2,
            "explain_seconds": 0.2,
            "explain_after_seconds": 0.1,
            "publish_delay_seconds": 0.05,
            "engine_timeout_seconds": 5.0,
            "drain_seconds": 5.0,
            "egress_allow": "127.0.0.1",
            "log_seconds": 0.2,
            **changes,
        }
        return ExecutorSettings(**values)

    @asynccontextmanager
    async def running(self, **changes: Any) -> AsyncGenerator[Service]:
        kinds = [kind.settings for kind in KINDS.values() if kind.settings is not None]
        own = [kind(**{name: changes.pop(name) for name in kind.model_fields if name in changes}) for kind in kinds]
        service = executor(self.settings(**changes), own)
        await service.start()
        try:
            yield service
        finally:
            await service.stop()

    def spawn(self, **environment: str) -> Forked:
        """An executor as a process of its own, ended with the test."""
        settings = self.settings().model_dump(exclude={"database_url", "secret_key", "secrets_url"})
        mine = {f"SIGNALBOX_{name.upper()}": str(value) for name, value in settings.items()}
        others = {name: value for name, value in os.environ.items() if not name.startswith("SIGNALBOX_")}
        variables = {**others, **mine, "SIGNALBOX_DATABASE_URL": self.url, **environment}
        child = Forked.start("executor", variables, self.folder / "child.log")
        self.children.append(child)
        return child

    def stop_children(self) -> None:
        for child in self.children:
            child.end()

    async def send(self, *events: Event[Any], topic: Topic | None = None) -> None:
        """Write messages as the planner and the gateway would."""
        producer = AIOKafkaProducer(bootstrap_servers=self.bootstrap, linger_ms=5)
        await producer.start()
        try:
            for event in events:
                message = encode(event, topic=topic)
                name = (topic or topic_of(type(event))).full_name(self.prefix)
                send = cast("Callable[..., Awaitable[Any]]", producer.send_and_wait)
                await send(name, message.value, key=message.key, headers=list(message.headers))
        finally:
            await producer.stop()

    async def send_all(self, events: Sequence[Event[Any]]) -> None:
        """Write many messages, without waiting for each."""
        producer = AIOKafkaProducer(bootstrap_servers=self.bootstrap, linger_ms=5)
        await producer.start()
        try:
            send = cast("Callable[..., Awaitable[Awaitable[Any]]]", producer.send)
            sent: list[Awaitable[Any]] = []
            for event in events:
                message = encode(event)
                name = topic_of(type(event)).full_name(self.prefix)
                sent.append(await send(name, message.value, key=message.key, headers=list(message.headers)))
            for one in sent:
                await one
        finally:
            await producer.stop()

    async def register(self, id: str = "e1", *, revision: int = 1, **changes: Any) -> None:
        """Register the scripted engine under this id."""
        definition = engine(id, changes.pop("url", self.engine_url), **{"concurrency": 50, **changes})
        data = DefinitionSnapshotData(kind="engine", id=id, revision=revision, definition=definition)
        await self.send(
            DefinitionSnapshot.of(
                data, subject=f"engine:{id}", source="signalbox/api-gateway", time=datetime.now(UTC),
                aggregateversion=revision,
            )
        )  # fmt: skip

    async def facts(self) -> list[TasksStated]:
        """Every `tasks.state` said so far, in order per plan."""
        return [event for event in await self.published(topic("tasks.v1")) if isinstance(event, TasksStated)]

    async def published(self, place: Topic) -> list[Event[Any]]:
        raw: Any = AIOKafkaConsumer(bootstrap_servers=self.bootstrap, enable_auto_commit=False)
        consumer = cast("Consumer", raw)
        await consumer.start()
        try:
            partitions = [TopicPartition(place.full_name(self.prefix), number) for number in range(place.partitions)]
            consumer.assign(partitions)
            await consumer.seek_to_beginning(*partitions)
            ends = await consumer.end_offsets(partitions)
            found: list[Event[Any]] = []
            while any([await consumer.position(tp) < ends[tp] for tp in partitions]):
                for batch in (await consumer.getmany(timeout_ms=200)).values():
                    found += [decode(place, raw.value, key=raw.key, headers=tuple(raw.headers)) for raw in batch]
            return found
        finally:
            await consumer.stop()

    async def states_published(self, kind: type[E]) -> list[E]:
        """Every event of this kind on `states.v1` so far, in order per key."""
        return [event for event in await self.published(topic("states.v1")) if isinstance(event, kind)]

    async def release(self, *tasks: uuid.UUID) -> None:
        """Let the held runs of these tasks' first attempts end."""
        async with aiohttp.ClientSession() as session:
            for task in tasks:
                async with session.post(f"{self.engine_url}/runs/{run_key(task, 1)}/release") as answer:
                    assert answer.status == 202

    async def engine_is_back(self) -> None:
        """Whatever took the scripted engine down, it answers again."""
        ask = {"seconds": 0}
        async with aiohttp.ClientSession() as session, session.post(f"{self.engine_url}/down", json=ask) as answer:
            assert answer.status < 300

    async def starts(self) -> dict[str, int]:
        """How often each run key was started on the engine."""
        async with aiohttp.ClientSession() as session, session.get(f"{self.engine_url}/starts") as answer:
            content = await answer.json()
        return {key: len(starts) for key, starts in content["starts"].items()}


def operation(event: type[E], target: str, **data: Any) -> E:
    """A command of the gateway about something else than a plan's course."""
    values = {"operation_id": uuid.uuid4(), "actor": "user:ann", **data}
    made: Any = event.of(
        cast("Any", event.model_fields["data"].annotation)(**values), subject=target, source="signalbox/api-gateway",
        time=datetime.now(UTC), id=uuid.uuid4(),
    )  # fmt: skip
    return made


def rules_of(plan: uuid.UUID, rules: Rules | None = None, *, version: int = 1, **changes: Any) -> PlanRules:
    data = PlanRulesData(plan_id=plan, version=version, rules=rules or Rules(), **changes)
    return PlanRules.of(data, subject=plan, source=PLANNER, time=datetime.now(UTC), id=uuid.uuid4())


def ensure(
    plan: uuid.UUID,
    tasks: Sequence[TaskSpec] = (),
    known: Sequence[uuid.UUID] = (),
    *,
    revision: int = 1,
    traceparent: str | None = None,
) -> TasksEnsure:
    data = TasksEnsureData(
        plan_id=plan, definitions_revision=revision, rules_version=1, tasks=tuple(tasks), known=tuple(known)
    )
    return TasksEnsure.of(
        data, subject=plan, source=PLANNER, time=datetime.now(UTC), id=uuid.uuid4(), traceparent=traceparent
    )


def cancel_of(plan: uuid.UUID, *tasks: uuid.UUID, kill: bool = True) -> TasksCancel:
    data = TasksCancelData(plan_id=plan, task_ids=tasks, kill=kill, actor="user:ann")
    return TasksCancel.of(data, subject=plan, source=PLANNER, time=datetime.now(UTC), id=uuid.uuid4())


async def remove_topics(stand: Stand) -> None:
    """A broker that keeps the topics of every test grows slow."""
    admin = AIOKafkaAdminClient(bootstrap_servers=stand.bootstrap, request_timeout_ms=10_000)
    await admin.start()
    try:
        await admin.delete_topics([topic.full_name(stand.prefix) for topic in TOPICS])
    finally:
        await admin.close()


async def make_store(admin_url: str) -> Store:
    name = f"x{uuid.uuid4().hex[:12]}"
    url = await provision(admin_url, role=name, password=uuid.uuid4().hex, schema=name)
    await migrate(url, schema=name, versions=MIGRATIONS)
    return Store(url, name)


async def remove_store(store: Store, admin_url: str) -> None:
    connection: Any = await asyncpg.connect(admin_url)  # pyright: ignore[reportUnknownVariableType]
    try:
        await connection.execute(f"DROP SCHEMA {store.schema} CASCADE")
        await connection.execute(f"DROP OWNED BY {store.schema}")
        await connection.execute(f"DROP ROLE {store.schema}")
    finally:
        await connection.close()
