"""Pipelines on the whole stack: a failing diamond under kills, order of compensations, one trace over every step."""

import asyncio
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from demo.__main__ import PIPELINE, ROWS, WINDOW_DAYS, Demo, database_url
from demo.api import Api
from demo.evidence import expected_answer, starts
from e2e.test_e2e_trace import connected_to
from support.e2e import EXECUTOR, PLANNER, RunningStack, started_once, unique, until_async

ORDER = ("extract", "left", "right", "join", "undo_left", "undo_extract")


def step(id: str, *depends_on: str, script: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    work = {"kind": "scripted", "script": {"run_seconds": 1, **(script or {})}}
    return {"id": id, "engine": "scripted", "work": work, "depends_on": list(depends_on), **more}


def diamond(*, right: Mapping[str, Any]) -> dict[str, Any]:
    """Five steps, of which the last reports, and what undoes two of them."""
    steps = [
        step("extract", script={"result": {"rows": 7}}),
        step("left", "extract", script={"run_seconds": 2, "result": "{{ steps.extract.result.rows }}"}),
        step("right", "extract", script={"run_seconds": 4, **right}),
        step("join", "left", "right"),
        step("report", "join"),
        {**step("undo_extract"), "compensates": "extract"},
        {**step("undo_left"), "compensates": "left"},
    ]
    id = unique("diamond")
    return {"id": id, "name": id, "steps": steps}


async def test_a_failing_diamond_started_twice_at_once_compensates_once_whatever_is_killed(
    stack: RunningStack, api: Api
) -> None:
    """Two runs of one pipeline side by side; planner and executor die while the branches run and while it undoes."""
    pipeline = diamond(right={"exit_code": 1})
    await api.define("pipelines", pipeline)
    path = f"/pipelines/{pipeline['id']}/run"
    key = {"Idempotency-Key": unique("twice")}
    first, again, second = await asyncio.gather(
        api.request("POST", path, {}, headers=key), api.request("POST", path, {}, headers=key),
        api.request("POST", path, {}),
    )  # fmt: skip
    for answer in (first, again):  # one of the two may be refused while the other is under way, and is then sent again
        assert answer.status in (202, 409), answer.text
    plans = {(await api.ask("POST", path, {}, headers=key))["id"], second.body["id"]}
    assert len(plans) == 2

    async def in_the_branches() -> bool:
        shown = [await api.ask("GET", f"/plans/{plan}") for plan in plans]
        return all(state_of(one["steps"], "right") == "RUNNING" for one in shown)

    await until_async(in_the_branches, seconds=60, why="the branches do not run")
    await asyncio.gather(stack.kill(PLANNER), stack.kill(EXECUTOR))
    await stack.healthy(PLANNER)

    async def undoing() -> bool:
        shown = [await api.ask("GET", f"/plans/{plan}") for plan in plans]
        return any(state_of(one["steps"], "undo_left") in ("RUNNING", "SUCCEEDED") for one in shown)

    await until_async(undoing, seconds=90, why="nothing is undone")
    await asyncio.gather(stack.kill(EXECUTOR), stack.kill(PLANNER))
    for plan in plans:
        ended = await api.ended(plan, seconds=120)
        assert ended["state"] == "FAILED", ended
        assert {one["id"]: one["state"] for one in ended["steps"]} == {
            "extract": "SUCCEEDED", "left": "SUCCEEDED", "right": "FAILED", "join": "SKIPPED", "report": "SKIPPED",
            "undo_extract": "SUCCEEDED", "undo_left": "SUCCEEDED",
        }  # fmt: skip
        tasks = await api.every(f"/plans/{plan}/tasks")
        ran = {task["item_key"]: task["run_key"] for task in tasks}
        assert set(ran) == {"extract", "left", "right", "undo_left", "undo_extract"}
        starts = await stack.starts()
        started_once(starts, list(ran.values()))
        at = {key: starts[run][0]["at"] for key, run in ran.items()}
        assert at["extract"] < min(at["left"], at["right"])
        assert max(at["left"], at["right"]) < at["undo_left"] < at["undo_extract"], "the newest is undone first"


def state_of(steps: Sequence[Mapping[str, Any]] | None, id: str) -> str:
    return next((str(one["state"]) for one in steps or () if one["id"] == id), "")


async def test_one_trace_leads_from_the_request_over_every_step_of_a_pipeline(stack: RunningStack, api: Api) -> None:
    pipeline = diamond(right={"run_seconds": 1})
    await api.define("pipelines", pipeline)
    plan = await api.ask("POST", f"/pipelines/{pipeline['id']}/run", {})
    ended = await api.ended(plan["id"], seconds=60)
    assert ended["state"] == "SUCCEEDED", ended
    tasks = {task["item_key"]: task["id"] for task in await api.every(f"/plans/{plan['id']}/tasks")}
    assert set(tasks) == {"extract", "left", "right", "join", "report"}
    spans: list[dict[str, Any]] = []

    def of_tasks(name: str) -> set[str]:
        """The tasks that have a span of this name."""
        found = [span for span in spans if span["name"].split()[0] == name]
        return {id for id in tasks.values() if any(id in str(span.get("attributes")) for span in found)}

    async def complete() -> bool:
        answer = await api.request("GET", f"/traces/{plan['trace_id']}")
        spans[:] = answer.body.get("spans", [])
        # every process sends its spans every few seconds, so children may come before their parents
        return len(of_tasks("submit")) == len(of_tasks("end")) == len(tasks) and not connected_to(spans)[1]

    try:
        await until_async(complete, seconds=30, why="a step is missing in the trace")
    except BaseException:
        print([(span["service"], span["name"], span.get("attributes")) for span in spans])
        raise
    roots, loose = connected_to(spans)
    assert (len(roots), loose) == (1, []), [(span["service"], span["name"]) for span in spans]
    assert {span["service"] for span in spans} >= {"api-gateway", "planner", "executor"}


async def test_initial_load_and_days_of_plain_programs_over_files_load_the_intended_dates(
    stack: RunningStack, api: Api
) -> None:
    """A day whose step fails loads nothing; run again it loads the date of its first try, not that of the clock."""
    folder = stack.signalbox.work / unique("days")
    folder.mkdir(parents=True)
    owner = stack.signalbox.work.stat()
    if owner.st_uid:  # programs run as that user
        os.chown(folder, owner.st_uid, owner.st_gid)
    demo = Demo(stack.signalbox, api, folder, database_url(stack.settings))
    await demo.prepare()
    first = date(2026, 3, 27)
    week = [first - timedelta(n) for n in range(WINDOW_DAYS)]

    async def answer(path: str, body: Mapping[str, Any]) -> tuple[dict[str, Any], Any]:
        """The ended plan, and what its loader says is in the table."""
        plan = await api.ask("POST", path, body)
        ended = await api.ended(plan["id"], seconds=120)
        tasks = await api.every(f"/plans/{plan['id']}/tasks")
        results = [(await api.ask("GET", f"/tasks/{one['id']}"))["result"] for one in tasks if one["step"] == "loader"]
        return ended, results[0] if results else None

    run = f"/pipelines/{PIPELINE}/run"
    ended, loaded = await answer(run, {"params": {"mode": "initial_load"}, "event_date": f"{first}"})
    assert (ended["state"], loaded) == ("SUCCEEDED", expected_answer(ROWS, demo.seed, week, week))
    (folder / "raw" / f"{first}.csv").rename(folder / "late.csv")
    second = first + timedelta(1)
    ended, nothing = await answer(run, {"event_date": f"{second}"})
    assert (ended["state"], nothing) == ("FAILED", None)
    assert [one["state"] for one in ended["steps"]] == ["SUCCEEDED", "SUCCEEDED", "FAILED", "SKIPPED"]
    (folder / "late.csv").rename(folder / "raw" / f"{first}.csv")
    ended, loaded = await answer(f"/plans/{ended['id']}/rerun", {"scope": "failed"})
    assert (ended["state"], ended["event_date"]) == ("SUCCEEDED", f"{second}")
    assert [one["state"] for one in ended["steps"]] == ["REUSED", "REUSED", "SUCCEEDED", "SUCCEEDED"]
    assert loaded == expected_answer(ROWS, demo.seed, [second, *week], [second, *week[:-1]])
    begun = Counter(start.run_key for start in starts(folder))
    assert set(begun.values()) == {1}
