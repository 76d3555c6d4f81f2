"""A hundred thousand events from outside, the planner killed among them and its offsets deleted: each starts once."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient

from signalbox_chassis.messaging.topics import create_topics
from signalbox_contracts.definitions.job import Job
from signalbox_contracts.definitions.trigger import Trigger
from signalbox_contracts.definitions.work import ScriptedWork
from signalbox_contracts.ids import plan_id_from_trigger
from signalbox_contracts.messages.definitions import DefinitionSnapshot, DefinitionSnapshotData
from signalbox_contracts.topics import topic
from support.deadlines import wait_until
from support.executor import Stand, make_store, remove_store
from support.full_stack import DeleteGroups
from support.planner import GATEWAY, TOPICS, Planners, make_planners

EVENTS, SECONDS, BATCH = 100_000, 10, 1_000
PARTITIONS = topic("triggers.v1").partitions
SOURCE = "lake"
JOB = Job(id="load", name="Load", engine="e1", work=ScriptedWork(script={}))
TRIGGER = Trigger.model_validate(
    {
        "id": "files", "name": "New files", "target": {"kind": "job", "id": "load"},
        "match": {"types": ["file.*"], "sources": [SOURCE], "condition": "data.size > 10"},
    }
)  # fmt: skip


@pytest_asyncio.fixture
async def planners(postgres_url: str, kafka_bootstrap: str, tmp_path: Path) -> AsyncGenerator[Planners]:
    store = await make_store(postgres_url)
    stand = Stand(store.url, store.schema, kafka_bootstrap, "http://127.0.0.1:1", tmp_path)
    made = await make_planners(postgres_url, stand)
    await create_topics(kafka_bootstrap, TOPICS, prefix=stand.prefix)
    await stand.register()
    for number, one in enumerate((JOB, TRIGGER), 1):
        data = DefinitionSnapshotData(kind=one.kind, id=one.id, revision=number, definition=one)
        await stand.send(
            DefinitionSnapshot.of(
                data, subject=f"{one.kind}:{one.id}", source=GATEWAY, time=datetime.now(UTC), aggregateversion=number
            )
        )
    yield made
    await remove_store(made, postgres_url)
    await remove_store(store, postgres_url)


def spawn(planners: Planners) -> subprocess.Popen[bytes]:
    """A planner as a process, to be killed."""
    settings = planners.settings().model_dump(exclude={"database_url", "secret_key", "secrets_url"})
    mine = {f"SIGNALBOX_{name.upper()}": str(value) for name, value in settings.items()}
    others = {name: value for name, value in os.environ.items() if not name.startswith("SIGNALBOX_")}
    with (planners.executors.folder / "planner.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "signalbox_planner"],
            env={**others, **mine, "SIGNALBOX_DATABASE_URL": planners.url}, stdout=log, stderr=log,
        )  # fmt: skip


def event(id: str, kind: str, size: int) -> bytes:
    values = {
        "specversion": "1.0", "id": id, "source": SOURCE, "type": kind, "time": "2026-03-02T05:00:00Z",
        "data": {"size": size, "path": f"/in/{id}"},
    }  # fmt: skip
    return json.dumps(values).encode()


async def send(planners: Planners, events: Sequence[bytes], *, seconds: float = 0.0) -> float:
    """Write events as another system does, evenly over so many seconds; how many a second that was."""
    name = topic("triggers.v1").full_name(planners.executors.prefix)
    producer: Any = AIOKafkaProducer(bootstrap_servers=planners.executors.bootstrap, max_batch_size=1_000_000)
    await producer.start()
    began = time.monotonic()
    try:
        for first in range(0, len(events), BATCH):
            batch = producer.create_batch()
            for value in events[first : first + BATCH]:
                assert batch.append(key=None, value=value, timestamp=None) is not None
            await (await producer.send_batch(batch, name, partition=first // BATCH % PARTITIONS))
            ahead = began + seconds * (first + BATCH) / len(events) - time.monotonic()
            await asyncio.sleep(max(0.0, ahead))
    finally:
        await producer.stop()
    return len(events) / (time.monotonic() - began)


async def until_plans(planners: Planners, count: int, *, seconds: float = 600) -> None:
    async def there() -> bool:
        return await planners.value("SELECT count(*) FROM plan") >= count

    await wait_until(there, seconds=seconds, why=f"{count} plans", poll_seconds=0.2)


async def lag(planners: Planners) -> int:
    """How many events the planner has not read, by what its group has committed."""
    prefix = planners.executors.prefix
    admin: Any = AIOKafkaAdminClient(bootstrap_servers=planners.executors.bootstrap, request_timeout_ms=10_000)
    await admin.start()
    try:
        offsets = await admin.list_consumer_group_offsets(f"{prefix}planner.events")
    finally:
        await admin.close()
    return EVENTS - sum(at.offset for at in offsets.values() if at.offset > 0)


@pytest.mark.timeout(1500)
async def test_ten_thousand_events_a_second_of_which_one_in_a_hundred_matches_start_each_one_plan(
    planners: Planners, capsys: pytest.CaptureFixture[str]
) -> None:
    """Half of what does not match fails on its type, half on the condition."""
    events = [
        event(f"e{n}", "file.created" if n % 100 == 0 or n % 2 else "dir.created", 11 if n % 100 == 0 else 3)
        for n in range(EVENTS)
    ]
    process = spawn(planners)
    began = time.monotonic()
    try:
        sending = asyncio.create_task(send(planners, events, seconds=SECONDS))
        for plans in (200, 600):
            await until_plans(planners, plans)
            process.kill()
            process.wait()
            process = spawn(planners)
        rate = await sending
        await until_plans(planners, EVENTS // 100)

        async def read() -> bool:
            return await lag(planners) == 0

        await wait_until(read, seconds=600, why="every event is read", poll_seconds=1)
        took = time.monotonic() - began
        assert await planners.value("SELECT count(*) FROM plan") == EVENTS // 100
        process.kill()
        process.wait()
        await forget_offsets(planners)
        assert await lag(planners) == EVENTS
        process = spawn(planners)
        began = time.monotonic()
        await wait_until(read, seconds=600, why="every event is read again", poll_seconds=1)
        again = time.monotonic() - began
    finally:
        process.kill()
        process.wait()
    rows = await planners.rows("SELECT id FROM plan")
    assert {row["id"] for row in rows} == {
        plan_id_from_trigger(TRIGGER.id, SOURCE, f"e{n}") for n in range(0, EVENTS, 100)
    }
    assert await planners.value("SELECT count(*) FROM dead_letter") == 0
    with capsys.disabled():
        print(f"\n{EVENTS:,} events sent at {rate:,.0f}/s: all judged after {took:.0f} s with two kills;"
              f" read again in {again:.0f} s")  # fmt: skip


async def test_the_same_event_sent_a_hundred_times_by_two_senders_is_one_plan(planners: Planners) -> None:
    process = spawn(planners)
    try:
        same = [event("the one", "file.created", 11)] * 50
        await asyncio.gather(send(planners, same), send(planners, same))
        await send(planners, [event("the last", "file.created", 11)])
        await until_plans(planners, 2, seconds=120)
    finally:
        process.kill()
        process.wait()
    found = {row["id"] for row in await planners.rows("SELECT id FROM plan")}
    assert found == {plan_id_from_trigger(TRIGGER.id, SOURCE, id) for id in ("the one", "the last")}


async def forget_offsets(planners: Planners) -> None:
    """Delete the group of the events; retried while Kafka still sees the killed member."""
    group = f"{planners.executors.prefix}planner.events"
    admin: Any = AIOKafkaAdminClient(bootstrap_servers=planners.executors.bootstrap, request_timeout_ms=10_000)
    await admin.start()

    async def deleted() -> bool:
        response = await admin._send_request(DeleteGroups([group]), await admin.find_coordinator(group))
        return [error for _, error in response.results] == [0]

    try:
        await wait_until(deleted, seconds=60, why="the group is deleted", poll_seconds=0.5)
    finally:
        await admin.close()
