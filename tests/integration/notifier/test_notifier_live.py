"""The live feed through a gateway and two notifiers on real servers: every transition once, whoever is cut off."""

import asyncio
import base64
import json
import os
import uuid
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest

from signalbox_chassis.persistence.database import Database
from signalbox_chassis.runtime.service import Service
from signalbox_chassis.security.assertions import sign, signing_keys
from signalbox_contracts.definitions.channel import Channel
from signalbox_contracts.live import Filter
from signalbox_contracts.messages.reprocessing import (
    ReprocessingRecord,
    ReprocessingStated,
    ReprocessingStatus,
    ReprocessingWorkerRecord,
)
from signalbox_contracts.messages.tasks import Phase, StepProgress, TaskProgress, TaskProgressData
from signalbox_notifier.live.client import MAX_QUEUED_BYTES, Client, Following
from signalbox_notifier.live.server import ASSERTION, LiveServer
from signalbox_notifier.store import live
from signalbox_notifier.store.live import LiveRow
from support.gateway import Gateway, running_gateway
from support.notifier import Notifiers, plan_state, receiver, subscription, webhook
from support.proofs import proves
from support.service_fixture import until

KEY = base64.b64encode(os.urandom(32)).decode()
STATES = ("ACCEPTED", "RUNNING", *("PAUSED", "RUNNING") * 10, "SUCCEEDED")


def address(service: Service) -> str:
    (server,) = [part for _, part in service.parts if isinstance(part, LiveServer)]
    return server.address


@asynccontextmanager
async def feed(
    notifiers: Notifiers, postgres_url: str, kafka_bootstrap: str
) -> AsyncGenerator[tuple[Gateway, list[AsyncExitStack]]]:
    """A gateway before two notifiers, each of which can be stopped alone."""
    stacks = [AsyncExitStack(), AsyncExitStack()]
    services = [await stack.enter_async_context(notifiers.notifying(secret_key=KEY)) for stack in stacks]
    urls = ",".join(address(service) for service in services)
    try:
        async with running_gateway(
            postgres_url, kafka_bootstrap, secret_key=KEY, live_urls=urls, token_cache_seconds=0.0
        ) as gateway:
            yield gateway, stacks
    finally:
        for stack in stacks:
            await stack.aclose()


def socket(gateway: Gateway, path: str = "/ws", *, token: str | None = None, **more: Any) -> Any:
    headers = {"Authorization": f"Bearer {gateway.token if token is None else token}"} if token != "" else {}
    headers |= more.pop("headers", {})
    connect: Any = gateway.session.ws_connect
    return connect(f"/api/v1{path}", headers=headers, **more)


async def follow(gateway: Gateway, plan: uuid.UUID, seen: dict[int, dict[str, Any]], *, cut_after: int) -> None:
    """Follow a plan from the last sequence seen, and cut the connection after so many events."""
    async with socket(gateway, protocols=("signalbox.v1",)) as one:
        await one.send_json({"subscribe": {"id": "a", "plan": str(plan), "after": max(seen, default=0)}})
        came = 0
        async for message in one:
            for event in json.loads(message.data).get("events", ()):
                assert event["sequence"] not in seen, "an event came twice"
                seen[event["sequence"]] = event
                came += 1
                if came == cut_after or event["status"] == "SUCCEEDED":
                    return


@proves("F45")
async def test_a_client_cut_again_and_again_sees_every_transition_once_through_notifiers_that_stop(
    notifiers: Notifiers, postgres_url: str, kafka_bootstrap: str
) -> None:
    plan = uuid.uuid4()
    seen: dict[int, dict[str, Any]] = {}
    async with feed(notifiers, postgres_url, kafka_bootstrap) as (gateway, stacks):
        for number in range(1, len(STATES) + 1):
            await notifiers.publish(plan_state(*STATES[:number], plan=plan))
            if number == 8:
                await stacks[0].aclose()
        connections = 0
        async with asyncio.timeout(60):
            while not any(event["status"] == "SUCCEEDED" for event in seen.values()):
                connections += 1
                await follow(gateway, plan, seen, cut_after=1)
    assert sorted(seen) == list(range(1, len(STATES) + 1))
    assert [seen[n]["version"] for n in sorted(seen)] == list(range(1, len(STATES) + 1))
    assert [seen[n]["status"] for n in sorted(seen)] == list(STATES)
    assert connections >= len(STATES)
    assert {seen[1]["type"], seen[2]["type"], seen[3]["type"], seen[len(STATES)]["type"]} == {
        "workflow.triggered", "workflow.started", "workflow.changed", "workflow.completed",
    }  # fmt: skip


@proves("gateway.store.live_tickets: a ticket is good once")
async def test_paths_tickets_origins_and_revocation(
    notifiers: Notifiers, postgres_url: str, kafka_bootstrap: str
) -> None:
    """Nobody follows what they may not: forged and used tickets, foreign pages and revoked tokens are closed."""
    async with feed(notifiers, postgres_url, kafka_bootstrap) as (gateway, _):

        async def code(**more: Any) -> int | None:
            async with socket(gateway, **more) as one:
                message = await one.receive(timeout=10)
                assert message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED), message
                return one.close_code

        ticket = (await gateway.ask("POST", "/ws/tickets"))["ticket"]
        protocols = ("signalbox.v1", f"ticket.{ticket}")
        async with socket(gateway, token="", protocols=protocols) as one:
            assert one.protocol == "signalbox.v1"
            await one.send_json({"ping": "7"})
            assert (await one.receive_json(timeout=10)) == {"pong": "7"}
        assert await code(token="", protocols=protocols) == 4401
        assert await code(token="", protocols=("signalbox.v1", "ticket.forged")) == 4401
        assert await code(token="") == 4401
        assert await code(headers={"Origin": "https://evil.example"}) == 4403
        assert await code(token=await gateway.another_token("job.read")) == 4403
        login = {"username": "looker", "password": "four unrelated words here"}
        await gateway.ask("POST", "/users", {**login, "role": "viewer"})
        session = (await gateway.ask("POST", "/auth/login", login, token=""))["access_token"]
        orphan = (await gateway.ask("POST", "/ws/tickets", token=session))["ticket"]
        await gateway.ask("POST", "/auth/logout", {}, token=session)
        assert await code(token="", protocols=("signalbox.v1", f"ticket.{orphan}")) == 4401, "its session was ended"
        refused = (await gateway.ask("GET", "/audit?action=live_all"))["items"]
        assert Counter((one["outcome"], one["detail"]) for one in refused) == {
            (
                "unauthenticated",
                "no credential that is good",
            ): 3,  # used, forged, of an ended session
            ("unauthenticated", "a page of another origin"): 1,
            ("refused", "this needs the permission plan.read"): 1,
        }

        reader = await gateway.another_token("plan.read")
        async with (
            socket(gateway, "/ws/user/ann/workflow/nightly", token=reader) as one,
            socket(gateway, "/ws/workflow/other") as other,
        ):
            await notifiers.publish(plan_state("ACCEPTED", "RUNNING"))
            first = await one.receive_json(timeout=20)
            assert (first["type"], first["workflow_id"], first["user_id"]) == (
                "workflow.triggered", "nightly", "ann",
            )  # fmt: skip
            assert (await one.receive_json(timeout=10))["type"] == "workflow.started"
            async with gateway.connection() as connection:
                await connection.execute("UPDATE token SET revoked_at = now() WHERE id = $1", reader.split("_")[1])
            assert (await one.receive(timeout=15)).type is aiohttp.WSMsgType.CLOSE
            assert one.close_code == 4401
            with pytest.raises(TimeoutError):
                await other.receive(timeout=0.2)
        await follow_by_cookie(gateway)


async def follow_by_cookie(gateway: Gateway) -> None:
    """A page of ours follows with its session's cookie, until the role or the session is gone."""
    password = "four unrelated words here"
    await gateway.ask("POST", "/users", {"username": "page", "email": "page@example.com", "password": password})
    bound = await gateway.ask("POST", "/bindings", {"username": "page", "role": "viewer"})
    body = {"username": "page", "password": password, "cookie": True}
    login = await gateway.request("POST", "/auth/login", body, token="")
    cookie = login.headers["Set-Cookie"].partition(";")[0]

    def page(origin: str | None) -> Any:
        return socket(gateway, token="", headers={"Cookie": cookie} | ({"Origin": origin} if origin else {}))

    async def closed(one: Any) -> int | None:
        message = await one.receive(timeout=5)
        assert message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED), message
        return one.close_code

    for origin, code in (("https://evil.example", 4403), (None, 4401)):
        async with page(origin) as one:
            assert await closed(one) == code, origin
    async with page(gateway.url) as one:
        assert (await gateway.request("DELETE", f"/bindings/{bound['id']}")).status == 204
        assert await closed(one) == 4403, "the role is gone within 5 s"
    await gateway.ask("POST", "/bindings", {"username": "page", "role": "viewer"})
    async with page(gateway.url) as one:
        out = {"Cookie": cookie, "X-CSRF-Token": login.body["csrf_token"]}
        assert (await gateway.request("POST", "/auth/logout", {}, token="", headers=out)).status == 200
        assert await closed(one) == 4401, "the session is over"
    async with page(gateway.url) as one:
        assert await closed(one) == 4401


async def test_bad_requests_are_refused_and_an_old_place_needs_a_snapshot(notifiers: Notifiers) -> None:
    started = plan_state("ACCEPTED", "RUNNING", project="sales")
    plan = str(started.data.plan_id)
    async with notifiers.notifying(secret_key=KEY) as service, aiohttp.ClientSession(address(service)) as session:
        await notifiers.publish(started)

        async def fed() -> bool:
            return await notifiers.value("SELECT count(*) FROM live_event") == 2

        await until(fed, why="the plan is in the feed")
        async with session.get("/live", headers={ASSERTION: "e30=.00"}) as refused:
            assert refused.status == 401

        def connect(**claims: Any) -> Any:
            return session.ws_connect("/live", headers={ASSERTION: sign(signing_keys(KEY), claims)})

        async with connect(projects=["other"]) as one:
            for request, problem in (
                ({"subscribe": {"id": "a", "plan": plan}}, "forbidden"),
                ({"subscribe": {"id": "a", "filter": {"project": "sales"}}}, "forbidden"),
                ({"subscribe": {"id": "a", "filter": {"types": ["workflow_exploded"]}}}, "invalid"),
                ({"subscribe": {"id": "a", "after": 3}}, "invalid"),
                ({"unknown": 1}, "invalid"),
            ):
                await one.send_json(request)
                assert (await one.receive_json(timeout=10))["refused"]["type"] == f"/problems/{problem}", request
            await one.send_str("no json")
            assert "refused" in await one.receive_json(timeout=10)
        await notifiers.rows("DELETE FROM live_event WHERE sequence = 1")
        async with connect(projects=None) as one:
            await one.send_json({"subscribe": {"id": "a", "plan": plan, "after": 0}})
            snapshot = (await one.receive_json(timeout=10))["snapshot_needed"]
            assert (snapshot["sequence"], snapshot["url"]) == (2, f"/api/v1/plans/{plan}")
            assert (await one.receive_json(timeout=10))["subscribed"]["sequence"] == 2
            await one.send_json({"subscribe": {"id": "b", "plan": plan, "after": 1}})
            assert (await one.receive_json(timeout=10))["subscribed"]["sequence"] == 1
            assert [event["sequence"] for event in (await one.receive_json(timeout=10))["events"]] == [2]


async def test_a_channel_of_the_feed_reaches_its_user_or_all_who_may_see_the_project(notifiers: Notifiers) -> None:
    for revision, (id, user) in enumerate((("for-ann", "ann"), ("for-all", None)), 1):
        channel = {"id": id, "name": id, "destination": {"kind": "websocket", "user": user}}
        await notifiers.define(
            Channel.model_validate(channel), subscription(f"s-{id}", id, "workflow.started"), revision=revision
        )
    filter = {"filter": {"types": ["system.notification"]}}
    async with notifiers.notifying(secret_key=KEY) as service, aiohttp.ClientSession(address(service)) as session:

        def connect(user: str, projects: list[str] | None) -> Any:
            headers = {ASSERTION: sign(signing_keys(KEY), {"user": user, "projects": projects})}
            return session.ws_connect("/live", headers=headers)

        async with connect("ann", None) as ann, connect("bob", None) as bob, connect("eve", ["other"]) as eve:
            for one in (ann, bob, eve):
                await one.send_json({"subscribe": {"id": "a", **filter}})
                assert "subscribed" in await one.receive_json(timeout=10)
            await notifiers.publish(plan_state("ACCEPTED", "RUNNING", project="sales"))

            async def received(one: Any, count: int) -> set[str | None]:
                found: list[Any] = []
                while len(found) < count:
                    found += (await one.receive_json(timeout=30))["events"]
                assert {event["data"]["about"] for event in found} == {"workflow.started"}
                return {event["data"]["to"] for event in found}

            assert await received(ann, 2) == {"ann", None}
            assert await received(bob, 1) == {None}
            await eve.send_json({"ping": "still there"})
            assert "pong" in await eve.receive_json(timeout=10), "nothing came of a project that eve may not see"


@proves("notifier.store.steps: a report that came before changes nothing")
async def test_the_parts_of_a_run_are_reported_once_however_often_and_late_their_reports_come(
    notifiers: Notifiers,
) -> None:
    """A DAG's tasks become task events of the plan, by feed and by webhook."""
    started = plan_state("ACCEPTED", "RUNNING")
    plan, task, now = started.data.plan_id, uuid.uuid4(), datetime.now(UTC)

    def report(sequence: int, **phases: Phase) -> TaskProgress:
        steps = tuple(
            StepProgress(
                name=name, state=phase.value, phase=phase, attempt=1, started_at=now,
                ended_at=None if phase is Phase.RUNNING else now,
            )
            for name, phase in phases.items()
        )  # fmt: skip
        data = TaskProgressData(plan_id=plan, task_id=task, attempt=1, sequence=sequence, at=now, steps=steps)
        return TaskProgress.of(data, subject=plan, source="signalbox/executor", time=now, aggregateversion=sequence)

    first, second = report(1, load=Phase.RUNNING), report(2, load=Phase.FAILED, report=Phase.SUCCEEDED)
    async with receiver() as hook:
        await notifiers.define(webhook("hook", hook.url), subscription("tasks", "hook", "task.*"))
        async with notifiers.notifying(secret_key=KEY):
            await notifiers.publish(started, first, second, first, second, report(3, load=Phase.FAILED))

            async def fed() -> bool:
                done = "SELECT max(sequence) FROM task_step"
                return await notifiers.value(done) == 3 and len(hook.got) == 4

            await until(fed, why="every report is read and told")
    rows = await notifiers.rows("SELECT body FROM live_event WHERE plan_id = $1 ORDER BY sequence", plan)
    events = [json.loads(row["body"]) for row in rows]
    assert [(event["type"], event["data"]["step"]) for event in events if event["category"] == "task"] == [
        ("task.started", "load"), ("task.failed", "load"), ("task.started", "report"), ("task.completed", "report"),
    ]  # fmt: skip
    assert sorted(json.loads(body)["type"] for _, body in hook.got) == [
        "task.completed", "task.failed", "task.started", "task.started",
    ]  # fmt: skip


async def test_how_far_a_reprocessing_job_and_its_workers_are_is_fed(notifiers: Notifiers) -> None:
    job, now = uuid.uuid4(), datetime.now(UTC)

    def state(version: int, sent: int, status: str = "running") -> ReprocessingStated:
        worker = ReprocessingWorkerRecord(
            worker_index=0, status=ReprocessingStatus(status), updated_at=now, success_count=sent
        )  # fmt: skip
        record = ReprocessingRecord(
            job_id=job, version=version, status=ReprocessingStatus(status), success_count=sent, workers=(worker,)
        )  # fmt: skip
        return ReprocessingStated.of(
            record, subject=f"reprocessing:{job}", source="signalbox/reprocessor", time=now, aggregateversion=version
        )  # fmt: skip

    async with notifiers.notifying(secret_key=KEY):
        await notifiers.publish(state(1, 10))

        async def fed(version: int) -> bool:
            query = "SELECT count(*) FROM live_event WHERE plan_id = $1 AND body::json ->> 'version' = $2"
            return await notifiers.value(query, job, str(version)) == 1

        await until(lambda: fed(1), why="the first state is fed")
        await notifiers.publish(state(2, 20, "completed"), state(2, 20, "completed"))
        await until(lambda: fed(2), why="the last state is fed")
    rows = await notifiers.rows("SELECT body FROM live_event WHERE plan_id = $1 ORDER BY sequence", job)
    events = [json.loads(row["body"]) for row in rows]
    assert [(one["type"], one["status"], one["data"]["success_count"]) for one in events] == [
        ("reprocessing.progress", "running", 10), ("reprocessing.progress", "completed", 20),
    ]  # fmt: skip
    assert events[1]["data"]["workers"][0]["success_count"] == 20
    assert {one["run_id"] for one in events} == {str(job)}


async def test_a_long_plan_is_replayed_to_its_end(notifiers: Notifiers) -> None:
    """Else who resumes far behind is closed as too slow before anything is sent, again at each new connection."""
    events, size = 1500, 2000
    started = plan_state("ACCEPTED", "RUNNING")
    plan = started.data.plan_id
    async with notifiers.notifying(secret_key=KEY) as service, aiohttp.ClientSession(address(service)) as session:
        await notifiers.publish(started)

        async def fed() -> bool:
            return await notifiers.value("SELECT count(*) FROM live_event") == 2

        await until(fed, why="the plan is in the feed")
        await notifiers.rows(
            "INSERT INTO live_event (plan_id, sequence, body) SELECT plan_id, n, (body::jsonb || jsonb_build_object("
            "'message', repeat('x', $3)))::text FROM live_event, generate_series(3, $2) n WHERE plan_id = $1"
            " AND sequence = 2",
            plan, events, size,
        )  # fmt: skip
        await notifiers.rows("UPDATE plan SET feed_sequence = $2, fed_at = now() WHERE id = $1", plan, events)
        headers = {ASSERTION: sign(signing_keys(KEY), {"projects": None})}
        async with asyncio.timeout(60), session.ws_connect("/live", headers=headers, max_msg_size=0) as one:
            await one.send_json({"subscribe": {"id": "a", "plan": str(plan), "after": 0}})
            seen: list[int] = []
            while len(seen) < events:
                seen += [event["sequence"] for event in (await one.receive_json()).get("events", ())]
    assert events * size > 2 * MAX_QUEUED_BYTES
    assert seen == list(range(1, events + 1))


def test_a_client_that_takes_nothing_is_marked_slow_and_keeps_no_more() -> None:
    client = Client(plain=True)
    client.follow(Following("a", None, Filter()))
    event: dict[str, Any] = {
        "project": "default",
        "severity": "info",
        "category": "task",
        "type": "task.started",
        "labels": {},
    }
    row = LiveRow(uuid.uuid4(), 1, json.dumps({**event, "message": "x" * 1000}))
    offered = 0
    while not client.overflowed:
        client.offer(row, event)
        offered += 1
        assert offered < 2 * MAX_QUEUED_BYTES // 1000
    assert client.take() == []


async def test_a_long_feed_is_pruned_a_batch_a_statement_until_what_is_kept_is_left(
    notifiers: Notifiers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without bounds a plan of a million events is deleted in one statement, which its time limit cancels each time."""
    monkeypatch.setattr(live, "MAX_PRUNED_ROWS", 10)
    monkeypatch.setattr(live, "KEEP_EVENTS", 15)
    await notifiers.rows(
        "INSERT INTO plan (id, version, summary, feed_sequence, fed_at)"
        " VALUES ('00000000-0000-0000-0000-000000000001', 0, '{}', 40, now())"
    )
    await notifiers.rows(
        "INSERT INTO live_event SELECT '00000000-0000-0000-0000-000000000001', n, '{}', now()"
        " FROM generate_series(1, 40) n"
    )
    database = Database(notifiers.url, schema=notifiers.schema, pool_size=1, application="test")
    left: list[int] = []
    try:
        for more in (True, True, False):
            async with database.connection() as connection:
                assert await live.prune(connection, 3600) is more
            left.append(await notifiers.value("SELECT count(*) FROM live_event"))
    finally:
        await database.stop()
    assert left == [30, 20, 15]
    assert await notifiers.value("SELECT min(sequence) FROM live_event") == 26
