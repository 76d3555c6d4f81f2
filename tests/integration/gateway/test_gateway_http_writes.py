"""Writes over HTTP on real servers: once per key, seen at once, told to the others in the same transaction."""

import asyncio
import io
import json
import time
import uuid
from collections.abc import AsyncGenerator
from typing import Any

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer

from signalbox_contracts.definitions.job import Job
from signalbox_contracts.messages.definitions import DefinitionSnapshot
from signalbox_contracts.messages.requests import PlanCancel, PlanPause, PlanRequest, PlanRulesRequest, RunJob
from signalbox_contracts.topics import topic
from signalbox_contracts.wire import decode
from support.gateway import JOB, SCRIPTED, Gateway, item, running_gateway
from support.proofs import proves

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(postgres_url: str, kafka_bootstrap: str) -> AsyncGenerator[Gateway]:
    async with running_gateway(postgres_url, kafka_bootstrap, token_cache_seconds=0.0) as api:
        await api.ask("POST", "/engines", SCRIPTED)
        await api.ask("POST", "/jobs", JOB)
        yield api


async def sent(api: Gateway, name: str, want: int, kind: type[Any], about: str) -> list[Any]:
    """The first messages of a kind with this subject, as they stand on the topic."""
    consumer: Any = AIOKafkaConsumer(bootstrap_servers=api.bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    consumer.subscribe([topic(name).full_name(f"{api.schema}.")])
    found: list[Any] = []
    try:
        async with asyncio.timeout(120):
            while len(found) < want:
                record = await consumer.getone()
                event = decode(topic(name), record.value, key=record.key, headers=record.headers)
                if isinstance(event, kind) and event.subject == about:
                    found.append(event)
    finally:
        await consumer.stop()
    return found


async def test_a_start_is_readable_at_once_and_asks_the_planner_with_the_complete_job(api: Gateway) -> None:
    answer = await api.request("POST", "/jobs/nightly/start", {"reason": "why not", "labels": {"team": "a"}})
    assert answer.status == 202
    id = answer.body["id"]
    assert answer.headers["Location"] == f"/api/v1/plans/{id}"
    assert await api.ask("GET", f"/plans/{id}") == answer.body
    assert (answer.body["state"], answer.body["version"], answer.body["target"]) == ("ACCEPTED", 0, "job:nightly")
    assert answer.body["trace_id"] == answer.headers["X-Trace-Id"]
    (request,) = await sent(api, "requests.v1", 1, PlanRequest, id)
    assert isinstance(request.data.what, RunJob)
    assert (request.data.what.job.id, request.data.actor) == ("nightly", "user:ann")
    engine = await api.ask("GET", "/engines/scripted")
    assert request.data.definitions_revision == engine["revision"]


async def test_a_key_starts_one_plan_however_often_and_however_many_call_at_once(api: Gateway) -> None:
    headers = {"Idempotency-Key": uuid.uuid4().hex}
    body = {"name": "once", "items": [item(0)]}
    answers = await asyncio.gather(*(api.request("POST", "/plans", body, headers=headers) for _ in range(10)))
    kinds = {answer.status for answer in answers}
    assert kinds <= {202, 409}
    assert 202 in kinds
    for answer in answers:
        if answer.status == 409:
            assert answer.problem == (409, "request-in-progress")
    again = await api.request("POST", "/plans", body, headers=headers)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert {answer.body["id"] for answer in answers if answer.status == 202} == {again.body["id"]}
    assert again.headers["Location"].endswith(again.body["id"])
    assert await api.value("SELECT count(*) FROM plan WHERE name = 'once'") == 1


async def test_a_key_belongs_to_one_request_of_one_principal(api: Gateway) -> None:
    headers = {"Idempotency-Key": uuid.uuid4().hex}
    first = await api.ask("POST", "/plans", {"items": [item(0)]}, headers=headers)
    for path, body in (("/plans", {"items": [item(1)]}), ("/jobs/nightly/start", {"items": [item(0)]})):
        answer = await api.request("POST", path, body, headers=headers)
        assert answer.status == 422
        if path == "/plans":
            assert answer.problem[1] == "idempotency-key-reused"
    assert (await api.ask("POST", "/plans", {"items": [item(0)]}, headers=headers))["id"] == first["id"]
    wrong = await api.request("POST", "/plans", {"items": [item(0)]}, headers={"Idempotency-Key": "x" * 256})
    assert wrong.fields == ["Idempotency-Key"]


async def test_a_key_whose_answer_is_forgotten_starts_nothing_again(api: Gateway) -> None:
    headers = {"Idempotency-Key": uuid.uuid4().hex}
    first = await api.ask("POST", "/plans", {"items": [item(0)]}, headers=headers)
    await api.value("DELETE FROM idempotency WHERE key = $1", headers["Idempotency-Key"])
    before = await api.value("SELECT count(*) FROM outbox WHERE key <> 'plans:all'::bytea")
    answer = await api.request("POST", "/plans", {"items": [item(1)]}, headers=headers)
    assert answer.problem == (422, "idempotency-key-reused")
    assert first["id"] in answer.body["detail"]
    assert await api.value("SELECT count(*) FROM outbox WHERE key <> 'plans:all'::bytea") == before


async def test_a_refused_request_does_not_use_its_key_up(api: Gateway) -> None:
    headers = {"Idempotency-Key": uuid.uuid4().hex}
    assert (await api.request("POST", "/plans", {"items": [item(0, engine="no")]}, headers=headers)).status == 422
    assert (await api.request("POST", "/plans", {"items": [item(0)]}, headers=headers)).status == 202


async def test_an_engine_is_never_unchanged_since_its_state_is_not_part_of_its_revision(api: Gateway) -> None:
    """A caller that waits for `drained` with `If-None-Match` would wait for ever."""
    shown = await api.request("GET", "/engines/scripted")
    again = await api.request("GET", "/engines/scripted", headers={"If-None-Match": shown.headers["ETag"]})
    assert (again.status, "state" in again.body) == (200, True)


async def test_a_definition_that_moved_on_is_neither_overwritten_nor_deleted(api: Gateway) -> None:
    await api.ask("POST", "/jobs", {**JOB, "id": "moved"})
    old = (await api.request("GET", "/jobs/moved")).headers["ETag"]
    changed = await api.request("PUT", "/jobs/moved", {**JOB, "id": "moved", "name": "2"}, headers={"If-Match": old})
    new = changed.headers["ETag"]
    assert changed.body["version"] == 2
    assert int(new.strip('"')) > int(old.strip('"'))
    for method, body in (("PUT", {**JOB, "id": "moved", "name": "3"}), ("DELETE", None)):
        answer = await api.request(method, "/jobs/moved", body, headers={"If-Match": old})
        assert answer.problem == (412, "precondition-failed")
    assert (await api.request("GET", "/jobs/moved", headers={"If-None-Match": new})).status == 304
    assert (await api.ask("GET", "/jobs/moved"))["name"] == "2"
    assert [one["version"] for one in (await api.ask("GET", "/jobs/moved/versions"))["items"]] == [2, 1]
    assert (await api.ask("GET", "/jobs/moved?version=1"))["name"] == "moved"
    assert (await api.request("DELETE", "/jobs/moved", headers={"If-Match": new})).status == 204
    assert (await api.request("GET", "/jobs/moved")).status == 404


@proves("gateway.definitions.publish: revisions are made")
async def test_definitions_leave_in_the_order_of_their_revisions_when_many_write_at_once(api: Gateway) -> None:
    """Without the lock a consumer that has seen revision 9 may still lack revision 8, and start an older job."""
    await asyncio.gather(*(api.ask("POST", "/jobs", {**JOB, "id": f"order-{number}"}) for number in range(20)))
    await asyncio.gather(*(api.ask("PUT", f"/jobs/order-{number % 4}", JOB | {"id": f"order-{number % 4}"})
                           for number in range(20)))  # fmt: skip
    async with api.connection() as connection:
        kept = await connection.fetch("SELECT id, revision FROM definition_version ORDER BY revision")
    rows: list[tuple[str, int]] = [(row["id"], row["revision"]) for row in kept]
    assert len({revision for _, revision in rows}) == len(rows)
    for id in ("order-0", "order-3"):
        mine = [revision for name, revision in rows if name == id]
        snapshots = await sent(api, "definitions.v1", len(mine), DefinitionSnapshot, f"job:{id}")
        assert [event.data.revision for event in snapshots] == mine
        assert isinstance(snapshots[-1].data.definition, Job)


async def test_a_definition_and_its_message_are_written_together_or_not_at_all(api: Gateway) -> None:
    async with api.connection() as connection:
        await connection.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            "IF NEW.topic = 'definitions.v1' THEN RAISE 'no'; END IF; RETURN NEW; END $$;"
            "CREATE TRIGGER refuse BEFORE INSERT ON outbox FOR EACH ROW EXECUTE FUNCTION refuse()"
        )
        try:
            answer = await api.request("POST", "/jobs", {**JOB, "id": "half"})
        finally:
            await connection.execute("DROP TRIGGER refuse ON outbox; DROP FUNCTION refuse()")
    assert answer.problem == (500, "internal")
    assert (await api.request("GET", "/jobs/half")).status == 404
    assert await api.value("SELECT count(*) FROM definition_version WHERE id = 'half'") == 0


async def test_what_is_asked_of_a_plan_is_an_operation_until_it_is_answered(api: Gateway) -> None:
    plan = await api.ask("POST", "/plans", {"items": [item(0)]})
    where = f"/plans/{plan['id']}"
    response = await api.request("POST", f"{where}/pause", {"reason": "look first"})
    assert response.status == 202
    operation = await api.ask("GET", f"/operations/{response.body['operation_id']}")
    assert (operation["state"], operation["operation"], operation["actor"], operation["reason"]) == (
        "pending", "plan.pause", "user:ann", "look first",
    )  # fmt: skip
    assert (await api.ask("GET", where))["pending_operation"]["operation_id"] == response.body["operation_id"]
    await api.ask("PUT", f"{where}/rules", {"rules": {"limit": 3}})
    await api.ask("POST", f"{where}/cancel", {"kill": True})
    (pause,) = await sent(api, "requests.v1", 1, PlanPause, plan["id"])
    assert (str(pause.data.operation_id), pause.data.reason) == (response.body["operation_id"], "look first")
    (rules,) = await sent(api, "requests.v1", 1, PlanRulesRequest, plan["id"])
    assert rules.data.rules.limit == 3
    (cancel,) = await sent(api, "requests.v1", 1, PlanCancel, plan["id"])
    assert cancel.data.kill
    assert (await api.request("POST", f"{where}/retry", {})).problem == (409, "conflict")


async def test_a_token_does_what_it_may_until_it_is_revoked_or_over(api: Gateway) -> None:
    token = await api.another_token("job.read")
    assert (await api.request("GET", "/jobs", token=token)).status == 200
    answer = await api.request("POST", "/jobs/nightly/start", {}, token=token)
    assert answer.problem == (403, "forbidden")
    assert "plan.start" in answer.body["detail"]
    id = token.split("_")[1]
    answers = {(await api.request("GET", "/jobs", token=bad)).text.partition("trace_id")[0]
            for bad in ("", "x", token[:-1] + "!", token[:-2] + "AA", "sbt_aaaaaaaaaaaa_" + "x" * 43)}  # fmt: skip
    async with api.connection() as connection:
        for change in (
            "UPDATE token SET expires_at = now() WHERE id = $1",
            "UPDATE token SET expires_at = NULL, revoked_at = now() WHERE id = $1",
        ):
            await connection.execute(change, id)
            answer = await api.request("GET", "/jobs", token=token)
            assert answer.problem == (401, "unauthenticated")
            answers.add(answer.text.partition("trace_id")[0])
    assert len(answers) == 1, "each bad token is refused in the same words"


async def test_a_secret_is_never_shown_and_stays_while_something_names_it(api: Gateway) -> None:
    shown = await api.ask("PUT", "/secrets/db.pass", {"value": "hunter2", "uses": ["work"], "description": "d"})
    assert shown["uses"] == ["work"]
    for path in ("/secrets", "/secrets/db.pass"):
        assert "hunter2" not in str(shown) + str(await api.ask("GET", path))
    await api.ask("POST", "/engines", {"id": "host", "connection": {"kind": "process"}})
    work = {"kind": "process", "argv": ["/bin/true"], "environment": {"PASS": "secret://db.pass"}}
    await api.ask("POST", "/jobs", {"id": "uses-it", "engine": "host", "work": work})
    answer = await api.request("DELETE", "/secrets/db.pass")
    assert answer.problem == (409, "in-use")
    assert answer.body["users"] == ["job:uses-it"]
    await api.ask("DELETE", "/jobs/uses-it")
    assert (await api.request("DELETE", "/secrets/db.pass")).status == 204


async def test_the_callers_trace_goes_on_to_the_message(api: Gateway) -> None:
    trace = uuid.uuid4().hex
    headers = {"traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
    answer = await api.request("POST", "/plans", {"items": [item(0)]}, headers=headers)
    assert (answer.headers["X-Trace-Id"], answer.body["trace_id"]) == (trace, trace)
    consumer: Any = AIOKafkaConsumer(bootstrap_servers=api.bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    consumer.subscribe([topic("requests.v1").full_name(f"{api.schema}.")])
    async with asyncio.timeout(120):
        while True:
            record = await consumer.getone()
            if record.key == answer.body["id"].encode():
                break
    await consumer.stop()
    assert trace in dict(record.headers)["traceparent"].decode()


async def test_a_hundred_thousand_items_are_accepted_in_one_request_while_others_are_answered(api: Gateway) -> None:
    body = {"name": "bulk", "items": [item(number) for number in range(100_000)]}
    data = io.BytesIO(json.dumps(body).encode())
    began = time.monotonic()
    starting = asyncio.create_task(api.request("POST", "/plans", data=data))
    slowest = 0.0
    while not starting.done():
        sent_at = time.monotonic()
        assert (await api.request("GET", "/me")).status == 200
        slowest = max(slowest, time.monotonic() - sent_at)
    answer = await starting
    took = time.monotonic() - began
    assert answer.status == 202, answer.text[:500]
    assert answer.body["counts"]["total"] == 100_000
    print(f"100,000 items in {took:.1f} s with the client in the same process; slowest other answer {slowest:.2f} s")
    assert (await api.ask("GET", f"/plans/{answer.body['id']}"))["state"] == "ACCEPTED"
    pages = await sent(api, "requests.v1", 500, PlanRequest, answer.body["id"])
    assert [one.data.page for one in pages] == list(range(1, 501))
    assert sum(len(one.data.items) for one in pages) == 100_000
