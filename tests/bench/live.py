"""The live feed under load: 1,000 clients, each following 10 of 1,000 plans, 10,000 deliveries a second.

`python -m bench.live [seconds]`. Facts of plans go to Kafka as the planner writes them, one for each plan a second; the
clients connect to the notifier itself with a gateway's assertion. Late is the time from just before the commit of an
event (`fed_at`, PostgreSQL's clock) until a client has the frame, on one machine's clock. KiB a client is what the
notifier's memory grew by, from before the first client to the end of the load. The clients collect no garbage: one
process is all 1,000 of them and keeps every frame, so a collection would hold them all up.
"""

import asyncio
import gc
import json
import os
import re
import sys
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
from aiokafka import AIOKafkaProducer

from bench.api import STACK, Bench, percentile, running
from signalbox_chassis.persistence.connection import connect
from signalbox_chassis.security.assertions import sign, signing_keys
from signalbox_contracts.messages.plans import Counts, PlanRecord, PlanStated, PlanTransition
from signalbox_contracts.states import PlanState
from signalbox_contracts.topics import topic_of
from signalbox_contracts.wire import encode
from signalbox_local.supervisor import read_spec

CLIENTS = 1000
PLANS = 1000
FOLLOWED = 10
ASSERTION = "X-Signalbox-Assertion"
_EVENT = re.compile(r'"run_id":"([0-9a-f-]{36})"|"sequence":(\d+)')


def fact(plan: uuid.UUID, version: int) -> PlanStated:
    """A plan that is paused and resumed for ever."""
    now = datetime.now(UTC)
    state = PlanState.RUNNING if version % 2 else PlanState.PAUSED
    record = PlanRecord(
        plan_id=plan, version=version, state=state, name="bench", actor="user:bench", counts=Counts(total=1, waiting=1),
        created_at=now, started_at=now, transitions=(PlanTransition(version=version, state=state, at=now),),
    )  # fmt: skip
    return PlanStated.of(record, subject=plan, source="signalbox/planner", time=now, aggregateversion=version)


def resident_kib(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


async def follow(socket: aiohttp.ClientWebSocketResponse, frames: list[tuple[float, str]]) -> None:
    """Keep what comes and when; it is read when the load is over."""
    async for message in socket:
        frames.append((time.time(), message.data))  # noqa: PERF401 -- kept as it comes


async def publish(bootstrap: str, prefix: str, plans: list[uuid.UUID], versions: range) -> float:
    """One fact a plan and second, spread over the second; facts a second that were reached."""
    producer: Any = AIOKafkaProducer(bootstrap_servers=bootstrap, linger_ms=5)
    await producer.start()
    name = topic_of(PlanStated).full_name(prefix)
    began = time.monotonic()
    try:
        for number, version in enumerate(versions):
            for slice_ in range(20):
                for plan in plans[slice_::20]:
                    made = encode(fact(plan, version))
                    await producer.send(name, made.value, key=made.key, headers=list(made.headers))
                due = began + number + (slice_ + 1) / 20
                await asyncio.sleep(max(0.0, due - time.monotonic()))
        await producer.flush()
    finally:
        await producer.stop()
    return len(plans) * len(versions) / (time.monotonic() - began)


async def measure(bench: Bench, seconds: int) -> dict[str, Any]:
    """Run the load, and what became of it."""
    (folder,) = (path.parent for path in STACK.glob("notifier*/server.pid"))
    spec = read_spec(folder)
    assert spec is not None
    environment, pid = spec.environment, bench.pids["notifier"]
    keys = signing_keys(environment["SIGNALBOX_SECRET_KEY"])
    plans = [uuid.uuid4() for _ in range(PLANS)]
    bootstrap, prefix = (
        environment["SIGNALBOX_KAFKA_BOOTSTRAP"],
        environment.get("SIGNALBOX_TOPIC_PREFIX", "signalbox."),
    )
    await publish(bootstrap, prefix, plans, range(1, 2))
    await asyncio.sleep(3)
    before = resident_kib(pid)
    frames: list[list[tuple[float, str]]] = [[] for _ in range(CLIENTS)]
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        sockets: list[aiohttp.ClientWebSocketResponse] = []
        for number in range(CLIENTS):
            headers = {ASSERTION: sign(keys, {"projects": None})}
            url = f"http://127.0.0.1:{environment['SIGNALBOX_LIVE_PORT']}/live"
            one = await session.ws_connect(url, headers=headers)
            sockets.append(one)
            for part in range(FOLLOWED):
                plan = plans[(number + part * 101) % PLANS]
                await one.send_json({"subscribe": {"id": str(part), "plan": str(plan)}})
        gc.collect()
        gc.disable()
        readers = [asyncio.create_task(follow(one, kept)) for one, kept in zip(sockets, frames, strict=True)]
        await asyncio.sleep(5)
        cpu = bench.cpu_seconds()["notifier"]
        rate = await publish(bootstrap, prefix, plans, range(2, 2 + seconds))
        await asyncio.sleep(3)
        used = bench.cpu_seconds()["notifier"] - cpu
        after = resident_kib(pid)
        for task in readers:
            task.cancel()
        await asyncio.gather(*readers, return_exceptions=True)
        gc.enable()
        open_ = sum(not one.closed for one in sockets)
    late = await lateness(environment["SIGNALBOX_DATABASE_URL"], plans, frames)
    expected = CLIENTS * FOLLOWED * seconds
    return {
        "clients": CLIENTS, "still open": open_, "facts a second": round(rate), "deliveries": len(late),
        "expected": expected, "deliveries a second": round(len(late) / seconds), "p50 ms": _ms(late, 0.5),
        "p99 ms": _ms(late, 0.99), "KiB a client": round((after - before) / CLIENTS, 1),
        "notifier CPU of one core": round(used / seconds, 2),
    }  # fmt: skip


async def lateness(url: str, plans: list[uuid.UUID], frames: list[list[tuple[float, str]]]) -> list[float]:
    """Seconds from the commit of each event to each client that has it."""
    connection = await connect(url, server_settings={"search_path": "notifier"})
    try:
        rows = await connection.fetch(
            "SELECT plan_id, sequence, extract(epoch FROM fed_at)::float8 AS at FROM live_event"
            " WHERE plan_id = ANY($1)",
            plans,
        )
    finally:
        await connection.close()
    fed = {(str(row["plan_id"]), row["sequence"]): row["at"] for row in rows}
    late: list[float] = []
    for at, text in (frame for kept in frames for frame in kept):
        if not text.startswith('{"events"'):
            continue
        plan = ""
        for found in _EVENT.finditer(text):
            if found[1]:
                plan = found[1]
            else:
                late.append(at - fed[plan, int(found[2])])
    return late


def _ms(late: list[float], part: float) -> float:
    return round(percentile(late, part) * 1000, 1) if late else -1.0


async def main() -> None:
    async with running() as bench:
        print(json.dumps({"live": await measure(bench, int(sys.argv[1]) if len(sys.argv) > 1 else 15)}, indent=2))


if __name__ == "__main__":
    asyncio.run(main())
