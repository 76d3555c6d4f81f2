"""Definitions of every kind, by one mechanism, on a real gateway."""

import json
from collections.abc import AsyncGenerator
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio
from prometheus_client import REGISTRY

from signalbox_gateway.definitions.kinds import KINDS
from support.deadlines import wait_until
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
    "move": {
        "engine": "oozie",
        "coordinator": "daily",
        "airflow_engine": "airflow",
        "dag_id": "daily",
        "moved_at": "2026-04-01T00:00:00Z",
    },
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(postgres_url: str, kafka_bootstrap: str) -> AsyncGenerator[Gateway]:
    async with running_gateway(postgres_url, kafka_bootstrap, token_cache_seconds=0.0) as api:
        await api.ask("POST", "/engines", SCRIPTED)
        for kind in ("oozie", "airflow"):
            await api.ask("POST", "/engines", {"id": kind, "connection": {"kind": kind, "url": "http://127.0.0.1:9"}})
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
        ("job", {"params": {"n": {"type": "integer", "choices": [1, "a"]}}}, "params.n.choices.1"),
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
        ([STEP, STEP | {"id": "b", "matrix": {"a": [1, 2, 1]}}], "steps.1.matrix.a"),
        ([STEP | {"compensate_on": ["failure"]}], "steps.0.compensate_on"),
        (
            [STEP, STEP | {"id": "b", "depends_on": ["load", {"step": "load", "when": "on_failure"}]}],
            "steps.1.depends_on.1",
        ),
    ],
)
async def test_pipelines_are_applied_all_together_or_not_at_all(api: Gateway, steps: list[Any], field: str) -> None:
    good, bad = {"id": "good", "steps": [STEP]}, {"id": "bad", "steps": steps}
    before = (await api.ask("GET", "/pipelines?limit=200"))["items"]
    refused = await api.request("POST", "/pipelines/apply", {"pipelines": [good, bad]})
    assert refused.problem == (422, "invalid")
    assert refused.fields == [f"pipelines.1.{field}"]
    both = await api.request("POST", "/pipelines/apply", {"pipelines": [bad, {**bad, "id": "worse"}]})
    assert both.fields == [f"pipelines.0.{field}", f"pipelines.1.{field}"], "all are reported together"
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


async def test_a_rerun_that_cannot_run_is_refused_at_once(api: Gateway) -> None:
    """A parameter of the wrong type, or a template that fails with it, was taken, and the new plan was refused."""

    def work(text: str) -> dict[str, Any]:
        return {"kind": "scripted", "script": {"result": text}}

    steps = [
        STEP | {"id": "a", "work": work("{{ 6 / params.days }}")},
        STEP | {"id": "b", "work": work("{{ params.word }}"), "depends_on": ["a"]},
    ]
    params = {"days": {"type": "integer"}, "word": {"type": "string", "default": "x"}}
    written = {"id": "again", "params": params, "steps": steps}
    await api.ask("POST", "/pipelines/apply", {"pipelines": [written]})
    id = (await api.ask("POST", "/pipelines/again/run", {"params": {"days": 1}}))["id"]
    where = f"/plans/{id}/rerun"
    assert (await api.request("POST", where, {})).problem == (409, "conflict"), "it has not ended"
    async with api.connection() as connection:
        record = json.loads(await connection.fetchval("SELECT record::text FROM plan WHERE id = $1", UUID(id)))
        record |= {"state": "FAILED", "version": 1, "steps": [{"id": "a", "state": "FAILED", "counts": {}}]}
        query = "UPDATE plan SET state = 'FAILED', record = $2 WHERE id = $1"
        await connection.execute(query, UUID(id), json.dumps(record))
    for body, fields in (
        ({"params": {"days": "seven"}}, ["params.days"]),
        ({"params": {"month": 1}}, ["params.month"]),
        ({"params": {"days": 0}}, ["steps.0.work.script.result"]),
        ({"params": {"days": 0}, "scope": "from", "steps": ["a"]}, ["steps.0.work.script.result"]),
        ({"scope": "from"}, ["steps"]),
        ({"scope": "only", "steps": ["c"]}, ["steps"]),
    ):
        refused = await api.request("POST", where, body)
        assert (refused.problem, refused.fields) == ((422, "invalid"), fields), body
    assert len((await api.ask("GET", "/plans?target=pipeline:again"))["items"]) == 1
    await api.ask("POST", "/pipelines/apply", {"pipelines": [{**written, "params": params | {"month": {}}}]})
    chosen = {"scope": "only", "steps": ["b"], "params": {"days": 0, "month": "5"}, "latest": True}
    started = await api.ask("POST", where, chosen)
    assert (started["target"], started["target_version"]) == ("pipeline:again", 2)
    job = await api.ask(
        "POST", "/plans", {"name": "list", "items": [{"key": "k", "engine": "scripted", "work": work("x")}]}
    )
    assert (await api.request("POST", f"/plans/{job['id']}/rerun", {})).problem == (409, "conflict")


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


@pytest.mark.parametrize(("id", "damage"), [("cut-off", '{"id": "hunter2'), ("other", '{"secret_token": "hunter2"}')])
@pytest.mark.parametrize("kind", list(KINDS))
async def test_a_definition_that_cannot_be_read_is_named_replaced_and_deleted(
    api: Gateway, kind: str, id: str, damage: str
) -> None:
    """Without it what a newer version wrote can be neither shown nor repaired: all about it is answered 500."""
    where = f"/{KINDS[kind].path}"
    first = await api.request("POST", where, {"id": id, **WRITTEN[kind]})
    await api.ask("PUT", f"{where}/{id}", {**WRITTEN[kind], "description": "2"})
    revision = (await api.ask("GET", f"{where}/{id}"))["revision"]
    await _spoil(api, kind, id, damage)
    for path in ("", "/diff", "?version=2", "/diff?from=1&to=2"):
        answer = await api.request("GET", f"{where}/{id}{path}")
        assert answer.problem == (409, "unreadable"), path
        named = {name: answer.body[name] for name in ("kind", "id", "revision")}
        assert named == {"kind": kind, "id": id, "revision": revision}
        assert answer.body["detail"].startswith(f"{kind} {id}, revision {revision}, cannot be read: ")
        assert answer.fields
        assert {one["value"] for one in answer.body["errors"]} == {None}
        assert "hunter2" not in answer.text
    assert (await api.request("POST", where, {"id": id, **WRITTEN[kind]})).problem == (409, "conflict")
    assert (await api.ask("GET", f"{where}/{id}?version=1"))["version"] == 1
    assert [one["version"] for one in (await api.ask("GET", f"{where}/{id}/versions"))["items"]] == [2, 1]
    assert await api.ask("GET", f"{where}/{id}/usage") == {"users": []}

    for method, body in (("PUT", WRITTEN[kind]), ("DELETE", None)):
        stale = await api.request(method, f"{where}/{id}", body, headers={"If-Match": first.headers["ETag"]})
        assert stale.problem == (412, "precondition-failed")
    replaced = await api.ask("PUT", f"{where}/{id}", WRITTEN[kind], headers={"If-Match": f'"{revision}"'})
    assert replaced["version"] == 3
    assert (await api.ask("GET", f"{where}/{id}"))["revision"] == replaced["revision"]

    await _spoil(api, kind, id, damage)
    match = {"If-Match": f'"{replaced["revision"]}"'}
    assert (await api.request("DELETE", f"{where}/{id}", headers=match)).status == 204
    assert (await api.request("GET", f"{where}/{id}")).problem == (404, "not-found")
    assert (await api.request("POST", where, {"id": id, **WRITTEN[kind]})).status == 201
    await api.ask("DELETE", f"{where}/{id}")


@pytest.mark.parametrize(
    "change",
    [
        {"params": {"pin": {"type": "integer", "default": "hunter2"}}},
        {"work": {"kind": "hunter2"}},
        {"work": {"kind": "scripted", "script": "hunter2"}},
        {"project": "{{ hunter2 }}"},
    ],
)
async def test_no_value_of_a_definition_that_cannot_be_read_is_answered(api: Gateway, change: dict[str, Any]) -> None:
    """Messages of a schema repeat what does not fit it, also where that is a password."""
    await api.ask("POST", "/jobs", {"id": "with-values", **WRITTEN["job"]})
    async with api.connection() as connection:
        body = json.loads(await connection.fetchval("SELECT body FROM definition WHERE id = 'with-values'"))
    await _spoil(api, "job", "with-values", json.dumps({**body, **change}))
    answer = await api.request("GET", "/jobs/with-values")
    assert answer.problem == (409, "unreadable")
    assert answer.fields
    assert "hunter2" not in answer.text
    await api.ask("DELETE", "/jobs/with-values")


async def test_a_version_that_cannot_be_read_is_named_and_hides_no_other(api: Gateway) -> None:
    await api.ask("POST", "/jobs", {"id": "old-damage", **WRITTEN["job"]})
    for number in (2, 3):
        await api.ask("PUT", "/jobs/old-damage", {**WRITTEN["job"], "description": str(number)})
    async with api.connection() as connection:
        await connection.execute("UPDATE definition_version SET body = '{' WHERE id = 'old-damage' AND version = 2")
    versions = await api.ask("GET", "/jobs/old-damage/versions?limit=2")
    assert [one["version"] for one in versions["items"]] == [3]
    older = await api.ask("GET", f"/jobs/old-damage/versions?limit=2&cursor={versions['next_cursor']}")
    assert [one["version"] for one in older["items"]] == [1]
    for path in ("?version=2", "/diff", "/diff?from=1&to=2"):
        answer = await api.request("GET", f"/jobs/old-damage{path}")
        assert answer.problem == (409, "unreadable"), path
        assert answer.body["detail"].startswith("job old-damage, version 2, cannot be read: ")
        named = {name: answer.body.get(name) for name in ("kind", "id", "version", "revision")}
        assert named == {"kind": "job", "id": "old-damage", "version": 2, "revision": None}
    assert (await api.ask("GET", "/jobs/old-damage/diff?from=1&to=3"))["changes"]
    start = {"version": 2}
    assert (await api.request("POST", "/jobs/old-damage/start", start)).problem == (409, "unreadable")
    await api.ask("DELETE", "/jobs/old-damage")


async def test_what_needs_a_definition_that_cannot_be_read_is_refused_with_its_name(api: Gateway) -> None:
    """Also what only refers to it. What needs nothing of it is done: it is frozen, its plans are stopped."""
    await api.ask("POST", "/engines", {"id": "gone-bad", **WRITTEN["engine"]})
    on_it: dict[str, Any] = {"engine": "gone-bad", "work": {"kind": "scripted", "script": {}}}
    made: dict[str, dict[str, Any]] = {
        "job": on_it, "pipeline": {"steps": [{"id": "load", **on_it}]},
        "schedule": {"target": {"kind": "job", "id": "gone-bad"}, "cron": "0 2 * * *"},
        "trigger": {"target": {"kind": "job", "id": "gone-bad"}, "match": {"types": ["com.example.*"]}},
        "channel": WRITTEN["channel"], "subscription": {"channel": "gone-bad"},
    }  # fmt: skip
    for kind, written in made.items():
        await api.ask("POST", f"/{KINDS[kind].path}", {"id": "gone-bad", **written})
    for kind in ("engine", *made):
        await _spoil(api, kind, "gone-bad", '{"kind"')
    event = {"specversion": "1.0", "id": "1", "type": "com.example.a", "source": "anywhere"}
    item: dict[str, Any] = {"key": "a", **on_it}
    due = {"from_at": "2026-01-01T00:00:00Z", "until_at": "2026-01-02T00:00:00Z", "preview": True}
    requests: list[tuple[str, str, Any]] = [
        ("POST", "/engines/gone-bad/pause", {"reason": "x"}), ("POST", "/engines/gone-bad/drain", {"reason": "x"}),
        ("POST", "/engines/gone-bad/resume", {"reason": "x"}), ("POST", "/engines/gone-bad/test", {"reason": "x"}),
        ("POST", "/jobs/gone-bad/start", {}), ("POST", "/jobs/gone-bad/schedule", {"cron": "0 * * * * *"}),
        ("POST", "/jobs/gone-bad/savepoints", {}), ("POST", "/jobs/gone-bad/artifact", {}),
        ("POST", "/pipelines/gone-bad/run", {}), ("POST", "/schedules/gone-bad/pause", {"reason": "x"}),
        ("POST", "/schedules/gone-bad/resume", {"reason": "x"}), ("POST", "/schedules/gone-bad/run", {}),
        ("POST", "/schedules/gone-bad/backfill", due), ("GET", "/schedules/gone-bad/next", None),
        ("POST", "/channels/gone-bad/test", {}), ("GET", "/notifications/configs/gone-bad", None),
        ("GET", "/workflows/gone-bad", None), ("GET", "/workflows/gone-bad/runs", None),
        ("POST", "/workflows/gone-bad/pause", {"reason": "x"}), ("DELETE", "/workflows/gone-bad", None),
        ("POST", "/triggers/dry-run", {"id": "gone-bad"}),
        ("POST", "/plans", {"name": "p", "items": [item]}),
        ("POST", "/plans", {"name": "p", "job": {"id": "gone-bad"}}),
        ("POST", "/jobs", {"id": "another", **on_it}), ("POST", "/schedules", {"id": "another", **made["schedule"]}),
        ("POST", "/triggers", {"id": "another", **made["trigger"]}),
        ("POST", "/pipelines/apply", {"pipelines": [{"id": "another", **made["pipeline"]}]}),
    ]  # fmt: skip
    try:
        for method, path, body in requests:
            answer = await api.request(method, path, body)
            assert answer.problem == (409, "unreadable"), (path, answer.text)
            assert answer.body["id"] == "gone-bad"
        for method, path, body in (
            ("POST", "/freezes", {"id": "another", "engines": ["gone-bad"], "reason": "x"}),
            ("POST", "/jobs/gone-bad/stop", {}), ("GET", "/jobs/gone-bad/executions", None),
            ("GET", "/schedules/gone-bad/ticks", None), ("GET", "/engines/gone-bad/usage", None),
            ("GET", "/jobs", None), ("GET", "/workflows", None),
            ("POST", "/events/anywhere", event), ("GET", "/notifications/configs", None),
            ("DELETE", "/freezes/another", None),
        ):  # fmt: skip
            assert (await api.request(method, path, body)).status < 300, path
        in_use = await api.request("DELETE", "/engines/gone-bad")
        assert in_use.problem == (409, "in-use")
        assert in_use.body["users"] == ["job:gone-bad", "pipeline:gone-bad"]
        await api.ask("PUT", "/engines/gone-bad", WRITTEN["engine"])
        outcome = await api.ask("POST", "/pipelines/apply", {"pipelines": [{"id": "gone-bad", **made["pipeline"]}]})
        assert outcome["items"] == [{"id": "gone-bad", "outcome": "changed", "version": 2}]
    finally:
        for kind in (*reversed(made), "engine"):
            await api.ask("DELETE", f"/{KINDS[kind].path}/gone-bad")


async def test_a_configuration_that_cannot_be_read_is_deleted_with_its_channel(api: Gateway) -> None:
    written = {"name": "lost", "channel": "email", "recipients": ["ann@example.org"]}
    written |= {"notification_types": ["workflow_failed"]}
    made = await api.request("POST", "/notifications/configs", written)
    assert made.status == 201, made.text
    for kind in ("subscription", "channel"):
        await _spoil(api, kind, "lost")
    assert (await api.request("POST", "/notifications/configs", written)).problem == (409, "conflict")
    assert (await api.request("PUT", "/notifications/configs/lost", written)).problem == (409, "unreadable")
    assert (await api.request("DELETE", "/notifications/configs/lost")).status == 204
    for path in ("/subscriptions/lost", "/channels/lost"):
        assert (await api.request("GET", path)).problem == (404, "not-found")


async def test_the_deletion_of_what_cannot_be_read_is_published_without_its_form(api: Gateway) -> None:
    """Services that keep a copy must forget it: a freeze that is gone here would hold work there for ever."""
    await api.ask("POST", "/freezes", {"id": "lost", **WRITTEN["freeze"]})
    await _spoil(api, "freeze", "lost")
    await api.ask("DELETE", "/freezes/lost")
    body = await api.value(
        "SELECT convert_from(value, 'UTF8') FROM outbox WHERE topic = 'definitions.v1' AND key = $1"
        " ORDER BY id DESC LIMIT 1",
        b"freeze:lost",
    )
    data = json.loads(body)["data"]
    assert (data["deleted"], data.get("definition")) == (True, None)


async def test_the_status_names_definitions_that_cannot_be_read(api: Gateway) -> None:
    made = await api.ask("POST", "/jobs", {"id": "unreadable-job", **WRITTEN["job"]})
    before = await _unreadable(api)
    await _spoil(api, "job", "unreadable-job")

    async def found() -> dict[str, Any] | None:
        return next((one for one in await _unreadable(api) if one["id"] == "unreadable-job"), None)

    async def is_shown() -> bool:
        return await found() is not None

    async def is_gone() -> bool:
        return await found() is None

    await wait_until(is_shown)
    shown = await found()
    assert shown is not None
    assert (shown["kind"], shown["revision"]) == ("job", made["revision"])
    assert "Field required" in shown["reason"]
    assert REGISTRY.get_sample_value("signalbox_unreadable_definitions", {"kind": "job"}) == len(
        [one for one in await _unreadable(api) if one["kind"] == "job"]
    )
    assert "unreadable-job" not in [one["id"] for one in before]
    await api.ask("PUT", "/jobs/unreadable-job", WRITTEN["job"])
    await wait_until(is_gone)
    await api.ask("DELETE", "/jobs/unreadable-job")


async def _unreadable(api: Gateway) -> list[dict[str, Any]]:
    return (await api.ask("GET", "/status"))["unreadable"]


async def _spoil(api: Gateway, kind: str, id: str, body: str = "{}") -> None:
    """What a stricter version, or a person with SQL, leaves behind."""
    async with api.connection() as connection:
        await connection.execute("UPDATE definition SET body = $3 WHERE kind = $1 AND id = $2", kind, id, body)


async def test_everything_that_cannot_be_read_is_reported_at_once(api: Gateway) -> None:
    """Somebody who repairs a damaged registry would otherwise need one call for each definition."""
    for id in ("bad-1", "bad-2"):
        await api.ask("POST", "/engines", {"id": id, **WRITTEN["engine"]})
        await _spoil(api, "engine", id)
    steps = [{**STEP, "id": "a", "engine": "bad-1"}, {**STEP, "id": "b", "engine": "bad-2"}]
    pipelines: list[dict[str, Any]] = [
        {"id": "p0", "steps": steps},
        {"id": "p1", "steps": steps[1:]},
        {"id": "p2", "steps": [STEP]},
    ]
    answer = await api.request("POST", "/pipelines/apply", {"pipelines": pipelines})
    assert answer.problem == (422, "invalid")
    errors = {one["field"]: one["allowed"] for one in answer.body["errors"]}
    assert sorted(errors) == ["pipelines.0.steps.0.engine", "pipelines.0.steps.1.engine", "pipelines.1.steps.0.engine"]
    assert all("cannot be read" in one for one in errors.values()), errors
    only = await api.request("POST", "/pipelines/apply", {"pipelines": pipelines[1:]})
    assert (only.problem, only.body["id"]) == ((409, "unreadable"), "bad-2")
    for id in ("bad-1", "bad-2"):
        await api.ask("DELETE", f"/engines/{id}")


async def test_a_channel_whose_fallback_cannot_be_read_is_saved(api: Gateway) -> None:
    """A damaged channel must not keep others from being changed: its chain of fallbacks ends there."""
    await api.ask("POST", "/channels", {"id": "stand-in", **WRITTEN["channel"]})
    await _spoil(api, "channel", "stand-in")
    made = await api.request("POST", "/channels", {"id": "first", **WRITTEN["channel"], "fallback": "stand-in"})
    assert made.status == 201, made.text
    for id in ("first", "stand-in"):
        await api.ask("DELETE", f"/channels/{id}")
