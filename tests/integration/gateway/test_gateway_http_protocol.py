"""What holds before a route is reached: methods, heads, bodies as they come; and what is kept for how long."""

import asyncio
import io
import json
import uuid
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from signalbox_contracts.messages.plans import PlanRecord
from signalbox_contracts.messages.reprocessing import ReprocessingRecord, ReprocessingStatus
from signalbox_gateway.http import protocol
from signalbox_gateway.read_model import prune, reprocessing
from signalbox_gateway.read_model.rows import plan_row
from signalbox_gateway.read_model.writes import write_plans
from support.gateway import JOB, SCRIPTED, Gateway, item, running_gateway

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(postgres_url: str, kafka_bootstrap: str) -> AsyncGenerator[Gateway]:
    async with running_gateway(postgres_url, kafka_bootstrap, token_cache_seconds=0.0) as api:
        await api.ask("POST", "/engines", SCRIPTED)
        await api.ask("POST", "/jobs", JOB)
        yield api


async def raw(api: Gateway, data: bytes, *, more: bytes = b"", times: int = 0) -> bytes:
    """What the server answers to these bytes until it closes the connection."""
    host, _, port = api.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(data)
        for _ in range(times):
            writer.write(more)
            await writer.drain()
    except ConnectionError:
        pass  # it has answered and closed already
    try:
        async with asyncio.timeout(60):
            return await reader.read()
    except ConnectionError:
        return b"reset"
    finally:
        writer.close()


async def test_a_head_over_64_kib_is_refused_before_more_of_it_is_kept(api: Gateway) -> None:
    """Without the bound one header of 64 MiB blocks every other caller for seconds."""
    answer = await raw(api, b"GET /api/v1/me HTTP/1.1\r\nHost: x\r\nX-Long: ", more=b"a" * 65_536, times=100)
    assert answer.startswith(b"HTTP/1.1 431") or answer == b"reset"
    answer = await raw(api, b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 431")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["type"] == "/problems/header-too-large"
    assert (await api.request("GET", "/me")).status == 200


async def test_a_head_that_does_not_end_is_refused_in_time(api: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.5)
    answer = await raw(api, b"GET /api/v1/me HTTP/1.1\r\nHost: x\r\n")
    assert answer.startswith(b"HTTP/1.1 408")
    assert await raw(api, b"") == b"", "a connection without a request is closed"


POST = b"POST /api/v1/plans HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize("begin", [b"0\r\nx: ", b"2;", b"2\r\n{}\r\n0\r\n"], ids=["trailer", "extension", "trailers"])
async def test_what_surrounds_a_body_is_bounded_as_the_head_is(
    api: Gateway, begin: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the bound trailers fill the memory, without a token: 60 MiB of them took 1.3 GB."""
    monkeypatch.setattr(protocol, "BODY_SECONDS", 3600)  # a body that is late is not what ends it
    more = b"a: b\r\n" * 11_000 if begin.endswith(b"0\r\n") else b"a" * 65_536
    answer = await raw(api, POST + b"Transfer-Encoding: chunked\r\n\r\n" + begin, more=more, times=100)
    assert answer.startswith((b"HTTP/1.1 431", b"HTTP/1.1 401")) or answer == b"reset"
    assert answer.count(b"HTTP/1.1") <= 1
    assert (await api.request("GET", "/me")).status == 200


async def test_a_body_that_does_not_come_is_refused_in_time(api: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it whoever may log in, which is everybody, holds a connection for ever."""
    monkeypatch.setattr(protocol, "BODY_SECONDS", 0.5)
    login = POST.replace(b"/plans", b"/auth/login") + b"Content-Length: 100\r\n\r\n{"
    assert (await raw(api, login)).startswith(b"HTTP/1.1 408")
    answer = await raw(api, POST + b"Content-Length: 100\r\n\r\n{")
    assert answer.startswith(b"HTTP/1.1 401")
    assert answer.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize("hosts", [b"", b"Host: a\r\nHost: b\r\n"])
async def test_a_request_has_one_host(api: Gateway, hosts: bytes) -> None:
    """RFC 9112, 3.2: a proxy before us may have taken the other one."""
    assert (await raw(api, b"GET /healthz HTTP/1.1\r\n" + hosts + b"\r\n")).startswith(b"HTTP/1.1 400")


async def test_every_method_of_a_path_is_known(api: Gateway) -> None:
    for path, allowed in (
        ("/jobs/nightly", "DELETE, GET, HEAD, OPTIONS, PUT"), ("/jobs", "GET, HEAD, OPTIONS, POST"),
    ):  # fmt: skip
        options = await api.request("OPTIONS", path, token="")
        assert (options.status, options.headers["Allow"]) == (204, allowed)
        refused = await api.request("PATCH", path)
        assert refused.problem == (405, "method-not-allowed")
        assert refused.headers["Allow"] == allowed
    assert (await api.request("OPTIONS", "/nothing")).status == 404


async def test_head_answers_as_get_without_a_body(api: Gateway) -> None:
    got = await api.request("GET", "/jobs/nightly")
    async with api.session.head("/api/v1/jobs/nightly", headers={"Authorization": f"Bearer {api.token}"}) as answer:
        assert (answer.status, await answer.read()) == (200, b"")
        assert answer.headers["ETag"] == got.headers["ETag"]
        assert answer.headers["Content-Length"] == got.headers["Content-Length"]


async def test_if_match_of_a_secret_names_its_version_and_weak_tags_match_nothing(api: Gateway) -> None:
    body = {"value": "x", "uses": ["work"]}
    made = await api.request("PUT", "/secrets/tagged", body)
    tag = made.headers["ETag"]
    for wrong in ('"999"', f"W/{tag}"):
        for method, sent in (("PUT", body), ("DELETE", None)):
            answer = await api.request(method, "/secrets/tagged", sent, headers={"If-Match": wrong})
            assert answer.problem == (412, "precondition-failed")
    job = (await api.request("GET", "/jobs/nightly")).headers["ETag"]
    assert (await api.request("PUT", "/jobs/nightly", JOB, headers={"If-Match": f"W/{job}"})).status == 412
    assert (await api.request("DELETE", "/secrets/tagged", headers={"If-Match": tag})).status == 204


async def test_if_match_is_refused_where_there_is_no_revision(api: Gateway) -> None:
    """Without it a conditional change overwrites the change of another caller."""
    plan = (await api.ask("POST", "/plans", {"items": [item(0)]}))["id"]
    await api.ask("POST", "/users", {"username": "ben", "name": "Ben"})
    for method, path, body in (
        ("PUT", f"/plans/{plan}/rules", {"rules": {"limit": 2}}),
        ("PUT", "/users/ben", {"name": "Benjamin"}),
        ("DELETE", "/users/ben", None),
    ):
        answer = await api.request(method, path, body, headers={"If-Match": '"1"'})
        assert answer.problem == (412, "precondition-failed"), path
        assert "has no revision" in answer.body["detail"]
    assert (await api.ask("GET", "/users/ben"))["name"] == "Ben"
    assert (await api.request("PUT", "/users/ben", {"name": "Benjamin"})).status == 200


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/jobs/nightly/stop", {"kill": "off"}, "kill"),
        ("/jobs/nightly/start", {"event_date": "20260331"}, "event_date"),
        ("/jobs/nightly/start", {"event_date": 86400}, "event_date"),
        ("/jobs", {**JOB, "id": "x", "priority": "7"}, "priority"),
        ("/jobs/nightly/start", {"rules": {"limit": "2"}}, "rules.limit"),
        (
            "/engines",
            {"connection": {"kind": "scripted", "url": "http://u:p@127.0.0.1:9"}, "id": "x"},
            "connection.url",
        ),
        ("/engines", {"connection": {"kind": "oozie", "url": "http://168.63.129.16/"}, "id": "x"}, "connection.url"),
        ("/engines", {"connection": {"kind": "oozie", "url": "http://[fec0::1]/"}, "id": "x"}, "connection.url"),
    ],
)
async def test_values_of_another_type_and_addresses_inside_are_refused(
    api: Gateway, path: str, body: dict[str, Any], field: str
) -> None:
    answer = await api.request("POST", path, body)
    assert answer.problem == (422, "invalid")
    assert answer.fields == [field]


@pytest.mark.parametrize(
    "query",
    [
        "created_after=0.5",
        "ended_after=0.5",
        "ended_before=20260331",
        "limit=1&limit=2",
        "q=a&q=b",
        "limit=7.0",
        "limit=%2B7",
        "limit=1_0",
    ],
)
async def test_a_query_is_read_as_it_is_written_or_refused(api: Gateway, query: str) -> None:
    assert (await api.request("GET", f"/plans?{query}")).problem == (422, "invalid")
    assert (await api.request("GET", "/plans?state=RUNNING&state=FAILED")).status == 200


async def test_a_large_body_that_no_hop_can_carry_holds_nobody_up(api: Gateway) -> None:
    """One item of millions of objects, and millions of items: both are refused while they are read."""
    bodies = (b'{"items":[{"a":[' + b"{}," * 4_000_000 + b"{}]}]}", b'{"items":[' + b"[]," * 4_000_000 + b"[]]}")
    for data in bodies:
        asking = asyncio.create_task(api.request("POST", "/plans", data=io.BytesIO(data)))
        while not asking.done():
            assert (await api.request("GET", "/healthz")).status == 200
        assert (await asking).problem == (422, "invalid")


async def test_retention_deletes_old_ended_plans_and_nothing_that_runs(api: Gateway) -> None:
    ids = [(await api.ask("POST", "/plans", {"items": [item(0)]}))["id"] for _ in range(3)]
    async with api.connection() as connection:
        for id, state, days in zip(ids, ("SUCCEEDED", "SUCCEEDED", "RUNNING"), (100, 10, 100), strict=True):
            await connection.execute(
                "UPDATE plan SET state = $2, ended_at = now() - make_interval(days => $3) WHERE id = $1",
                id,
                state,
                days,
            )
            await connection.execute(
                "INSERT INTO task (id, plan_id, item_key, version) VALUES (gen_random_uuid(), $1, 'a', 1)", id
            )
        jobs = [reprocessing_record(days) for days in (100, 10, None)]
        await reprocessing.write_states(connection, jobs)
        assert await prune.count(connection, 90) == {
            "plans": 1, "tasks": 1, "operations": 0, "parked messages": 0, "incidents": 0, "deliveries": 0,
            "reprocessing jobs": 1, "bulk operations": 0,
        }  # fmt: skip
        assert (await prune.prune(connection, 90))["plans"] == 1
        assert not any((await prune.prune(connection, 90)).values())
        rows = await connection.fetch("SELECT id FROM plan WHERE id = ANY($1)", ids)
        assert {str(row["id"]) for row in rows} == set(ids[1:])
        assert await connection.fetchval("SELECT count(*) FROM task WHERE plan_id = ANY($1)", ids) == 2
        kept = await connection.fetch(
            "SELECT id FROM reprocessing_job WHERE id = ANY($1)", [one.job_id for one in jobs]
        )
        assert {row["id"] for row in kept} == {one.job_id for one in jobs[1:]}


def reprocessing_record(days: int | None) -> ReprocessingRecord:
    """The state of a job that ended so many days ago; None: it runs."""
    if days is None:
        return ReprocessingRecord(job_id=uuid.uuid4(), version=1, status=ReprocessingStatus.RUNNING)
    ended_at = datetime.now(UTC) - timedelta(days=days)
    return ReprocessingRecord(
        job_id=uuid.uuid4(), version=1, status=ReprocessingStatus.COMPLETED, completed_at=ended_at
    )


async def test_lists_read_page_by_page_miss_nothing_while_the_planner_answers(api: Gateway) -> None:
    """The planner's own `created_at` must not move a plan behind the cursor."""
    made = {(await api.ask("POST", "/plans", {"items": [item(0)], "name": "paged"}))["id"] for _ in range(12)}
    seen: set[str] = set()
    cursor = ""
    while True:
        page = await api.ask("GET", f"/plans?q=paged&limit=3{cursor}")
        seen |= {plan["id"] for plan in page["items"]}
        async with api.connection() as connection:
            await restate_all(connection)
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert made <= seen


async def restate_all(connection: Any) -> None:
    """Write the planner's next fact of every plan, with a `created_at` of its own."""
    rows = await connection.fetch("SELECT record, version FROM plan WHERE name = 'paged'")
    records = [PlanRecord.model_validate_json(row["record"]) for row in rows]
    now = await connection.fetchval("SELECT clock_timestamp()")
    newer = [
        record.model_copy(update={"version": row["version"] + 1, "created_at": now})
        for record, row in zip(records, rows, strict=True)
    ]
    await write_plans(connection, [plan_row(record, None) for record in newer], [])


async def test_values_that_only_a_later_model_refuses_are_refused_too(api: Gateway) -> None:
    """Found by generated requests: a source with control characters, a parameter without a name."""
    answer = await api.request("POST", "/events/a%01b", {"type": "file.created", "id": "42"})
    assert (answer.problem, answer.fields) == ((422, "invalid"), ["source"])
    await api.ask("POST", "/schedules", {"id": "s", "target": {"kind": "job", "id": "nightly"}, "cron": "0 2 * * *"})
    answer = await api.request("POST", "/schedules/s/run", {"params": {"\u00ad": 1}})
    assert answer.problem == (422, "invalid")
    answer = await api.request("POST", "/schedules/preview", {"cron": "0 2 * * *"}, headers={"Idempotency-Key": ""})
    assert answer.fields == ["Idempotency-Key"]


async def test_work_that_cannot_be_rendered_with_its_values_is_refused_at_once(api: Gateway) -> None:
    """Without it the start is taken, and the planner refuses it later."""
    await api.ask("POST", "/engines", {"id": "here", "connection": {"kind": "process"}})
    work = {"kind": "process", "argv": ["/bin/true", "{{ params.size | round }}"]}
    await api.ask(
        "POST", "/jobs", {"id": "sized", "engine": "here", "work": work, "params": {"size": {"type": "json"}}}
    )
    answer = await api.request("POST", "/jobs/sized/start", {"params": {"size": "large"}})
    assert (answer.problem, answer.fields) == ((422, "invalid"), ["params"]), answer.text
    await api.ask("POST", "/jobs/sized/start", {"params": {"size": 1.5}})
