"""The relay: nothing skipped, nothing lost, order kept, one at a time. Faults 12 (see test_members) and 42."""

import asyncio
import json
from typing import Any
from zlib import crc32

import asyncpg
import pytest

from example_service.messages import COMMANDS, COUNTERS
from signalbox_chassis.messaging.relay import Relay, RelaySettings
from signalbox_chassis.observability.telemetry import Telemetry
from signalbox_chassis.persistence.database import Database
from signalbox_chassis.runtime.test_signals import signals
from support.proofs import proves
from support.service_fixture import Stand, commands, until


def relay_of(stand: Stand, database: Database) -> Relay:
    settings = RelaySettings(stand.bootstrap, stand.prefix, batch=50, poll_seconds=0.05)
    return Relay(database, settings, Telemetry("test"))


async def numbers_sent(stand: Stand) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for record in await stand.read_all(COMMANDS):
        event = json.loads(record.value or b"")
        found.setdefault(event["subject"], []).append(event["data"]["number"])
    return found


async def test_a_slow_transaction_whose_rows_appear_behind_later_ones_is_not_skipped(stand: Stand) -> None:
    """INVARIANT: no high-water mark. Ids are given out before commit: remembering the last one loses rows."""
    database = Database(stand.url, schema=stand.schema, pool_size=4)
    relay = relay_of(stand, database)
    await relay.start()
    try:
        async with database.unit_of_work() as slow:
            await slow.connection.execute(
                "INSERT INTO outbox (topic, key, headers, value) VALUES ($1, 'k', '', $2)",
                COMMANDS.name,
                commands(1, 1)[0].model_dump_json().encode(),
            )
            await stand.accept(commands(3, 10, first=1))
            await until(lambda: sent_count(stand, 30), why="the later rows are sent")
        await stand.until_sent()
    finally:
        await relay.stop()
        await database.stop()
    assert sum(len(numbers) for numbers in (await numbers_sent(stand)).values()) == 31


async def sent_count(stand: Stand, count: int) -> bool:
    return bool(await stand.value("SELECT count(*) >= $1 FROM outbox WHERE sent_at IS NOT NULL", count))


@proves("chassis.messaging.relay: a row is marked only after", "F42")
async def test_a_second_relay_takes_over_when_the_first_loses_its_lock_and_order_is_kept(stand: Stand) -> None:
    """Fault 42: the connection that holds the lock is cut; the other relay goes on, repeats are the worst case."""
    databases = [Database(stand.url, schema=stand.schema, pool_size=3) for _ in range(2)]
    relays = [relay_of(stand, database) for database in databases]
    for relay in relays:
        await relay.start()
    try:
        for part in range(5):
            await stand.accept(commands(5, 20, first=part * 20))
            await stand.until_sent()
            assert sum(relay.active for relay in relays) == 1, "one relay at a time"
            await cut_relay_connection(stand)
    finally:
        for relay in relays:
            await relay.stop()
        for database in databases:
            await database.stop()
    sent = await numbers_sent(stand)
    assert all(sorted(set(numbers)) == list(range(100)) for numbers in sent.values()), "nothing lost"
    assert all(dict.fromkeys(numbers) == dict.fromkeys(range(100)) for numbers in sent.values()), (
        "first copies in order"
    )


async def cut_relay_connection(stand: Stand) -> None:
    admin: Any = await asyncpg.connect(stand.admin_url)  # pyright: ignore[reportUnknownVariableType]
    try:
        await admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1",
            f"{stand.schema} relay",
        )
    finally:
        await admin.close()


async def test_a_standby_sends_when_the_holder_of_the_lock_is_frozen(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A holder that stands still keeps its session and its lock: nobody would ever send again."""
    monkeypatch.setattr("signalbox_chassis.messaging.relay.HOLDER_FROZEN_SECONDS", 1.0)
    database = Database(stand.url, schema=stand.schema, pool_size=3)
    relay = relay_of(stand, database)
    async with stand.database() as frozen:
        keys = crc32(b"relay") % 2**31, crc32(stand.schema.encode()) % 2**31
        await frozen.execute("SELECT pg_advisory_lock($1, $2)", *keys)
        await relay.start()
        try:
            await stand.accept(commands(2, 5))
            await stand.until_sent(seconds=30)
            assert not relay.active
        finally:
            await relay.stop()
            await database.stop()
    assert {counter: sorted(set(sent)) for counter, sent in (await numbers_sent(stand)).items()} == {
        "counter-000": list(range(5)),
        "counter-001": list(range(5)),
    }


async def test_a_commit_wakes_the_relay_at_once(stand: Stand) -> None:
    """With a poll of 10 s only the wake-up explains a message sent within 8 s."""
    signals.arm()
    async with stand.running(relay_poll_seconds=10.0) as service:
        await asyncio.sleep(0)
        async with service.database.unit_of_work() as work:
            work.publish(commands(1, 1)[0], topic=COMMANDS)
        await signals.wait("relay.sent", timeout_seconds=8)
    signals.armed = False


async def test_an_exception_after_publish_publishes_nothing(stand: Stand) -> None:
    database = Database(stand.url, schema=stand.schema, pool_size=2)
    try:
        async with database.unit_of_work() as work:
            work.publish(commands(1, 1)[0], topic=COMMANDS)
            raise LookupError("the handler changed its mind")
    except LookupError:
        pass
    finally:
        await database.stop()
    assert await stand.value("SELECT count(*) FROM outbox") == 0


async def test_a_sent_row_can_be_sent_again_and_readers_drop_the_repeat(stand: Stand) -> None:
    """Replaying the outbox after a loss of Kafka: the ids are the same, so nothing happens twice."""
    async with stand.running():
        await stand.accept(commands(4, 5))
        await stand.until_entries(20)
        await stand.until_sent()
        async with stand.database() as connection:
            await connection.execute("UPDATE outbox SET sent_at = NULL")
        await stand.until_sent()
        await stand.publish(commands(1, 1, first=5))
        await stand.until_entries(21)
    assert all(len(set(numbers)) == len(numbers) for numbers in (await stand.entries()).values())
    assert len(await stand.read_all(COUNTERS)) >= 41


@proves("chassis.messaging.relay: what can never be sent")
async def test_a_row_that_kafka_never_takes_is_put_aside_and_the_others_leave(stand: Stand) -> None:
    """Without it one message that is too large stops everything a service sends, for ever."""
    database = Database(stand.url, schema=stand.schema, pool_size=4)
    relay = relay_of(stand, database)
    await stand.accept(commands(2, 2))
    async with database.unit_of_work() as work:
        for headers, value in ((b"", b"x" * 3_000_000), (b"\xff\x00y", b"{}")):
            await work.connection.execute(
                "INSERT INTO outbox (topic, key, headers, value) VALUES ($1, 'k', $2, $3)",
                COMMANDS.name,
                headers,
                value,
            )
    await stand.accept(commands(2, 2, first=3))
    await relay.start()
    try:
        await stand.until_sent()
    finally:
        await relay.stop()
        await database.stop()
    assert sum(len(set(numbers)) for numbers in (await numbers_sent(stand)).values()) == 8
    assert await stand.value("SELECT count(*) FROM dead_letter WHERE error LIKE 'cannot be sent: %'") == 2
