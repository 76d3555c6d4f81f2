"""Oozie reports changes at our address: each run is looked at sooner, and a forged report changes nothing."""

import re
import time
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from engines.oozie.oozie_process import OozieProcess
from engines.oozie.product import DONE, address
from engines.oozie.world import FIXTURES, World, until
from signalbox_executor.observer import Observer
from support.full_stack import FullStack

pytestmark = [pytest.mark.engine, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]
ENGINE = "ooz-hints"
POLL_SECONDS = 300
WORKFLOW = "oozie.wf.workflow.notification.url"
COORDINATOR_ACTION = "oozie.coord.action.notification.url"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def registered(stack: FullStack, oozie: OozieProcess) -> str:
    """The engine again, polled every five minutes, whose jobs report their changes."""
    connection = {"kind": "oozie", "url": oozie.url, "user": "alice", "notification_url": address(stack)}
    body = {"id": ENGINE, "name": "Oozie", "connection": connection, "observe_every_seconds": POLL_SECONDS}
    await stack.ask("POST", "/engines", body)
    return ENGINE


async def start(stack: FullStack, work: dict[str, Any]) -> Any:
    """A task of this work, once it runs on the engine."""
    items = [{"key": "one", "engine": ENGINE, "work": {"kind": "oozie", **work}}]
    plan = await stack.ask("POST", "/plans", {"name": "hinted", "items": items})
    return await task_in(stack, plan["id"], {"RUNNING"})


async def task_in(stack: FullStack, plan: str, states: set[str]) -> Any:
    found = await until(
        lambda: stack.ask("GET", f"/plans/{plan}/tasks"),
        lambda page: bool(page["items"]) and page["items"][0]["state"] in states,
    )
    return found["items"][0]


async def until_next_poll_is_far(stack: FullStack, id: str) -> float:
    """Wait for the polls of a recent run to become rare; the time at which the next one is due (monotonic)."""
    (observer,) = [part for _, part in stack.running["executor"].early if isinstance(part, Observer)]

    async def due() -> float:
        recent = observer._recent.get(ENGINE, {})  # pyright: ignore[reportPrivateUsage]
        found = [run.due for task, run in recent.items() if str(task) == id]
        return found[0] if found else 0.0  # a poll is under way

    return await until(due, lambda at: at > time.monotonic() + 5)


async def end_hold(world: World, job: str, words: str) -> None:
    """Let the work of `wf-hold` end, and say so to Oozie as a launcher would: otherwise Oozie looks at its leisure."""
    (world.folder / "a.hold").write_text(words)
    await world.hands.call("GET", "/callback", id=f"{job}@work", status=words)


async def seen(stack: FullStack, task: Any, state: str, next_poll: float) -> None:
    """The task came to this state, and its next poll was not due yet."""
    await task_in(stack, task["plan_id"], {state})
    assert time.monotonic() < next_poll, "it was seen by polling"


async def test_the_end_of_a_workflow_is_seen_long_before_the_next_poll(
    registered: str, world: World, stack: FullStack
) -> None:
    work = {"application_path": f"{FIXTURES}/wf-hold", "properties": world.properties("wf-hold")}
    task = await start(stack, work)
    job = task["handle"]
    assert f"{address(stack)}/api/v1/run-hints/{ENGINE}/sb-{task['id']}-1/" in (await world.hands.info(job))["conf"]
    next_poll = await until_next_poll_is_far(stack, task["id"])
    await end_hold(world, job, "OK")
    await seen(stack, task, "SUCCEEDED", next_poll)


async def test_a_kill_by_somebody_else_is_seen_long_before_the_next_poll(
    registered: str, world: World, stack: FullStack
) -> None:
    task = await start(
        stack, {"application_path": f"{FIXTURES}/wf-hold", "properties": world.properties("wf-hold", "k")}
    )
    next_poll = await until_next_poll_is_far(stack, task["id"])
    await world.hands.call("PUT", f"/v2/job/{task['handle']}", action="kill")
    await seen(stack, task, "FAILED", next_poll)


@pytest.mark.parametrize("kind", ["workflow", "coordinator"])
async def test_a_rerun_reports_to_its_own_address(registered: str, world: World, stack: FullStack, kind: str) -> None:
    """Oozie keeps the properties of a rerun: the address of the rerun before must not stay."""
    hold = world.folder / "a.hold"
    hold.write_text("FAIL")
    if kind == "workflow":
        target = await world.failed_workflow("wf-hold")
    else:
        coordinator = await world.coordinator(days=1, wfPath=f"{world.fixtures}/wf-hold")
        await world.hands.until(coordinator, DONE)
        target = f"{coordinator}@1"
    for _ in range(2):
        hold.unlink()
        task = await start(stack, {"mode": "rerun", "object": kind, "target": target})
        conf = (await world.hands.info(task["handle"].partition("#")[0]))["conf"]
        assert re.findall(r"run-hints/([^/]+/[^/]+)/", conf) == [f"{ENGINE}/sb-{task['id']}-1"]
        next_poll = await until_next_poll_is_far(stack, task["id"])
        await end_hold(world, task["handle"].partition("#")[0], "FAIL")
        await seen(stack, task, "FAILED", next_poll)


async def test_a_notification_url_of_the_job_itself_stays(registered: str, world: World, stack: FullStack) -> None:
    own = "http://127.0.0.1:1/mine?job=$jobId"
    properties = {**world.properties("wf-move"), WORKFLOW: own}
    task = await start(stack, {"application_path": f"{FIXTURES}/wf-move", "properties": properties})
    await world.hands.until(task["handle"], {"KILLED"})
    stored = await world.failed_workflow("wf-move", "b")
    assert WORKFLOW not in (await world.hands.info(stored))["conf"]
    for target in (task["handle"], await world.workflow("wf-move", "c", **{WORKFLOW: own})):
        await world.hands.until(target, {"KILLED"})
        await start(stack, {"mode": "rerun", "object": "workflow", "target": target})
        info = await until(lambda id=target: world.hands.info(id), lambda info: info["run"] == 1)
        assert "mine?job=$jobId" in info["conf"]
        assert "run-hints" not in info["conf"]


async def test_a_coordinators_own_notification_url_stays_with_its_actions(
    registered: str, world: World, stack: FullStack
) -> None:
    own = {WORKFLOW: "http://127.0.0.1:1/mine"}
    coordinator = await world.coordinator(days=1, **own)
    await world.hands.until(coordinator, DONE)
    task = await start(stack, {"mode": "rerun", "object": "coordinator", "target": f"{coordinator}@1"})
    conf = (await world.hands.info(task["handle"]))["conf"]
    assert "127.0.0.1:1/mine" in conf
    assert "run-hints" not in conf


async def test_a_new_coordinator_reports_the_changes_of_its_actions(
    registered: str, world: World, stack: FullStack
) -> None:
    """Oozie itself notices the end of a coordinator a moment after its last action's; here within two seconds."""
    hold = {"wfPath": f"{FIXTURES}/wf-hold", "end": "2026-01-02T00:00Z"}
    properties = {**world.properties("coord-gate"), **hold}
    work = {"object": "coordinator", "application_path": f"{FIXTURES}/coord-gate", "properties": properties}
    task = await start(stack, work)
    assert COORDINATOR_ACTION in (await world.hands.info(task["handle"]))["conf"]
    action = await world.action(f"{task['handle']}@1", "RUNNING")
    next_poll = await until_next_poll_is_far(stack, task["id"])
    await end_hold(world, action["externalId"], "OK")
    await seen(stack, task, "SUCCEEDED", next_poll)


async def test_a_forged_hint_changes_nothing_and_a_wrong_address_is_refused(
    registered: str, world: World, stack: FullStack
) -> None:
    task = await start(
        stack, {"application_path": f"{FIXTURES}/wf-hold", "properties": world.properties("wf-hold", "f")}
    )
    await until_next_poll_is_far(stack, task["id"])  # its first observation, a change of its own, is over
    (before,) = (await stack.ask("GET", f"/plans/{task['plan_id']}/tasks"))["items"]
    conf = (await world.hands.info(task["handle"]))["conf"]
    (url,) = re.findall(r"<value>(http[^<]*/run-hints/[^<]*)</value>", conf)
    place, _, token = url.rpartition("/")
    wrong = (f"{place}/{'A' * len(token)}", f"{place.replace(ENGINE, 'ooz')}/{token}", url.replace("-1/", "-2/"))
    async with aiohttp.ClientSession() as session:

        async def status(address: str) -> int:
            async with session.get(address) as response:
                return response.status

        assert [await status(one) for one in wrong] == [404, 404, 404]
        assert await status(f"{url}?status=SUCCEEDED") == 200
        answers = [await status(url) for _ in range(130)]
        assert answers.count(429) >= 5, "one run cannot be reported as often as somebody likes"
    await until_next_poll_is_far(stack, task["id"])  # it was polled after the hints
    (now,) = (await stack.ask("GET", f"/plans/{task['plan_id']}/tasks"))["items"]
    assert (now["state"], now["version"]) == ("RUNNING", before["version"])
    await stack.ask("POST", f"/plans/{task['plan_id']}/cancel", {"reason": "over", "kill": True})
