"""A plan of 100,000 items: accepted, listed page by page, paused, resumed, cancelled."""

import time
from typing import Any

import pytest

from demo.api import Api
from support.e2e import RunningStack, scripted, until_async

COUNT = 100_000


async def test_a_plan_of_100_000_items_is_accepted_listed_paused_resumed_and_cancelled(
    stack: RunningStack, api: Api, capsys: pytest.CaptureFixture[str]
) -> None:
    took: dict[str, float] = {}
    began = time.monotonic()

    def lap(name: str) -> None:
        nonlocal began
        took[name] = round(time.monotonic() - began, 1)
        began = time.monotonic()

    body = {"name": "a hundred thousand", "items": scripted(COUNT, never_ends=True), "rules": {"limit": 20}}
    plan = await api.ask("POST", "/plans", body)
    lap("accepted")
    path = f"/plans/{plan['id']}"
    assert (await api.ask("GET", path))["id"] == plan["id"]
    await state(api, path, "RUNNING", seconds=120)
    lap("running")

    async def active() -> bool:
        return (await api.ask("GET", path))["counts"]["active"] == 20

    await until_async(active, seconds=30, why="20 tasks do not run")
    lap("20 active")
    items = await api.every(f"{path}/items")
    assert [item["position"] for item in items] == list(range(COUNT))
    assert len({item["key"] for item in items}) == COUNT
    lap("listed")

    await api.ask("POST", f"{path}/pause", {"reason": "to see it stand"})
    shown = await state(api, path, "PAUSED", seconds=30)
    assert shown["counts"]["active"] == 20
    assert shown["pending_operation"] is None
    lap("paused")
    await api.ask("POST", f"{path}/resume", {})
    await state(api, path, "RUNNING", seconds=30)
    lap("resumed")
    await api.ask("POST", f"{path}/cancel", {"kill": True, "reason": "seen enough"})
    ended = await api.ended(plan["id"], seconds=120)
    lap("cancelled")
    assert ended["state"] == "CANCELLED"
    assert ended["counts"]["cancelled"] == COUNT
    begun = await stack.starts()
    tasks = await api.every(f"{path}/tasks?state=CANCELLED")
    ours = [begun[task["run_key"]] for task in tasks if task.get("run_key") in begun]
    assert len(ours) >= 20
    assert all(len(starts) == 1 for starts in ours)
    with capsys.disabled():
        print(f"\n100,000 items, seconds: {took}")


async def state(api: Api, path: str, wanted: str, *, seconds: float) -> dict[str, Any]:
    shown: dict[str, Any] = {}

    async def there() -> bool:
        shown.update(await api.ask("GET", path))
        return shown["state"] == wanted

    await until_async(there, seconds=seconds, why=f"not {wanted}")
    return shown
