"""Every row of the measurements: `python -m bench [tasks] [start] [plans] [pipelines] [live] [throughput]
[reprocessing] [airflow]`."""

import asyncio
import json
import subprocess
import sys
from typing import Any

from bench import live, pipelines, plans, start, tasks
from bench.api import Bench, running

PARTS = ("tasks", "start", "plans", "pipelines", "live", "throughput", "reprocessing", "airflow")
ALONE = ("throughput", "reprocessing", "airflow")
"""Parts that start what they need themselves."""


async def measure_on_one_stack(parts: list[str]) -> None:
    """The parts that need the whole stack, on one stack."""
    rows: dict[str, Any] = {}
    async with running() as bench:
        for part in parts:
            print(f"measuring {part} …", file=sys.stderr, flush=True)
            rows[part] = await _measured(bench, part)
            print(json.dumps({part: rows[part]}, indent=2), flush=True)


async def _measured(bench: Bench, part: str) -> dict[str, Any]:
    if part == "tasks":
        return await tasks.measure(bench, 1000, 3)
    if part == "start":
        return await start.measure(bench, 500)
    if part == "live":
        return await live.measure(bench, 15)
    if part == "pipelines":
        return await pipelines.measure(bench, 3)
    return await plans.measure(bench, 100_000)


def main(wanted: list[str]) -> None:
    parts = wanted or list(PARTS)
    if unknown := set(parts) - set(PARTS):
        sys.exit(f"not a measurement: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    on_the_stack = [part for part in parts if part not in ALONE]
    if on_the_stack:
        asyncio.run(measure_on_one_stack(on_the_stack))
    for part in ALONE:
        if part in parts:
            subprocess.run([sys.executable, "-m", f"bench.{part}"], check=True)


if __name__ == "__main__":
    main(sys.argv[1:])
