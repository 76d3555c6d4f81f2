"""The watchdog ends a process that could make progress but does not, and no other."""

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from signalbox_chassis.messaging.connection import broker_addresses
from signalbox_chassis.messaging.consumer import Consumer
from signalbox_chassis.messaging.relay import Relay
from signalbox_chassis.messaging.settle import Settler
from signalbox_chassis.runtime.watchdog import Watchdog, lag_of, reachable
from signalbox_local.ports import free_ports

STUCK = 60.0


class FakeConsumer:
    """Partition 0 of one topic, `lag` messages behind; or a broker that does not say."""

    def __init__(self, lag: int) -> None:
        self.lag = lag
        self.partitions = frozenset({TopicPartition("t", 0)})
        self.broken = False

    def assignment(self) -> frozenset[TopicPartition]:
        return self.partitions

    async def end_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        if self.broken:
            raise KafkaError("no answer")
        return dict.fromkeys(partitions, 100)

    async def position(self, partition: TopicPartition) -> int:
        return 100 - self.lag


class Process:
    """A watchdog among fakes, with a clock the test moves."""

    def __init__(self, bootstrap: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr("signalbox_chassis.runtime.watchdog.time", SimpleNamespace(monotonic=lambda: self.now))
        self.consumer = FakeConsumer(lag=5)
        self.reads = True
        self.settler = SimpleNamespace(progress_at=self.now, settling=False)
        self.relay = SimpleNamespace(active=True, oldest_seconds=0.0, progress_at=self.now)
        self.ended = 0
        self.watchdog = Watchdog(
            lambda: {"control": cast("Consumer", self.consumer)} if self.reads else {},
            {"control": cast("Settler", self.settler)},
            cast("Relay", self.relay),
            bootstrap,
            stuck_seconds=STUCK,
            end=self._end,
        )

    def _end(self) -> None:
        self.ended += 1

    async def look_after(self, seconds: float) -> int:
        """How often the process was ended, after this much time and one look."""
        self.now += seconds
        await self.watchdog.look()
        return self.ended


@pytest.fixture
async def broker() -> AsyncIterator[str]:
    """Something that takes connections, as a broker does."""

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", free_ports(1)[0])
    host, port = server.sockets[0].getsockname()
    yield f"{host}:{port}"
    server.close()
    await server.wait_closed()


@pytest.fixture
def process(broker: str, monkeypatch: pytest.MonkeyPatch) -> Process:
    return Process(broker, monkeypatch)


async def test_messages_that_wait_without_progress_although_kafka_answers_end_the_process(process: Process) -> None:
    assert await process.look_after(0) == 0
    assert await process.look_after(STUCK - 1) == 0
    assert await process.look_after(2) == 1


async def test_progress_or_knowingly_waiting_for_postgresql_is_not_standing_still(process: Process) -> None:
    """The settler moves `progress_at` in both cases; a restart would not bring the database back."""
    for _ in range(10):
        process.settler.progress_at = process.now
        assert await process.look_after(STUCK / 2) == 0


async def test_without_lag_there_is_nothing_to_do_and_the_time_counts_from_the_first_waiting_message(
    process: Process,
) -> None:
    process.consumer.lag = 0
    for _ in range(5):
        assert await process.look_after(STUCK) == 0
    process.consumer.lag = 1
    assert await process.look_after(STUCK - 1) == 0
    assert await process.look_after(2) == 1


async def test_a_subscriber_that_was_kept_waiting_for_its_group_has_its_time_from_when_it_reads(
    process: Process,
) -> None:
    """The watchdog starts before the subscribers, and one may join long after it, to find a backlog."""
    process.reads = False
    for _ in range(5):
        assert await process.look_after(STUCK) == 0
    process.reads = True
    assert await process.look_after(STUCK - 1) == 0
    assert await process.look_after(2) == 1


async def test_a_broker_that_cannot_be_reached_ends_nothing_and_gets_its_time_when_it_is_back(
    monkeypatch: pytest.MonkeyPatch, broker: str
) -> None:
    process = Process(f"127.0.0.1:{free_ports(1)[0]}", monkeypatch)
    for _ in range(5):
        assert await process.look_after(STUCK * 2) == 0
    process.watchdog._addresses[:] = broker_addresses(broker)  # pyright: ignore[reportPrivateUsage]
    assert await process.look_after(0) == 0
    assert await process.look_after(STUCK - 1) == 0, "it has just come back"
    assert await process.look_after(2) == 1


async def test_a_broker_that_takes_connections_but_says_nothing_counts_as_standing_still(process: Process) -> None:
    process.consumer.broken = True
    assert await process.look_after(0) == 0
    assert await process.look_after(STUCK + 1) == 1


async def test_old_unsent_rows_end_the_active_relay_and_no_other(process: Process) -> None:
    process.consumer.lag = 0
    process.relay.oldest_seconds = STUCK + 1
    process.relay.active = False
    assert await process.look_after(0) == 0
    assert await process.look_after(STUCK + 1) == 0
    process.relay.active = True
    process.relay.progress_at = process.now
    assert await process.look_after(1) == 0, "a relay that works off a long backlog is not stuck"
    process.relay.oldest_seconds = 10 * STUCK
    assert await process.look_after(STUCK) == 1


async def test_lag_counts_every_partition_and_a_consumer_without_partitions_has_none() -> None:
    fake = FakeConsumer(lag=5)
    consumer = cast("Any", fake)
    assert await lag_of(consumer) == 5
    fake.partitions = frozenset({TopicPartition("t", 0), TopicPartition("t", 1)})
    assert await lag_of(consumer) == 10
    fake.lag = -3
    assert await lag_of(consumer) == 0, "a position past the end is no lag"
    fake.partitions = frozenset()
    assert await lag_of(consumer) == 0
    fake.partitions, fake.broken = frozenset({TopicPartition("t", 0)}), True
    assert await lag_of(consumer) is None


async def test_one_reachable_broker_of_several_is_enough(broker: str) -> None:
    nobody = f"127.0.0.1:{free_ports(1)[0]}"
    assert not await reachable(broker_addresses(nobody))
    assert await reachable(broker_addresses(f"{nobody},{broker}"))


async def test_a_broker_with_an_ipv6_address_is_reachable() -> None:
    """Without it the watchdog never ends a process that stands still, because Kafka seems to be away."""

    def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(accept, "::1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        assert await reachable(broker_addresses(f"[::1]:{port}"))
