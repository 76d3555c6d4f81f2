"""Definitions of every kind, by one mechanism, on a real gateway."""

from collections.abc import AsyncGenerator
from typing import Any

import pytest
import pytest_asyncio

from signalbox_gateway.definitions.kinds import KINDS
from support.gateway import JOB, SCRIPTED, Gateway, running_gateway

pytestmark = pytest.mark.asyncio(loop_scope="module")
STEP: dict[str, Any] = {"id": "load", "engine": "scripted", "work": {"kind": "scripted", "script": {}}}
WRITTEN: dict[str, dict[str, Any]] = {
    "engine": {"connection": {"kind": "scripted", "url": "http://127.0.0.1:9"}},
    "job": {"engine": "scripted", "work": {"kind": "scripted", "script": {}}},
    "pipeline": {"steps": [STEP]},
    "schedule": {"target": {"kind": "job", "id": "nightly"}, "cron": "0 2 * * *"},
    "trigger": {"target": {"kind": "job", "id": "nightly"}, "match": {"types": ["com.example.*"]}},
    "channel": {"destination": {"kind": "email", "to": ["ann@example.org"]}},
    "subscription": {"channel": "mail"},
    "freeze": {"engines": ["scripted"], "reason": "month end"},
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(postgres_url: str, kafka_bootstrap: str) -> AsyncGenerator[Gateway]:
    async with running_gateway(postgres_url, kafka_bootstrap, token_cache_seconds=0.0) as api:
        await api.ask("POST", "/engines", SCRIPTED)
        await api.ask("POST", "/jobs", JOB)
        await api.ask("POST", "/channels", {"id": "mail", **WRITTEN["channel"]})
        yield api


@pytest.mark.parametrize("kind", list(KINDS))
async def test_every_kind_has_the_same_verbs(api: Gateway, kind: str) -> None:
    where = f"/{KINDS[kind].path}"
    made = await api.request("POST", where, {"name": "The First", **WRITTEN[kind]})
    assert made.status == 201, made.text
    id = made.body["id"]
    assert id == "the-first"
    assert made.headers["Location"] == f"/api/v1{where}/{id}"
    first = made.headers["ETag"]
    assert (await api.request("POST", where, {"id": id, **WRITTEN[kind]})).problem == (409, "conflict")
    assert id in [one["id"] for one in (await api.ask("GET", f"{where}?limit=200"))["items"]]
    shown = await api.ask("GET", f"{where}/{id}")
    changed = await api.request("PUT", f"{where}/{id}", {**shown, "description": "2"}, headers={"If-Match": first})
    assert (changed.status, changed.body["version"]) == (200, 2), changed.text
    stale = await api.request("DELETE", f"{where}/{id}", headers={"If-Match": first})
    assert stale.problem == (412, "precondition-failed")
    versions = await api.ask("GET", f"{where}/{id}/versions?limit=1")
    assert [one["version"] for one in versions["items"]] == [2]
    older = await api.ask("GET", f"{where}/{id}/versions?cursor={versions['next_cursor']}")
    assert [(one["version"], one["created_by"]) for one in older["items"]] == [(1, "user:ann")]
    assert (await api.ask("GET", f"{where}/{id}?version=1"))["description"] == ""
    assert (await api.ask("GET", f"{where}/{id}/diff"))["changes"] == [
        {"path": "/description", "change": "changed", "before": "", "after": "2"}
    ]
    assert (await api.request("GET", f"{where}/{id}/diff?from=9")).fields == ["version"]
    assert await api.ask("GET", f"{where}/{id}/usage") == {"users": []}
    assert (await api.request("DELETE", f"{where}/{id}")).status == 204
    assert (await api.request("GET", f"{where}/{id}")).problem == (404, "not-found")


@pytest.mark.parametrize(
    ("kind", "changes", "field"),
    [
        ("job", {"engine": "nowhere"}, "engine"),
        ("job", {"work": {"kind": "process", "argv": ["a"]}}, "work.kind"),
        ("pipeline", {"steps": [STEP | {"engine": "nowhere"}]}, "steps.0.engine"),
        ("pipeline", {"steps": [STEP | {"work": {"kind": "process", "argv": ["a"]}}]}, "steps.0.work.kind"),
        ("schedule", {"target": {"kind": "pipeline", "id": "nightly"}}, "target.id"),
        ("schedule", {"target": {"kind": "job", "id": "nightly", "version": 9}}, "target.version"),
        ("schedule", {"params": {"day": "x"}}, "params.day"),
        ("trigger", {"mapping": {"day": "/data/day"}}, "mapping.day"),
        ("channel", {"fallback": "nowhere"}, "fallback"),
        ("subscription", {"channel": "nowhere"}, "channel"),
        ("freeze", {"engines": ["scripted", "nowhere"]}, "engines.1"),
    ],
)
async def test_a_definition_that_names_what_is_not_there_is_refused(
    api: Gateway, kind: str, changes: dict[str, Any], field: str
) -> None:
    answer = await api.request("POST", f"/{KINDS[kind].path}", {"id": "wrong", **WRITTEN[kind], **changes})
    assert answer.problem == (422, "invalid")
    assert answer.fields == [field]
    assert (await api.request("GET", f"/{KINDS[kind].path}/wrong")).status == 404


@pytest.mark.parametrize(
    ("steps", "field"),
    [
        ([STEP | {"engine": "nowhere"}], "steps.0.engine"),
        ([STEP, STEP | {"id": "b", "depends_on": ["lost"]}], "steps.1.depends_on.0"),
        ([STEP | {"depends_on": ["b"]}, STEP | {"id": "b", "depends_on": ["load"]}], "steps.0.depends_on"),
        ([STEP | {"work": {"kind": "scripted", "script": {"result": "{{ params.x }}"}}}], "steps.0.work.script.result"),
        ([STEP | {"work": {"kind": "scripted", "script": {"result": "{{ 'x' * 9 }}"}}}], "steps.0.work.script.result"),
        ([STEP, STEP | {"id": "b", "matrix": {n: list(range(22)) for n in "abc"}}], "steps.1.matrix"),
    ],
)
async def test_pipelines_are_applied_all_together_or_not_at_all(api: Gateway, steps: list[Any], field: str) -> None:
    good, bad = {"id": "good", "steps": [STEP]}, {"id": "bad", "steps": steps}
    before = (await api.ask("GET", "/pipelines?limit=200"))["items"]
    refused = await api.request("POST", "/pipelines/apply", {"pipelines": [good, bad]})
    assert refused.problem == (422, "invalid")
    assert refused.fields == [f"pipelines.1.{field}"]
    dry = await api.ask("POST", "/pipelines/apply", {"pipelines": [good], "dry_run": True})
    assert dry == {"items": [{"id": "good", "outcome": "created", "version": 1}], "dry_run": True}
    assert (await api.ask("GET", "/pipelines?limit=200"))["items"] == before, "nothing changed"


async def test_a_parameter_of_the_wrong_type_starts_nothing(api: Gateway) -> None:
    params = {"n": {"type": "integer"}, "day": {"type": "date"}, "mode": {"choices": ["full", "part"]}}
    await api.ask("POST", "/pipelines/apply", {"pipelines": [{"id": "typed", "params": params, "steps": [STEP]}]})
    given = {"n": "seven", "day": "2026-02-31", "mode": "all", "x": 1}
    refused = await api.request("POST", "/pipelines/typed/run", {"params": given})
    assert refused.problem == (422, "invalid")
    assert sorted(refused.fields) == ["params.day", "params.mode", "params.n", "params.x"]
    assert not (await api.ask("GET", "/plans?target=pipeline:typed"))["items"]


async def test_a_template_that_cannot_be_rendered_starts_nothing(api: Gateway) -> None:
    """What depends on a result or on a condition is rendered when its turn comes."""

    def step(id: str, text: str, **more: Any) -> dict[str, Any]:
        return STEP | {"id": id, "work": {"kind": "scripted", "script": {"result": text}}, **more}

    steps = [
        step("a", "{{ params.days | int + params.word }}"),
        step("b", "{{ steps.a.result + 1 }}", depends_on=["a"]),
        step("c", "{{ params.word | int - params.word }}", condition="{{ params.days > 3 }}"),
    ]
    params = {"days": {"type": "integer"}, "word": {"type": "string"}}
    await api.ask("POST", "/pipelines/apply", {"pipelines": [{"id": "rendered", "params": params, "steps": steps}]})
    refused = await api.request("POST", "/pipelines/rendered/run", {"params": {"days": 1, "word": "x"}})
    assert (refused.problem, refused.fields) == ((422, "invalid"), ["steps.0.work.script.result"])
    assert "step a: cannot be rendered" in refused.text
    assert not (await api.ask("GET", "/plans?target=pipeline:rendered"))["items"]


async def test_what_is_in_use_names_its_users_and_is_not_deleted(api: Gateway) -> None:
    await api.ask("POST", "/engines", {**SCRIPTED, "id": "used"})
    await api.ask("POST", "/pipelines", {"id": "uses", "steps": [STEP | {"engine": "used"}]})
    await api.ask("POST", "/freezes", {"id": "holds", **WRITTEN["freeze"], "engines": ["used"]})
    assert await api.ask("GET", "/engines/used/usage") == {"users": ["freeze:holds", "pipeline:uses"]}
    answer = await api.request("DELETE", "/engines/used")
    assert answer.problem == (409, "in-use")
    assert answer.body["users"] == ["freeze:holds", "pipeline:uses"]
    assert [one["id"] for one in (await api.ask("GET", "/pipelines?engine=used"))["items"]] == ["uses"]
    await api.ask("DELETE", "/freezes/holds")
    await api.ask("PUT", "/pipelines/uses", {"steps": [STEP]})
    assert (await api.request("DELETE", "/engines/used")).status == 204


async def test_channels_do_not_stand_in_for_one_another_in_a_circle(api: Gateway) -> None:
    await api.ask("POST", "/channels", {"id": "a", **WRITTEN["channel"]})
    await api.ask("POST", "/channels", {"id": "b", **WRITTEN["channel"], "fallback": "a"})
    answer = await api.request("PUT", "/channels/a", {**WRITTEN["channel"], "fallback": "b"})
    assert answer.problem == (422, "invalid")
    assert "a → b → a" in answer.text


async def test_a_freeze_names_who_saved_it_whatever_the_body_says(api: Gateway) -> None:
    made = await api.ask("POST", "/freezes", {"id": "mine", **WRITTEN["freeze"], "author": "user:eve"})
    assert made["author"] == "user:ann"


@pytest.mark.parametrize("kind", ["freeze", "subscription"])
async def test_a_definition_that_cannot_be_read_hides_no_other(
    api: Gateway, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Without it one stored freeze that today's bounds do not allow makes every list, and the status, an error."""
    where = f"/{KINDS[kind].path}"
    ids = ["q-a", "q-b", "q-c"]
    for id in ids:
        await api.ask("POST", where, {"id": id, **WRITTEN[kind]})
    try:
        await _spoil(api, kind, "q-b")
        first = await api.ask("GET", f"{where}?q=q-&limit=2")
        rest = await api.ask("GET", f"{where}?q=q-&limit=2&cursor={first['next_cursor']}")
        assert [[one["id"] for one in page["items"]] for page in (first, rest)] == [["q-a"], ["q-c"]]
        assert f"left out of definitions: {kind}:q-b: " in caplog.text
        if kind == "freeze":
            assert first["items"][0]["state"]["active"]
            assert {"q-a", "q-c"} <= {one["id"] for one in (await api.ask("GET", "/status"))["freezes"]}
            assert "left out of freezes: q-b: " in caplog.text
        else:
            configs = await api.ask("GET", "/notifications/configs?limit=200")
            assert {"q-a", "q-c"} <= {one["id"] for one in configs["items"]}
    finally:
        async with api.connection() as connection:
            await connection.execute("DELETE FROM definition WHERE kind = $1 AND id = ANY($2)", kind, ids)


async def test_a_channel_that_cannot_be_read_leaves_the_list_of_configurations(api: Gateway) -> None:
    await api.ask("POST", "/channels", {"id": "spoilt", **WRITTEN["channel"]})
    await api.ask("POST", "/subscriptions", {"id": "to-spoilt", "channel": "spoilt"})
    await _spoil(api, "channel", "spoilt")
    try:
        configs = await api.ask("GET", "/notifications/configs?limit=200")
        assert [one["channel"] for one in configs["items"] if one["id"] == "to-spoilt"] == [""]
    finally:
        await api.ask("DELETE", "/subscriptions/to-spoilt")
        async with api.connection() as connection:
            await connection.execute("DELETE FROM definition WHERE kind = 'channel' AND id = 'spoilt'")


async def _spoil(api: Gateway, kind: str, id: str) -> None:
    """What a stricter version, or a person with SQL, leaves behind."""
    async with api.connection() as connection:
        await connection.execute("UPDATE definition SET body = '{}' WHERE kind = $1 AND id = $2", kind, id)
