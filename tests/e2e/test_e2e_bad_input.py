"""Wrong requests through the real API change nothing; malformed messages are parked, and everybody can see them."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from demo.api import Answer, Api
from support.e2e import RunningStack, scripted, unique, until_async

READ_BY_SERVICES = (
    "requests.v1", "operations.v1", "task-commands.v1", "plans.v1", "tasks.v1", "states.v1", "definitions.v1",
    "dead-letters.v1",
)  # fmt: skip
NO_FIELD: list[str] = []
JOB: dict[str, Any] = {"name": "fine", "engine": "scripted", "work": {"kind": "scripted", "script": {}}}


async def everything(api: Api) -> tuple[Any, ...]:
    """What a wrong request must not change."""
    jobs = [(job["id"], job["revision"]) for job in await api.every("/jobs")]
    engines = [(engine["id"], engine["revision"]) for engine in await api.every("/engines")]
    plans = sorted(plan["id"] for plan in await api.every("/plans"))
    return jobs, engines, plans


def shown(answer: Answer) -> tuple[int, str, list[str]]:
    """Status, slug, and the fields named."""
    fields = [error["field"] for error in answer.body.get("errors", [])]
    return answer.status, str(answer.body.get("type", "")).rpartition("/")[2], fields


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "expected"),
    [
        pytest.param(
            "POST", "/plans", {"name": "x", "items": [{**scripted(1)[0], "engine": "nowhere"}]}, {},
            (422, "invalid", ["items.0.engine"]), id="unknown-engine-of-an-item",
        ),
        pytest.param("POST", "/jobs/no-such-job/start", {}, {}, (404, "not-found", NO_FIELD), id="unknown-job"),
        pytest.param("POST", "/jobs", {**JOB, "colour": "red"}, {}, (422, "invalid", ["colour"]), id="unknown-field"),
        pytest.param("GET", "/jobs?colour=red", None, {}, (422, "invalid", ["colour"]), id="unknown-query-parameter"),
        pytest.param("POST", "/jobs", JOB, {"Authorization": "Bearer sbt_none_of_ours"},
            (401, "unauthenticated", NO_FIELD), id="foreign-token",
        ),
        pytest.param("POST", "/jobs", JOB, {"Authorization": ""}, (401, "unauthenticated", NO_FIELD), id="no-token"),
        pytest.param("POST", "/plans", {"name": "x", "items": []}, {}, (422, "invalid", ["items"]), id="no-items"),
        pytest.param("DELETE", "/jobs", None, {}, (405, "method-not-allowed", NO_FIELD), id="no-such-method"),
        pytest.param("GET", "/plans/not-an-id", None, {}, (422, "invalid", ["id"]), id="no-id-of-a-plan"),
    ],
)  # fmt: skip
async def test_a_wrong_request_is_named_and_changes_nothing(
    api: Api, method: str, path: str, body: Any, headers: Mapping[str, str], expected: tuple[int, str, list[str]]
) -> None:
    before = await everything(api)
    answer = await api.request(method, path, body, headers=headers)
    assert shown(answer) == expected, answer.text
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    assert answer.body["trace_id"]
    assert await everything(api) == before


async def test_a_body_over_its_cap_is_refused_unread(api: Api) -> None:
    before = await everything(api)
    answer = await api.request(
        "POST", "/jobs", data=b" " * (1024 * 1024 + 1), headers={"Content-Type": "application/json"}
    )
    assert shown(answer)[:2] == (413, "too-large")
    assert await everything(api) == before


async def test_a_definition_that_moved_on_is_not_overwritten(api: Api) -> None:
    job = unique("moved")
    await api.ask("POST", "/jobs", {"id": job, **JOB})
    etag = (await api.request("GET", f"/jobs/{job}")).headers["ETag"]
    await api.ask("PUT", f"/jobs/{job}", {"id": job, **JOB, "name": "second"}, headers={"If-Match": etag})
    before = await everything(api)
    answer = await api.request("PUT", f"/jobs/{job}", {"id": job, **JOB, "name": "third"}, headers={"If-Match": etag})
    assert shown(answer)[:2] == (412, "precondition-failed")
    assert await everything(api) == before


async def test_an_idempotency_key_is_for_one_request_only(api: Api) -> None:
    headers = {"Idempotency-Key": unique("key")}
    body = {"name": "once", "items": scripted(1)}
    first = await api.request("POST", "/plans", body, headers=headers)
    again = await api.request("POST", "/plans", body, headers=headers)
    assert (first.status, again.status) == (202, 202)
    assert first.body["id"] == again.body["id"]
    assert again.headers["Idempotency-Replayed"] == "true"
    before = await everything(api)
    other = await api.request("POST", "/plans", {**body, "name": "other"}, headers=headers)
    assert shown(other)[:2] == (422, "idempotency-key-reused")
    assert await everything(api) == before


async def test_a_program_outside_the_operators_list_is_never_run(api: Api) -> None:
    work = {"kind": "process", "argv": ["/bin/sh", "-c", "exit 0"]}
    plan = await api.ask("POST", "/plans", {"name": "x", "items": [{"key": "a", "engine": "local", "work": work}]})
    ended = await api.ended(plan["id"], seconds=30)
    (task,) = (await api.ask("GET", f"/plans/{plan['id']}/tasks"))["items"]
    shown = await api.ask("GET", f"/tasks/{task['id']}")
    assert (ended["counts"]["failed"], shown["cause"]) == (1, "refused")
    assert "work.argv[0]" in json.dumps(shown) or "'/bin/sh' is not allowed" in json.dumps(shown)


async def test_malformed_messages_are_parked_and_listed_whatever_their_topic(stack: RunningStack, api: Api) -> None:
    before = {parked["id"] for parked in await api.every("/dead-letters")}
    producer: Any = AIOKafkaProducer(bootstrap_servers=bootstrap(stack))
    await producer.start()
    for topic in READ_BY_SERVICES:
        await producer.send_and_wait(f"signalbox.{topic}", b"{ no message of ours", key=b"x")
    await producer.stop()

    async def all_listed() -> bool:
        listed = await api.every("/dead-letters")
        topics = {parked["topic"].removeprefix("signalbox.") for parked in listed if parked["id"] not in before}
        return topics >= set(READ_BY_SERVICES)

    await until_async(all_listed, seconds=30, why="not every topic's malformed message is listed")
    shown = stack.command("dead-letter", "list", "--all", "-o", "json")
    assert shown.returncode == 0, shown.stderr
    for topic in READ_BY_SERVICES:
        assert topic in shown.stdout
    plan = await api.ask("POST", "/plans", {"name": "life goes on", "items": scripted(3)})
    assert (await api.ended(plan["id"], seconds=30))["state"] == "SUCCEEDED"


def bootstrap(stack: RunningStack) -> str:
    lines = (stack.settings.stack / "env").read_text().splitlines()
    (line,) = [line for line in lines if "SIGNALBOX_KAFKA_BOOTSTRAP=" in line]
    return line.partition("=")[2].strip("'\"")
