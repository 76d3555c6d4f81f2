"""Kafka and PostgreSQL go away and come back under load; no process needs a person.

Faults 20, 21, 23, 24, 26 and 43 of the fault list.
"""

import asyncio
import contextlib
import os
import subprocess
import tempfile
import time
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from example_service.messages import COMMANDS, COUNTERS
from signalbox_local.kafka import KafkaCluster
from signalbox_local.postgres import PostgresServer
from support.forked import Forked
from support.proofs import proves
from support.service_fixture import Stand, commands, forget_offsets, in_order_once, make_stand, until

COUNTED = 20
OUTAGE_SECONDS = 60


@contextlib.asynccontextmanager
async def load(stand: Stand, *, through_outbox: bool) -> AsyncGenerator[list[int]]:
    """One round of additions to every counter again and again, for as long as the block runs; yields the rounds done.

    A round that fails with its server is tried again: the caller of an API would do the same.
    """
    rounds = [0]
    stop = asyncio.Event()
    give = stand.accept if through_outbox else stand.publish

    async def run() -> None:
        while not stop.is_set():
            with contextlib.suppress(Exception):
                await asyncio.wait_for(give(commands(COUNTED, 1, first=rounds[0])), 20)
                rounds[0] += 1
            await asyncio.sleep(0.05)

    task = asyncio.create_task(run())
    try:
        yield rounds
    finally:
        stop.set()
        await task


async def drained(stand: Stand, rounds: int) -> None:
    """Everything accepted has its effect once, in order, and its answer is sent."""
    await stand.until_entries(COUNTED * rounds, seconds=90)
    await stand.until_sent(seconds=90)
    in_order_once(await stand.entries(), COUNTED, rounds)
    assert await stand.value("SELECT count(*) FROM dead_letter") == 0
    answers = {record.value for record in await stand.read_all(COUNTERS)}
    assert len(answers) == COUNTED * rounds


@pytest_asyncio.fixture
async def own_kafka(private_kafka: KafkaCluster, postgres_url: str, tmp_path: Path) -> AsyncGenerator[Stand]:
    stand = await make_stand(private_kafka.bootstrap, postgres_url, tmp_path)
    yield stand
    stand.stop_children()


@pytest_asyncio.fixture
async def own_postgres(kafka_bootstrap: str, private_postgres: PostgresServer, tmp_path: Path) -> AsyncGenerator[Stand]:
    stand = await make_stand(kafka_bootstrap, private_postgres.url, tmp_path)
    yield stand
    stand.stop_children()


@pytest.mark.slow
@proves("F24")
async def test_kafka_away_for_sixty_seconds_under_load_drains_in_order_without_a_person(
    own_kafka: Stand, private_kafka: KafkaCluster
) -> None:
    child = own_kafka.spawn()
    async with load(own_kafka, through_outbox=True) as rounds:
        await own_kafka.until_entries(COUNTED * 5)
        private_kafka.nodes[0].stop()
        before, gone_at = rounds[0], time.monotonic()
        await asyncio.sleep(OUTAGE_SECONDS)
        assert rounds[0] > before + 50, "commands are accepted while Kafka is away"
        assert child.poll() is None
        private_kafka.nodes[0].start()
        await asyncio.to_thread(private_kafka.nodes[0].wait_ready)
        assert time.monotonic() - gone_at >= OUTAGE_SECONDS
    await drained(own_kafka, rounds[0])
    assert child.poll() is None, own_kafka.logs()[-2000:]


@pytest.mark.slow
@proves("F21")
async def test_postgresql_away_for_sixty_seconds_under_load_is_waited_out(
    own_postgres: Stand, private_postgres: PostgresServer
) -> None:
    child = own_postgres.spawn()
    async with load(own_postgres, through_outbox=False) as rounds:
        await own_postgres.until_entries(COUNTED * 5)
        private_postgres.stop("immediate")
        used = cpu_seconds(child)
        await asyncio.sleep(OUTAGE_SECONDS)
        assert cpu_seconds(child) - used < OUTAGE_SECONDS * 0.25, "waiting is not spinning"
        private_postgres.start()
    await drained(own_postgres, rounds[0])
    assert child.poll() is None, own_postgres.logs()[-2000:]


@proves("F23")
async def test_kafka_killed_and_restarted_under_load_loses_nothing(
    own_kafka: Stand, private_kafka: KafkaCluster
) -> None:
    child, node = own_kafka.spawn(), private_kafka.nodes[0]
    async with load(own_kafka, through_outbox=True) as rounds:
        for restart in range(2):
            await own_kafka.until_entries(COUNTED * 10 * (restart + 1), seconds=90)
            node.kill()
            node.start()
            await asyncio.to_thread(node.wait_ready)
    await drained(own_kafka, rounds[0])
    assert child.poll() is None


@proves("F23")
async def test_kafka_frozen_and_thawed_under_load_loses_nothing(own_kafka: Stand, private_kafka: KafkaCluster) -> None:
    """A hung broker keeps its connections: only our own time limits notice."""
    child, node = own_kafka.spawn(), private_kafka.nodes[0]
    async with load(own_kafka, through_outbox=True) as rounds:
        await own_kafka.until_entries(COUNTED * 10)
        node.freeze()
        await asyncio.sleep(12)
        node.thaw()
    await drained(own_kafka, rounds[0])
    assert child.poll() is None


@proves("F20")
async def test_postgresql_restarted_at_once_five_times_under_load_applies_everything_once(
    own_postgres: Stand, private_postgres: PostgresServer
) -> None:
    child = own_postgres.spawn()
    async with load(own_postgres, through_outbox=False) as rounds:
        for restart in range(5):
            await own_postgres.until_entries(COUNTED * 5 * (restart + 1))
            private_postgres.restart("immediate")
    await drained(own_postgres, rounds[0])
    assert child.poll() is None


@proves("F26")
async def test_forgotten_offsets_replay_everything_and_change_nothing(stand: Stand) -> None:
    async with stand.running():
        await stand.publish(commands(COUNTED, 20))
        await stand.until_entries(COUNTED * 20)
        await stand.until_sent()
    before = await stand.rows("SELECT * FROM counter ORDER BY id")
    await forget_offsets(stand, f"{stand.prefix}example.control", COMMANDS)
    await forget_offsets(stand, f"{stand.prefix}example.facts", COUNTERS)
    async with stand.running() as service:

        async def caught_up() -> bool:
            consumers = service.bus.consumers()
            positions = [await c.position(tp) for c in consumers.values() for tp in c.assignment()]
            return bool(positions) and sum(positions) >= COUNTED * 40

        await until(caught_up, why="all topics read again")
        await stand.publish(commands(1, 1, first=999))
        await stand.until_entries(COUNTED * 20 + 1)
    entries = await stand.entries()
    assert entries["counter-000"].pop() == 999
    in_order_once(entries, COUNTED, 20)
    assert await stand.rows("SELECT * FROM counter WHERE id <> 'counter-000' ORDER BY id") == before[1:]


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of 160 MiB where every account can enter, else PostgreSQL would keep its data elsewhere."""
    disk = Path(tempfile.mkdtemp(prefix="signalbox-small-disk-", dir="/var/tmp"))
    disk.chmod(0o755)
    mount = ["mount", "-t", "tmpfs", "-o", "size=160m,mode=755", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False).returncode:
        disk.rmdir()
        pytest.skip("mounting a small file system needs root and the right to mount")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)
    disk.rmdir()


@proves("F43")
async def test_a_full_disk_under_postgresql_leaves_no_half_state_and_is_waited_out(
    kafka_bootstrap: str, small_disk: Path, tmp_path: Path
) -> None:
    """Fault 43: effects stop, nothing is parked, and work goes on once there is room again."""
    settings = {"max_wal_size": "64MB", "min_wal_size": "32MB", "max_connections": "50"}
    server = PostgresServer(small_disk / "pg", settings=settings)
    server.start()
    try:
        await fill_and_free(kafka_bootstrap, server, small_disk, tmp_path)
    finally:
        server.stop("immediate")


async def fill_and_free(kafka: str, server: PostgresServer, disk: Path, tmp_path: Path) -> None:
    stand = await make_stand(kafka, server.url, tmp_path)
    ballast = disk / "ballast"
    try:
        child = stand.spawn()
        async with load(stand, through_outbox=False) as rounds:
            await stand.until_entries(COUNTED * 5)
            with contextlib.suppress(OSError), ballast.open("wb") as file:
                while True:
                    file.write(b"x" * 65_536)
            await stand.publish(commands(COUNTED, 40, first=100_000, filler="y" * 5_000))

            async def complains() -> bool:
                if not server.healthy():
                    server.start()
                return "DiskFull" in stand.logs() or "No space left" in server.log.read_text(errors="replace")

            await until(complains, seconds=60, why=f"PostgreSQL met the full disk {stand.logs()[-3000:]}")
            ballast.unlink()
            if not server.healthy():
                server.start()
        await stand.until_entries(COUNTED * (rounds[0] + 40), seconds=90)
        assert child.poll() is None
        entries = await stand.entries()
        expected = [*range(rounds[0]), *range(100_000, 100_040)]
        assert all(sorted(numbers) == expected for numbers in entries.values())
        assert await stand.value("SELECT count(*) FROM dead_letter") == 0
    finally:
        stand.stop_children()


def cpu_seconds(child: Forked) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{child.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
