"""A place for schedulers: a schema and topics of their own, services in this process or as processes."""

import os
import subprocess
import sys
import uuid
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from pydantic import SecretStr

from signalbox_chassis.messaging.topics import create_topics
from signalbox_chassis.persistence.migrations import migrate, provision
from signalbox_chassis.runtime.service import Service
from signalbox_contracts.definitions.freeze import Freeze
from signalbox_contracts.definitions.schedule import Schedule
from signalbox_contracts.messages.definitions import DefinitionSnapshot, DefinitionSnapshotData
from signalbox_contracts.messages.ticks import ScheduleTicked, ScheduleTickSkipped
from signalbox_contracts.topics import topic
from signalbox_scheduler import MIGRATIONS
from signalbox_scheduler.app import scheduler
from signalbox_scheduler.settings import SchedulerSettings
from signalbox_scheduler.store import schedules as store
from support.executor import Stand, remove_store

TOPICS = tuple(topic(name) for name in ("definitions.v1", "operations.v1", "ticks.v1", "states.v1", "dead-letters.v1"))
GATEWAY = "signalbox/api-gateway"
_SIMULATED = """
CREATE TABLE {schema}.simulated_clock AS SELECT interval '0' AS ahead;
CREATE FUNCTION {schema}.simulated_now() RETURNS timestamptz STABLE LANGUAGE sql
    AS 'SELECT now() + ahead FROM {schema}.simulated_clock';
GRANT SELECT, UPDATE ON {schema}.simulated_clock TO {schema}
"""


@dataclass
class Schedulers(Stand):
    """Schedulers on one schema. `say` and `said` write and read its topics."""

    processes: list[subprocess.Popen[bytes]] = field(default_factory=list[subprocess.Popen[bytes]])

    def values(self, **changes: Any) -> dict[str, Any]:
        return {
            "kafka_bootstrap": self.bootstrap, "database_schema": self.schema, "topic_prefix": self.prefix,
            "group_prefix": self.prefix, "session_timeout_seconds": 3.0, "drain_seconds": 5.0,
            "tick_poll_seconds": 0.05, **changes,
        }  # fmt: skip

    @asynccontextmanager
    async def scheduling(self, **changes: Any) -> AsyncGenerator[Service]:
        """A scheduler in this process."""
        service = scheduler(SchedulerSettings(**self.values(database_url=SecretStr(self.url), **changes)))
        await service.start()
        try:
            yield service
        finally:
            await service.stop()

    def spawn_scheduler(self, more: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """A scheduler as a process, to be killed."""
        mine = {f"SIGNALBOX_{name.upper()}": str(value) for name, value in self.values().items()}
        others = {name: value for name, value in os.environ.items() if not name.startswith("SIGNALBOX_")}
        process = subprocess.Popen(
            [sys.executable, "-m", "signalbox_scheduler"],
            env={**others, **mine, "SIGNALBOX_DATABASE_URL": self.url, **(more or {})},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self.processes.append(process)
        return process

    def stop_processes(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()

    async def define(
        self, *definitions: Schedule | Freeze, revision: int = 1, at: datetime | None = None, deleted: bool = False
    ) -> None:
        """Publish snapshots, as the gateway does."""
        await self.send_all(
            [
                DefinitionSnapshot.of(
                    DefinitionSnapshotData(
                        kind=one.kind, id=one.id, revision=revision, definition=one, deleted=deleted
                    ),
                    subject=f"{one.kind}:{one.id}", source=GATEWAY, time=at or datetime.now(UTC),
                    aggregateversion=revision,
                )
                for one in definitions
            ]
        )  # fmt: skip

    async def ticked(self) -> Sequence[ScheduleTicked]:
        """Every tick that fired, from the topic."""
        return [event for event in await self.published(topic("ticks.v1")) if isinstance(event, ScheduleTicked)]

    async def skipped(self) -> Sequence[ScheduleTickSkipped]:
        """Every tick that did not, from the topic."""
        return [event for event in await self.published(topic("ticks.v1")) if isinstance(event, ScheduleTickSkipped)]


@dataclass(frozen=True)
class SimulatedClock:
    """The database's clock as schedulers of this process read it: real time passes from wherever a test sets it."""

    of: Schedulers

    async def set(self, instant: datetime) -> None:
        await self.of.rows("UPDATE simulated_clock SET ahead = $1::timestamptz - now()", instant)

    async def now(self) -> datetime:
        return await self.of.value("SELECT simulated_now()")


async def simulate_clock(of: Schedulers, admin_url: str, patch: pytest.MonkeyPatch) -> SimulatedClock:
    """Have the schedulers of this process compare with a clock that the test sets."""
    admin: Any = await asyncpg.connect(admin_url)  # pyright: ignore[reportUnknownVariableType]
    try:
        await admin.execute(_SIMULATED.replace("{schema}", of.schema))
    finally:
        await admin.close()

    async def simulated(connection: Any) -> datetime:
        return await connection.fetchval("SELECT simulated_now()")

    for name in ("_DEFINE", "_DUE", "_STORE_ON_TIME", "_SECONDS_TO_NEXT"):
        patch.setattr(store, name, getattr(store, name).replace("now()", "simulated_now()"))
    patch.setattr(store, "now", simulated)
    return SimulatedClock(of)


@asynccontextmanager
async def schedulers_on(admin_url: str, bootstrap: str, folder: Path) -> AsyncGenerator[Schedulers]:
    """Schedulers on a schema and topics of their own; their processes are stopped afterwards."""
    made = await make_schedulers(admin_url, bootstrap, folder)
    await create_topics(bootstrap, TOPICS, prefix=made.prefix)
    yield made
    made.stop_processes()
    await remove_store(made, admin_url)


async def make_schedulers(admin_url: str, bootstrap: str, folder: Path) -> Schedulers:
    name = f"s{uuid.uuid4().hex[:12]}"
    url = await provision(admin_url, role=name, password=uuid.uuid4().hex, schema=name)
    await migrate(url, schema=name, versions=MIGRATIONS)
    return Schedulers(url, name, bootstrap, "", folder)


def schedule(id: str, cron: str = "0 * * * *", **changes: Any) -> Schedule:
    target = {"kind": "job", "id": "daily"}
    return Schedule.model_validate({"id": id, "name": id, "target": target, "cron": cron, **changes})
