"""200 files from a real S3 to Kafka: 20 workers killed, the broker and PostgreSQL killed and started meanwhile."""

import asyncio
import os
import random
import signal
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import aiohttp
import obstore
import pytest
import pytest_asyncio
from obstore.store import S3Store

from demo import reprocessing as events
from demo.api import Api, Unexpected, connected
from support.ceph import ACCESS_KEY, SECRET_KEY, Ceph
from support.deadlines import wait_until
from support.e2e import RunningStack, running_stack, unique

pytestmark = [pytest.mark.s3, pytest.mark.timeout(900)]
KILLS: Final = 20
SERVERS: Final = {7: "kafka/node1", 14: "postgres"}
"""After so many kills of workers this server is killed too."""
BATCH: Final = 200
EVENTS_PER_SECOND: Final = 1500
OVER: Final = ("completed", "failed", "cancelled")


@pytest.fixture(scope="module")
def on_s3(request: pytest.FixtureRequest, ceph: Ceph) -> Iterator[RunningStack]:
    variables = {
        "AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY, "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": ceph.endpoint,
    }  # fmt: skip
    with running_stack(request.session, **variables) as stack:
        yield stack


@pytest_asyncio.fixture
async def api(on_s3: RunningStack) -> AsyncGenerator[Api]:
    async with connected(on_s3.signalbox.api_url, on_s3.signalbox.token_file) as api:
        yield api


@dataclass
class Job:
    """A job, followed while servers come and go."""

    api: Api
    id: str
    shown: dict[str, Any] = field(default_factory=dict[str, Any])

    async def look(self) -> None:
        """See the job as it is; what was seen last stays while the API is away."""
        try:
            self.shown = await self.api.ask("GET", f"{events.JOBS}/{self.id}")
        except (aiohttp.ClientError, TimeoutError, Unexpected):
            return

    async def until_sent(self, count: int) -> bool:
        """Whether the job still ran when so many events were sent."""

        async def has_sent() -> bool:
            await self.look()
            return self.shown.get("status") in OVER or self.shown.get("success_count", 0) >= count

        await wait_until(has_sent, seconds=180, why=f"{count} events are sent", poll_seconds=0.2)
        return self.shown["status"] not in OVER

    async def kill_worker(self, chance: random.Random) -> None:
        """kill -9 of one of its workers; waits until there is one."""
        found: list[int] = []

        async def has_worker() -> bool:
            found[:] = events.workers_of(self.id)
            return bool(found)

        await wait_until(has_worker, seconds=60, why="a worker runs")
        os.kill(chance.choice(found), signal.SIGKILL)

    async def end(self) -> dict[str, Any]:
        async def is_over() -> bool:
            await self.look()
            return self.shown["status"] in OVER

        await wait_until(is_over, seconds=300, why="the job ends", poll_seconds=0.5)
        return self.shown


def put_files(ceph: Ceph, folder: Path, seed: int) -> tuple[str, dict[str, int]]:
    """Generated files in a bucket of their own; its prefix, and what a perfect reader would count."""
    bucket = unique("events")
    ceph.make_bucket(bucket)
    store = S3Store(bucket, **ceph.options)
    expected = events.generate(folder, seed)
    for path in sorted(folder.iterdir()):
        obstore.put(store, f"failover/{path.name}", path)
    return f"s3://{bucket}/failover/", expected


async def test_twenty_kills_of_workers_and_one_of_each_server_lose_nothing(
    on_s3: RunningStack, api: Api, ceph: Ceph, tmp_path: Path
) -> None:
    seed = uuid4().int
    print(f"seed {seed}")
    chance = random.Random(seed)
    prefix, expected = await asyncio.to_thread(put_files, ceph, tmp_path, seed)
    bootstrap = events.stack_kafka(on_s3.signalbox)
    await events.create_topic(bootstrap)
    body = {
        "s3_path": prefix, "stream_ids": ["clicks"], "connection_ids": ["warehouse", "lake"],
        "batch_size": BATCH, "max_events_per_second": EVENTS_PER_SECOND,
    }  # fmt: skip
    made = await api.ask("POST", events.JOBS, body)
    assert (made["total_files"], made["total_workers"]) == (events.FILES, events.FILES // 10)
    job = Job(api, made["id"])
    for kill in range(1, KILLS + 1):
        assert await job.until_sent(kill * expected["good"] // (KILLS + 2)), job.shown
        await job.kill_worker(chance)
        if server := SERVERS.get(kill):
            await on_s3.restart_server(server)
    shown = await job.end()
    assert (shown["status"], shown["balanced"]) == ("completed", True), shown
    counts = [shown[name] for name in ("total_lines", "success_count", "skipped_count", "error_count")]
    assert counts == [events.FILES * events.LINES, expected["good"], expected["other"], expected["bad"]]
    delivered = await events.consume(bootstrap, prefix.encode())
    repeats = sum(delivered.values()) - len(delivered)
    print(f"{len(delivered)} events, {repeats} repeats over {KILLS} kills")
    assert len(delivered) == expected["good"], "each event came, once after repeats are dropped by key"
    assert repeats <= BATCH * KILLS, "only a worker that dies sends again, and at most one batch"
