"""Create, then start at once: what runs is what was just created, also when the executor hears of definitions late."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from demo.api import Api
from support.e2e import EXECUTOR, RunningStack, unique

TIMES = 1000
CONNECTIONS = 8
END_SECONDS = 90
"""After the last start, all have ended."""
LATE_SECONDS = 5


@asynccontextmanager
async def stopwatched(stack: RunningStack) -> AsyncGenerator[tuple[Api, list[float]]]:
    """The API, and for each request the seconds since the answer before it was there."""
    gaps: list[float] = []
    answered = time.perf_counter()

    async def begins(*_: Any) -> None:
        gaps.append(time.perf_counter() - answered)

    async def ends(*_: Any) -> None:
        nonlocal answered
        answered = time.perf_counter()

    watch = aiohttp.TraceConfig()
    watch.on_request_start.append(begins)
    watch.on_response_chunk_received.append(ends)  # an answer is there when its body is
    headers = {"Authorization": f"Bearer {stack.token}"}
    async with aiohttp.ClientSession(headers=headers, trace_configs=[watch]) as session:
        yield Api(stack.signalbox.api_url, session), gaps


async def create_and_start(stack: RunningStack, engine: str, times: int) -> dict[str, int]:
    """Plan → the number its version was created with. Each was started within a millisecond of being created."""
    each = [times // CONNECTIONS + (number < times % CONNECTIONS) for number in range(CONNECTIONS)]
    done = await asyncio.gather(*(_one_after_another(stack, engine, n, first) for first, n in enumerate(each)))
    return {plan: number for found in done for plan, number in found.items()}


async def _one_after_another(stack: RunningStack, engine: str, times: int, first: int) -> dict[str, int]:
    """One connection with a job of its own: a version, its start, the next version."""
    job = unique("version")
    wanted: dict[str, int] = {}
    quick = made = 0
    async with stopwatched(stack) as (api, gaps):
        while quick < times:
            number = first + made * CONNECTIONS  # no other connection's
            work = {"kind": "scripted", "script": {"result": number}}
            definition = {"id": job, "name": job, "engine": engine, "work": work}
            await api.ask(*(("PUT", f"/jobs/{job}") if made else ("POST", "/jobs")), definition)
            plan = await api.ask("POST", f"/jobs/{job}/start", {})
            wanted[plan["id"]] = number
            made += 1
            quick += gaps[-1] < 0.001
            assert made < times * 1.5 + 5, "this machine is too busy to start anything within a millisecond"
    return wanted


async def check(api: Api, engine: str, wanted: dict[str, int]) -> None:
    """Every plan ran the version it was started with."""
    give_up_at = time.monotonic() + END_SECONDS
    for plan in wanted:
        ended = await api.ended(plan, seconds=max(1.0, give_up_at - time.monotonic()))
        assert ended["state"] == "SUCCEEDED", ended
    tasks = await api.every(f"/tasks?engine={engine}")
    found: dict[str, Any] = {task["plan_id"]: task.get("result") for task in tasks}
    assert {plan: found.get(plan) for plan in wanted} == wanted


async def test_a_start_right_after_a_create_runs_it_a_thousand_times(stack: RunningStack, api: Api) -> None:
    engine = unique("fresh")
    await api.define("engines", definition_of(stack, engine))
    wanted = await create_and_start(stack, engine, TIMES)
    await check(api, engine, wanted)


async def test_the_same_with_definitions_five_seconds_late(stack: RunningStack, api: Api) -> None:
    async with stack.as_program(EXECUTOR, "late_definitions.py", LATE_SECONDS=str(LATE_SECONDS)):
        engine = unique("late")
        await api.define("engines", definition_of(stack, engine))
        began = time.monotonic()
        first = await create_and_start(stack, engine, 1)
        # the others come meanwhile: some long before the executor has heard of their engine, some after
        waiting, wanted = await asyncio.gather(
            api.ask("GET", f"/plans/{next(iter(first))}?wait={LATE_SECONDS - 2}s&until=end"),
            create_and_start(stack, engine, TIMES - 1),
        )
        assert waiting["ended_at"] is None, "the executor knew the engine at once: nothing was late"
        await check(api, engine, first | wanted)
        assert time.monotonic() - began >= LATE_SECONDS - 1


def definition_of(stack: RunningStack, engine: str) -> dict[str, Any]:
    return {
        "id": engine,
        "name": engine,
        "connection": {"kind": "scripted", "url": stack.signalbox.scripted_url},
        "limits": {"concurrency": 1000},
        "observe_every_seconds": 0.5,
    }
