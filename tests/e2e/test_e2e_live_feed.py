"""The live feed of real plans: cut 100 times through two notifiers that are killed; in a real browser; with logs."""

import asyncio
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from demo.api import Api
from signalbox_local import probe, supervisor
from signalbox_local.launch import die_with
from signalbox_local.ports import free_ports
from support.e2e import GATEWAY, RunningStack, scripted, until, until_async
from support.notifier import receiver

NOTIFIER = "notifier"
TASKS = 600
PROTOCOLS = ("signalbox.v1",)
PAGE = """<!doctype html><title>follows a plan</title><script>
const seen = [], socket = new WebSocket(%(url)s, ["signalbox.v1", "ticket." + %(ticket)s]);
const report = (why) => fetch("/report", {method: "POST", body: JSON.stringify({why, seen})});
socket.onopen = () => socket.send(JSON.stringify({subscribe: {id: "a", plan: %(plan)s, after: 0}}));
socket.onmessage = (message) => {
  for (const event of JSON.parse(message.data).events ?? []) {
    seen.push(event);
    if (event.task_id === null && event.status === "SUCCEEDED") report("ended");
  }
};
socket.onclose = (closed) => report("closed " + closed.code);
</script>"""


def live(api: Api, **more: Any) -> Any:
    connect: Any = api.session.ws_connect
    return connect(f"{api.url}/api/v1/ws", protocols=PROTOCOLS, **more)


class SecondNotifier:
    """One more notifier of the stack, as a process that is killed and started by hand."""

    def __init__(self, stack: RunningStack) -> None:
        spec = supervisor.read_spec(stack.service(NOTIFIER).folder)
        assert spec is not None
        http, self.port = free_ports(2)
        self._spec = spec
        self._changes = {"SIGNALBOX_HTTP_PORT": str(http), "SIGNALBOX_LIVE_PORT": str(self.port)}
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *self._spec.command, env={**self._spec.environment, **self._changes}, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, preexec_fn=lambda: die_with(os.getppid()),
        )  # fmt: skip
        await until_async(
            lambda: asyncio.to_thread(probe.http, f"{self.url}/livez"), seconds=60, why="the second notifier answers"
        )

    async def kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


@asynccontextmanager
async def gateway_with(stack: RunningStack, **variables: str) -> AsyncGenerator[None]:
    """The gateway with other settings while the block runs."""
    service = stack.service(GATEWAY)

    async def restart(changes: dict[str, str]) -> None:
        before = service.starts
        service.restart_with(changes)
        await until(lambda: service.starts == before + 1, seconds=90, why="the gateway was not started again")
        await stack.healthy(GATEWAY)

    await restart(variables)
    try:
        yield
    finally:
        await restart({})


def over(seen: dict[int, dict[str, Any]], tasks: int) -> bool:
    """Whether the plan and each of its tasks have ended. The plan's end may come before that of its last tasks."""
    ended = [event["task_id"] for event in seen.values() if event["status"] == "SUCCEEDED"]
    return None in ended and len(set(ended)) == tasks + 1


async def one_connection(api: Api, plan: str, seen: dict[int, dict[str, Any]]) -> None:
    """Follow the plan from the last sequence seen until a frame came."""
    try:
        async with live(api) as one:
            subscribe = {"id": "a", "plan": plan, "after": max(seen, default=0)}
            await one.send_json({"subscribe": subscribe})
            async for message in one:
                for event in json.loads(message.data).get("events", ()):
                    assert event["sequence"] not in seen, "an event came twice"
                    seen[event["sequence"]] = event
                if "events" in json.loads(message.data):
                    return
    except (aiohttp.ClientError, OSError):
        await asyncio.sleep(0.05)  # the gateway or the notifier behind it is gone for a moment


async def test_a_client_cut_100_times_through_two_killed_notifiers_sees_every_transition_once(
    stack: RunningStack, api: Api
) -> None:
    second = SecondNotifier(stack)
    first = stack.service(NOTIFIER)
    await second.start()
    seen: dict[int, dict[str, Any]] = {}
    cuts = 0
    try:
        async with gateway_with(stack, SIGNALBOX_LIVE_URLS=f"{first.url('live')},{second.url}"):
            body = {"name": "cut", "items": scripted(TASKS, run_seconds=0.3), "rules": {"limit": 3}}
            plan = (await api.ask("POST", "/plans", body))["id"]
            async with asyncio.timeout(240):
                while not over(seen, TASKS):
                    await one_connection(api, plan, seen)
                    cuts += 1
                    if cuts % 40 == 20:
                        await second.kill()
                        await second.start()
                    elif cuts % 40 == 0:
                        await stack.kill(NOTIFIER)
            shown = await api.ended(plan, seconds=10)
            tasks = await api.every(f"/plans/{plan}/tasks")
    finally:
        await second.kill()
    assert cuts >= 100
    assert sorted(seen) == list(range(1, len(seen) + 1)), "a gap in the sequence"
    of_plan = [event for event in seen.values() if event["task_id"] is None]
    assert [event["version"] for event in of_plan] == sorted({event["version"] for event in of_plan})
    assert (of_plan[-1]["status"], of_plan[-1]["version"]) == (shown["state"], shown["version"])
    newest: dict[str, dict[str, Any]] = {}
    for event in seen.values():
        if event["task_id"] is not None and "step" not in event["data"]:
            known = newest.get(event["task_id"])
            assert known is None or known["version"] < event["version"], "a task's transitions in their order, once"
            newest[event["task_id"]] = event
    assert {id: event["status"] for id, event in newest.items()} == {task["id"]: task["state"] for task in tasks}


async def test_a_real_browser_follows_a_plan_to_its_end(stack: RunningStack, api: Api) -> None:
    chromium = os.environ.get("SIGNALBOX_CHROMIUM") or shutil.which("chromium")
    if not chromium:
        pytest.skip("there is no Chromium: install Debian's package `chromium`, or set SIGNALBOX_CHROMIUM")
    reports: list[dict[str, Any]] = []
    page = ""

    async def serve(request: web.Request) -> web.Response:
        if request.method == "POST":
            reports.append(json.loads(await request.read()))
        return web.Response(text=page, content_type="text/html")

    async with receiver(serve) as site, gateway_with(stack, SIGNALBOX_LIVE_ORIGINS=site.url):
        plan = (await api.ask("POST", "/plans", {"name": "seen", "items": scripted(5, run_seconds=3)}))["id"]
        made = await api.ask("POST", "/ws/tickets", headers={"Origin": site.url})
        values = {"url": f"{api.url.replace('http', 'ws', 1)}/api/v1/ws", "ticket": made["ticket"], "plan": plan}
        page = PAGE % {name: json.dumps(value) for name, value in values.items()}
        with tempfile.TemporaryDirectory(prefix="signalbox-chromium-", ignore_cleanup_errors=True) as profile:
            browser = await asyncio.create_subprocess_exec(
                *[chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                 f"--user-data-dir={profile}", "--remote-debugging-port=0", site.url],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            try:
                await until(lambda: bool(reports), seconds=90, why="the browser reports")
            finally:
                browser.kill()
                await browser.wait()
        shown = await api.ended(plan, seconds=10)
    assert reports[0]["why"] == "ended", reports[0]["why"]
    events = reports[0]["seen"]
    assert [event["sequence"] for event in events] == list(range(1, len(events) + 1))
    assert (events[-1]["status"], events[-1]["version"]) == (shown["state"], shown["version"])
    assert sum(event["type"] == "task.completed" for event in events) == 5


async def test_log_lines_of_a_task_are_a_topic_that_goes_on_at_an_offset(stack: RunningStack, api: Api) -> None:
    items = scripted(1, run_seconds=4, log="".join(f"line {n} ä\n" for n in range(200)))
    plan = (await api.ask("POST", "/plans", {"name": "logs", "items": items}))["id"]
    task = ""

    async def is_there() -> bool:
        nonlocal task
        tasks = (await api.ask("GET", f"/plans/{plan}/tasks"))["items"]
        task = tasks[0]["id"] if tasks else ""
        return bool(task) and tasks[0]["state"] in ("RUNNING", "SUCCEEDED")

    await until_async(is_there, seconds=60, why="the task runs")

    async def follow(after: int) -> tuple[str, int]:
        text, offset = "", after
        async with live(api) as one:
            await one.send_json({"subscribe": {"id": "l", "task": task, "after": after}})
            place = (await one.receive_json(timeout=20))["subscribed"]
            assert (place["id"], place["sequence"]) == ("l", after)
            while True:
                piece = (await one.receive_json(timeout=60))["log"]
                text, offset = text + piece["text"], piece["offset"]
                if piece["ended"]:
                    return text, offset

    text, offset = await follow(0)
    stored = await api.session.get(f"{api.url}/api/v1/tasks/{task}/logs")
    assert text == await stored.text()
    assert text.splitlines()[-1] == "line 199 ä"
    assert await follow(offset - 11) == (text[-10:], offset)
    async with live(api) as one:
        await one.send_json({"subscribe": {"id": "l", "task": plan}})
        assert (await one.receive_json(timeout=20))["refused"]["type"] == "/problems/not-found"
        await one.send_json({"subscribe": {"id": "p", "plan": plan, "after": 0}})
        assert (await one.receive_json(timeout=20))["subscribed"]["id"] == "p"
