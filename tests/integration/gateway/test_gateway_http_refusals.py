"""What the gateway refuses, over HTTP on real servers: the right problem with its field, and nothing changed."""

import asyncio
import base64
import io
import json
import re
from collections import Counter
from collections.abc import AsyncGenerator
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio
from multidict import CIMultiDict
from yarl import URL

from support.gateway import JOB, SCRIPTED, Gateway, item, running_gateway

pytestmark = pytest.mark.asyncio(loop_scope="module")
NUL = "a\0b"
NOTHING: dict[str, Any] = {}
_ALL = """
SELECT (SELECT count(*) FROM definition_version), (SELECT max(revision) FROM definition), (SELECT count(*) FROM plan),
    (SELECT count(*) FROM operation), (SELECT count(*) FROM outbox WHERE key <> 'plans:all'::bytea),
    (SELECT count(*) FROM idempotency)
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(postgres_url: str, kafka_bootstrap: str) -> AsyncGenerator[Gateway]:
    async with running_gateway(postgres_url, kafka_bootstrap, plan_body_bytes=2_000_000) as api:
        await api.ask("POST", "/engines", SCRIPTED)
        await api.ask("POST", "/engines", {"id": "host", "connection": {"kind": "process"}})
        await api.ask("POST", "/jobs", JOB)
        yield api


async def everything(api: Gateway) -> Any:
    """What a refused request must leave as it was: also the number of messages ever written."""
    async with api.connection() as connection:
        return tuple(await connection.fetchrow(_ALL) or ())


def plan(**changes: Any) -> dict[str, Any]:
    return {"name": "x", "items": [item(0), item(1)], **changes}


def with_item(**changes: Any) -> dict[str, Any]:
    return plan(items=[item(0), item(1, **changes)])


@pytest.mark.parametrize(
    ("method", "path", "body", "fields"),
    [
        pytest.param("POST", "/plans", with_item(engine="sparky"), ["items.1.engine"], id="unknown engine"),
        pytest.param("POST", "/plans", with_item(engine="host"), ["items.1.work.kind"], id="engine of another kind"),
        pytest.param("POST", "/plans", with_item(key="item/0"), ["items.1.key"], id="key used twice"),
        pytest.param("POST", "/plans", plan(colour="red"), ["colour"], id="unknown field"),
        pytest.param("POST", "/plans", plan(rules={"limit": -1}), ["rules.limit"], id="rules"),
        pytest.param("POST", "/plans", plan(rules={"limi": 1}), ["rules.limi"], id="misspelt rule"),
        pytest.param("POST", "/plans", plan(items=[]), ["items"], id="no items"),
        pytest.param("POST", "/plans", plan(job={"id": "nightly"}), ["body"], id="both items and a job"),
        pytest.param("POST", "/plans", with_item(key=NUL), ["items.1.key"], id="zero byte in a key"),
        pytest.param("POST", "/plans", plan(name=NUL), ["name"], id="zero byte in a name"),
        pytest.param("POST", "/plans", plan(labels={"a": NUL}), ["labels.a"], id="zero byte in a label"),
        pytest.param("POST", "/plans", plan(reason=NUL), ["reason"], id="zero byte in a reason"),
        pytest.param("POST", "/plans", [1], ["body"], id="no object"),
        pytest.param("POST", "/jobs", {**JOB, "id": "b", "engine": "sparky"}, ["engine"], id="job on no engine"),
        pytest.param("POST", "/jobs", {**JOB, "id": "b", "shedule": "x"}, ["shedule"], id="unknown field of a job"),
        pytest.param("POST", "/jobs", {**JOB, "id": "A b"}, ["id"], id="id with a blank"),
        pytest.param("POST", "/jobs", {**JOB, "id": "b", "labels": {"a": NUL}}, ["labels.a"], id="zero byte in a job"),
        pytest.param("PUT", "/jobs/nightly", {**JOB, "id": "other"}, ["id"], id="another id than the path's"),
        pytest.param("POST", "/jobs/nightly/start", {"params": {"day": 1}}, ["params.day"], id="undeclared parameter"),
        pytest.param("POST", "/jobs/nightly/start", {"version": 2}, ["version"], id="version not there"),
        pytest.param("POST", "/jobs/nightly/start", {"version": 2**40}, ["version"], id="version beyond any"),
        pytest.param("POST", "/engines", {"id": "e", "connection": {"kind": "cobol"}}, ["connection"], id="kind"),
        pytest.param("GET", "/jobs?colour=red", None, ["colour"], id="unknown query parameter"),
        pytest.param("GET", "/jobs?limit=201", None, ["limit"], id="page too large"),
        pytest.param("GET", "/jobs?cursor=abc", None, ["cursor"], id="cursor of nobody"),
        pytest.param("GET", "/jobs?q=%00", None, ["q"], id="zero byte in a filter"),
        pytest.param("GET", "/jobs?label=a:%00", None, ["label"], id="zero byte in a label's filter"),
        pytest.param("GET", "/plans?project=%00", None, ["project"], id="zero byte in a plan's filter"),
        pytest.param("GET", "/jobs/nightly?version=99999999999", None, ["version"], id="version no integer holds"),
        pytest.param("GET", "/plans/x", None, ["id"], id="no id of a plan"),
        pytest.param("GET", "/plans?min_version=1", None, ["min_version"], id="another route's parameter"),
        pytest.param("PUT", "/secrets/a", {"value": "", "uses": ["work"]}, ["value"], id="empty secret"),
        pytest.param("PUT", "/secrets/a", {"value": "x", "uses": []}, ["uses"], id="secret of no use"),
        pytest.param("PUT", "/secrets/a", {"value": "é" * 40_000, "uses": ["work"]}, ["value"], id="large secret"),
        pytest.param("PUT", "/secrets/-a", {"value": "x", "uses": ["work"]}, ["name"], id="name of a secret"),
    ],
)  # fmt: skip
async def test_a_wrong_request_names_its_field_and_changes_nothing(
    api: Gateway, method: str, path: str, body: Any, fields: list[str]
) -> None:
    before = await everything(api)
    answer = await api.request(method, path, body)
    assert answer.problem == (422, "invalid"), answer.text
    assert [name for name in answer.fields if any(name.startswith(one) for one in fields)], answer.text
    assert answer.body["trace_id"] == answer.headers["X-Trace-Id"]
    assert await everything(api) == before


async def test_an_unknown_engine_is_answered_with_those_there_are(api: Gateway) -> None:
    answer = await api.request("POST", "/plans", with_item(engine="sparky"))
    (error,) = answer.body["errors"]
    assert error["value"] == "'sparky'"
    assert "host" in error["allowed"]
    assert "scripted" in error["allowed"]


@pytest.mark.parametrize(
    ("method", "path", "body", "problem"),
    [
        ("POST", "/jobs/none/start", NOTHING, (404, "not-found")),
        ("GET", "/jobs/%00", None, (404, "not-found")),
        ("GET", "/nothing", None, (404, "not-found")),
        ("DELETE", "/jobs", None, (405, "method-not-allowed")),
        ("POST", "/jobs", JOB, (409, "conflict")),
        ("DELETE", "/engines/scripted", None, (409, "in-use")),
        ("POST", "/plans/00000000-0000-4000-8000-000000000000/pause", NOTHING, (404, "not-found")),
    ],
)
async def test_what_is_not_there_or_does_not_fit_is_refused(
    api: Gateway, method: str, path: str, body: Any, problem: tuple[int, str]
) -> None:
    before = await everything(api)
    answer = await api.request(method, path, body)
    assert answer.problem == problem, answer.text
    assert await everything(api) == before


async def test_a_body_that_is_no_json_is_refused(api: Gateway) -> None:
    for text in ("{", '{"a": NaN}', '"\\ud800"', "[" * 100_000, "\x00"):
        answer = await api.request("POST", "/jobs", data=text.encode())
        assert answer.problem == (422, "invalid"), text[:20]
        assert answer.fields == ["body"]


@pytest.mark.parametrize(("path", "max_bytes"), [("/jobs", 1_048_576), ("/plans", 2_000_000)])
async def test_a_body_over_its_cap_is_refused_with_and_without_its_length(
    api: Gateway, path: str, max_bytes: int
) -> None:
    before = await everything(api)

    async def in_pieces() -> AsyncGenerator[bytes]:
        for _ in range(max_bytes // 65_536 + 2):
            yield b" " * 65_536

    for data in (io.BytesIO(b" " * (max_bytes + 1)), in_pieces()):
        answer = await api.request("POST", path, data=data)
        assert answer.problem == (413, "too-large")
        assert str(max_bytes) in answer.body["detail"]
    assert await everything(api) == before


async def test_a_client_that_reads_only_when_all_is_sent_gets_its_refusal(api: Gateway) -> None:
    """Without reading on to its end the connection is reset, and the answer may be lost with it."""
    at, size = URL(api.url), 4 * 1_048_576
    head = (
        f"POST /api/v1/jobs HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {api.token}\r\nContent-Length: {size}\r\n\r\n"
    )
    for _ in range(10):
        reader, writer = await asyncio.open_connection(at.host, at.port)
        writer.write(head.encode())
        for _ in range(size // 65_536):
            writer.write(b" " * 65_536)
            await writer.drain()
        assert (await reader.read()).startswith(b"HTTP/1.1 413 ")
        writer.close()
        await writer.wait_closed()


async def test_an_item_or_a_job_too_large_for_a_message_is_refused_by_name(api: Gateway) -> None:
    before = await everything(api)
    huge = {"kind": "process", "argv": ["/bin/true", *("x" * 4000 for _ in range(200))]}
    answer = await api.request("POST", "/plans", with_item(engine="host", work=huge))
    assert answer.status in (413, 422), answer.text
    assert answer.fields[0].startswith("items.1"), answer.text
    answer = await api.request("POST", "/jobs", {"id": "huge", "engine": "host", "work": huge})
    assert answer.status in (413, 422), answer.text
    assert await everything(api) == before


@pytest.mark.parametrize("value", [["hunter2"], {"a": "hunter2"}, "hunter2" * 20_000, "hunter2\0"])
async def test_what_was_to_be_a_secret_is_in_no_problem(api: Gateway, value: Any) -> None:
    answer = await api.request("PUT", "/secrets/pass", {"value": value, "uses": ["work"]})
    assert answer.problem == (422, "invalid")
    assert answer.fields[0].startswith("value")
    assert "hunter2" not in answer.text
    assert (await api.request("GET", "/secrets/pass")).problem == (404, "not-found")


async def test_without_a_token_nothing_is_revealed_about_a_route(api: Gateway) -> None:
    for path in ("/jobs?colour=red", "/jobs?limit=201", "/plans/x", "/jobs/%00"):
        answer = await api.request("GET", path, token="")
        assert answer.problem == (401, "unauthenticated")
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")


WORDS = (
    "", "99999999999999999999", "-1", "%FF", "%C3%A9", "'", "a:b", ":", "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59-14:00", "%F0%9F%90%99", "..%2F..%2Fetc", "00000000-0000-4000-8000-000000000000", "eyJhIjoxfQ",
    "0s",
)  # fmt: skip


async def test_no_value_of_a_parameter_makes_the_gateway_fail(api: Gateway) -> None:
    """What no column, calendar or range holds is refused or finds nothing; it never is an error of ours.

    A parameter that many lists share, such as `limit`, is tried on three of them.
    """
    document = (await api.request("GET", "/openapi.json")).body
    failed: list[str] = []
    tried: Counter[str] = Counter()
    for path, methods in document["paths"].items():
        if "get" not in methods or path.endswith("/status"):
            continue
        parameters = [one for one in methods["get"].get("parameters", []) if "in" in one]
        tried.update(map(json.dumps, parameters))
        query = [one["name"] for one in parameters if one["in"] == "query" and tried[json.dumps(one)] <= 3]
        usual = path
        for one in parameters:
            if one["in"] == "path":
                usual = usual.replace(f"{{{one['name']}}}", "00000000-0000-4000-8000-000000000000")
        for word in WORDS:
            urls = [re.sub(r"\{.*?\}", word or "x", path)] if "{" in path else []
            urls += [f"{usual}?{name}={word}" for name in query]
            answers = await asyncio.gather(*(api.request("GET", url) for url in urls))
            failed += [f"{answer.status} {url}" for answer, url in zip(answers, urls, strict=True)]
    assert len(failed) > 300
    assert not [one for one in failed if one.startswith("5")]


@pytest.mark.parametrize(
    ("path", "forged"),
    [
        ("/plans", ["plans", "9999-12-31T23:59:59-14:00", "00000000-0000-4000-8000-000000000000"]),
        ("/plans", ["plans", "2026-01-01T00:00:00Z", "x"]),
        ("/jobs", ["names", NUL]),
        ("/jobs", ["plans", "2026-01-01T00:00:00Z", "00000000-0000-4000-8000-000000000000"]),
        ("/jobs", ["names"]),
        ("/jobs", {"names": 1}),
    ],
)
async def test_a_forged_cursor_is_refused(api: Gateway, path: str, forged: Any) -> None:
    cursor = base64.urlsafe_b64encode(json.dumps(forged).encode()).decode().rstrip("=")
    answer = await api.request("GET", f"{path}?cursor={cursor}")
    assert answer.problem == (422, "invalid"), answer.text
    assert answer.fields == ["cursor"]


async def test_a_cursor_beyond_every_position_is_the_end(api: Gateway) -> None:
    started = await api.ask("POST", "/plans", plan())
    nobody = "00000000-0000-4000-8000-000000000000"
    for place, kind in (("items", "items"), ("tasks", "tasks_of_plan")):
        cursor = base64.urlsafe_b64encode(json.dumps([kind, 2**40, nobody]).encode()).decode().rstrip("=")
        page = await api.ask("GET", f"/plans/{started['id']}/{place}?cursor={cursor}")
        assert page == {"items": [], "next_cursor": None}
    cursor = base64.urlsafe_b64encode(json.dumps(["versions", 2**40]).encode()).decode().rstrip("=")
    await api.ask("POST", "/jobs", {**JOB, "id": "one-version"})
    assert len((await api.ask("GET", f"/jobs/one-version/versions?cursor={cursor}"))["items"]) == 1


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content-Type": "application/json", "Content-Encoding": "gzip"}, 415),
        ({"Content-Type": "application/json; charset=utf-8"}, 201),
    ],
)
async def test_a_body_is_json_and_nothing_else(api: Gateway, headers: dict[str, str], status: int) -> None:
    answer = await api.request("POST", "/jobs", data=json.dumps({**JOB, "id": "typed"}), headers=headers)
    assert answer.status == status, answer.text


@pytest.mark.parametrize("media_type", ["application/octet-stream", "application/x-www-form-urlencoded"])
async def test_without_a_body_its_type_does_not_matter(api: Gateway, media_type: str) -> None:
    """aiohttp and curl name one with an empty body."""
    headers = {"Content-Type": media_type, "Content-Length": "0"}
    answer = await api.request("POST", f"/jobs/{JOB['id']}/start", data=b"", headers=headers)
    assert answer.status == 202, answer.text


async def test_a_request_with_two_tokens_is_refused(api: Gateway) -> None:
    """Whichever of both a proxy checked, the other one must not count."""
    headers = CIMultiDict([("Authorization", f"Bearer {api.token}"), ("Authorization", "Bearer sbt_other")])
    async with api.session.get("/api/v1/me", headers=headers) as answer:
        assert answer.status == 400
        assert (await answer.json(content_type=None))["type"] == "/problems/bad-request"


async def test_without_a_blob_store_its_routes_name_the_setting_and_are_not_asked_again(api: Gateway) -> None:
    """503 reads as an outage: the command line asked again for 5 minutes."""
    flink = {"kind": "flink", "connection": {"kind": "flink", "url": "http://127.0.0.1:1"}}
    await api.ask("POST", "/engines", {"id": "flinky", "connection": flink["connection"]})
    work = {"kind": "flink", "entry_class": "jobs.Main"}
    await api.ask("POST", "/jobs", {"id": "flinky", "name": "Flinky", "engine": "flinky", "work": work})
    for path in ("/jobs/flinky/artifact", "/jobs/flinky/savepoints"):
        answer = await api.request("GET", path)
        assert (answer.problem, answer.headers.get("Retry-After")) == ((501, "not-configured"), None), path
        assert "SIGNALBOX_BLOB_URL" in answer.body["detail"]
    headers = {"Authorization": "Bearer secret"}
    run = f"/starts/sb-{UUID(int=1)}-1/claim"
    answer = await api.request("POST", run, {"run": "r", "nonce": "n" * 16}, headers=headers)
    assert answer.problem == (409, "conflict")
    assert "SIGNALBOX_BLOB_URL" in answer.body["detail"]
