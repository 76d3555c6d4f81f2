"""Moves of coordinators on a real gateway: what may be saved by whom, and what a plan's request and apply carry."""

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer

from signalbox_contracts.messages.requests import PlanApply, PlanRequest, RunSelection
from signalbox_contracts.topics import topic
from signalbox_contracts.wire import decode
from signalbox_gateway import moves
from support.gateway import Gateway, running_gateway

pytestmark = pytest.mark.asyncio(loop_scope="module")
PASSWORD = "four unrelated words here"
MOVE: dict[str, Any] = {
    "id": "daily", "engine": "ooz", "coordinator": "daily-load", "airflow_engine": "air", "dag_id": "daily",
    "moved_at": "2026-04-01T00:00:00Z", "description": "since April", "labels": {"team": "a"},
}  # fmt: skip
SELECTION = {"engine": "ooz", "selection": {"kind": "oozie_actions", "coordinators": ["0000001-1-oozie-C"]}}
HASH = "0" * 64


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(postgres_url: str, kafka_bootstrap: str) -> AsyncGenerator[Gateway]:
    async with running_gateway(postgres_url, kafka_bootstrap, token_cache_seconds=0.0) as api:
        for id, kind in (("ooz", "oozie"), ("ooz-2", "oozie"), ("air", "airflow"), ("air-2", "airflow")):
            await api.ask("POST", "/engines", {"id": id, "connection": {"kind": kind, "url": "http://127.0.0.1:9"}})
        await api.ask("POST", "/engines", {"id": "pond", "project": "lake", "connection": {"kind": "check"}})
        await api.ask("POST", "/moves", MOVE)
        await api.ask("POST", "/moves", {**MOVE, "id": "weekly", "coordinator": "weekly", "airflow_engine": "air-2"})
        await api.ask("POST", "/moves", {**MOVE, "id": "elsewhere", "engine": "ooz-2"})
        yield api


async def person(api: Gateway, name: str, role: str, *engines: str, project: str = "*") -> str:
    """A token of a new person with this role on these engines."""
    await api.ask("POST", "/users", {"username": name, "password": PASSWORD, "email": f"{name}@example.com"})
    for engine in engines:
        await api.ask("POST", "/bindings", {"username": name, "role": role, "engine": engine, "project": project})
    answer = await api.ask("POST", "/auth/login", {"username": name, "password": PASSWORD}, token="")
    return answer["access_token"]


async def sent(api: Gateway, kind: type[Any], about: str) -> Any:
    """The message of this kind with this subject, as it stands on the topic."""
    consumer: Any = AIOKafkaConsumer(bootstrap_servers=api.bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    consumer.subscribe([topic("requests.v1").full_name(f"{api.schema}.")])
    try:
        async with asyncio.timeout(120):
            while True:
                record = await consumer.getone()
                event = decode(topic("requests.v1"), record.value, key=record.key, headers=record.headers)
                if isinstance(event, kind) and event.subject == about:
                    return event
    finally:
        await consumer.stop()


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"engine": "air"}, "engine", "engine air is of kind airflow, not oozie"),
        ({"airflow_engine": "ooz", "coordinator": "x"}, "airflow_engine", "engine ooz is of kind oozie, not airflow"),
        ({"airflow_engine": "nowhere"}, "airflow_engine", "is not an engine"),
        ({}, "coordinator", "move daily is about it already"),
        ({"coordinator": "x", "dag_id": "a b"}, "dag_id", "a b"),
    ],
)
async def test_what_is_wrong_with_a_move_is_named(
    api: Gateway, changes: dict[str, Any], field: str, words: str
) -> None:
    refused = await api.request("POST", "/moves", {**MOVE, "id": "wrong", **changes})
    assert (refused.problem, refused.fields) == ((422, "invalid"), [field])
    assert words in refused.text


async def test_an_engine_that_a_move_names_is_in_use(api: Gateway) -> None:
    refused = await api.request("DELETE", "/engines/air-2")
    assert refused.problem == (409, "in-use")
    assert refused.body["users"] == ["move:weekly"]


async def test_a_move_needs_the_permission_on_both_engines_in_every_project(api: Gateway) -> None:
    """It decides where the work of plans of all projects runs, whatever its own project is."""
    move = {**MOVE, "id": "of-others", "coordinator": "others"}
    one = await person(api, "one-engine", "operator", "ooz")
    lake = await person(api, "lake-operator", "operator", "*", project="lake")
    for token in (one, lake):
        for change in ({}, {"project": "lake"}):
            assert (await api.request("POST", "/moves", {**move, **change}, token=token)).problem == (403, "forbidden")
    both = await person(api, "both-engines", "operator", "ooz", "air")
    assert (await api.request("POST", "/moves", move, token=both)).status == 201
    assert (await api.request("DELETE", "/moves/of-others", token=one)).problem == (403, "forbidden")
    moved = {**move, "airflow_engine": "air-2"}
    assert (await api.request("PUT", "/moves/of-others", moved, token=both)).problem == (403, "forbidden")
    assert (await api.request("DELETE", "/moves/of-others", token=both)).status == 204


async def test_a_request_carries_the_moves_of_its_engines_and_which_are_out_of_reach(api: Gateway) -> None:
    token = await person(api, "starter", "user", "ooz", "air")
    plan = await api.ask("POST", "/plans", {"selections": [SELECTION], "preview": True}, token=token)
    what = (await sent(api, PlanRequest, plan["id"])).data.what
    assert isinstance(what, RunSelection)
    assert [move.id for move in what.known.moves] == ["daily", "weekly"]
    assert {(move.description, len(move.labels)) for move in what.known.moves} == {("", 0)}, "only what routes"
    assert what.known.denied_engines == ("air-2",)
    mine = await api.ask("POST", "/plans", {"selections": [SELECTION], "preview": True})
    assert (await sent(api, PlanRequest, mine["id"])).data.what.known.denied_engines == ()


async def test_an_apply_carries_the_moves_as_they_are_then(api: Gateway) -> None:
    """Also when every date of the preview lives in Airflow."""
    plan = await api.ask("POST", "/plans", {"selections": [SELECTION], "preview": True})
    async with api.connection() as connection:
        record = json.loads(await connection.fetchval("SELECT record FROM plan WHERE id = $1", plan["id"]))
        shown = json.dumps({**record, "state": "PREVIEWED", "preview_hash": HASH})
        await connection.execute("UPDATE plan SET state = 'PREVIEWED', record = $2 WHERE id = $1", plan["id"], shown)
        await connection.execute(
            "INSERT INTO task (id, plan_id, item_key, position, item) VALUES ($1, $2, 'a', 0, $3)",
            uuid4(), plan["id"], json.dumps({"engine": "air"}),
        )  # fmt: skip
    await api.ask("POST", f"/plans/{plan['id']}/apply", {"preview_hash": HASH})
    known = (await sent(api, PlanApply, plan["id"])).data.known
    assert [move.id for move in known.moves] == ["daily", "elsewhere"]


async def test_more_moves_than_one_message_holds_are_refused_and_nothing_starts(
    api: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moves, "MAX_BYTES", 500)
    refused = await api.request("POST", "/plans", {"selections": [SELECTION], "preview": True})
    assert refused.problem == (409, "conflict")
    assert "the moves of ooz are more than 1000, or larger than 500 bytes" in refused.body["detail"]
