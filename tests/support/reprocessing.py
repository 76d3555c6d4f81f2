"""A place for reprocessors: a schema, topics and a destination of their own; workers are real processes."""

import gzip
import json
import os
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from pydantic import SecretStr

from signalbox_chassis.messaging.topics import create_topics
from signalbox_chassis.persistence.migrations import migrate, provision, provision_worker
from signalbox_chassis.runtime.service import Service
from signalbox_contracts.definitions.reprocessing import ReprocessingConfig
from signalbox_contracts.messages.reprocessing import ReprocessingStart, ReprocessingStartData
from signalbox_contracts.topics import topic
from signalbox_reprocessor import MIGRATIONS
from signalbox_reprocessor.app import reprocessor
from signalbox_reprocessor.settings import ReprocessorSettings
from signalbox_reprocessor.store import jobs
from signalbox_reprocessor.verdict import judge
from support.deadlines import wait_until
from support.executor import Stand, remove_store

TOPICS: Final = tuple(
    topic(name)
    for name in ("operations.v1", "requests.v1", "states.v1", "plans.v1", "tasks.v1", "dead-letters.v1")
)  # fmt: skip
PARTITIONS: Final = 2
EngineKind = Literal["process", "kubernetes"]
CREATED: Final = "2026-03-28T01:02:03.4Z"


def event(id: str, *, stream: str = "clicks", created: str = CREATED, **more: Any) -> bytes:
    """One line of a file of events."""
    origin = {"sourceId": stream, "slug": stream}
    return json.dumps({"messageId": id, "messageCreated": created, "origin": origin, **more}).encode() + b"\n"


def write_events(folder: Path, files: int, lines: int, **more: Any) -> None:
    """Files of good events, compressed in two members as loggers that append leave them."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(files):
        content = [event(f"{number}-{line}", **more) for line in range(lines)]
        halves = (content[: lines // 2], content[lines // 2 :])
        packed = b"".join(gzip.compress(b"".join(half), mtime=0) for half in halves)
        (folder / f"{number:04}.ndjson.gz").write_bytes(packed)


@dataclass
class Reprocessors(Stand):
    """Reprocessors on one schema, and the workers of their jobs."""

    worker_url: str = ""
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list[subprocess.Popen[bytes]])

    @property
    def destination(self) -> str:
        return f"events-{self.schema}"

    @property
    def jobs_folder(self) -> Path:
        return self.folder / "jobs"

    @property
    def events(self) -> Path:
        """Where files of events lie."""
        return self.folder / "events"

    def reprocessor_settings(self, **changes: Any) -> ReprocessorSettings:
        values: dict[str, Any] = {
            "kafka_bootstrap": self.bootstrap, "database_url": SecretStr(self.url), "database_schema": self.schema,
            "topic_prefix": self.prefix, "group_prefix": self.prefix, "session_timeout_seconds": 3.0,
            "drain_seconds": 5.0, "worker_database_url": SecretStr(self.worker_url),
            "reprocessing_kafka_bootstrap": self.bootstrap, "reprocessing_topic": self.destination,
            "reprocessing_folder": str(self.jobs_folder), "reprocessing_local_folders": str(self.events), **changes,
        }  # fmt: skip
        return ReprocessorSettings(**values)

    @asynccontextmanager
    async def reprocessing(self, **changes: Any) -> AsyncGenerator[Service]:
        """A reprocessor in this process."""
        service = reprocessor(self.reprocessor_settings(**changes))
        await service.start()
        try:
            yield service
        finally:
            await service.stop()

    async def ask(
        self, *, retry_of: uuid.UUID | None = None, engine_kind: EngineKind = "process", **config: Any
    ) -> uuid.UUID:
        """Ask for a job, as the gateway does; its id."""
        given = {"connection_ids": ["warehouse", "lake"], **config}
        if not {"s3_path", "local_path"} & given.keys():
            given["local_path"] = str(self.events)
        data = ReprocessingStartData(
            operation_id=uuid.uuid4(), actor="user:ann", reason="a test", job_id=uuid.uuid4(), engine="e1",
            engine_kind=engine_kind,
            config=ReprocessingConfig.model_validate(given), definitions_revision=1, retry_of=retry_of,
        )  # fmt: skip
        await self.send(
            ReprocessingStart.of(
                data, subject=f"reprocessing:{data.job_id}", source="signalbox/api-gateway", time=datetime.now(UTC),
                id=str(data.operation_id),
            )
        )  # fmt: skip
        return data.job_id

    async def planned(self, **config: Any) -> uuid.UUID:
        """A job whose files are listed. A refused one is a failure of the test."""
        job = await self.ask(**config)
        await wait_until(lambda: self._is_listed(job), why="the files of the job are listed")
        shown = await self.job(job)
        assert shown["planned_at"] is not None, shown["error"]
        return job

    async def refused(self, **config: Any) -> str:
        """Why a job cannot run: `field: reason`."""
        job = await self.ask(**config)
        await wait_until(lambda: self._is_listed(job), why="the job is refused")
        shown = await self.job(job)
        assert shown["status"] == "failed", "it was not refused"
        assert shown["planned_at"] is None
        return shown["error"]

    async def job(self, job: uuid.UUID) -> Mapping[str, Any]:
        rows = await self.rows("SELECT * FROM job WHERE id = $1", job)
        return rows[0] if rows else {"planned_at": None, "status": "pending", "error": None}

    async def _is_listed(self, job: uuid.UUID) -> bool:
        shown = await self.job(job)
        return shown["planned_at"] is not None or shown["status"] != "pending"

    def start_worker(self, job: uuid.UUID, index: int = 0) -> subprocess.Popen[bytes]:
        """A worker as the process engine starts it."""
        config = self.jobs_folder / str(job) / "config.json"
        with (self.folder / f"worker-{job}-{index}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "signalbox_reprocessor.worker.main", str(config), str(index)],
                stdout=log, stderr=log, env={"PATH": os.environ["PATH"]},
            )  # fmt: skip
        self.workers.append(process)
        return process

    def worker_log(self, job: uuid.UUID, index: int = 0) -> str:
        return (self.folder / f"worker-{job}-{index}.log").read_text(errors="replace")

    async def exit_code(self, process: subprocess.Popen[bytes], *, seconds: float = 60) -> int:
        async def is_over() -> bool:
            return process.poll() is not None

        await wait_until(is_over, seconds=seconds, why="the worker ends")
        return process.returncode

    async def run_workers(self, job: uuid.UUID) -> list[int]:
        """Each worker once, one after another; their exit codes."""
        count = (await self.job(job))["total_workers"]
        return [await self.exit_code(self.start_worker(job, index)) for index in range(count)]

    async def judged(self, job: uuid.UUID, plan: Any) -> tuple[str, str | None]:
        """The job after its plan ended like this: status and error, as the handler decides."""
        async with self.connection() as connection, connection.transaction():
            status, error = judge(plan, "", await jobs.ledger_sums(connection, job))
            await jobs.finish(connection, job, status, error)
        return status, error

    async def ledger(self, job: uuid.UUID) -> dict[str, Mapping[str, Any]]:
        """File name → its row."""
        rows = await self.rows("SELECT * FROM file WHERE job_id = $1 ORDER BY file_index", job)
        return {row["path"].rpartition("/")[2]: row for row in rows}

    async def sums(self, job: uuid.UUID) -> tuple[int, int, int, int]:
        """Lines read, sent, skipped and failed."""
        rows = await self.rows(
            "SELECT sum(line)::int, sum(sent)::int, sum(skipped)::int, sum(failed)::int FROM file WHERE job_id = $1",
            job,
        )  # fmt: skip
        read, sent, skipped, failed = rows[0].values()
        return read, sent, skipped, failed

    async def sent_by(self, job: uuid.UUID, index: int = 0) -> int:
        return await self.value(
            "SELECT success_count FROM worker WHERE job_id = $1 AND worker_index = $2", job, index
        )  # fmt: skip

    async def until_sent(self, job: uuid.UUID, count: int) -> None:
        """Return when the ledger has more than so many sent events of the first worker."""

        async def has_sent() -> bool:
            return await self.sent_by(job) > count

        await wait_until(has_sent, why=f"the worker has sent more than {count} events")

    async def delivered(self, folder: Path | None = None) -> Counter[str]:
        """How often each key below a folder (all of them) is at the destination: an independent count."""
        begin = f"{folder}/" if folder else ""
        return Counter(key.rpartition("/")[2] for key, _, _ in await self.messages() if key.startswith(begin))

    async def messages(self) -> list[tuple[str, bytes, dict[str, str]]]:
        """Key, value and headers of everything at the destination."""
        consumer: Any = AIOKafkaConsumer(bootstrap_servers=self.bootstrap, enable_auto_commit=False)
        await consumer.start()
        try:
            partitions = [TopicPartition(self.destination, number) for number in range(PARTITIONS)]
            consumer.assign(partitions)
            await consumer.seek_to_beginning(*partitions)
            ends = await consumer.end_offsets(partitions)
            found: list[tuple[str, bytes, dict[str, str]]] = []
            while any([await consumer.position(one) < ends[one] for one in partitions]):
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    found += [
                        (record.key.decode(), record.value, {name: value.decode() for name, value in record.headers})
                        for record in records
                    ]
            return found
        finally:
            await consumer.stop()

    def stop_workers(self) -> None:
        for process in self.workers:
            process.kill()
            process.wait()


async def create_destination(bootstrap: str, name: str, **configs: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        answer: Any = await admin.create_topics([NewTopic(name, PARTITIONS, 1, topic_configs=configs)])
        assert not any(error[1] for error in answer.topic_errors), answer
    finally:
        await admin.close()


@asynccontextmanager
async def reprocessors_on(admin_url: str, bootstrap: str, folder: Path) -> AsyncGenerator[Reprocessors]:
    """Reprocessors on a schema and topics of their own; workers are ended afterwards."""
    name = f"r{uuid.uuid4().hex[:12]}"
    url = await provision(admin_url, role=name, password=uuid.uuid4().hex, schema=name)
    await migrate(url, schema=name, versions=MIGRATIONS)
    worker_url = await provision_worker(
        admin_url, url, role=f"{name}_worker", password=uuid.uuid4().hex, schema=name
    )  # fmt: skip
    made = Reprocessors(url, name, bootstrap, "", folder, worker_url=worker_url)
    made.events.mkdir()
    await create_topics(bootstrap, TOPICS, prefix=made.prefix)
    await create_destination(bootstrap, made.destination)
    yield made
    made.stop_workers()
    await remove_store(made, admin_url)
    await _remove_role(admin_url, f"{name}_worker")


async def _remove_role(admin_url: str, role: str) -> None:
    connection: Any = await asyncpg.connect(admin_url)  # pyright: ignore[reportUnknownVariableType]
    try:
        await connection.execute(f"DROP OWNED BY {role}")
        await connection.execute(f"DROP ROLE {role}")
    finally:
        await connection.close()


def keys(name: str, lines: Iterable[int]) -> set[str]:
    """The keys of these lines of a file, below its folder."""
    return {f"{name}:{line}" for line in lines}
