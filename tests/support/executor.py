"""A place for executors: schema, topics, plans and tasks as the planner would send them."""

import uuid
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg

from signalbox_chassis.connection import Connection, Row, connect, connect_arguments
from signalbox_chassis.migrations import migrate, provision
from signalbox_contracts.definitions.engine import Engine, EngineLimits, ScriptedConnection
from signalbox_contracts.definitions.rules import Retries, Rules
from signalbox_contracts.definitions.work import ScriptedWork
from signalbox_contracts.ids import task_id
from signalbox_contracts.messages.task_commands import (
    PlanRulesData,
    TasksEnsureData,
    TaskSpec,
)
from signalbox_contracts.topics import topic
from signalbox_executor.app import MIGRATIONS
from signalbox_executor.store import accept, claim, engines, rules, workers

TOPICS = tuple(
    topic(name)
    for name in ("task-commands.v1", "operations.v1", "definitions.v1", "tasks.v1", "dead-letters.v1", "states.v1")
)
PLANNER = "signalbox/planner"


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
    limits = {name: changes.pop(name) for name in EngineLimits.model_fields if name in changes}
    return Engine(
        id=id, name=id, connection=ScriptedConnection(url=url), limits=EngineLimits(**limits),
        **{"observe_every_seconds": 0.1, **changes},
    )  # fmt: skip


@dataclass
class Store:
    """A schema of its own, and what a test puts there without any message."""

    url: str
    schema: str

    @asynccontextmanager
    async def connection(self) -> AsyncGenerator[Connection]:
        connection = await connect(self.url, **connect_arguments(self.schema, "test"))
        try:
            yield connection
        finally:
            await connection.close()

    async def rows(self, query: str, *args: Any) -> list[Row]:
        async with self.connection() as connection:
            return await connection.fetch(query, *args)

    async def value(self, query: str, *args: Any) -> Any:
        async with self.connection() as connection:
            return await connection.fetchval(query, *args)

    async def worker(self, *, lease_seconds: float = 60) -> uuid.UUID:
        id = uuid.uuid4()
        async with self.connection() as connection:
            await workers.register(connection, id, host_id="here", lease_seconds=lease_seconds)
        return id

    async def engine(self, id: str = "e1", *, revision: int = 1, **changes: Any) -> None:
        async with self.connection() as connection:
            await engines.define(connection, revision, engine(id, **changes), deleted=False)

    async def plan(
        self, count: int = 1, *, engine: str = "e1", rules: Rules | None = None, **changes: Any
    ) -> uuid.UUID:
        """A plan with rules and that many queued tasks."""
        plan = uuid.uuid4()
        await self.rules(plan, rules or Rules())
        await self.tasks(plan, [spec(plan, number, engine, **changes) for number in range(count)])
        return plan

    async def rules(self, plan: uuid.UUID, said: Rules, *, version: int = 1, **changes: Any) -> None:
        async with self.connection() as connection:
            await rules.save_rules(connection, PlanRulesData(plan_id=plan, version=version, rules=said, **changes))

    async def tasks(self, plan: uuid.UUID, specs: Sequence[TaskSpec]) -> None:
        async with self.connection() as connection:
            for at in range(0, len(specs), 200):
                data = TasksEnsureData(
                    plan_id=plan, definitions_revision=1, rules_version=1, tasks=tuple(specs[at : at + 200])
                )
                await accept.accept(connection, data, None)

    async def claim(self, worker: uuid.UUID, most: int = 100, *, group: str = "default") -> list[claim.Claim]:
        async with self.connection() as connection, connection.transaction():
            reachable = [row["id"] for row in await connection.fetch("SELECT id FROM engine")]
            return await claim.claim(connection, worker, group=group, reachable=reachable, most=most)

    async def states(self) -> dict[str, int]:
        found = await self.rows("SELECT state, count(*) AS n FROM task GROUP BY 1")
        return {row["state"]: row["n"] for row in found}

    async def expire(self, worker: uuid.UUID) -> None:
        await self.rows("UPDATE worker SET lease_until = now() - interval '1 second' WHERE id = $1", worker)


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
