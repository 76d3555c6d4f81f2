"""A gateway's read model alone: its consumer in this process, fed with facts as the owners would publish them."""

import asyncio
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, cast

import asyncpg
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from pydantic import SecretStr

from signalbox_chassis.messaging.topics import create_topics
from signalbox_chassis.persistence.connection import Connection, connect, connect_arguments
from signalbox_chassis.persistence.migrations import migrate, provision
from signalbox_chassis.runtime.service import Service
from signalbox_chassis.settings import ServiceSettings
from signalbox_contracts.envelope import Event
from signalbox_contracts.ids import run_key, task_id
from signalbox_contracts.messages.plans import (
    Counts,
    Decision,
    Expected,
    ItemRecord,
    PlanItems,
    PlanItemsData,
    PlanRecord,
    PlanStated,
    PlanTransition,
)
from signalbox_contracts.messages.tasks import TaskRecord, TasksStated, TasksStatedData, TaskTransition
from signalbox_contracts.states import PlanState, TaskState
from signalbox_contracts.topics import Topic, topic, topic_of
from signalbox_contracts.wire import encode
from signalbox_gateway import MIGRATIONS, handlers
from signalbox_gateway.long_poll import Waits
from support import queries

NOW = datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
NEEDED = ("plans.v1", "tasks.v1", "states.v1", "ticks.v1", "deliveries.v1", "dead-letters.v1", "operations.v1")
_ENDED = (TaskState.SUCCEEDED, TaskState.FAILED, TaskState.CANCELLED)


@dataclass
class ReadModel:
    """A schema, topics and groups of its own."""

    bootstrap: str
    url: str
    schema: str
    waits: Waits = field(default_factory=Waits)

    @property
    def prefix(self) -> str:
        return f"{self.schema}."

    def settings(self, **changes: Any) -> ServiceSettings:
        values: dict[str, Any] = {
            "kafka_bootstrap": self.bootstrap,
            "database_url": SecretStr(self.url),
            "database_schema": self.schema,
            "topic_prefix": self.prefix,
            "group_prefix": self.prefix,
            "session_timeout_seconds": 3.0,
            "drain_seconds": 5.0,
            **changes,
        }
        return ServiceSettings(**values)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[Service]:
        """The consumer of facts, as the gateway wires it."""
        service = Service("api-gateway", self.settings(), subscriptions=[handlers.subscription(self.waits)])
        await service.start()
        try:
            yield service
        finally:
            await service.stop()

    @asynccontextmanager
    async def connection(self) -> AsyncGenerator[Connection]:
        connection = await connect(self.url, **connect_arguments(self.schema, "test"))
        try:
            yield connection
        finally:
            await connection.close()

    async def value(self, query: str, *args: Any) -> Any:
        return await queries.value(self.url, self.schema, query, *args)

    async def send(self, *events: Event[Any]) -> None:
        """Publish facts, in this order per plan."""
        messages = [encode(event) for event in events]
        await self.produce(
            (topic_of(type(event)), one.key, one.value) for event, one in zip(events, messages, strict=True)
        )

    async def produce(self, records: Iterable[tuple[Topic, bytes | None, bytes | None]]) -> None:
        """Raw records, as any program might write them."""
        producer = AIOKafkaProducer(bootstrap_servers=self.bootstrap, linger_ms=5)
        await producer.start()
        try:
            send = cast("Callable[..., Awaitable[Any]]", producer.send)
            sent = [await send(on.full_name(self.prefix), value, key=key) for on, key, value in records]
            await asyncio.gather(*sent)
        finally:
            await producer.stop()


@asynccontextmanager
async def read_model(admin_url: str, bootstrap: str) -> AsyncGenerator[ReadModel]:
    """A read model of its own, gone afterwards."""
    name = f"r{uuid.uuid4().hex[:12]}"
    url = await provision(admin_url, role=name, password=uuid.uuid4().hex, schema=name)
    try:
        await migrate(url, schema=name, versions=MIGRATIONS)
        model = ReadModel(bootstrap, url, name)
        # few partitions, gone with the test: a broker shared by many tests slows down with every one
        topics = [replace(topic(one), partitions=2) for one in NEEDED]
        await create_topics(bootstrap, topics, prefix=model.prefix)
        yield model
    finally:
        await _delete_topics(bootstrap, name)
        connection: Any = await asyncpg.connect(admin_url)  # pyright: ignore[reportUnknownVariableType]
        try:
            await connection.execute(f"DROP SCHEMA {name} CASCADE")
            await connection.execute(f"DROP OWNED BY {name}")
            await connection.execute(f"DROP ROLE {name}")
        finally:
            await connection.close()


async def _delete_topics(bootstrap: str, name: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.delete_topics([topic(one).full_name(f"{name}.") for one in NEEDED])
    finally:
        await admin.close()


def plan_record(plan: uuid.UUID, state: PlanState, version: int, **changes: Any) -> PlanRecord:
    """A plan as the planner would state it."""
    values: dict[str, Any] = {
        "plan_id": plan,
        "version": version,
        "state": state,
        "name": "Nightly",
        "actor": "user:ann",
        "created_at": NOW,
        "transitions": (PlanTransition(version=version, state=state, at=NOW, actor="user:ann"),),
        **changes,
    }
    return PlanRecord(**values)


def plan_stated(plan: uuid.UUID, state: PlanState, version: int, **changes: Any) -> PlanStated:
    record = plan_record(plan, state, version, **changes)
    return PlanStated.of(record, subject=plan, source="signalbox/planner", time=NOW, aggregateversion=version)


def plan_ended(plan: uuid.UUID, version: int, *, tasks: int, task_versions: int, pages: int) -> PlanStated:
    """A plan all of whose tasks succeeded, and how much there is to be read of it."""
    expected = Expected(items=tasks, tasks=tasks, item_pages=pages, task_versions=task_versions)
    counts = Counts(total=tasks, succeeded=tasks)
    return plan_stated(plan, PlanState.SUCCEEDED, version, expected=expected, counts=counts, ended_at=NOW)


def task_record(plan: uuid.UUID, number: int, state: TaskState, version: int, **changes: Any) -> TaskRecord:
    """Task `number` of a plan as the executor would state it."""
    key = f"item/{number}"
    id = task_id(plan, key)
    sent = state not in (TaskState.QUEUED, TaskState.CLAIMED)
    attempt = changes.get("attempt", 1)
    values: dict[str, Any] = {
        "task_id": id,
        "item_key": key,
        "version": version,
        "state": state,
        "engine": "local",
        "run_key": run_key(id, attempt) if sent else None,
        "submitted_at": NOW if sent else None,
        "queued_at": NOW,
        "ended_at": NOW if state in _ENDED else None,
        "transitions": (TaskTransition(version=version, state=state, attempt=attempt, at=NOW),),
        **changes,
    }
    return TaskRecord(**values)


def tasks_stated(plan: uuid.UUID, *records: TaskRecord) -> TasksStated:
    data = TasksStatedData(plan_id=plan, rules_version=1, tasks=records)
    return TasksStated.of(data, subject=plan, source="signalbox/executor", time=NOW, aggregateversion=1)


def items_page(plan: uuid.UUID, page: int, *, pages: int, each: int = 200, round: int = 0) -> PlanItems:
    """Page `page` of a plan whose items all run."""
    first = (page - 1) * each
    items = tuple(
        ItemRecord(
            key=f"item/{number}",
            position=number,
            decision=Decision.RUN,
            engine="local",
            task_id=task_id(plan, f"item/{number}"),
        )
        for number in range(first, first + each)
    )
    data = PlanItemsData(plan_id=plan, round=round, version=1 + round, page=page, pages=pages, items=items)
    return PlanItems.of(data, subject=plan, source="signalbox/planner", time=NOW, aggregateversion=1 + round)
