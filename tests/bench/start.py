"""Start of one task on an idle stack: from the request to the engine's own receive stamp, with each hop's share.

`python -m bench.start [samples]`. The clock is the machine's monotonic one on both sides; it starts just before the
client writes the request, so the client's own work counts too. Authentication and tracing are on. Shares are read from
the traces of the same requests.
"""

import asyncio
import json
import statistics
import sys
import time
from collections.abc import Sequence
from typing import Any

from bench import floor
from bench.api import ENGINE, Bench, percentile, running

JOB = "bench-start"
TRACED = 40
IDLE_SECONDS = 0.3
"""After each end: what is said of it afterwards is done, and the stack is idle again."""
HOPS = (
    ("gateway: request to commit", "requests.v1 written"),
    ("gateway: relay and Kafka", "requests.v1 sent"),
    ("planner: fetch", "plan.request read"),
    ("planner: to commit", "task-commands.v1 written"),
    ("planner: relay and Kafka", "task-commands.v1 sent"),
    ("executor: fetch", "tasks.ensure read"),
    ("executor: accept, claim, intent", "submit"),
)


async def one(bench: Bench) -> tuple[float, dict[str, Any]]:
    """Milliseconds from the request to the engine, and the plan."""
    await asyncio.sleep(IDLE_SECONDS)
    began = time.monotonic()
    plan = await bench.ask("POST", f"/jobs/{JOB}/start")
    ended = await bench.until_ended(plan["id"])
    tasks = await bench.ask("GET", f"/plans/{plan['id']}/tasks")
    (started,) = (await bench.starts())[tasks["items"][0]["run_key"]]
    return (started["monotonic"] - began) * 1000, ended


async def hops(bench: Bench, trace_id: str) -> dict[str, float] | None:
    """When each hop of a trace was over, in ms after the request was read; None while spans are missing."""
    shown = await bench.ask("GET", f"/traces/{trace_id}")
    spans: dict[str, Any] = {}
    for span in sorted(shown["spans"], key=lambda span: int(span["start_ns"])):
        spans.setdefault(span["name"], span)
    root = min((int(span["start_ns"]) for span in shown["spans"]), default=0)
    at: dict[str, float] = {}
    for name, span in spans.items():
        begin, end = ((int(span[part]) - root) / 1e6 for part in ("start_ns", "end_ns"))
        for topic in ("requests.v1", "task-commands.v1"):
            if name == f"send {topic}":
                at[f"{topic} written"], at[f"{topic} sent"] = begin, end
        for message in ("plan.request", "tasks.ensure"):
            if name == f"process signalbox.{message}.v1":
                at[f"{message} read"] = begin
        if name.startswith("submit"):
            at["submit"] = begin
    return at if all(end in at for _, end in HOPS) else None


async def measure(bench: Bench, samples: int) -> dict[str, Any]:
    known = await bench.ask("GET", "/jobs")
    if JOB not in [job["id"] for job in known["items"]]:
        await bench.ask("POST", "/jobs", id=JOB, name=JOB, engine=ENGINE, work={"kind": "scripted", "script": {}})
    for _ in range(20):
        await one(bench)
    measured = [await one(bench) for _ in range(samples)]
    times = [took for took, _ in measured]
    await asyncio.sleep(6)  # the exporters send every five seconds
    traced = [await hops(bench, plan["trace_id"]) for _, plan in measured[-TRACED:]]
    return {
        "samples": samples,
        "p50 ms": round(percentile(times, 0.5), 1),
        "p95 ms": round(percentile(times, 0.95), 1),
        "p99 ms": round(percentile(times, 0.99), 1),
        "longest ms": round(max(times), 1),
        "floor": await floor.measure(bench, min(samples, 200)),
        "median ms of each hop": shares([found for found in traced if found]),
    }


def shares(traced: Sequence[dict[str, float]]) -> dict[str, float]:
    """The median length of each hop, from the end of the one before."""
    found: dict[str, float] = {}
    before: str | None = None
    for name, end in HOPS:
        if traced:
            lengths = [trace[end] - (trace[before] if before else 0.0) for trace in traced]
            found[name] = round(statistics.median(lengths), 2)
        before = end
    return found


async def main(arguments: Sequence[str]) -> None:
    async with running() as bench:
        print(json.dumps(await measure(bench, int(arguments[0]) if arguments else 500), indent=2))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
