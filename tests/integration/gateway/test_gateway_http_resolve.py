"""A person's word on an UNKNOWN task over HTTP: kept, told to the executor, answered; and each way it is refused."""

import asyncio
import json
import os
import subprocess
import sys
import uuid
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient

from signalbox_chassis.messaging.topics import create_topics
from signalbox_contracts.definitions.engine import ScriptedConnection
from signalbox_contracts.definitions.work import ScriptedWork
from signalbox_contracts.envelope import Event
from signalbox_contracts.ids import task_id
from signalbox_contracts.messages.operations import TaskResolve
from signalbox_contracts.messages.plans import Waiting, WaitReason
from signalbox_contracts.messages.states import OperationResult, OperationResultData, Outcome
from signalbox_contracts.states import TaskState
from signalbox_contracts.topics import topic, topic_of
from signalbox_contracts.wire import decode, encode
from support.executor import Stand, ensure, make_store, remove_store, rules_of, spec
from support.gateway import Gateway, running_gateway
from support.read_model import NOW, task_record, tasks_stated
from support.scripted import scripted_server
from support.service_fixture import until

pytestmark = pytest.mark.asyncio(loop_scope="module")
FAIL = {"action": "fail", "attempt": 2, "reason": "the host is gone"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(postgres_url: str, kafka_bootstrap: str) -> AsyncGenerator[Gateway]:
    async with running_gateway(postgres_url, kafka_bootstrap, token_cache_seconds=0.0) as api:
        yield api


async def send(api: Gateway, event: Event[Any]) -> None:
    """Publish a fact as its owner would."""
    producer: Any = AIOKafkaProducer(bootstrap_servers=api.bootstrap)
    await producer.start()
    try:
        message = encode(event)
        await producer.send_and_wait(topic_of(type(event)).full_name(f"{api.schema}."), message.value, key=message.key)
    finally:
        await producer.stop()


async def task_in(api: Gateway, state: TaskState, *, attempt: int = 2, **changes: Any) -> str:
    """A task in this state, as the executor states it."""
    plan = uuid.uuid4()
    await send(api, tasks_stated(plan, task_record(plan, 0, state, 5, attempt=attempt, **changes)))
    id = str(task_id(plan, "item/0"))
    while (await api.request("GET", f"/tasks/{id}?wait=10s&min_version=5")).status == 404:
        pass  # each look takes a while; the test has a time limit
    return id


async def sent_request(api: Gateway, id: str) -> TaskResolve:
    """The command about this task, as it stands on the topic."""
    consumer = cast("Any", AIOKafkaConsumer(bootstrap_servers=api.bootstrap, auto_offset_reset="earliest"))
    await consumer.start()
    consumer.subscribe([topic("operations.v1").full_name(f"{api.schema}.")])
    try:
        while True:
            record = await consumer.getone()
            event = decode(topic("operations.v1"), record.value, key=record.key, headers=record.headers)
            if isinstance(event, TaskResolve) and event.subject == f"task:{id}":
                return event
    finally:
        await consumer.stop()


async def test_a_word_is_kept_with_who_why_and_when_sent_to_the_executor_and_pending_until_it_is_answered(
    api: Gateway,
) -> None:
    waiting = Waiting(why=WaitReason.PERSON, holder="engine:local", since_at=NOW, detail="attempt 2: not known")
    id = await task_in(api, TaskState.UNKNOWN, waiting=waiting)
    shown = await api.ask("GET", f"/tasks/{id}")
    assert shown["waiting"]["why"] == "person"
    assert f"`signalbox task resolve {id} --retry --reason WHY`" in shown["waiting"]["sentence"]
    body = {"action": "adopt", "attempt": 2, "handle": "app-17", "reason": "it is there"}
    answer = await api.request("POST", f"/tasks/{id}/resolve", body)
    assert answer.status == 202, answer.text
    operation = answer.body["operation_id"]
    assert answer.headers["Location"] == f"/api/v1/operations/{operation}"
    pending = {"operation_id": operation, "operation": "task.resolve", "actor": "user:ann"}
    assert answer.body["task"]["pending_operation"].items() >= pending.items()
    assert (await api.ask("GET", f"/tasks/{id}"))["pending_operation"] == answer.body["task"]["pending_operation"]
    command = await sent_request(api, id)
    data = command.data
    assert (data.decision, data.attempt, data.handle, data.actor, data.reason, str(data.operation_id)) == (
        "adopt", 2, "app-17", "user:ann", "it is there", operation,
    )  # fmt: skip
    details = {"before": {"state": "UNKNOWN"}, "after": {"state": "RUNNING"}}
    result = OperationResultData(
        operation_id=uuid.UUID(operation), target=f"task:{id}", operation="task.resolve", outcome=Outcome.DONE,
        reason="RUNNING", details=cast("Any", details),
    )  # fmt: skip
    await send(
        api,
        OperationResult.of(
            result,
            subject=f"task:{id}",
            source="signalbox/executor",
            time=datetime.now(UTC),
            id=f"{operation}:executor",
        ),
    )
    kept = await api.ask("GET", f"/operations/{operation}?wait=20s&until=end")
    assert (kept["actor"], kept["reason"], kept["target"], kept["state"], kept["details"]) == (
        "user:ann", "it is there", f"task:{id}", "done", details,
    )  # fmt: skip
    assert kept["requested_at"] <= kept["answered_at"]
    assert (await api.ask("GET", f"/tasks/{id}"))["pending_operation"] is None


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"action": "forget"}, "action"),
        ({"action": None}, "action"),
        ({"attempt": 0}, "attempt"),
        ({"attempt": "second"}, "attempt"),
        ({"attempt": ...}, "attempt"),
        ({"reason": ...}, "reason"),
        ({"reason": ""}, "reason"),
        ({"reason": "  "}, "reason"),
        ({"reason": "x" * 2001}, "reason"),
        ({"handle": "app-17"}, "handle"),
        ({"action": "adopt", "handle": ""}, "handle"),
        ({"kill": True}, "kill"),
    ],
)
async def test_a_wrong_word_names_its_field_and_changes_nothing(
    api: Gateway, changes: dict[str, Any], field: str
) -> None:
    body = {name: value for name, value in (FAIL | changes).items() if value is not ...}
    answer = await api.request("POST", f"/tasks/{uuid.uuid4()}/resolve", body)
    assert answer.problem == (422, "invalid")
    assert answer.fields == [field]


async def test_what_is_not_unknown_in_that_attempt_is_a_conflict_and_what_is_not_there_is_not_found(
    api: Gateway,
) -> None:
    before = await api.value("SELECT count(*) FROM operation")
    runs = await task_in(api, TaskState.RUNNING)
    answer = await api.request("POST", f"/tasks/{runs}/resolve", FAIL)
    assert answer.problem == (409, "conflict")
    assert "RUNNING" in answer.body["detail"]
    unknown = await task_in(api, TaskState.UNKNOWN)
    for attempt in (1, 3):
        answer = await api.request("POST", f"/tasks/{unknown}/resolve", FAIL | {"attempt": attempt})
        assert answer.problem == (409, "conflict")
        assert "in attempt 2" in answer.body["detail"]
    answer = await api.request("POST", f"/tasks/{uuid.uuid4()}/resolve", FAIL)
    assert answer.problem == (404, "not-found")
    assert await api.value("SELECT count(*) FROM operation") == before


async def test_it_needs_a_permission_of_its_own_and_a_key_asks_once(api: Gateway) -> None:
    id = await task_in(api, TaskState.UNKNOWN)
    controller = await api.another_token("plan.control", "task.read")
    answer = await api.request("POST", f"/tasks/{id}/resolve", FAIL, token=controller)
    assert answer.problem == (403, "forbidden")
    assert "task.resolve" in answer.body["detail"]
    operator, key = await api.another_token("task.resolve"), {"Idempotency-Key": uuid.uuid4().hex}
    first, again = [
        await api.request("POST", f"/tasks/{id}/resolve", FAIL, token=operator, headers=key) for _ in range(2)
    ]
    assert (first.status, again.status) == (202, 202)
    assert first.body["operation_id"] == again.body["operation_id"]
    assert again.headers["Location"] == first.headers["Location"]
    assert await api.value("SELECT count(*) FROM operation WHERE target = $1", f"task:{id}") == 1


@dataclass
class Beside(Stand):
    """Executors on the topics of a gateway."""

    topics: str = ""

    @property
    def prefix(self) -> str:
        return self.topics


async def test_the_word_of_the_command_line_reaches_the_executor_and_comes_back_with_before_and_after(
    api: Gateway, postgres_url: str, tmp_path: Path
) -> None:
    store, prefix = await make_store(postgres_url), f"{api.schema}."
    commands = replace(topic("task-commands.v1"), partitions=2)  # the gateway has all others
    try:
        await create_topics(api.bootstrap, [commands], prefix=prefix)
        with scripted_server(tmp_path) as url:
            await _adopted(api, Beside(store.url, store.schema, api.bootstrap, url, tmp_path, topics=prefix))
    finally:
        await remove_store(store, postgres_url)
        kafka = AIOKafkaAdminClient(bootstrap_servers=api.bootstrap)
        await kafka.start()
        await kafka.delete_topics([commands.full_name(prefix)])
        await kafka.close()


async def _adopted(api: Gateway, stand: Stand) -> None:
    plan = uuid.uuid4()
    task = spec(plan, 0, work=ScriptedWork(script={"run_seconds": 0.5, "lose_answers": 1, "result": 7}))
    where = f"/tasks/{task.task_id}"
    await stand.register(connection=ScriptedConnection(url=stand.engine_url, remembers_keys=False))
    async with stand.running():
        await stand.send(rules_of(plan), ensure(plan, [task]))

        async def unknown() -> bool:
            answer = await api.request("GET", where)
            return answer.status == 200 and answer.body["state"] == "UNKNOWN"

        await until(unknown, why="the engine took the submit and its answer was lost")
        shown = await api.ask("GET", where)
        assert shown["waiting"]["sentence"].startswith("engine e1 cannot tell what became of it (attempt 1: ")
        words = ("--adopt", "--handle", "run-1", "--reason", "it is there", "--yes", "--wait", "-o", "json")
        output = await asyncio.to_thread(signalbox, api, "task", "resolve", str(task.task_id), *words)
        assert (output["state"], output["details"]["before"], output["details"]["after"]) == (
            "done",
            {"state": "UNKNOWN", "attempt": 1, "handle": None},
            {"state": "RUNNING", "attempt": 1, "handle": "run-1"},
        )
        ended = await api.ask("GET", f"{where}?wait=30s&until=end")
        assert (ended["state"], ended["attempt"], ended["result"]) == ("SUCCEEDED", 1, 7)
        moves = (await api.ask("GET", f"{where}/events"))["items"]
        assert ("RUNNING", "resolved by user:ann (adopt run-1): it is there") in [
            (move["state"], move["reason"]) for move in moves
        ]


def signalbox(api: Gateway, *words: str) -> dict[str, Any]:
    """What a command prints, which must go well."""
    environment = {"PATH": os.environ["PATH"], "HOME": "/nowhere"}
    environment |= {"SIGNALBOX_API_URL": api.url, "SIGNALBOX_TOKEN": api.token}
    command = [str(Path(sys.executable).with_name("signalbox")), *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False, input="")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
