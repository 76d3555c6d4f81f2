"""A freeze of everything with 200 tasks running and 1,000 waiting, in each mode, over a restart of everything."""

import asyncio
from typing import Any

import pytest

from demo.api import Api
from support.e2e import RunningStack, run_local, scripted, started_once, unique, until_async

RUNNING, WAITING = 200, 1_000


@pytest.mark.timeout(900)
@pytest.mark.parametrize("mode", ["hold", "drain"])
async def test_a_freeze_of_everything_lets_200_end_and_1000_wait_over_a_restart_and_lifting_it_starts_them(
    stack: RunningStack, api: Api, mode: str
) -> None:
    engine = unique("wide")
    connection = {"kind": "scripted", "url": stack.signalbox.scripted_url}
    await api.define(
        "engines",
        {"id": engine, "name": engine, "connection": connection, "limits": {"concurrency": RUNNING}},
    )
    items = [{**one, "engine": engine} for one in scripted(RUNNING + WAITING, run_seconds=45)]
    for one in items[RUNNING:]:
        one["work"] = {"kind": "scripted", "script": {}}
    plan = await api.ask("POST", "/plans", {"name": f"under a freeze, {mode}", "items": items})
    path = f"/plans/{plan['id']}"

    async def counts() -> dict[str, Any]:
        return (await api.ask("GET", path))["counts"]

    async def all_run() -> bool:
        return (await counts())["active"] == RUNNING

    await until_async(all_run, seconds=120, why="200 tasks do not run")
    freeze = unique("freeze")
    await api.ask("POST", "/freezes", {"id": freeze, "reason": "release", "mode": mode})

    async def why() -> str:
        return str((await api.ask("GET", path))["waiting"])

    async def names_the_freeze() -> bool:
        return f"freeze:{freeze}" in await why()

    await until_async(names_the_freeze, seconds=60, why="the plan does not say that it waits for the freeze")
    assert [one["id"] for one in (await api.ask("GET", "/status"))["freezes"]] == [freeze]
    frozen = await stack.starts()
    await asyncio.to_thread(run_local, stack.environment, "down")
    await asyncio.to_thread(run_local, stack.environment, "up", "--services", "--scripted")
    for name in stack.signalbox.services:
        await stack.healthy(name)

    async def drained() -> bool:
        now = await counts()
        return (now["succeeded"], now["active"], now["waiting"]) == (RUNNING, 0, WAITING)

    await until_async(drained, seconds=240, why="what ran has not ended, or what waited has moved")
    shown = (await api.ask("GET", f"/freezes/{freeze}"))["state"]["phase"]
    assert shown == {"hold": "holding", "drain": "drained"}[mode]
    assert await names_the_freeze()
    assert set(await stack.starts()) == set(frozen), "nothing starts during a freeze"
    await api.ask("DELETE", f"/freezes/{freeze}")
    ended = await api.ended(plan["id"], seconds=240)
    assert (ended["state"], ended["counts"]["succeeded"]) == ("SUCCEEDED", RUNNING + WAITING)
    started_once(await stack.starts(), [task["run_key"] for task in await api.every(f"{path}/tasks")])
