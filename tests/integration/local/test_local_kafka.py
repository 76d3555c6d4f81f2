"""Real Kafka: what was acknowledged survives stop, kill -9 and the loss of one broker of three."""

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from signalbox_local.errors import ForeignData, PortTaken
from signalbox_local.kafka import KafkaCluster
from signalbox_local.programs import Programs

DEADLINE_SECONDS = 30.0


async def create(kafka: KafkaCluster, topic: str, replicas: int) -> None:
    admin: Any = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    try:
        answer = await admin.create_topics([NewTopic(topic, 1, replicas)])
        assert [error[1] for error in answer.topic_errors] == [0]
    finally:
        await admin.close()


async def send(kafka: KafkaCluster, topic: str, *values: bytes) -> None:
    producer: Any = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap, acks="all", enable_idempotence=True)
    await producer.start()
    try:
        for value in values:
            await asyncio.wait_for(producer.send_and_wait(topic, value), DEADLINE_SECONDS)
    finally:
        await producer.stop()


async def read(kafka: KafkaCluster, topic: str, count: int) -> list[bytes]:
    consumer: Any = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap)
    await consumer.start()
    try:
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        return [(await asyncio.wait_for(consumer.getone(), DEADLINE_SECONDS)).value or b"" for _ in range(count)]
    finally:
        await consumer.stop()


async def test_messages_survive_a_stop_and_a_kill(place: Path, programs: Programs) -> None:
    kafka = KafkaCluster(place, session_ms=1500, programs=programs)
    await asyncio.to_thread(kafka.start)
    try:
        await create(kafka, "t", 1)
        await send(kafka, "t", b"1")
        await asyncio.to_thread(kafka.stop)
        assert kafka.nodes[0].pid is None
        again = KafkaCluster(place, session_ms=1500, programs=programs)
        await asyncio.to_thread(again.start)
        assert again.bootstrap == kafka.bootstrap
        await send(again, "t", b"2")
        again.nodes[0].kill()
        again.nodes[0].start()
        await asyncio.to_thread(again.nodes[0].wait_ready)
        assert await read(again, "t", 2) == [b"1", b"2"]
    finally:
        await asyncio.to_thread(kafka.nodes[0].kill)


async def test_three_brokers_lose_nothing_when_one_is_killed(place: Path, programs: Programs) -> None:
    kafka = KafkaCluster(place, brokers=3, session_ms=1500, programs=programs)
    await asyncio.to_thread(kafka.start)
    try:
        await create(kafka, "t", 3)
        await send(kafka, "t", b"1")
        kafka.nodes[0].kill()
        await send(kafka, "t", b"2")
        kafka.nodes[0].start()
        await asyncio.to_thread(kafka.nodes[0].wait_ready)
        assert await read(kafka, "t", 2) == [b"1", b"2"]
    finally:
        await asyncio.to_thread(kafka.stop)


def test_a_frozen_broker_is_not_healthy_until_it_thaws(place: Path, programs: Programs) -> None:
    with KafkaCluster(place, programs=programs) as kafka:
        node = kafka.nodes[0]
        assert node.healthy()
        node.freeze()
        assert not node.healthy()
        node.thaw()
        node.wait_ready()
        with pytest.raises(ForeignData, match=r"a cluster of 1 broker\(s\), not 3"):
            KafkaCluster(place, brokers=3, programs=programs).start()


def test_the_messages_lie_where_no_other_user_reads_them(place: Path, programs: Programs) -> None:
    """A run of a process engine under a user of its own would read the bus in the broker's files."""
    kafka = KafkaCluster(place, programs=programs)
    kafka.prepare()
    modes = {node.folder.stat().st_mode & 0o777 for node in kafka.nodes}
    kafka.nodes[0].folder.chmod(0o755)  # as an earlier version made it
    kafka.prepare()
    assert modes | {kafka.nodes[0].folder.stat().st_mode & 0o777} == {0o700}


def test_a_port_that_is_insisted_on_and_taken_is_refused(place: Path, programs: Programs) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(PortTaken, match=rf"127\.0\.0\.1:{port}: it is taken by"):
            KafkaCluster(place, port=port, programs=programs).start()


async def test_topics_are_never_made_by_accident(place: Path, programs: Programs) -> None:
    """Without it a misspelt topic would swallow messages in silence."""
    kafka = KafkaCluster(place, extra={"message.max.bytes": "2000000"}, programs=programs)
    await asyncio.to_thread(kafka.start)
    admin: Any = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    try:
        await admin.describe_topics(["missing"])
        assert "missing" not in await admin.list_topics()
        lines = (kafka.nodes[0].folder / "server.properties").read_text().splitlines()
        assert lines.index("message.max.bytes=2000000") > lines.index("message.max.bytes=1048576")
    finally:
        await admin.close()
        await asyncio.to_thread(kafka.stop)
