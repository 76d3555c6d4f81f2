"""A plan of 100,000 tasks beside PostgreSQL's own COPY of the same rows.

`python -m bench.plans [items]`. Ours is the whole way: the API takes and stores the request, Kafka carries its pages,
the planner stores every item and tells of it. What R12 bounds is the planner's part, from the first page it read until
all items are committed, and until the first page of items can be read in the API. The floor copies the planner's own
`item` rows, in one transaction, over one connection, into an table of the same shape and indexes.
"""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

import asyncpg

from bench.api import ENGINE, Bench, running


async def submit(bench: Bench, count: int) -> dict[str, Any]:
    """Seconds from the request to each of the marks of one plan, which is cancelled afterwards."""
    items: list[dict[str, Any]] = [
        {"key": f"item/{n:06}", "engine": ENGINE, "work": {"kind": "scripted", "script": {}}} for n in range(count)
    ]
    before = bench.cpu_seconds()
    began = time.perf_counter()
    # held back, so that what is measured is the plan and not the tasks
    plan = await bench.ask("POST", "/plans", name=f"{count} items", items=items, rules={"limit": 0})
    answered = time.perf_counter() - began
    path = f"/plans/{plan['id']}"

    async def listed() -> bool:
        return bool((await bench.ask("GET", f"{path}/items?limit=200"))["items"])

    async def started() -> bool:
        return (await bench.ask("GET", path))["state"] not in {"ACCEPTED", "RESOLVING"}

    first_page = await _seconds_until(began, listed)
    running_after = await _seconds_until(began, started)
    after = bench.cpu_seconds()
    await bench.ask("POST", f"/plans/{plan['id']}/cancel", kill=True, reason="measured")
    return {
        "plan": plan["id"],
        "answered s": round(answered, 2),
        "first page of items readable s": round(first_page, 2),
        "running s": round(running_after, 2),
        "CPU s": {name: round(after[name] - before[name], 2) for name in after},
    }


async def _seconds_until(began: float, holds: Callable[[], Awaitable[bool]]) -> float:
    """Asked twenty times a second; a plan that takes five minutes ends the measurement."""
    for _ in range(6000):
        if await holds():
            return time.perf_counter() - began
        await asyncio.sleep(0.05)
    sys.exit("the plan did not get there within five minutes")


async def copied(bench: Bench, plan: str) -> float:
    """Seconds PostgreSQL takes for the same rows by COPY, text as it would come from a client."""
    address = bench.environment["SIGNALBOX_DATABASE_URL"].replace("+asyncpg", "")
    connection = cast("Any", await asyncpg.connect(address))  # pyright: ignore[reportUnknownMemberType]
    try:
        await connection.execute("DROP TABLE IF EXISTS planner.item_floor")
        await connection.execute("CREATE TABLE planner.item_floor (LIKE planner.item INCLUDING ALL)")
        rows: list[bytes] = []

        async def keep(chunk: bytes) -> None:
            rows.append(bytes(chunk))

        await connection.copy_from_query(
            "SELECT * FROM planner.item WHERE plan_id = $1", plan, output=keep, format="binary"
        )

        async def source() -> Any:
            for chunk in rows:
                yield chunk

        began = time.perf_counter()
        await connection.copy_to_table("item_floor", schema_name="planner", source=source(), format="binary")
        return time.perf_counter() - began
    finally:
        await connection.execute("DROP TABLE IF EXISTS planner.item_floor")
        await connection.close()


async def measure(bench: Bench, count: int) -> dict[str, Any]:
    await submit(bench, 1000)
    submitted = await submit(bench, count)
    floor = await copied(bench, submitted["plan"])
    return {"items": count, **submitted, "COPY of the same rows s": round(floor, 2)}


async def main(arguments: Sequence[str]) -> None:
    count = int(arguments[0]) if arguments else 100_000
    async with running() as bench:
        print(json.dumps(await measure(bench, count), indent=2))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
