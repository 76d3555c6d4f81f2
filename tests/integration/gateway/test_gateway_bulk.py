"""Bulk operations over HTTP on real servers: what a filter matches, each item's result, and who may do it."""

import asyncio
import uuid
from collections.abc import AsyncGenerator
from typing import Any

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from signalbox_contracts.envelope import Event
from signalbox_contracts.ids import task_id
from signalbox_contracts.messages.operations import TaskResolve
from signalbox_contracts.messages.requests import PlanCancel, PlanPause, PlanRetry
from signalbox_contracts.messages.states import OperationResult, OperationResultData, Outcome
from signalbox_contracts.states import PLAN_ENDS, PlanState, TaskState
from signalbox_contracts.topics import topic, topic_of
from signalbox_contracts.wire import decode, encode
from signalbox_gateway.plan_requests import bulk
from signalbox_gateway.read_model import prune
from support.deadlines import wait_until
from support.gateway import JOB, SCRIPTED, Gateway, item, running_gateway
from support.read_model import NOW, plan_stated, task_record, tasks_stated

pytestmark = pytest.mark.asyncio(loop_scope="module")
GOOD = "four unrelated words here"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(postgres_url: str, kafka_bootstrap: str) -> AsyncGenerator[Gateway]:
    async with running_gateway(postgres_url, kafka_bootstrap, token_cache_seconds=0.0) as api:
        await api.ask("POST", "/engines", SCRIPTED)
        await api.ask("POST", "/jobs", {**JOB, "id": "lake-job", "project": "lake"})
        yield api


async def publish(api: Gateway, *events: Event[Any]) -> None:
    """Publish facts as their owners would."""
    producer: Any = AIOKafkaProducer(bootstrap_servers=api.bootstrap)
    await producer.start()
    try:
        for event in events:
            message = encode(event)
            name = topic_of(type(event)).full_name(f"{api.schema}.")
            await producer.send_and_wait(name, message.value, key=message.key)
    finally:
        await producer.stop()


async def started(api: Gateway, team: str, count: int, **more: Any) -> list[str]:
    """Plans with this label, oldest first."""
    body = {"items": [item(0)], "labels": {"team": team}}
    return [(await api.ask("POST", "/plans", {**body, "name": f"{team} {n}"}, **more))["id"] for n in range(count)]


async def stated(api: Gateway, id: str, state: PlanState, **changes: Any) -> None:
    """The plan is in this state in the read model."""
    ended = {"expected": {"items": 0, "tasks": 0, "task_versions": 0, "item_pages": 0}} if state in PLAN_ENDS else {}
    await publish(api, plan_stated(uuid.UUID(id), state, 7, **ended, **changes))
    while (await api.ask("GET", f"/plans/{id}?wait=10s&min_version=7"))["version"] < 7:
        pass  # each look takes a while; the test has a time limit


async def stated_task(api: Gateway, plan: uuid.UUID, number: int, state: TaskState) -> str:
    """A task of a plan is in this state in the read model."""
    await publish(api, tasks_stated(plan, task_record(plan, number, state, 5, attempt=2)))
    id = str(task_id(plan, f"item/{number}"))
    while (await api.request("GET", f"/tasks/{id}?wait=10s&min_version=5")).status == 404:
        pass  # each look takes a while; the test has a time limit
    return id


async def sent(api: Gateway, kind: type[Any], name: str, operations: set[str]) -> list[Any]:
    """The commands with these operations, as they stand on the topic."""
    consumer: Any = AIOKafkaConsumer(bootstrap_servers=api.bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    consumer.subscribe([topic(name).full_name(f"{api.schema}.")])
    found: list[Any] = []
    try:
        while len(found) < len(operations):
            record = await consumer.getone()
            event = decode(topic(name), record.value, key=record.key, headers=record.headers)
            if isinstance(event, kind) and str(event.data.operation_id) in operations:
                found.append(event)
    finally:
        await consumer.stop()
    return found


async def items(api: Gateway, id: str, query: str = "") -> list[dict[str, Any]]:
    return (await api.ask("GET", f"/bulk-operations/{id}/items?limit=200{query}"))["items"]


async def answered(api: Gateway, operation: str, plan: str, outcome: Outcome, reason: str) -> None:
    """The planner answers an operation."""
    target = f"plan:{plan}"
    data = OperationResultData(
        operation_id=uuid.UUID(operation), operation="plan.cancel", target=target, outcome=outcome, reason=reason
    )
    await publish(api, OperationResult.of(data, subject=target, source="signalbox/planner", time=NOW, id=uuid.uuid4()))


async def test_all_live_plans_of_a_label_are_cancelled_and_each_has_its_own_result(api: Gateway) -> None:
    ids = await started(api, "red", 3)
    others = await started(api, "blue", 1)
    await stated(api, ids[0], PlanState.SUCCEEDED, labels={"team": "red"})
    body = {"action": "cancel", "kill": True, "reason": "wrong input"}
    answer = await api.request("POST", "/plans/bulk?label=team:red", body)
    assert answer.status == 202
    made = answer.body
    assert answer.headers["Location"] == f"/api/v1/bulk-operations/{made['id']}"
    assert (made["action"], made["filter"], made["total"]) == ("plan.cancel", "label=team:red", 2)
    assert (made["counts"], made["actor"]) == ({"pending": 2}, "user:ann")
    found = await items(api, made["id"])
    assert [one["target"] for one in found] == [f"plan:{id}" for id in ids[1:]]
    commands = await sent(api, PlanCancel, "requests.v1", {one["operation_id"] for one in found})
    assert {str(one.data.plan_id) for one in commands} == set(ids[1:])
    assert {(one.data.kill, one.data.reason, one.data.actor) for one in commands} == {(True, "wrong input", "user:ann")}
    assert (await api.ask("GET", f"/plans/{others[0]}"))["pending_operation"] is None

    await answered(api, found[0]["operation_id"], ids[1], Outcome.DONE, "")
    await answered(api, found[1]["operation_id"], ids[2], Outcome.REFUSED, "it has ended")
    shown = await api.ask("GET", f"/bulk-operations/{made['id']}?wait=60s&until=end")
    assert shown["counts"] == {"done": 1, "refused": 1}
    (refused,) = await items(api, made["id"], "&state=refused")
    assert (refused["target"], refused["answer"]) == (f"plan:{ids[2]}", "it has ended")


async def test_named_plans_have_a_result_each_also_those_that_are_refused_or_missing(api: Gateway) -> None:
    live, ended = await started(api, "named", 2)
    await stated(api, ended, PlanState.FAILED)
    missing = str(uuid.uuid4())
    made = await api.ask("POST", "/plans/bulk", {"action": "pause", "ids": [missing, live, ended, live]})
    assert (made["total"], made["counts"]) == (3, {"pending": 1, "refused": 2})
    found = {one["target"].partition(":")[2]: one for one in await items(api, made["id"])}
    assert found[ended]["answer"] == f"plan {ended} is FAILED: it never moves again"
    assert found[missing]["answer"] == f"there is no plan {missing}"
    assert found[live]["operation_id"]
    (command,) = await sent(api, PlanPause, "requests.v1", {found[live]["operation_id"]})
    assert str(command.data.plan_id) == live


async def test_a_bulk_retry_makes_a_linked_plan_of_each_ended_plan_with_failures(api: Gateway) -> None:
    failed, good, live = await started(api, "again", 3)
    counts = {"total": 2, "failed": 1, "succeeded": 1}
    await stated(api, failed, PlanState.COMPLETED_WITH_ERRORS, counts=counts, labels={"team": "again"}, name="Load")
    await stated(api, good, PlanState.SUCCEEDED, counts={"total": 1, "succeeded": 1}, labels={"team": "again"})
    headers = {"Idempotency-Key": uuid.uuid4().hex}
    body = {"action": "retry", "reason": "the disk was full"}
    made = await api.ask("POST", "/plans/bulk?label=team:again", body, headers=headers)
    (one,) = await items(api, made["id"])
    assert one["target"] == f"plan:{failed}"
    child = await api.ask("GET", f"/plans/{one['plan_id']}")
    assert (child["parent"], child["name"], child["state"]) == (failed, "Retry of Load", "ACCEPTED")
    (command,) = await sent(api, PlanRetry, "requests.v1", {one["operation_id"]})
    assert (str(command.data.plan_id), str(command.data.child_plan_id)) == (failed, one["plan_id"])
    again = await api.request("POST", "/plans/bulk?label=team:again", body, headers=headers)
    assert (again.body, again.headers["Idempotency-Replayed"]) == (made, "true")
    assert (await api.ask("GET", f"/plans?parent={failed}"))["items"] == [child]
    assert (await api.ask("GET", f"/plans/{live}"))["pending_operation"] is None


async def test_tasks_are_cancelled_in_one_command_for_each_plan_and_resolved_one_by_one(api: Gateway) -> None:
    plans = [uuid.UUID(id) for id in await started(api, "tasks", 2)]
    tasks = [await stated_task(api, plan, number, TaskState.RUNNING) for plan in plans for number in range(2)]
    unknown = await stated_task(api, plans[0], 2, TaskState.UNKNOWN)
    query = "&".join(f"plan={plan}" for plan in plans)
    made = await api.ask("POST", f"/tasks/bulk?state=RUNNING&{query}", {"action": "cancel", "reason": "stop"})
    found = await items(api, made["id"])
    assert {one["target"] for one in found} == {f"task:{id}" for id in tasks}
    commands = await sent(api, PlanCancel, "requests.v1", {one["operation_id"] for one in found})
    assert {one.data.plan_id: set(one.data.item_keys) for one in commands} == {
        plan: {"item/0", "item/1"} for plan in plans
    }

    body = {"action": "resolve", "decision": "fail", "reason": "the host is gone"}
    made = await api.ask("POST", f"/tasks/bulk?{query}", body)
    (one,) = await items(api, made["id"])
    assert (one["target"], one["name"]) == (f"task:{unknown}", "item/2")
    (command,) = await sent(api, TaskResolve, "operations.v1", {one["operation_id"]})
    assert (str(command.data.task_id), command.data.attempt, command.data.decision) == (unknown, 2, "fail")


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/plans/bulk", {"action": "cancel"}, "ids"),
        ("/plans/bulk?q=", {"action": "cancel"}, "ids"),
        ("/plans/bulk?state=RUNNING", {"action": "cancel", "ids": [str(uuid.uuid4())]}, "ids"),
        ("/plans/bulk?state=RUNNING", {"action": "delete"}, "action"),
        ("/plans/bulk?state=RUNING", {"action": "cancel"}, "state"),
        ("/plans/bulk?sate=RUNNING", {"action": "cancel"}, "sate"),
        ("/plans/bulk?state=RUNNING", {"action": "pause", "kill": True}, "kill"),
        ("/plans/bulk", {"action": "cancel", "ids": ["x"]}, "ids.0"),
        ("/tasks/bulk?state=UNKNOWN", {"action": "resolve", "reason": "seen"}, "decision"),
        ("/tasks/bulk?state=UNKNOWN", {"action": "cancel", "decision": "fail"}, "decision"),
        ("/tasks/bulk?state=UNKNOWN", {"action": "resolve", "decision": "fail", "reason": " "}, "reason"),
    ],
)
async def test_a_wrong_request_names_its_field_and_changes_nothing(
    api: Gateway, path: str, body: dict[str, Any], field: str
) -> None:
    before = await api.value("SELECT count(*) FROM bulk_operation")
    answer = await api.request("POST", path, body)
    assert answer.status == 422, answer.text
    assert field in answer.fields
    assert await api.value("SELECT count(*) FROM bulk_operation") == before


async def test_a_filter_that_matches_too_many_is_refused(api: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    await started(api, "many", 3)
    monkeypatch.setattr(bulk, "MAX_BULK_ITEMS", 2)
    answer = await api.request("POST", "/plans/bulk?label=team:many", {"action": "pause"})
    assert (answer.status, answer.fields) == (422, ["query"])
    assert "more than 2 plans" in answer.text


async def test_a_user_reaches_its_own_plans_alone_and_sees_its_own_bulk_operations_alone(api: Gateway) -> None:
    await api.ask("POST", "/users", {"username": "una", "password": GOOD, "email": "una@example.com"})
    await api.ask("POST", "/bindings", {"username": "una", "role": "user", "project": "lake"})
    login = await api.ask("POST", "/auth/login", {"username": "una", "password": GOOD}, token="")
    una = login["access_token"]
    body = {"labels": {"team": "mixed"}}
    mine = (await api.ask("POST", "/jobs/lake-job/start", body, token=una))["id"]
    other = (await api.ask("POST", "/jobs/lake-job/start", body))["id"]
    (hidden,) = await started(api, "mixed", 1)
    made = await api.ask("POST", "/plans/bulk?label=team:mixed", {"action": "pause"}, token=una)
    page = await api.ask("GET", f"/bulk-operations/{made['id']}/items", token=una)
    found = {one["target"].partition(":")[2]: one for one in page["items"]}
    assert set(found) == {mine, other}, "what the caller may not see is not there"
    assert found[mine]["operation_id"]
    assert found[other]["answer"] == "this needs the permission plan.control for this plan"
    named = await api.ask("POST", "/plans/bulk", {"action": "pause", "ids": [hidden]}, token=una)
    page = await api.ask("GET", f"/bulk-operations/{named['id']}/items", token=una)
    assert [one["answer"] for one in page["items"]] == [f"there is no plan {hidden}"]

    theirs = await api.ask("POST", "/plans/bulk?label=team:mixed", {"action": "pause"})
    assert (await api.request("GET", f"/bulk-operations/{theirs['id']}", token=una)).status == 404
    assert (await api.request("GET", f"/bulk-operations/{theirs['id']}/items", token=una)).status == 404
    listed = await api.ask("GET", "/bulk-operations", token=una)
    assert {one["actor"] for one in listed["items"]} == {"user:una"}
    everything = [one["id"] for one in (await api.ask("GET", "/bulk-operations?limit=200"))["items"]]
    assert {made["id"], named["id"], theirs["id"]} <= set(everything)
    first = await api.ask("GET", "/bulk-operations?limit=1")
    second = await api.ask("GET", f"/bulk-operations?limit=1&cursor={first['next_cursor']}")
    assert [first["items"][0]["id"], second["items"][0]["id"]] == everything[:2]


async def test_retention_deletes_old_bulk_operations_in_batches(api: Gateway) -> None:
    ids = await started(api, "old", 3)
    made = await api.ask("POST", "/plans/bulk", {"action": "pause", "ids": ids})
    async with api.connection() as connection:
        await connection.execute(
            "UPDATE bulk_operation SET requested_at = now() - interval '400 days' WHERE id = $1", uuid.UUID(made["id"])
        )
        assert (await prune.count(connection, 300))["bulk operations"] == 1
        await prune.prune(connection, 300, 2)
        assert len(await items(api, made["id"])) == 1
        await prune.prune(connection, 300, 2)
    assert (await api.request("GET", f"/bulk-operations/{made['id']}")).status == 404
    assert await api.value("SELECT count(*) FROM bulk_item WHERE bulk_id = $1", uuid.UUID(made["id"])) == 0


async def test_a_thousand_plans_are_requested_at_once_while_others_are_answered(api: Gateway) -> None:
    created = [plan_stated(uuid.uuid4(), PlanState.RUNNING, 3, labels={"team": "bulk"}) for _ in range(1000)]
    producer: Any = AIOKafkaProducer(bootstrap_servers=api.bootstrap, linger_ms=50)
    await producer.start()
    try:
        for event in created:
            message = encode(event)
            await producer.send(topic_of(type(event)).full_name(f"{api.schema}."), message.value, key=message.key)
    finally:
        await producer.stop()

    async def counted() -> bool:
        counts = (await api.ask("GET", "/plans/counts?label=team:bulk"))["counts"]
        return sum(counts.values()) == 1000

    await wait_until(counted)
    made, me = await asyncio.gather(
        api.ask("POST", "/plans/bulk?label=team:bulk", {"action": "cancel"}), api.ask("GET", "/me")
    )
    assert (made["total"], me["name"]) == (1000, "ann")
    operations = await api.value(
        "SELECT count(DISTINCT operation_id) FROM bulk_item WHERE bulk_id = $1::uuid", made["id"]
    )
    assert operations == 1000
