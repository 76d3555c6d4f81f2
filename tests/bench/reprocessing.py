"""The reprocessing worker beside a worker in Go of the same shape as the peer's, and a floor in C that parses nothing.

`python -m bench.reprocessing [events]` prints a table. One gzip file of events of about 1.5 KB, a real Kafka, and for
ours a real PostgreSQL with the ledger. CPU is that of the whole process, start included, of the best of the rounds;
the broker shares the machine's cores, so seconds say little. That all events are at the destination is asserted.

Needs Go and a C compiler; the Go module brings librdkafka for both yardsticks.
"""

import asyncio
import gzip
import json
import os
import platform
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition

from bench.throughput import servers
from support.reprocessing import PARTITIONS, Reprocessors, create_destination, reprocessors_on

YARDSTICKS: Final = Path(__file__).with_name("yardsticks")
BUILT: Final = Path(__file__).parents[2] / ".local" / "bench" / "yardsticks"
EVENTS: Final = 200_000
ROUNDS: Final = 3
BATCHES: Final = (1000, 10_000, 100_000)
"""Events that a crash may repeat: the first is what a job has unless it says otherwise."""
WORKERS: Final = (1, 2, 4)
LIBRARY: Final = {
    "x86_64": "librdkafka_glibc_linux_amd64.a",
    "aarch64": "librdkafka_glibc_linux_arm64.a",
}.get(platform.machine(), "")
_WORDS: Final = [
    "alpha",
    "bravo",
    "cart",
    "checkout",
    "delta",
    "echo",
    "price",
    "total",
    "sum",
    "view",
    "click",
    "hover",
    "basket",
    "order",
]


def event(chance: random.Random, number: int) -> bytes:
    """An event of about 1.5 KB in the words of the producer's log."""
    id = str(uuid.UUID(int=chance.getrandbits(128)))
    at = f"2024-05-01T{number // 3600 % 24:02}:{number // 60 % 60:02}:{number % 60:02}.{chance.randrange(1000):03}Z"
    items = [
        {
            "sku": f"SKU-{chance.randrange(99999):05}",
            "price": chance.randrange(9999) / 100,
            "name": chance.choice(_WORDS),
        }
        for _ in range(12)
    ]
    payload = {
        "messageId": id,
        "type": "track",
        "timestamp": at,
        "event": chance.choice(_WORDS),
        "userId": f"u{number % 9973}",
        "context": {"ip": f"10.0.{chance.randrange(256)}.7", "locale": "en-US", "screen": {"w": 1920, "h": 1080}},
        "properties": {"items": items, "title": " ".join(chance.choices(_WORDS, k=4)), "value": chance.random()},
    }
    slug = f"site-{chance.randrange(50)}"
    line = {
        "ingestType": "browser", "messageCreated": at, "messageId": id, "type": "track",
        "origin": {"baseUrl": "https://in.example.com", "slug": slug, "sourceId": slug, "domain": ""},
        "httpHeaders": {"user-agent": "Mozilla/5.0 (X11; Linux x86_64)", "accept": "*/*"}, "httpPayload": payload,
    }  # fmt: skip
    return json.dumps(line, separators=(",", ":")).encode() + b"\n"


def write_file(path: Path, events: int) -> None:
    chance = random.Random(1)
    with gzip.open(path, "wb", compresslevel=6) as file:
        file.writelines(event(chance, number) for number in range(events))


def build() -> bool:
    """The two yardsticks, against the librdkafka that the Go module brings. False: this machine cannot build them."""
    if not (shutil.which("go") and shutil.which("cc") and LIBRARY):
        print("not compared with the Go peer and the C floor: they need Go and a C compiler")
        return False
    BUILT.mkdir(parents=True, exist_ok=True)
    source = YARDSTICKS / "go_peer"
    subprocess.run(["go", "build", "-mod=readonly", "-o", str(BUILT / "go_peer"), "."], cwd=source, check=True)
    found = subprocess.run(
        ["go", "list", "-m", "-f", "{{.Dir}}", "github.com/confluentinc/confluent-kafka-go/v2"],
        cwd=source, check=True, capture_output=True, text=True,
    )  # fmt: skip
    vendored = Path(found.stdout.strip()) / "kafka" / "librdkafka_vendor"
    subprocess.run(
        ["cc", "-O2", f"-I{vendored}", str(YARDSTICKS / "produce_floor.c"), "-o", str(BUILT / "produce_floor"),
         str(vendored / LIBRARY), "-lz", "-lm", "-ldl", "-lpthread", "-lrt"],
        check=True,
    )  # fmt: skip
    return True


def used_by(argv: list[str], environment: dict[str, str] | None = None) -> tuple[float, float, float]:
    """Run a program: seconds, CPU seconds, MiB of memory at most."""
    began, peak = time.monotonic(), 0
    process = subprocess.Popen(argv, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while True:
        pid, status, used = os.wait4(process.pid, os.WNOHANG)
        if pid:
            break
        peak = max(peak, peak_kib(process.pid))
        time.sleep(0.02)  # what is measured is over: seconds are rounded to this
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{argv[0]} ended with {process.returncode}")
    return time.monotonic() - began, used.ru_utime + used.ru_stime, peak / 1024


def peak_kib(pid: int) -> int:
    """The most memory a process has had; 0 when it is over. `ru_maxrss` would count the parent's before exec."""
    found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) if found else 0


async def arrived(bootstrap: str, topic: str) -> int:
    """Events at a topic."""
    consumer: Any = AIOKafkaConsumer(bootstrap_servers=bootstrap)
    await consumer.start()
    try:
        partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        return sum((await consumer.end_offsets(partitions)).values())
    finally:
        await consumer.stop()


async def worker_run(
    made: Reprocessors, batch: int, *, dry: bool = False, path: Path | None = None
) -> tuple[float, float, float]:
    """One worker of ours over all files, with its ledger."""
    job = await made.planned(batch_size=batch, dry_run=dry, local_path=str(path or made.events))
    config = str(made.jobs_folder / str(job) / "config.json")
    program = [sys.executable, "-m", "signalbox_reprocessor.worker.main", config, "0"]
    return await asyncio.to_thread(used_by, program, {"PATH": os.environ["PATH"]})


async def yardstick_run(made: Reprocessors, words: list[str], events: int) -> tuple[float, float, float]:
    topic = f"yardstick-{uuid.uuid4().hex[:8]}"
    await create_destination(made.bootstrap, topic)
    used = await asyncio.to_thread(used_by, [word.format(topic=topic) for word in words])
    assert await arrived(made.bootstrap, topic) in (events, 0), "every event arrived, or none was to be sent"
    return used


async def side_by_side(made: Reprocessors, file: Path, events: int, *, compared: bool) -> None:
    """Each in turn, round after round; the best of each."""
    go, floor = str(BUILT / "go_peer"), str(BUILT / "produce_floor")
    kafka = made.bootstrap
    cases: dict[str, list[str] | tuple[int, bool]] = {
        "C floor, zstd": [floor, str(file), kafka, "zstd", "{topic}"],
        "C floor, lz4": [floor, str(file), kafka, "lz4", "{topic}"],
        "Go peer, zstd": [go, str(file), "kafka", kafka, "jsoniter", "1", "{topic}"],
        "Go peer, dry": [go, str(file), "dry", kafka, "jsoniter", "1", "{topic}"],
        **{f"worker, lz4, batch_size {batch}": (batch, False) for batch in BATCHES},
        "worker, dry": (BATCHES[-1], True),
    }
    if not compared:
        cases = {name: case for name, case in cases.items() if isinstance(case, tuple)}
    best: dict[str, tuple[float, float, float]] = {}
    for number in range(ROUNDS):
        for name, case in cases.items():
            before = await arrived(kafka, made.destination)
            if isinstance(case, tuple):
                used = await worker_run(made, case[0], dry=case[1])
                sent = await arrived(kafka, made.destination) - before
                assert sent == (0 if case[1] else events), (name, sent)
            else:
                used = await yardstick_run(made, case, events)
            best[name] = min(best.get(name, used), used, key=lambda one: one[1])
            print(f"round {number}: {name}: {used[1] / events * 1e6:.2f} us", file=sys.stderr, flush=True)
    print(f"{'':32} {'us CPU/event':>12} {'events/CPU s':>12} {'seconds':>8} {'MiB':>6}")
    for name, (seconds, cpu, memory) in best.items():
        print(f"{name:32} {cpu / events * 1e6:12.2f} {events / cpu:12,.0f} {seconds:8.1f} {memory:6.0f}")
    (made.events / "one").mkdir()
    write_file(made.events / "one" / "event.ndjson.gz", 1)
    start = min([(await worker_run(made, 1000, path=made.events / "one"))[1] for _ in range(ROUNDS)])
    shutil.rmtree(made.events / "one")
    print(f"of which the start of a worker takes {start:.2f} CPU s, {start / events * 1e6:.2f} us an event")
    print(f"the load of the last minute: {os.getloadavg()[0]:.1f}")


def parts(file: Path, folder: Path, count: int) -> Iterator[Path]:
    """The same events in so many files."""
    lines = gzip.decompress(file.read_bytes()).splitlines(keepends=True)
    for number in range(count):
        path = folder / f"part-{number:04}.ndjson.gz"
        path.write_bytes(gzip.compress(b"".join(lines[number::count]), 1))
        yield path


async def curve(made: Reprocessors, file: Path, events: int) -> None:
    """The same events over 1, 2 and 4 workers at once."""
    print(f"\n{'workers':>8} {'files':>6} {'seconds':>8} {'events/s':>10}")
    for count in WORKERS:
        folder = made.events / f"parts-{count}"
        folder.mkdir()
        files = len(list(parts(file, folder, 10 * count)))
        job = await made.planned(local_path=str(folder), batch_size=10_000)
        began = time.monotonic()
        workers = [made.start_worker(job, index) for index in range(count)]
        codes = [await made.exit_code(worker, seconds=600) for worker in workers]
        seconds = time.monotonic() - began
        assert codes == [0] * count
        assert (await made.sums(job))[1] == events
        print(f"{count:8} {files:6} {seconds:8.1f} {events / seconds:10,.0f}")
        shutil.rmtree(folder)


async def sizes(made: Reprocessors, file: Path, events: int) -> None:
    """The memory of a worker does not grow with its file: the same gzip member over and over, sent nowhere."""
    print(f"\n{'GiB in one file':>16} {'events/CPU s':>12} {'MiB':>6}")
    member = file.read_bytes()
    length = len(gzip.decompress(member))
    folder = made.events / "large"
    folder.mkdir()
    for times in (1, 4, 18):
        with (folder / "large.ndjson.gz").open("wb") as large:
            for _ in range(times):
                large.write(member)
        _, cpu, memory = await worker_run(made, 10_000, dry=True, path=folder)
        print(f"{times * length / 2**30:16.2f} {times * events / cpu:12,.0f} {memory:6.0f}")
    shutil.rmtree(folder)


async def measure(events: int) -> None:
    compared = build()
    with tempfile.TemporaryDirectory(prefix="signalbox-bench-") as place:
        folder = Path(place)
        async with servers(folder) as (kafka, postgres, _), reprocessors_on(postgres, kafka, folder) as made:
            file = made.events / "all.ndjson.gz"
            write_file(file, events)
            async with made.reprocessing():
                await side_by_side(made, file, events, compared=compared)
                await sizes(made, file, events)
                await curve(made, file, events)


if __name__ == "__main__":
    asyncio.run(measure(int(sys.argv[1]) if sys.argv[1:] else EVENTS))
