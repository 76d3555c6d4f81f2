"""A real gateway on a schema, topics, a vault and a port of its own; asked over HTTP as any client would."""

import base64
import json
import os
import uuid
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, cast

import aiohttp
import asyncpg
from aiokafka.admin import AIOKafkaAdminClient
from pydantic import SecretStr
from yarl import URL

from signalbox_chassis.messaging.topics import create_topics
from signalbox_chassis.persistence.connection import Connection, connect, connect_arguments
from signalbox_chassis.persistence.migrations import migrate, provision
from signalbox_chassis.security.vault import provision_vault
from signalbox_contracts.topics import topic
from signalbox_gateway import MIGRATIONS
from signalbox_gateway.app import gateway
from signalbox_gateway.server import ApiServer
from signalbox_gateway.settings import GatewaySettings
from signalbox_gateway.store import principals
from support import queries
from support.api_document import problem_with

NEEDED = (
    "requests.v1", "operations.v1", "definitions.v1", "plans.v1", "tasks.v1", "states.v1", "ticks.v1",
    "triggers.v1", "deliveries.v1", "dead-letters.v1",
)  # fmt: skip
SCRIPTED: dict[str, Any] = {"id": "scripted", "connection": {"kind": "scripted", "url": "http://127.0.0.1:9"}}
JOB: dict[str, Any] = {"id": "nightly", "engine": "scripted", "work": {"kind": "scripted", "script": {}}}


def item(number: int, **changes: Any) -> dict[str, Any]:
    """One item of a plan for the engine `scripted`."""
    return {"key": f"item/{number}", "engine": "scripted", "work": {"kind": "scripted", "script": {}}, **changes}


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def body(self) -> Any:
        return json.loads(self.text) if self.text else None

    @property
    def fields(self) -> list[str]:
        """The fields a problem names."""
        return [one["field"] for one in self.body.get("errors", [])]

    @property
    def problem(self) -> tuple[int, str]:
        """Status and slug of a problem."""
        assert self.headers["Content-Type"] == "application/problem+json", self.text
        assert self.status == self.body["status"]
        return self.status, self.body["type"].removeprefix("/problems/")


@dataclass
class Gateway:
    """A running gateway and the token of its administrator `ann`."""

    url: str
    token: str
    database_url: str
    schema: str
    bootstrap: str
    session: aiohttp.ClientSession
    identity: Any = None
    """The gateway's own `Identity`."""
    settings: GatewaySettings | None = None

    async def request(
        self, method: str, path: str, body: Any = None, *, data: Any = None, token: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:  # fmt: skip
        """One call. `data` is a body as it is; `token` is empty for none."""
        mine = self.token if token is None else token
        json_type = {"Content-Type": "application/json"} if data is not None else {}
        sent_headers = {**({"Authorization": f"Bearer {mine}"} if mine else {}), **json_type, **(headers or {})}
        sent: dict[str, Any] = {"data": data} if data is not None else {"json": body} if body is not None else {}
        outside = path.startswith(("/api/", "/.well-known/", "/openapi.json", "/docs", "/problems", "/healthz"))
        where = URL(path if outside else f"/api/v1{path}", encoded=True)
        async with self.session.request(method, where, headers=sent_headers, **sent) as answer:
            text = await answer.text()
            problem = problem_with(method, path, answer.status, answer.headers.get("Content-Type", ""), text)
            assert problem is None, problem
            return Answer(answer.status, answer.headers, text)

    async def ask(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        """One call that must be answered with what was asked for."""
        answer = await self.request(method, path, body, **more)
        assert answer.status < 300, answer.text
        return answer.body

    @asynccontextmanager
    async def connection(self) -> AsyncGenerator[Connection]:
        connection = await connect(self.database_url, **connect_arguments(self.schema, "test"))
        try:
            yield connection
        finally:
            await connection.close()

    async def value(self, query: str, *args: Any) -> Any:
        return await queries.value(self.database_url, self.schema, query, *args)

    async def another_token(self, *permissions: str, days: int = 1) -> str:
        """A token of `ann` that may do only this."""
        async with self.connection() as connection:
            token = await principals.token(connection, "ann", days)
            await connection.execute(
                "UPDATE token SET permissions = $2 WHERE id = $1", token.split("_")[1], list(permissions)
            )
            return token


@asynccontextmanager
async def running_gateway(admin_url: str, bootstrap: str, **changes: Any) -> AsyncGenerator[Gateway]:
    """A gateway in this process, gone afterwards with all it made. `changes` are settings."""
    name = f"g{uuid.uuid4().hex[:12]}"
    url = await provision(admin_url, role=name, password=uuid.uuid4().hex, schema=name)
    try:
        await migrate(url, schema=name, versions=MIGRATIONS)
        await provision_vault(admin_url, writer_role=name, readers={}, schema=f"{name}_secrets")
        topics = [replace(topic(one), partitions=2) for one in NEEDED]
        await create_topics(bootstrap, topics, prefix=f"{name}.")
        async with _served(url, name, bootstrap, changes) as made:
            yield made
    finally:
        await _remove(admin_url, bootstrap, name)


@asynccontextmanager
async def _served(url: str, name: str, bootstrap: str, changes: dict[str, Any]) -> AsyncGenerator[Gateway]:
    values: dict[str, Any] = {
        "kafka_bootstrap": bootstrap, "database_url": SecretStr(url), "database_schema": name,
        "topic_prefix": f"{name}.", "group_prefix": f"{name}.", "session_timeout_seconds": 3.0, "drain_seconds": 5.0,
        "api_port": 0, "secrets_url": SecretStr(url), "secrets_schema": f"{name}_secrets",
        "secret_key": SecretStr(base64.b64encode(os.urandom(32)).decode()),
        "egress_allow": "127.0.0.1",
        "answer_seconds": 3600,  # nobody answers here: what the gateway asks by itself would be among what is counted
        "retention_days": 36_500,  # a test of retention deletes by itself
        **changes,
    }  # fmt: skip
    connection = await connect(url, **connect_arguments(name, "test"))
    token = await principals.create(connection, "ann", 1)
    await connection.close()
    settings = GatewaySettings(**values)
    service = gateway(settings)
    await service.start()
    try:
        (server,) = [part for _, part in service.parts if isinstance(part, ApiServer)]
        async with aiohttp.ClientSession(server.address) as session:
            (identity,) = [part for label, part in service.parts if label == "identity"]
            yield Gateway(server.address, token, url, name, bootstrap, session, identity, settings)
    finally:
        await service.stop()


@asynccontextmanager
async def second_gateway(first: Gateway, **changes: Any) -> AsyncGenerator[Gateway]:
    """Another gateway on the same schema and topics."""
    assert first.settings is not None
    service = gateway(first.settings.model_copy(update=changes))
    await service.start()
    try:
        (server,) = [part for _, part in service.parts if isinstance(part, ApiServer)]
        async with aiohttp.ClientSession(server.address) as session:
            yield replace(first, url=server.address, session=session)
    finally:
        await service.stop()


async def _remove(admin_url: str, bootstrap: str, name: str) -> None:
    kafka = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await kafka.start()
    try:
        await kafka.delete_topics([topic(one).full_name(f"{name}.") for one in NEEDED])
    finally:
        await kafka.close()
    connection = cast("Any", await asyncpg.connect(admin_url))  # pyright: ignore[reportUnknownMemberType]
    try:
        await connection.execute(f"DROP SCHEMA IF EXISTS {name}_secrets CASCADE; DROP SCHEMA {name} CASCADE")
        await connection.execute(f"DROP OWNED BY {name}; DROP ROLE {name}")
    finally:
        await connection.close()
