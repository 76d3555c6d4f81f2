"""Pipelines: transitions in a chain of 50, a chain of 40 small Python programs, a fan-out of 5,000 and its fan-in.

`python -m bench pipelines`. The chain runs beside a Celery chain and a Prefect flow of as many trivial tasks, in turn
in the same run. A transition is from the start of a step on the scripted engine, which ends at once, to the start of
the next. The programs are Windmill's public benchmark (40 light tasks, one after the other; `bench.airflow` runs them
on Airflow); ours starts an interpreter each time, so the time the programs take when a shell runs them one after the
other is shown apart.
"""

import asyncio
import statistics
import subprocess
import sys
import time
from itertools import pairwise
from typing import Any, Final

from bench.api import ENGINE, LIGHT_PROGRAM, Bench, percentile
from bench.tasks import peer

CHAIN: Final = 50
PROGRAMS: Final = 40
WIDE: Final = 5000


async def measure(bench: Bench, rounds: int) -> dict[str, Any]:
    await _define(bench, "bench-chain", [_step(n, {"kind": "scripted", "script": {}}) for n in range(CHAIN)])
    programs = [_step(n, {"kind": "process", "argv": [str(LIGHT_PROGRAM)]}, engine="local") for n in range(PROGRAMS)]
    await _define(bench, "bench-programs", programs)
    await _define(bench, "bench-wide", _wide())
    await _ran(bench, "bench-chain")
    totals: list[float] = []
    transitions: list[float] = []
    celery: list[float] = []
    prefect: list[float] = []
    for _ in range(rounds):
        seconds, gaps = await _chain(bench)
        totals.append(seconds)
        transitions += gaps
        celery.append(await asyncio.to_thread(peer, bench, "celery_chain_peer.py", CHAIN))
        prefect.append(await asyncio.to_thread(peer, bench, "prefect_chain_peer.py", CHAIN))
    own = await asyncio.to_thread(_in_a_shell)
    python = [(await _ran(bench, "bench-programs"))[0] for _ in range(rounds)]
    wide, _ = await _ran(bench, "bench-wide")
    return {
        f"chain of {CHAIN}, seconds of each round": [round(one, 2) for one in totals],
        "celery chain, seconds of each round": celery,
        "prefect flow, seconds of each round": prefect,
        "times as fast as celery (median)": round(statistics.median(celery) / statistics.median(totals), 2),
        "times as fast as prefect (median)": round(statistics.median(prefect) / statistics.median(totals), 2),
        "transition ms p50": round(percentile(transitions, 0.5), 1),
        "transition ms p99": round(percentile(transitions, 0.99), 1),
        f"chain of {PROGRAMS} Python programs, seconds of each round": [round(one, 2) for one in python],
        "the programs alone, one after the other, s": round(own, 2),
        f"fan-out of {WIDE} and fan-in, s": round(wide, 2),
    }


async def _chain(bench: Bench) -> tuple[float, list[float]]:
    """Seconds of one run, and milliseconds of each transition."""
    seconds, plan = await _ran(bench, "bench-chain")
    tasks = (await bench.ask("GET", f"/plans/{plan['id']}/tasks?limit=200"))["items"]
    starts = await bench.starts()
    at = sorted(starts[task["run_key"]][0]["monotonic"] for task in tasks)
    if len(at) != CHAIN:
        sys.exit(f"{len(at)} of {CHAIN} steps started")
    return seconds, [(after - before) * 1000 for before, after in pairwise(at)]


async def _ran(bench: Bench, pipeline: str) -> tuple[float, dict[str, Any]]:
    began = time.perf_counter()
    plan = await bench.ask("POST", f"/pipelines/{pipeline}/run", reason="bench")
    ended = await bench.until_ended(plan["id"], seconds=600)
    if ended["state"] != "SUCCEEDED":
        sys.exit(f"{pipeline}: {ended['state']}: {ended['reason']}")
    return time.perf_counter() - began, ended


async def _define(bench: Bench, id: str, steps: list[dict[str, Any]]) -> None:
    known = await bench.ask("GET", "/pipelines")
    if id not in [one["id"] for one in known["items"]]:
        await bench.ask("POST", "/pipelines", id=id, name=id, steps=steps)


def _step(number: int, work: dict[str, Any], *, engine: str = ENGINE) -> dict[str, Any]:
    waits = [f"s{number - 1}"] if number else []
    return {"id": f"s{number}", "engine": engine, "work": work, "depends_on": waits}


def _wide() -> list[dict[str, Any]]:
    first, parts, last = (_step(n, {"kind": "scripted", "script": {}}) for n in range(3))
    parts["matrix"] = {"part": list(range(WIDE // 50)), "of": list(range(50))}
    return [first, parts, last]


def _in_a_shell() -> float:
    """Seconds of the same programs, started one after the other."""
    began = time.perf_counter()
    for _ in range(PROGRAMS):
        subprocess.run([str(LIGHT_PROGRAM)], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began
