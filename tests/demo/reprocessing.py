"""200 files of events sent again from a folder to Kafka, two workers killed meanwhile, everything counted twice.

Needs `signalbox-local up --services`. Exits with 1 unless the ledger balances and an independent consumer finds every
event at least once, once after repeats are dropped by key, and at most one batch of repeats a kill.
"""

import asyncio
import gzip
import json
import os
import random
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError
from rich.console import Console

from demo.api import Api, connected
from signalbox_local import supervisor
from signalbox_local.process import OWNED
from signalbox_local.progress import Reporter
from signalbox_local.settings import load
from signalbox_local.signalbox import Signalbox

FILES: Final = 200
LINES: Final = 250
TOPIC: Final = "bulker-destinations"
PARTITIONS: Final = 3
BATCH: Final = 1000
EVENTS_PER_SECOND: Final = 8000
KILLS: Final = 2
SECONDS: Final = 240
PROGRAM: Final = "signalbox-reprocessing-worker"
JOBS: Final = "/api/admin/reprocessing/jobs"
console = Console(highlight=False, soft_wrap=True)


def generate(folder: Path, seed: int) -> dict[str, int]:
    """Write the files; what a perfect reader would count."""
    chance = random.Random(seed)
    expected: Counter[str] = Counter()
    for number in range(FILES):
        lines: list[bytes] = []
        for line in range(LINES):
            kind = chance.choices(("good", "other", "bad"), (90, 8, 2))[0]
            expected[kind] += 1
            lines.append(_line(kind, number, line))
        half = len(lines) // 2  # two gzip members, as loggers that append leave them
        parts = [b"".join(lines[:half]), b"".join(lines[half:])]
        content = b"".join(gzip.compress(part, mtime=0) for part in parts)
        (folder / f"kafka_failover_{number:04}.ndjson.gz").write_bytes(content)
    return dict(expected)


def _line(kind: str, file: int, line: int) -> bytes:
    if kind == "bad":
        return b'{"messageId": "cut off\n'
    stream = "clicks" if kind == "good" else "elsewhere"
    event = {
        "messageId": f"{file}-{line}", "messageCreated": "2026-03-28T01:02:03.4Z", "type": "track",
        "origin": {"sourceId": stream, "slug": stream}, "httpPayload": {"context": "x" * 300},
    }  # fmt: skip
    return json.dumps(event).encode() + b"\n"


def workers_of(job: str) -> Iterator[int]:
    """The worker processes of a job on this host."""
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            try:
                words = (path / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if any(PROGRAM.encode() in word for word in words[:3]) and any(job.encode() in word for word in words):
                yield int(path.name)


async def create_topic(bootstrap: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        answer: Any = await admin.create_topics([NewTopic(TOPIC, PARTITIONS, 1)])
        codes = {error[1] for error in answer.topic_errors}
        if codes - {0, TopicAlreadyExistsError.errno}:
            raise SystemExit(f"topic {TOPIC}: error {codes}")
    finally:
        await admin.close()


async def consume(bootstrap: str, prefix: bytes) -> Counter[bytes]:
    """How often each key that begins with the prefix is on the topic: an independent count."""
    consumer: Any = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, enable_auto_commit=False, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        partitions = [TopicPartition(TOPIC, number) for number in range(PARTITIONS)]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        ends = await consumer.end_offsets(partitions)
        found: Counter[bytes] = Counter()
        while any([await consumer.position(one) < ends[one] for one in partitions]):
            for records in (await consumer.getmany(timeout_ms=500)).values():
                for record in records:
                    if record.key.startswith(prefix):
                        assert ("connection_ids", b"warehouse,lake") in record.headers, record.headers
                        found[record.key] += 1
        return found
    finally:
        await consumer.stop()


async def run(api: Api, job: str, folder: Path) -> tuple[dict[str, Any], int]:
    """Follow the job to its end and kill two of its workers on the way."""
    killed = 0
    give_up_at = time.monotonic() + SECONDS
    shown: dict[str, Any] = {}
    while time.monotonic() < give_up_at:
        shown = await api.ask("GET", f"{JOBS}/{job}")
        if shown["status"] in ("completed", "failed", "cancelled"):
            break
        if killed < KILLS and shown["success_count"] > 2000 * (1 + 4 * killed):
            for pid in workers_of(job):
                os.kill(pid, signal.SIGKILL)
                killed += 1
                console.print(f"    [red]worker process {pid} killed[/] (kill -9) at {shown['success_count']} sent")
                break
        await asyncio.sleep(0.3)
    return shown, killed


async def main() -> int:
    settings = load()
    stack = Signalbox(settings, Reporter(), OWNED)
    if not stack.services["reprocessor"].running():
        console.print("the services do not run: `signalbox-local up --services`")
        return 1
    bootstrap = stack_kafka(stack)
    folder = stack.events / f"demo-{uuid4().hex[:8]}"
    folder.mkdir(mode=0o755)
    stack.events.chmod(0o755)
    try:
        seed = random.randrange(1 << 32)
        expected = generate(folder, seed)
        await create_topic(bootstrap)
        async with connected(stack.api_url, stack.token_file) as api:
            return await judge(api, folder, expected, bootstrap)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def judge(api: Api, folder: Path, expected: dict[str, int], bootstrap: str) -> int:
    body = {
        "local_path": str(folder), "stream_ids": ["clicks"], "connection_ids": ["warehouse", "lake"],
        "batch_size": BATCH, "max_events_per_second": EVENTS_PER_SECOND, "reason": "demonstration",
    }  # fmt: skip
    began = time.monotonic()
    job = await api.ask("POST", JOBS, body)
    console.print(f"[bold]job {job['id']}[/]: {job['total_files']} files, {job['total_workers']} workers")
    shown, killed = await run(api, job["id"], folder)
    console.print(
        f"    {shown['status']} after {time.monotonic() - began:.1f} s: {shown['total_lines']} lines read = "
        f"{shown['success_count']} sent + {shown['skipped_count']} skipped + {shown['error_count']} failed"
    )
    counted = await consume(bootstrap, f"{folder}/".encode())
    repeats = sum(counted.values()) - len(counted)
    console.print(f"    an independent consumer found {len(counted)} events, {repeats} repeats")
    lines = FILES * LINES
    checks = {
        "the job is completed": shown["status"] == "completed",
        f"{KILLS} workers were killed": killed == KILLS,
        "read = sent + skipped + failed": shown["balanced"] and shown["total_lines"] == lines,
        "the ledger's counts are those of the files": (
            [shown["success_count"], shown["skipped_count"], shown["error_count"]]
            == [expected["good"], expected["other"], expected["bad"]]
        ),
        "each event came, once after repeats are dropped by key": len(counted) == expected["good"],
        f"at most {BATCH} repeats a kill": repeats <= BATCH * killed,
    }
    for words, holds in checks.items():
        console.print(f"  {'[green]yes[/]' if holds else '[red]NO [/]'}  {words}")
    if not all(checks.values()):
        console.print_json(data=shown)
    return 0 if all(checks.values()) else 1


def stack_kafka(stack: Signalbox) -> str:
    """Where the destination of this stack is."""
    spec = supervisor.read_spec(stack.services["reprocessor"].folder)
    assert spec is not None, "it runs"
    return spec.environment["SIGNALBOX_REPROCESSING_KAFKA_BOOTSTRAP"]


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
