"""Messages from real plans: one trace to the webhook, few messages for many failures, kill -9 while they are sent."""

import asyncio
import json
from collections import Counter
from typing import Any

from aiohttp import web

from demo.api import Api
from support.e2e import RunningStack, scripted, unique, until, until_async
from support.notifier import receiver, status

NOTIFIER = "notifier"


async def notified(api: Api, url: str, *events: str, **changes: Any) -> str:
    """A webhook channel and a subscription to these events of its own label; returns the label's value."""
    name = unique("hook")
    hook = {
        "id": name, "name": name, "destination": {"kind": "webhook", "url": url}, "messages_per_minute": 10_000,
        **changes,
    }  # fmt: skip
    await api.define("channels", hook)
    wanted = {"id": name, "name": name, "channel": name, "events": events, "match_labels": {"hook": name}}
    await api.define("subscriptions", wanted)
    return name


async def test_one_trace_joins_the_request_the_plan_the_submit_and_the_webhook(stack: RunningStack, api: Api) -> None:
    async with receiver() as hook:
        words = {"title": "{{ plan_name }} is {{ details.state }}"}
        label = await notified(api, hook.url, "workflow_completed", templates=words)
        shown = stack.command("channel", "preview", label, "--event-type", "workflow_completed", "-o", "json")
        assert json.loads(shown.stdout)["title"] == "Nightly is SUCCEEDED", shown.stderr
        body = {"name": "traced", "items": scripted(1, run_seconds=0.2), "labels": {"hook": label}}
        plan = await api.ask("POST", "/plans", body)
        await until(lambda: len(hook.got) == 1, seconds=60, why="the end is told")
    headers, content = hook.got[0]
    data = json.loads(content)["data"]
    assert data["title"] == "traced is SUCCEEDED"
    assert data["traceparent"].split("-")[1] == headers["traceparent"].split("-")[1] == plan["trace_id"]
    names: dict[str, str] = {}

    async def joined() -> bool:
        answer = await api.request("GET", f"/traces/{plan['trace_id']}")
        names.update({span["name"]: span["service"] for span in answer.body.get("spans", [])})
        return {"api-gateway", "planner", "executor", "notifier"} <= set(names.values()) and "send webhook" in names

    await until_async(joined, seconds=40, why=f"the trace has every service: {names}")
    assert any(name.startswith("submit") for name in names), names


async def test_2000_failures_of_one_cause_are_one_incident_with_few_messages_and_two_causes_two(
    stack: RunningStack, api: Api
) -> None:
    """From the first failure to the last in a minute: a person gets a handful of messages."""
    async with receiver() as hook:
        label = await notified(api, hook.url, "task.failed")
        items = [
            *scripted(2000, exit_code=1, message="the disk is full"),
            *scripted(2001, exit_code=1, message="no such table")[2000:],
        ]
        body = {"name": label, "items": items, "labels": {"hook": label}, "rules": {"limit": 200}}
        plan = await api.ask("POST", "/plans", body)
        ended = await api.ended(plan["id"], seconds=200)
        assert ended["counts"]["failed"] == 2001
        found: list[dict[str, Any]] = []

        async def counted() -> bool:
            found[:] = (await api.ask("GET", f"/incidents?plan={plan['id']}"))["items"]
            return sorted(one["occurrences"] for one in found) == [1, 2000]

        await until_async(counted, seconds=60, why=f"two incidents with every failure: {found}")
        assert 2 <= len(hook.got) <= 8
        big = next(one for one in found if one["occurrences"] == 2000)
        for words in (("acknowledge",), ("snooze", "--until", "2100-01-01T00:00:00Z"), ("resolve",)):
            done = stack.command("incident", words[0], big["id"], *words[1:], "--wait")
            assert done.returncode == 0, done.stderr
        await until(
            lambda: any(json.loads(one[1])["type"] == "incident.recovered" for one in hook.got),
            why="who was told of the incident is told that it is over",
        )


async def test_a_notifier_killed_while_it_sends_loses_nothing_and_repeats_each_message_once_at_most(
    stack: RunningStack, api: Api
) -> None:
    """kill -9, three times. A repeated message has the id it had."""

    async def slow(_: web.Request) -> web.Response:
        await asyncio.sleep(0.3)
        return web.Response()

    async with receiver(slow) as hook, receiver(status(200)) as other:
        label = await notified(api, hook.url, "task.completed")
        quick = await notified(api, other.url, "workflow.completed")
        body = {"name": "told", "items": scripted(40), "labels": {"hook": label}}
        await api.ask("POST", "/plans", body)
        for number in range(3):
            await until(lambda n=number: len(hook.got) > 3 + 8 * n, seconds=60, why="messages are sent")
            await stack.kill(NOTIFIER)
            await stack.healthy(NOTIFIER)
        await api.ask("POST", "/plans", {"name": "q", "items": scripted(1), "labels": {"hook": quick}})
        await until(lambda: len(other.got) == 1, seconds=30, why="the other channel does not wait for the lease")

        async def over() -> bool:
            left = await api.every(f"/deliveries?channel={label}")
            return len(left) == 40 and {one["state"] for one in left} == {"sent"}

        await until_async(over, seconds=150, why="every message is sent")
    times = Counter(headers["webhook-id"] for headers, _ in hook.got)
    assert len(times) == 40
    assert max(times.values()) <= 2
    assert sum(times.values()) <= 43
