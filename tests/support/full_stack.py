"""Every installed service and a scripted engine in one place, each on a schema of its own: stopped, wiped, restored.

Services run in this process, so that a test may stop one, change what lies under it, and start it again.
"""

import asyncio
import io
import uuid
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

import aiohttp
import pytest
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.protocol.admin import DeleteGroupsRequest_v1
from aiokafka.protocol.api import Request
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from pydantic import SecretStr

from signalbox_chassis.messaging.topics import create_topics
from signalbox_chassis.persistence.connection import Connection, Row, connect, connect_arguments
from signalbox_chassis.persistence.migrations import migrate, provision
from signalbox_chassis.runtime.service import Service
from signalbox_contracts.services import installed_services
from signalbox_contracts.topics import TOPICS
from signalbox_gateway import MIGRATIONS, admin
from signalbox_gateway.server import ApiServer
from signalbox_gateway.store import principals
from support.executor import Stand, Store, make_store, remove_store
from support.gateway import Answer, Gateway
from support.planner import Planners, make_planners
from support.service_fixture import until

SERVICES: Final = {spec.name: spec for spec in installed_services()}
FACTS: Final = tuple(one for one in TOPICS if one.kind == "facts")
GROUPS: Final = tuple(group for spec in SERVICES.values() for group in spec.groups)
OWNERS: Final = ("executor", "planner", "api-gateway")
"""The owners of tasks, plans and definitions: each can be restored from a backup of its database."""
READ_MODEL: Final[Mapping[str, str]] = {
    # what a table holds, without when and in which order the gateway heard of it
    "plan": "id, version, state, name, project, target, actor, parent, labels::text, created_at, ended_at, trace_id, "
    "record, expected::text, complete",
    "plan_event": "plan_id, version, state, at, actor, reason",
    "plan_page": "plan_id, page, round, pages",
    "task": "id, plan_id, item_key, position, decision, round, item, version, state, engine, why, record",
    "task_event": "task_id, version, state, attempt, at, reason",
    # `phase` and `state` of a past try are what was seen of it in passing; when it started was perhaps never said
    "task_attempt": "task_id, attempt, ended, "
    "(CASE WHEN ended THEN record - '{phase,state,started_at}'::text[] ELSE record END)::text",
    "engine_state": "id, version",
}
_WHEN: Final = " - 'ask_at' - 'requested_at' - 'query_at' - 'queried_at' - 'queries' - 'tokens' - 'tokens_at'"
"""When questions are due, and what clocks fill."""
Dump = dict[str, list[tuple[Any, ...]]]


@dataclass
class FullStack:
    """The services and their schemas. `api` speaks to the running gateway."""

    admin_url: str
    bootstrap: str
    executors: Stand
    planners: Planners
    gateways: Store
    others: Mapping[str, Store]
    token: str
    running: dict[str, Service] = field(default_factory=dict[str, Service])
    session: aiohttp.ClientSession | None = None

    @property
    def prefix(self) -> str:
        return self.executors.prefix

    def store(self, name: str) -> Store:
        known = {"executor": self.executors, "planner": self.planners, "api-gateway": self.gateways}
        return known.get(name) or self.others[name]

    def settings(self, name: str) -> Any:
        """Settings of one service. Times are short; a service ignores the settings of the others."""
        values: dict[str, Any] = {
            **self.executors.settings(worker_lease_seconds=6.0, renew_seconds=1.0).model_dump(),
            "database_url": SecretStr(self.store(name).url), "database_schema": self.store(name).schema,
            "ask_seconds": 2.0, "ask_max_seconds": 4.0, "reconcile_seconds": 2.0, "max_reconcile_seconds": 4.0,
            "api_port": 0, "answer_seconds": 4.8,
        }  # fmt: skip
        spec = SERVICES[name]
        return spec.load(spec.settings)(**values)

    async def start(self, *names: str) -> None:
        """Start these services, or all. Returns when they read and answer."""
        for name in names or SERVICES:
            spec = SERVICES[name]
            service: Service = spec.load(spec.app)(self.settings(name))
            await service.start()
            self.running[name] = service
            for _, part in service.parts:
                if isinstance(part, ApiServer):
                    self.session = aiohttp.ClientSession(part.address)

    async def stop(self, *names: str) -> None:
        for name in names or tuple(self.running):
            if name == "api-gateway" and self.session is not None:
                await self.session.close()
                self.session = None
            await self.running.pop(name).stop()

    def api(self) -> Gateway:
        assert self.session is not None, "the gateway does not run"
        return Gateway("", self.token, self.gateways.url, self.gateways.schema, self.bootstrap, self.session)

    async def ask(self, method: str, path: str, body: Any = None) -> Any:
        return await self.api().ask(method, path, body)

    async def answer(self, method: str, path: str, body: Any = None) -> Answer:
        return await self.api().request(method, path, body)

    async def plan(self, count: int, *, script: Mapping[str, Any] | None = None, **fields: Any) -> uuid.UUID:
        """Start a list of that many items over the API."""
        work = {"kind": "scripted", "script": dict(script or {})}
        items = [{"key": f"item/{number:04}", "engine": "e1", "work": work} for number in range(count)]
        made = await self.ask("POST", "/plans", {"name": "a list", "items": items, **fields})
        return uuid.UUID(made["id"])

    async def until_ended(self, *plans: uuid.UUID, seconds: float = 120) -> None:
        """The read model has every fact of these plans."""

        async def ended() -> bool:
            rows = await self.gateways.rows("SELECT complete FROM plan WHERE id = ANY($1)", list(plans))
            return len(rows) == len(plans) and all(row["complete"] for row in rows)

        try:
            await until(ended, seconds=seconds, why="plans ended and complete in the read model")
        except BaseException:
            await self._show(plans)
            raise

    async def _show(self, plans: Sequence[uuid.UUID]) -> None:
        """Where they stand, for whoever reads of a failed test."""
        columns = "SELECT id, version, state, {} FROM plan WHERE id = ANY($1)"
        wanted = ((self.planners, "counts, rules_version"), (self.gateways, "expected, complete, asks"))
        for store, more in wanted:
            for row in await store.rows(columns.format(more), list(plans)):
                print(store.schema, dict(row))
        print(await self.executors.states(), "lag", await self.lag())

    async def executors_ended(self, *, seconds: float = 60) -> None:
        """No task of the executors is left, whatever others have heard of them."""

        async def ended() -> bool:
            return not await self.executors.value("SELECT EXISTS (SELECT FROM task WHERE ended_at IS NULL)")

        await until(ended, seconds=seconds, why="every task ended at the executors")

    async def until_quiet(self, *, seconds: float = 30) -> None:
        """Everything said is sent, and everything sent is handled."""

        async def quiet() -> bool:
            unsent = [await self.store(name).value("SELECT EXISTS (SELECT FROM outbox WHERE sent_at IS NULL)")
                      for name in SERVICES]  # fmt: skip
            unsaid = await self.executors.value("SELECT EXISTS (SELECT FROM task WHERE NOT published)")
            return not any(unsent) and not unsaid and not await self.lag()

        await until(quiet, seconds=seconds, why="nothing unsent, nothing unread")

    async def lag(self) -> int:
        """Messages no group has committed yet, of those that have readers."""
        ends = await self._ends()
        return sum(ends[at] - offset for (_, at), offset in (await self.read_so_far()).items())

    async def dump(self) -> Dump:
        """The read model, row by row."""
        found: Dump = {}
        for table, columns in READ_MODEL.items():
            rows = await self.gateways.rows(f"SELECT {columns} FROM {table}")  # noqa: S608
            found[table] = sorted((tuple(row.values()) for row in rows), key=repr)
        return found

    async def published_engine_states(self) -> list[tuple[Any, ...]]:
        """What the executor said of engines last, as the read model has it; it goes on while nothing else does."""
        rows = await self.executors.rows("SELECT engine_id, version FROM engine_state")
        return [tuple(row.values()) for row in rows]

    async def owners(self) -> Dump:
        """What planner and executor have of plans and tasks."""
        wanted = (("planner", "plan"), ("planner", "item"), ("planner", "plan_transition"), ("executor", "task"),
                  ("executor", "attempt"), ("executor", "plan_rules"))  # fmt: skip
        found: Dump = {}
        for name, table in wanted:
            rows = await self.store(name).rows(f"SELECT (to_jsonb(t){_WHEN})::text AS row FROM {table} t ORDER BY 1")  # noqa: S608
            found[f"{name}.{table}"] = [(row["row"],) for row in rows]
        return found

    async def until_as_owned(self, *, seconds: float = 40) -> None:
        """The read model says of plans and tasks what their owners have."""

        async def same() -> bool:
            plans, tasks = "SELECT id, version, state FROM plan", "SELECT id, version, state FROM task"
            return (
                rows_of(await self.gateways.rows(plans)) == rows_of(await self.planners.rows(plans))
                and rows_of(await self.gateways.rows(f"{tasks} WHERE version >= 0")) == rows_of(
                    await self.executors.rows(tasks))
            )  # fmt: skip

        await until(same, seconds=seconds, why="plans and tasks in the read model as their owners have them")

    async def admin_command(self, *words: str) -> str:
        """`python -m signalbox_gateway admin WORDS` as a person would run it, without a process of its own."""
        mine = {
            "SIGNALBOX_DATABASE_URL": self.gateways.url, "SIGNALBOX_DATABASE_SCHEMA": self.gateways.schema,
            "SIGNALBOX_KAFKA_BOOTSTRAP": self.bootstrap,
        }  # fmt: skip
        output = io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(output):
            for name, value in mine.items():
                patch.setenv(name, value)
            assert await asyncio.to_thread(admin.main, words) == 0
        return output.getvalue()

    @asynccontextmanager
    async def _kafka(self) -> AsyncGenerator[Any]:
        client = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap, request_timeout_ms=10_000)
        await client.start()
        try:
            yield client
        finally:
            await client.close()

    @property
    def groups(self) -> list[str]:
        return [self.prefix + group for group in GROUPS]

    async def _ends(self) -> dict[TopicPartition, int]:
        from aiokafka import AIOKafkaConsumer

        consumer: Any = AIOKafkaConsumer(bootstrap_servers=self.bootstrap, enable_auto_commit=False)
        await consumer.start()
        try:
            at = [TopicPartition(one.full_name(self.prefix), n) for one in TOPICS for n in range(one.partitions)]
            return await consumer.end_offsets(at)
        finally:
            await consumer.stop()

    async def read_so_far(self) -> dict[tuple[str, TopicPartition], int]:
        """How far each group has come in each partition."""
        found: dict[tuple[str, TopicPartition], int] = {}
        async with self._kafka() as client:
            for group in self.groups:
                offsets = cast(
                    "dict[TopicPartition, OffsetAndMetadata]", await client.list_consumer_group_offsets(group)
                )
                found |= {(group, at): offset.offset for at, offset in offsets.items() if offset.offset > 0}
        return found

    async def until_read(self, far: Mapping[tuple[str, TopicPartition], int], *, seconds: float = 60) -> None:
        """Every group has come so far again."""

        async def there() -> bool:
            now = await self.read_so_far()
            return all(now.get(place, 0) >= offset for place, offset in far.items())

        await until(there, seconds=seconds, why="everything read again")

    async def forget_facts(self) -> None:
        """Delete every record of the fact topics, as retention does after a week."""
        wanted = {one.full_name(self.prefix) for one in FACTS}
        ends = {
            at: RecordsToDelete(before_offset=end) for at, end in (await self._ends()).items() if at.topic in wanted
        }
        async with self._kafka() as client:
            await client.delete_records(ends)

    async def forget_offsets(self) -> None:
        """Delete the consumer groups; their services must be stopped."""
        async with self._kafka() as client:
            for group in self.groups:
                node = await client.find_coordinator(group)
                response = await client._send_request(DeleteGroups([group]), node)
                assert [error for _, error in response.results] == [0], response

    async def wiped(self) -> None:
        """Topics as after a wipe: there, and empty."""
        await create_topics(self.bootstrap, TOPICS, prefix=self.prefix)

    async def remember(self, name: str) -> "Backup":
        """Every row of a service's schema, of one moment."""
        backup = Backup(self.admin_url, self.store(name).schema, f"b{uuid.uuid4().hex[:12]}")
        await backup.take()
        return backup


class DeleteGroups(Request[DeleteGroupsRequest_v1]):
    API_KEY = 42

    def __init__(self, groups: list[str]) -> None:
        self._groups = groups

    def build(self, request_struct_class: type[DeleteGroupsRequest_v1]) -> DeleteGroupsRequest_v1:
        return request_struct_class(self._groups)


_WRITABLE: Final = """
SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
"""


@dataclass
class Backup:
    """A copy of a schema's rows and sequences, and putting it back while its service is stopped."""

    admin_url: str
    schema: str
    kept: str
    sequences: list[Row] = field(default_factory=list[Row])

    async def take(self) -> None:
        async with self._transaction() as connection:
            await connection.execute(f"CREATE SCHEMA {self.kept}")
            for table in await self._tables(connection):
                await connection.execute(f"CREATE TABLE {self.kept}.{table} AS TABLE {self.schema}.{table}")
            self.sequences = await connection.fetch(
                "SELECT sequencename AS name, last_value FROM pg_sequences WHERE schemaname = $1", self.schema
            )

    async def put_back(self) -> None:
        async with self._transaction() as connection:
            tables = await self._tables(connection)
            await connection.execute("SET LOCAL session_replication_role = replica")  # the audit trail refuses it else
            await connection.execute(f"TRUNCATE {', '.join(f'{self.schema}.{table}' for table in tables)}")
            for table in tables:
                columns = await connection.fetchval(_WRITABLE, f"{self.schema}.{table}")
                await connection.execute(
                    f"INSERT INTO {self.schema}.{table} ({columns}) OVERRIDING SYSTEM VALUE "  # noqa: S608
                    f"SELECT {columns} FROM {self.kept}.{table}"
                )
            for row in self.sequences:
                name, last = f"{self.schema}.{row['name']}", row["last_value"]
                await connection.fetchval(
                    "SELECT setval($1::text::regclass, $2, $3)", name, last or 1, last is not None
                )
            await connection.execute(f"DROP SCHEMA {self.kept} CASCADE")

    async def _tables(self, connection: Connection) -> list[str]:
        rows = await connection.fetch(
            "SELECT c.relname FROM pg_class c WHERE c.relnamespace = $1::text::regnamespace "
            "AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relname <> 'alembic_version' ORDER BY 1",
            self.schema,
        )
        return [row["relname"] for row in rows]

    @asynccontextmanager
    async def _transaction(self) -> AsyncGenerator[Connection]:
        connection = await connect(self.admin_url)
        made: Any = connection
        try:
            async with made.transaction(isolation="repeatable_read"):
                yield connection
        finally:
            await connection.close()


@asynccontextmanager
async def make_full_stack(admin_url: str, bootstrap: str, engine_url: str, folder: Path) -> AsyncGenerator[FullStack]:
    """Schemas, topics, and the services running, with the engine `e1` registered; gone afterwards."""
    store = await make_store(admin_url)
    stand = Stand(store.url, store.schema, bootstrap, engine_url, folder)
    planners = await make_planners(admin_url, stand)
    name = f"g{uuid.uuid4().hex[:12]}"
    url = await provision(admin_url, role=name, password=uuid.uuid4().hex, schema=name)
    await migrate(url, schema=name, versions=MIGRATIONS)
    connection = await connect(url, **connect_arguments(name, "test"))
    token = await principals.create(connection, "ann", 1)
    await connection.close()
    others = {one: await _store_for(one, admin_url) for one in SERVICES if one not in OWNERS}
    made = FullStack(admin_url, bootstrap, stand, planners, Store(url, name), others, token)
    await create_topics(bootstrap, TOPICS, prefix=made.prefix)
    try:
        await made.start()
        connection_of = {"kind": "scripted", "url": engine_url}
        engine = {"id": "e1", "name": "e1", "connection": connection_of, "observe_every_seconds": 0.1}
        await made.ask("POST", "/engines", {**engine, "limits": {"concurrency": 20}})
        yield made
    finally:
        await made.stop()
        await _remove(made)


async def _remove(stack: FullStack) -> None:
    for store in (stack.executors, stack.planners, stack.gateways, *stack.others.values()):
        await remove_store(store, stack.admin_url)


async def _store_for(service: str, admin_url: str) -> Store:
    """A schema for a service that no test looks into."""
    name = f"o{uuid.uuid4().hex[:12]}"
    url = await provision(admin_url, role=name, password=uuid.uuid4().hex, schema=name)
    await migrate(url, schema=name, versions=SERVICES[service].migrations)
    return Store(url, name)


def rows_of(rows: Sequence[Row]) -> set[tuple[Any, ...]]:
    return {tuple(row.values()) for row in rows}


def once(starts: Mapping[str, int], tasks: Sequence[Row]) -> None:
    """Each of these tasks was started, and no run key twice."""
    started = {key.removeprefix("sb-")[:36] for key in starts}
    assert {key: times for key, times in starts.items() if times != 1} == {}
    assert {str(row["id"]) for row in tasks} - started == set()
