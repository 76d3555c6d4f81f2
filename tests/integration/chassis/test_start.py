"""Starting and stopping: definitions first, nothing taken while not ready, an orderly end."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest

from example_service import store
from example_service.app import example_service
from example_service.messages import COUNTERS
from signalbox_chassis.messaging.topics import TopicMissing, create_topics, require_topics
from signalbox_chassis.runtime.service import Service
from signalbox_contracts.envelope import Event
from signalbox_contracts.messages.definitions import DefinitionSnapshot, DefinitionSnapshotData, DefinitionTombstone
from signalbox_contracts.topics import topic
from support.proofs import proves
from support.service_fixture import Stand, commands, in_order_once, ready, until

DEFINITIONS = topic("definitions.v1")
NOW = datetime.now(UTC)


def snapshot(engine: str, revision: int) -> Event[Any]:
    data = DefinitionSnapshotData(kind="engine", id=engine, revision=revision, deleted=True)
    return DefinitionSnapshot.of(data, subject=f"engine:{engine}", source="test", time=NOW, aggregateversion=revision)


def snapshots(count: int) -> list[Event[Any]]:
    """Snapshots of different engines, each newer than the one before."""
    return [snapshot(f"engine-{number}", number) for number in range(1, count + 1)]


async def until_revision(service: Service, revision: int) -> None:
    """The feed is followed, and the effect of this revision committed."""

    async def applied() -> bool:
        return service.feed is not None and service.feed.revision >= revision

    await until(applied, seconds=20, why=f"revision {revision} applied")


async def test_definitions_are_read_to_their_end_before_anything_else(stand: Stand) -> None:
    """INVARIANT: no command is handled by a service that has not seen the definitions written before its start."""
    await stand.publish(snapshots(700), on=DEFINITIONS)
    await stand.publish(commands(1, 1))
    async with stand.running() as service:
        assert service.feed is not None
        assert service.feed.revision == 700
        assert await stand.value("SELECT count(*) FROM definition") == 700
        last = snapshots(701)[-1]
        await stand.publish([last], on=DEFINITIONS)
        await until_revision(service, 701)
        await stand.until_entries(1)


async def test_a_failing_database_does_not_end_the_following_of_definitions(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """INVARIANT: whatever goes wrong, the record is fetched again. A follower that died would leave a service blind."""
    define, failures = store.define, [ConnectionError("cut"), RuntimeError("no room to park it either")]

    async def flaky(*arguments: Any) -> None:
        if failures:
            raise failures.pop(0)
        await define(*arguments)

    async with stand.running() as service:
        assert service.feed is not None
        monkeypatch.setattr(store, "define", flaky)
        monkeypatch.setattr(service.dead_letters, "park", refuse_to_park)
        await stand.publish(snapshots(1), on=DEFINITIONS)
        await until_revision(service, 1)
        assert not failures
    assert await stand.value("SELECT count(*) FROM definition") == 1


async def refuse_to_park(*_: object) -> None:
    raise RuntimeError("the parking is full")


@proves("executor.store.engines: only a newer revision", "executor.store.engines: raised only")
async def test_a_tombstone_forgets_its_definition_and_an_older_snapshot_changes_nothing(stand: Stand) -> None:
    older = snapshot("engine-3", 1)
    await stand.publish([*snapshots(3), older, DefinitionTombstone.from_key("engine:engine-1", NOW)], on=DEFINITIONS)
    async with stand.running():
        rows = await stand.rows("SELECT id, revision FROM definition ORDER BY id")
    assert [tuple(row.values()) for row in rows] == [("engine-2", 2), ("engine-3", 3)]


async def test_a_broken_definition_is_parked_and_the_rest_are_read(stand: Stand) -> None:
    await stand.produce([(b"engine:bad", b"{}", ())], on=DEFINITIONS)
    await stand.publish(snapshots(2), on=DEFINITIONS)
    async with stand.running():
        assert await stand.value("SELECT count(*) FROM definition") == 2
    assert await stand.value("SELECT count(*) FROM dead_letter WHERE topic = 'definitions.v1'") == 1


async def test_readiness_says_what_is_missing_and_then_that_nothing_is(stand: Stand) -> None:
    async with stand.running() as service:

        async def is_ready() -> bool:
            return (await ready(service.probes.address))["ready"]

        await until(is_ready)
        async with aiohttp.ClientSession() as session, session.get(f"{service.probes.address}/metrics") as answer:
            assert "signalbox_batch_messages" in await answer.text()


async def test_a_service_without_kafka_waits_says_so_and_can_be_stopped(stand: Stand) -> None:
    service = example_service(stand.settings(kafka_bootstrap=f"127.0.0.1:{unused_port()}"))
    starting = asyncio.create_task(service.start())

    async def listens() -> bool:
        return bool(service.probes.address)

    await until(listens)
    reasons = (await ready(service.probes.address))["reasons"]
    assert reasons == {"started": "still starting", "kafka": "no partitions yet: control, facts"}
    service.ask_to_stop()
    await asyncio.wait_for(starting, 20)
    await service.stop()
    await service.stop()


def unused_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.mark.parametrize("times", [1, 2])
async def test_sigterm_ends_the_service_in_order_with_nothing_half_done(stand: Stand, times: int) -> None:
    child = stand.spawn()
    await stand.publish(commands(20, 50))
    await stand.until_entries(100)
    requested_at = time.monotonic()
    for _ in range(times):
        os.kill(child.pid, signal.SIGTERM)
    assert await asyncio.to_thread(child.wait, 30) == 0, stand.logs()[-2000:]
    assert time.monotonic() - requested_at < 20
    done = await stand.value("SELECT count(*) FROM entry")
    stand.spawn()
    await stand.until_entries(1000)
    await stand.until_sent()
    in_order_once(await stand.entries(), 20, 50)
    assert done <= 1000
    assert len({record.value for record in await stand.read_all(COUNTERS)}) == 1000


async def test_missing_topics_end_the_start_with_their_names(stand: Stand) -> None:
    missing = topic("plans.v1")
    with pytest.raises(TopicMissing, match=r"plans\.v1"):
        await require_topics(stand.bootstrap, [missing], prefix=stand.prefix)
    await create_topics(stand.bootstrap, [missing], prefix=stand.prefix)
    await create_topics(stand.bootstrap, [missing], prefix=stand.prefix)
    await require_topics(stand.bootstrap, [missing], prefix=stand.prefix)


def test_wrong_settings_are_listed_one_a_line_and_nothing_starts(stand: Stand) -> None:
    environment = stand.environment(
        SIGNALBOX_DATABASE_URL="mysql://u:topsecret@h/db",
        SIGNALBOX_KAFKA_BOOTSTRAP="nowhere",
        SIGNALBOX_RELAY_BATCH="0",
    )
    done = subprocess.run(
        [sys.executable, "-m", "example_service"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 3
    assert [line.split(":")[0] for line in sorted(lines)] == [
        "SIGNALBOX_DATABASE_URL", "SIGNALBOX_KAFKA_BOOTSTRAP", "SIGNALBOX_RELAY_BATCH",
    ]  # fmt: skip
    assert "topsecret" not in done.stderr


async def test_a_wrong_password_ends_the_start_with_one_clear_line(stand: Stand) -> None:
    wrong = stand.url.replace("://" + stand.schema + ":", "://" + stand.schema + ":wrong")
    child = stand.spawn(SIGNALBOX_DATABASE_URL=wrong)
    assert await asyncio.to_thread(child.wait, 30) == 1
    last = stand.logs().strip().splitlines()[-1]
    assert "password authentication failed" in last
