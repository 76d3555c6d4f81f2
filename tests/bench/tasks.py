"""1,000 trivial tasks from one POST until the plan is terminal in the API, beside Celery and Procrastinate.

`python -m bench.tasks [tasks] [rounds]`. All run in turn on the same machine, PostgreSQL and Redis, in one run; what
counts is the ratio. Ours goes through HTTP with a token, three services, Kafka, fsynced PostgreSQL commits and an
engine that fsyncs each start; the peers are library calls. Counts are checked: a lost or doubled task has no speed.
"""

import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.api import ENGINE, HOME, Bench, running

PEERS = HOME / ".local" / "bench" / "peers"
HERE = Path(__file__).parent / "peers"


async def ours(bench: Bench, count: int) -> tuple[float, dict[str, float]]:
    """Seconds until the end was seen, and milliseconds of CPU per task of each process."""
    before, starts = bench.cpu_seconds(), len(await bench.starts())
    items: list[dict[str, Any]] = [
        {"key": f"task/{n}", "engine": ENGINE, "work": {"kind": "scripted", "script": {}}} for n in range(count)
    ]
    began = time.perf_counter()
    plan = await bench.ask("POST", "/plans", name=f"{count} trivial tasks", items=items)
    ended = await bench.until_ended(plan["id"])
    seconds = time.perf_counter() - began
    after = bench.cpu_seconds()
    started = await bench.starts()
    if ended["counts"]["succeeded"] != count or len(started) - starts != count:
        sys.exit(f"{count} tasks were asked for: {ended['counts']}, {len(started) - starts} started")
    if twice := [key for key, found in started.items() if len(found) > 1]:
        sys.exit(f"started twice: {twice[:10]}")
    return seconds, {name: round((after[name] - before[name]) * 1000 / count, 3) for name in after}


def peer(bench: Bench, program: str, count: int) -> float:
    """Seconds a peer took, in its own environment."""
    addresses = {
        "PEER_REDIS": bench.environment["SIGNALBOX_REDIS_URL"],
        "PEER_POSTGRES": bench.environment["SIGNALBOX_DATABASE_URL"],
    }
    done = subprocess.run(
        [str(PEERS / "bin" / "python"), str(HERE / program), str(count)],
        env={"PATH": os.environ["PATH"], **addresses}, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    if done.returncode:
        sys.exit(f"{program}: {done.stderr[-2000:]}")
    return float(json.loads(done.stdout.splitlines()[-1])["seconds"])


async def measure(bench: Bench, count: int, rounds: int) -> dict[str, Any]:
    await ours(bench, 100)
    mine: list[float] = []
    celery: list[float] = []
    procrastinate: list[float] = []
    cpu: dict[str, float] = {}
    for _ in range(rounds):
        seconds, cpu = await ours(bench, count)
        mine.append(seconds)
        celery.append(await asyncio.to_thread(peer, bench, "celery_peer.py", count))
        procrastinate.append(await asyncio.to_thread(peer, bench, "procrastinate_peer.py", count))
    middle = statistics.median
    return {
        "tasks": count,
        "seconds, each round": [round(one, 3) for one in mine],
        "celery, each round": celery,
        "procrastinate, each round": procrastinate,
        "times as fast as celery (median)": round(middle(celery) / middle(mine), 2),
        "times as fast as procrastinate (median)": round(middle(procrastinate) / middle(mine), 2),
        "CPU ms per task, last round": cpu,
    }


async def main(arguments: Sequence[str]) -> None:
    count, rounds = int(arguments[0]) if arguments else 1000, int(arguments[1]) if len(arguments) > 1 else 3
    async with running() as bench:
        print(json.dumps(await measure(bench, count, rounds), indent=2))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
