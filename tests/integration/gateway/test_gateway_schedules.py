"""Schedules and events over HTTP on real servers, and the read model of what started by itself."""

import json
import uuid
from base64 import b64encode
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from yarl import URL

from signalbox_chassis.persistence.connection import connect, connect_arguments
from signalbox_chassis.security.vault import Keys, SecretUnreadable
from signalbox_contracts.definitions.schedule import Schedule
from signalbox_contracts.envelope import Event
from signalbox_contracts.ids import plan_id_from_tick, tick_id
from signalbox_contracts.messages.states import MatchOutcome, MatchRecord, TriggerRecord, TriggerStated
from signalbox_contracts.messages.ticks import (
    ScheduleTicked,
    ScheduleTickedData,
    ScheduleTickSkipped,
    ScheduleTickSkippedData,
    SkipReason,
)
from signalbox_contracts.topics import topic, topic_of
from signalbox_contracts.wire import encode
from signalbox_gateway import webhooks
from signalbox_gateway.read_model import starts
from signalbox_gateway.rewrap import rewrap_sources
from signalbox_gateway.store import event_sources
from support.gateway import JOB, SCRIPTED, Gateway, running_gateway
from support.service_fixture import until

pytestmark = pytest.mark.asyncio(loop_scope="module")
NIGHTLY = {
    "id": "every-night", "target": {"kind": "job", "id": "nightly"}, "cron": "0 2 * * *", "zone": "Europe/Prague",
}  # fmt: skip


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(postgres_url: str, kafka_bootstrap: str) -> AsyncGenerator[Gateway]:
    async with running_gateway(postgres_url, kafka_bootstrap, token_cache_seconds=0.0) as api:
        await api.ask("POST", "/engines", SCRIPTED)
        await api.ask("POST", "/jobs", JOB)
        await api.ask("POST", "/schedules", NIGHTLY)
        yield api


async def publish(api: Gateway, *events: Event[Any]) -> None:
    producer: Any = AIOKafkaProducer(bootstrap_servers=api.bootstrap)
    await producer.start()
    try:
        for event in events:
            record = encode(event)
            name = topic_of(type(event)).full_name(f"{api.schema}.")
            await producer.send_and_wait(name, record.value, key=record.key, headers=list(record.headers))
    finally:
        await producer.stop()


async def test_a_rule_is_shown_in_words_with_its_next_instants_and_a_wrong_one_names_its_field(api: Gateway) -> None:
    shown = await api.ask("POST", "/schedules/preview", {"cron": "0 2 * * *", "zone": "Europe/Prague", "count": 3})
    assert shown["words"] == "At 02:00, every day, Europe/Prague"
    assert len(shown["next"]) == 3
    for body, field in (
        ({"cron": "99 * * * *"}, "cron"), ({"cron": "0 0 30 2 *"}, "cron"),
        ({"cron": "@daily", "zone": "Mars"}, "zone"),
    ):  # fmt: skip
        answer = await api.request("POST", "/schedules/preview", body)
        assert answer.status == 422
        assert answer.body["errors"][0]["field"] == field


async def test_the_next_ticks_have_the_event_date_of_the_intended_instant(api: Gateway) -> None:
    shown = await api.ask("GET", "/schedules/every-night/next?count=2")
    for tick in shown["ticks"]:
        due = datetime.fromisoformat(tick["due_at"])
        assert tick["event_date"] == (due.astimezone(UTC).date() - timedelta(days=1)).isoformat()


async def test_a_pause_is_a_new_version_with_the_reason_as_note_and_an_old_etag_is_refused(api: Gateway) -> None:
    before = await api.request("GET", "/schedules/every-night")
    paused = await api.ask("POST", "/schedules/every-night/pause", {"reason": "holiday"})
    assert (paused["paused"], paused["note"], paused["version"]) == (True, "holiday", before.body["version"] + 1)
    headers = {"If-Match": before.headers["ETag"]}
    stale = await api.request("POST", "/schedules/every-night/resume", {}, headers=headers)
    assert stale.status == 412
    resumed = await api.ask("POST", "/schedules/every-night/resume", {})
    assert resumed["paused"] is False


async def test_a_run_by_hand_starts_the_target_with_a_date_and_the_label_of_the_schedule(api: Gateway) -> None:
    answer = await api.request("POST", "/schedules/every-night/run", {"event_date": "2026-01-31", "reason": "late"})
    assert answer.status == 202
    assert (answer.body["target"], answer.body["event_date"]) == ("job:nightly", "2026-01-31")
    assert answer.body["labels"]["schedule"] == "every-night"


async def test_a_schedule_with_as_many_labels_as_are_allowed_runs_by_hand(api: Gateway) -> None:
    """The label that names the schedule was one too many: each run was refused."""
    labels = {f"l{n}": "x" for n in range(50)}
    await api.ask("POST", "/schedules", {**NIGHTLY, "id": "labelled", "labels": labels})
    plan = await api.ask("POST", "/schedules/labelled/run", {})
    assert plan["labels"] == {**labels, "schedule": "labelled"}


async def test_a_backfill_is_previewed_and_a_range_without_ticks_or_with_too_many_is_refused(api: Gateway) -> None:
    body = {"from_at": "2026-03-01T00:00:00Z", "until_at": "2026-03-05T00:00:00Z"}
    preview = await api.ask("POST", "/schedules/every-night/backfill", {**body, "preview": True})
    assert (preview["fires"], preview["fired_before"]) == (4, 0)
    assert {one["decision"] for one in preview["ticks"]} == {"fire"}
    newest = await api.ask("POST", "/schedules/every-night/backfill", {**body, "preview": True, "order": "newest"})
    assert newest["ticks"] == preview["ticks"][::-1]
    for changes, field in (
        ({"order": "random"}, "order"), ({"concurrency": 0}, "concurrency"), ({"concurrency": 101}, "concurrency"),
        ({"until_at": "2026-02-01T00:00:00Z"}, "until_at"),
        ({"until_at": "2026-03-01T00:30:00Z"}, "from_at"),
        ({"at_most": 3}, "until_at"),
    ):  # fmt: skip
        refused = await api.request("POST", "/schedules/every-night/backfill", {**body, **changes})
        assert (refused.status, refused.body["errors"][0]["field"]) == (422, field)
    operation = await api.request("POST", "/schedules/every-night/backfill", {**body, "reason": "late data"})
    assert (operation.status, operation.body["operation"]) == (202, "schedule.backfill")


async def test_a_backfill_reads_the_ticks_of_its_own_instants_and_no_others_of_the_range(api: Gateway) -> None:
    """Without it a range of years in which the schedule had another rule reads every tick of that rule."""
    first = datetime(2026, 1, 10, 1, tzinfo=UTC)
    async with api.connection() as connection:
        await connection.execute(
            "INSERT INTO tick SELECT gen_random_uuid(), 'every-night', $1::timestamptz + n * interval '1 minute',"
            " '2026-01-09', 'FIRED', 'due', '', NULL, now() FROM generate_series(0, 1440) AS n", first,
        )  # fmt: skip
        instants = [first, first + timedelta(days=1), first + timedelta(days=2)]
        assert await starts.fired(connection, "every-night", instants) == dict.fromkeys(instants[:2])
    body = {"from_at": "2026-01-10T00:00:00Z", "until_at": "2026-01-13T00:00:00Z", "preview": True}
    preview = await api.ask("POST", "/schedules/every-night/backfill", body)
    assert (preview["fires"], preview["fired_before"]) == (1, 2)
    async with api.connection() as connection:
        await connection.execute("DELETE FROM tick")


async def test_ticks_and_matches_that_their_owners_published_are_listed_with_plans_and_reasons(api: Gateway) -> None:
    now = datetime.now(UTC)
    rule = Schedule.model_validate({**NIGHTLY, "name": "every-night"})
    due = datetime(2026, 2, 1, 1, tzinfo=UTC)
    id = tick_id(rule.id, due)
    common: dict[str, Any] = {"schedule_id": rule.id, "schedule_revision": 1, "event_date": due.date()}
    fired = ScheduleTickedData(tick_id=id, due_at=due, plan_id=plan_id_from_tick(id), schedule=rule, **common)
    skipped = ScheduleTickSkippedData(
        tick_id=uuid.uuid4(), due_at=due - timedelta(days=1), why=SkipReason.MISSED, detail="older than 60 s", **common
    )
    match = MatchRecord(
        event_id="e1", event_source="lake", event_type="file.created", outcome=MatchOutcome.NOT_MATCHED,
        why="the condition is false", at=now,
    )  # fmt: skip
    record = TriggerRecord(trigger_id="t", version=3, definitions_revision=1, not_matched=1, events=(match,))
    about: dict[str, Any] = {"source": "signalbox/scheduler", "time": now}
    stated = TriggerStated.of(
        record, subject="trigger:t", source="signalbox/planner", time=now, aggregateversion=3
    )  # fmt: skip
    await publish(
        api,
        ScheduleTicked.of(fired, subject=rule.id, id=id, **about),
        ScheduleTickSkipped.of(skipped, subject=rule.id, id=skipped.tick_id, **about),
        stated, stated,
    )  # fmt: skip

    async def seen() -> bool:
        ticks = (await api.ask("GET", "/schedules/every-night/ticks"))["items"]
        return len(ticks) == 2 and len((await api.ask("GET", "/events"))["items"]) == 1

    await until(seen, seconds=60, why="the read model has both ticks and the match")
    first = await api.ask("GET", "/schedules/every-night/ticks?limit=1")
    assert (first["items"][0]["outcome"], first["items"][0]["plan_id"]) == ("FIRED", str(fired.plan_id))
    rest = await api.ask("GET", f"/schedules/every-night/ticks?limit=1&cursor={first['next_cursor']}")
    assert (rest["items"][0]["cause"], rest["items"][0]["detail"]) == ("missed", "older than 60 s")
    shown = await api.ask("GET", "/events/e1")
    assert [(one["trigger_id"], one["why"]) for one in shown["matches"]] == [("t", "the condition is false")]
    assert (await api.ask("GET", "/events/hours"))["items"][0]["events"] == 1
    assert (await api.request("GET", "/events/none")).status == 404


async def test_an_event_is_sent_as_a_cloudevent_of_the_source_in_the_path(api: Gateway) -> None:
    body = {"type": "file.created", "id": "42", "data": {"path": "/in/a"}}
    undeclared = await api.request("POST", "/events/lake", body)
    assert (undeclared.status, undeclared.body["errors"][0]["field"]) == (422, "source")
    target = {"kind": "job", "id": "nightly"}
    await api.ask("POST", "/triggers", {"id": "files", "target": target, "match": {"sources": ["lake", "bank"]}})
    answer = await api.request("POST", "/events/lake", body)
    assert (answer.status, answer.body) == (202, {"id": "42", "source": "lake", "type": "file.created"})
    wrong = await api.request("POST", "/events/lake", {**body, "source": "elsewhere"})
    assert (wrong.status, wrong.body["errors"][0]["field"]) == (422, "source")
    assert (await api.request("POST", "/events/lake", {"id": "1"})).status == 422
    consumer: Any = AIOKafkaConsumer(bootstrap_servers=api.bootstrap, auto_offset_reset="earliest")
    consumer.subscribe([topic("triggers.v1").full_name(f"{api.schema}.")])
    await consumer.start()
    try:
        record = await consumer.getone()
    finally:
        await consumer.stop()
    event = json.loads(record.value)
    assert (event["source"], event["id"], event["data"]) == ("lake", "42", {"path": "/in/a"})


def signed(secret: str, id: str, at: int, body: bytes) -> dict[str, str]:
    signature = webhooks.sign(webhooks.key_of(secret), id, at, body)
    return {"webhook-id": id, "webhook-timestamp": str(at), "webhook-signature": f"v1,AAAA {signature}"}


async def post(api: Gateway, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, Any]:
    url = f"{api.url}/api/v1{path}"
    async with (
        aiohttp.ClientSession() as session,
        session.post(URL(url, encoded=True), data=body, headers=headers) as got,
    ):
        return got.status, await got.json()


async def test_a_signed_event_needs_no_token_and_a_forged_old_or_replayed_one_is_refused(api: Gateway) -> None:
    secret = "whsec_" + b64encode(b"k" * 32).decode()
    weak = await api.request("PUT", "/event-sources/bank", {"signing_secrets": ["whsec_c2hvcnQ="]})
    assert (weak.status, "c2hvcnQ" in json.dumps(weak.body)) == (422, False)
    shown = await api.ask("PUT", "/event-sources/bank", {"signing_secrets": [secret]})
    assert (shown["secrets"], "signing_secrets" in shown) == (1, False)
    body = json.dumps({"type": "payment.made", "timestamp": "2026-03-02T05:00:00Z", "data": {"sum": 3}}).encode()
    now, plain = int(datetime.now(UTC).timestamp()), {"content-type": "application/json"}
    good = {**plain, **signed(secret, "m1", now, body)}
    assert await post(api, "/events/bank", body, good) == (202, {"id": "m1", "source": "bank", "type": "payment.made"})
    for sent, headers, words in (
        (body, good, "replay"),
        (body + b" ", {**plain, **signed(secret, "m2", now, body)}, "no signature"),
        (body, {**plain, **signed(secret, "m3", now - 301, body)}, "sign the request anew"),
        (body, {**good, "webhook-id": "m4"}, "no signature"),
        (body, {**good, "webhook-timestamp": "soon"}, "not a number"),
    ):
        status, answer = await post(api, "/events/bank", sent, headers)
        assert (status, words in answer["detail"]) == (401, True), answer
    later = {**plain, **signed(secret, "m1", now + 1, body)}
    assert (await post(api, "/events/bank", body, later))[0] == 202, "a sender's own retry is signed anew"
    assert (await post(api, "/events/lake", body, good))[0] == 401
    assert (await post(api, "/events/ba%00nk", body, good))[0] == 401
    assert (await post(api, "/events/bank?retry=1", body, {**plain, **signed(secret, "m6", now, body)}))[0] == 422
    await api.request("DELETE", "/event-sources/bank")
    assert (await post(api, "/events/bank", body, {**plain, **signed(secret, "m5", now, body)}))[0] == 401


async def test_a_cloudevent_comes_structured_or_binary_and_a_part_of_a_source_is_that_source(api: Gateway) -> None:
    token = {"authorization": f"Bearer {api.token}"}
    event = {"specversion": "1.0", "type": "file.created", "id": "s1", "source": "lake/eu", "shard": "7", "data": [1]}
    structured = {**token, "content-type": "application/cloudevents+json; charset=utf-8"}
    answer = await post(api, "/events/lake", json.dumps(event).encode(), structured)
    assert answer == (202, {"id": "s1", "source": "lake/eu", "type": "file.created"})
    binary = {
        **token, "content-type": "text/csv", "ce-specversion": "1.0", "ce-type": "file%20made", "ce-id": "b1",
        "ce-source": "lake",
    }  # fmt: skip
    answer = await post(api, "/events/lake", b"a,b", binary)
    assert answer == (202, {"id": "b1", "source": "lake", "type": "file made"})
    many = {**token, "content-type": "application/cloudevents-batch+json"}
    assert (await post(api, "/events/lake", b"[]", many))[0] == 415
    json_binary = {**binary, "content-type": "application/json"}
    assert (await post(api, "/events/lake", b"{", json_binary))[0] == 422
    for headers, body in (({**binary, "ce-subject": "a%00b"}, b"a"), ({**binary, "ce-id": "b2"}, b"a\0b")):
        status, refused = await post(api, "/events/lake", body, headers)
        assert (status, refused["errors"][0]["allowed"]) == (422, "a zero byte is not allowed")
    assert (await post(api, "/events/lake", b"x" * 300_000, binary))[0] == 413


async def test_a_trigger_is_tried_against_the_newest_events_before_it_is_saved_and_nothing_starts(api: Gateway) -> None:
    draft: dict[str, Any] = {
        "id": "new-files", "name": "New files", "target": {"kind": "job", "id": "nightly"},
        "match": {"types": ["dry.*"], "sources": ["dry-lake"], "condition": "data.size > 10"},
        "mapping": {"path": "/data/path"},
    }  # fmt: skip
    await api.ask("POST", "/triggers", {**draft, "id": "dry-lake", "mapping": {}})  # declares the source
    for id, data in (("d1", {"size": 11, "path": "/a"}), ("d2", {"size": 3}), ("d3", {"size": 12}), ("d4", {})):
        await api.ask("POST", "/events/dry-lake", {"type": "dry.run", "id": id, "data": data})
    found: dict[str, Any] = {}

    async def read() -> bool:
        found.update(await api.ask("POST", "/triggers/dry-run", {"trigger": draft, "events": 50}))
        return len(found["events"]) == 4

    await until(read, why="the events are on the topic")
    for _ in range(20):  # a reader that begins at the end now and then reads nothing
        assert await read()
    judged = {one["event_id"]: (one["outcome"], one["params"], one["why"][:31]) for one in found["events"]}
    assert judged["d1"] == ("matched", {"path": "/a"}, "")
    assert judged["d2"] == ("not_matched", None, "the condition is false")
    assert judged["d3"][0] == "refused"
    assert judged["d4"] == ("not_matched", None, "the condition: KeyError: 'size'")
    assert (found["complete"], found["outcomes"]) == (True, {"matched": 1, "not_matched": 2, "refused": 1})
    assert found["read"] == found["not_looked_at"] + 4
    match = draft["match"]
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"trigger": draft, "id": "new-files"}, "id"), ({}, "id"), ({"trigger": draft, "events": 501}, "events"),
        ({"trigger": {**draft, "match": {**match, "condition": "data.size >"}}}, "trigger.match.condition"),
    ]  # fmt: skip
    for body, field in wrong:
        refused = await api.request("POST", "/triggers/dry-run", body)
        assert (refused.status, refused.body["errors"][0]["field"]) == (422, field)
    assert (await api.request("POST", "/triggers/dry-run", {"id": "nobody"})).status == 422
    assert (await api.ask("GET", "/plans?label=trigger:new-files"))["items"] == []
    await api.request("DELETE", "/triggers/dry-lake")


async def test_signing_secrets_are_encrypted_again_with_the_newest_key_and_requests_still_fit(api: Gateway) -> None:
    old, new = (b64encode(bytes(range(number, number + 32))).decode() for number in (1, 2))
    secret = "whsec_" + b64encode(b"r" * 32).decode()
    sealed = webhooks.seal(Keys(old), "shop", [secret])
    connection = await connect(api.database_url, **connect_arguments(api.schema, "test"))
    try:
        await event_sources.save(
            connection, "shop", description="", key_id=Keys(old).newest, secrets=sealed, tolerance_seconds=300,
            actor="user:test",
        )  # fmt: skip
        with pytest.raises(SecretUnreadable):
            await rewrap_sources(connection, new)
        assert await rewrap_sources(connection, f"{new},{old}") == 1
        row = await event_sources.sealed(connection, "shop")
        assert row is not None
        assert webhooks.unseal(Keys(new), "shop", row["key_id"], row["secrets"]) == [b"r" * 32]
        assert await rewrap_sources(connection, new) == 0
    finally:
        await event_sources.delete(connection, "shop")
        await connection.close()


async def test_a_freeze_of_a_project_that_nothing_belongs_to_is_refused_and_one_in_force_is_in_the_status(
    api: Gateway,
) -> None:
    wrong = await api.request("POST", "/freezes", {"id": "f", "reason": "release", "projects": ["nobody"]})
    assert (wrong.status, wrong.body["errors"][0]["field"]) == (422, "projects.0")
    both = {"id": "f", "reason": "release", "projects": ["default"], "engines": ["scripted"]}
    assert (await api.request("POST", "/freezes", both)).status == 422
    made = await api.ask("POST", "/freezes", {"id": "f", "reason": "release", "mode": "drain"})
    assert made["state"]["phase"] == "draining"
    [banner] = (await api.ask("GET", "/status"))["freezes"]
    assert (banner["id"], banner["author"], banner["reason"]) == ("f", made["author"], "release")
    await api.request("DELETE", "/freezes/f")
    assert (await api.ask("GET", "/status"))["freezes"] == []
    ended = {"id": "g", "reason": "release", "ends_at": "2020-01-01T00:00:00Z"}
    assert (await api.ask("POST", "/freezes", ended))["state"]["phase"] == "ended"
