"""kill -9 of every service in turn while 200 tasks run: all end, each started once, and the counts agree."""

from demo.api import Api
from support.e2e import EXECUTOR, GATEWAY, PLANNER, RunningStack, scripted, started_once


async def test_every_service_killed_in_turn_while_200_tasks_run_loses_and_doubles_nothing(
    stack: RunningStack, api: Api
) -> None:
    # three waves of tasks, so that claims, submits and ends fall between the kills
    items = scripted(200, run_seconds=8)
    plan = await api.ask("POST", "/plans", {"name": "200 under fire", "items": items, "rules": {"limit": 70}})
    for name in (GATEWAY, PLANNER, EXECUTOR):
        await stack.kill(name)
        await stack.healthy(name)
    still = await api.ask("GET", f"/plans/{plan['id']}")
    assert still["ended_at"] is None, "it was over before the last kill: the kills showed nothing"
    ended = await api.ended(plan["id"], seconds=90)
    assert ended["state"] == "SUCCEEDED"
    assert ended["counts"]["succeeded"] == 200
    tasks = await api.every(f"/plans/{plan['id']}/tasks")
    assert len({task["id"] for task in tasks}) == 200
    assert {task["state"] for task in tasks} == {"SUCCEEDED"}
    started_once(await stack.starts(), [task["run_key"] for task in tasks])
