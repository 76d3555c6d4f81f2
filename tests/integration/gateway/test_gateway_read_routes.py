"""The reading routes over HTTP: filters, cursors, waiting, logs, status, traces, on real servers."""

import asyncio
import gzip
import json
import time
import uuid
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import aiohttp
import pytest
import pytest_asyncio
import uvicorn
from fastapi import FastAPI
from opentelemetry.trace import NoOpTracer

from signalbox_chassis.blobs import Blobs
from signalbox_chassis.observability.telemetry import Telemetry
from signalbox_chassis.persistence.connection import Connection, Row
from signalbox_chassis.runtime.clock import SystemClock
from signalbox_contracts.ids import task_id
from signalbox_contracts.messages.operations import LogsFollow
from signalbox_contracts.messages.plans import Counts, Expected, Waiting, WaitReason
from signalbox_contracts.messages.reprocessing import ReprocessingRecord, ReprocessingStatus
from signalbox_contracts.messages.tasks import Phase, TaskProgress, TaskProgressData, WorkerProgress
from signalbox_contracts.states import PlanState, TaskState
from signalbox_contracts.topics import topic
from signalbox_contracts.wire import decode
from signalbox_gateway.consumer_groups import Groups
from signalbox_gateway.http.access import Principal
from signalbox_gateway.http.dependencies import Dependencies
from signalbox_gateway.http.factory import application
from signalbox_gateway.identity.roles import Binding, Role
from signalbox_gateway.read_model import queries, reprocessing, writes
from signalbox_gateway.read_model.queries import PlanFilter
from signalbox_gateway.routes import dead_letters, operations, plans_read, reprocessing_logs, status, tasks, traces
from signalbox_gateway.settings import GatewaySettings
from signalbox_local.otlp import OtlpReceiver
from support.read_model import (
    NOW,
    ReadModel,
    items_page,
    plan_ended,
    plan_record,
    plan_stated,
    read_model,
    task_record,
    tasks_stated,
)
from support.service_fixture import until

S = TaskState
ROUTERS = [module.router for module in (plans_read, tasks, dead_letters, operations, reprocessing_logs, status, traces)]


class OneToken:
    """Stands in for the tokens' table: these tests are about reading."""

    async def principal(self, header: str) -> Principal | None:
        return Principal("ann", "t", frozenset({"*"}), None, (Binding(Role.ADMIN),))


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    text: str

    def json(self) -> Any:
        return json.loads(self.text)


class Api:
    """The routes on a port of their own, asked as a client would."""

    def __init__(self, model: ReadModel, parts: Dependencies, folder: Path, session: aiohttp.ClientSession) -> None:
        self.model, self.parts, self.session = model, parts, session
        self.blobs = Blobs(folder.as_uri())

    async def get(self, path: str, **params: Any) -> Answer:
        async with self.session.get(f"/api/v1{path}", params=params) as answer:
            return Answer(answer.status, answer.headers, await answer.text())

    async def read(self, path: str, **params: Any) -> Any:
        answer = await self.get(path, **params)
        assert answer.status == 200, answer.text
        return answer.json()


@asynccontextmanager
async def serving(app: FastAPI) -> AsyncGenerator[str]:
    server = uvicorn.Server(uvicorn.Config(app, port=0, lifespan="off", ws="none", log_config=None))
    serve = asyncio.create_task(server.serve())

    async def started() -> bool:
        return server.started

    await until(started)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    await serve


@pytest_asyncio.fixture
async def api(postgres_url: str, kafka_bootstrap: str, tmp_path: Path) -> AsyncGenerator[Api]:
    async with read_model(postgres_url, kafka_bootstrap) as model, model.running() as service:
        groups = Groups(kafka_bootstrap, group_prefix=model.prefix, topic_prefix=model.prefix)
        settings = GatewaySettings.model_validate(model.settings().model_dump())
        parts = Dependencies(
            database=service.database,
            waits=model.waits,
            settings=settings,
            tracer=NoOpTracer(),
            clock=SystemClock(),
            broker=groups.snapshot,
            blobs=Blobs(tmp_path.as_uri()),
        )
        app = application(parts, ROUTERS)
        app.state.tokens = OneToken()
        headers = {"Authorization": "Bearer any"}
        async with serving(app) as url, aiohttp.ClientSession(url, headers=headers) as session:
            yield Api(model, parts, tmp_path, session)
        await groups.stop()


async def until_there(api: Api, path: str) -> Any:
    async def there() -> bool:
        return (await api.get(path)).status == 200

    await until(there, why=f"{path} answers")
    return await api.read(path)


async def test_plans_are_listed_newest_first_filtered_and_in_pages(api: Api) -> None:
    plans = [uuid.uuid4() for _ in range(5)]
    for number, plan in enumerate(plans):
        state = PlanState.RUNNING if number % 2 else PlanState.PAUSED
        at = NOW + timedelta(minutes=number)
        await api.model.send(plan_stated(plan, state, 1, created_at=at, name=f"Plan {number}"))
    await until_there(api, f"/plans/{plans[-1]}")

    async def all_there() -> bool:
        return sum((await api.read("/plans/counts"))["counts"].values()) == 5

    await until(all_there)
    seen: list[str] = []
    cursor: str | None = None
    while True:
        page = await api.read("/plans", limit=2, **({"cursor": cursor} if cursor else {}))
        seen += [plan["id"] for plan in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == [str(plan) for plan in reversed(plans)]
    both = await api.read("/plans", state=["RUNNING", "FAILED"])
    assert {plan["state"] for plan in both["items"]} == {"RUNNING"}
    assert len(both["items"]) == 2
    after = (NOW + timedelta(minutes=3)).isoformat()
    assert len((await api.read("/plans", created_after=after))["items"]) == 2
    assert (await api.read("/plans/counts"))["counts"] == {"PAUSED": 3, "RUNNING": 2}


async def test_plans_are_listed_and_counted_by_their_end(api: Api) -> None:
    """The overview's failures of the last day: a plan of two days ago that failed now was none of them."""
    old, recent, running = uuid.uuid4(), uuid.uuid4(), uuid.uuid4()
    nothing = Expected(items=0, tasks=0, item_pages=0, task_versions=0)
    created, day_ago = NOW - timedelta(days=2), (NOW - timedelta(days=1)).isoformat()
    await api.model.send(
        plan_stated(old, PlanState.FAILED, 1, expected=nothing, created_at=created, ended_at=NOW),
        plan_stated(
            recent, PlanState.SUCCEEDED, 1, expected=nothing, created_at=NOW, ended_at=NOW - timedelta(minutes=1)
        ),
        plan_stated(running, PlanState.RUNNING, 1, created_at=created),
    )
    for plan in (old, recent, running):
        await until_there(api, f"/plans/{plan}")

    def ids(page: Any) -> list[str]:
        return [plan["id"] for plan in page["items"]]

    first = await api.read("/plans", ended_after=day_ago, limit=1)
    second = await api.read("/plans", ended_after=day_ago, limit=1, cursor=first["next_cursor"])
    assert ids(first) + ids(second) == [str(old), str(recent)], "the newest end first, also across pages"
    assert second["next_cursor"] is None
    assert ids(await api.read("/plans", ended_after=day_ago, state="FAILED")) == [str(old)]
    assert ids(await api.read("/plans", ended_before=NOW.isoformat())) == [str(recent)]
    counted = await api.read("/plans/counts", ended_after=day_ago)
    assert counted["counts"] == {"FAILED": 1, "SUCCEEDED": 1}
    assert (await api.get("/plans", cursor=first["next_cursor"])).status == 422, "a cursor of the other order"


class Explained:
    """Stands in for a connection: collects the plans of its queries, and finds no rows."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.plans: list[str] = []

    async def fetch(self, query: str, *values: Any) -> list[Row]:
        rows = await self._connection.fetch(f"EXPLAIN {query}", *values)
        self.plans.append("\n".join(row["QUERY PLAN"] for row in rows))
        return []


@pytest.mark.parametrize("state", [(), ("FAILED", "REFUSED")])
async def test_plans_by_their_end_are_read_from_the_index_of_it(
    postgres_url: str, kafka_bootstrap: str, state: tuple[str, ...]
) -> None:
    """Without it the overview reads every plan that is kept, for each person who looks at it."""
    async with read_model(postgres_url, kafka_bootstrap) as model, model.connection() as connection:
        await connection.execute(MANY_PLANS)
        await connection.execute("ANALYZE plan")
        explained = Explained(connection)
        last_day = PlanFilter(state=state, ended_after=NOW - timedelta(days=1))
        await queries.plans(cast("Connection", explained), last_day, limit=50)
        await queries.plans(
            cast("Connection", explained), last_day, limit=50, after=[NOW.isoformat(), str(uuid.UUID(int=0))]
        )
        await queries.plan_counts(cast("Connection", explained), last_day)
    assert len(explained.plans) == 3
    for shown in explained.plans:
        assert "plan_ended" in shown, shown
        assert "Seq Scan on plan" not in shown, shown


MANY_PLANS = """
INSERT INTO plan (id, version, state, name, project, actor, labels, created_at, ended_at, record, complete)
SELECT gen_random_uuid(), 1, CASE WHEN n % 10 = 0 THEN 'FAILED' ELSE 'SUCCEEDED' END, 'Nightly', 'default', 'user:ann',
    '{}', at - interval '1 hour', at, '{}', true
FROM generate_series(0, 19999) AS n,
    LATERAL (SELECT timestamptz '2026-03-29 01:30Z' - n * interval '5 minutes') AS t (at)
"""
"""Plans of ten weeks."""


WRONG = (
    ("/plans?state=GONE", "state"),
    ("/plans?cursor=abc", "cursor"),
    ("/plans?limit=0", "limit"),
    ("/plans?colour=red", "colour"),
    ("/tasks?why=hunger", "why"),
    ("/plans/not-an-id", "id"),
    ("/dead-letters?state=LOST", "state.0"),
    ("/operations/019b5d9e-0000-7000-8000-000000000000?wait=61s", "wait"),
)


async def test_a_wrong_parameter_is_named(api: Api) -> None:
    for path, field in WRONG:
        answer = await api.get(path)
        assert answer.status == 422, (path, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["errors"][0]["field"] == field


async def test_what_is_not_there_is_not_found(api: Api) -> None:
    id = uuid.uuid4()
    paths = [f"/plans/{id}", f"/plans/{id}/events", f"/plans/{id}/items", f"/plans/{id}/tasks", f"/tasks/{id}"]
    paths += [f"/tasks/{id}/logs", f"/tasks/{id}/attempts", f"/dead-letters/{id}", f"/operations/{id}"]
    for path in [*paths, f"/traces/{id.hex}"]:
        assert (await api.get(path)).status == 404, path


async def test_waiting_for_the_end_answers_when_the_last_fact_of_a_task_is_there_too(api: Api) -> None:
    """An answer at the plan's own fact would list tasks that seem to run still."""
    plan = uuid.uuid4()
    await api.model.send(plan_stated(plan, PlanState.RUNNING, 1), items_page(plan, 1, pages=1, each=1))
    await until_there(api, f"/plans/{plan}")
    api.model.waits.look_again_seconds = 60  # so that only the commit can end the wait in time
    waiting = asyncio.create_task(api.read(f"/plans/{plan}", wait="60s", until="end"))
    now = datetime.now(UTC)
    ended = plan_ended(plan, 5, tasks=1, task_versions=5, pages=1)
    record = ended.data.model_copy(update={"ended_at": now + timedelta(seconds=30)})
    await api.model.send(ended.model_copy(update={"data": record}))

    async def known() -> bool:
        return (await api.read(f"/plans/{plan}"))["state"] == "SUCCEEDED"

    await until(known)
    assert not waiting.done()
    await api.model.send(tasks_stated(plan, task_record(plan, 0, S.SUCCEEDED, 5)))
    published_at = time.monotonic()
    answer = await waiting
    assert time.monotonic() - published_at < 30
    assert answer["complete"]
    assert [task["state"] for task in (await api.read(f"/plans/{plan}/tasks"))["items"]] == ["SUCCEEDED"]


async def test_waiting_for_a_version_ends_with_what_is_true_when_time_is_up(api: Api) -> None:
    plan = uuid.uuid4()
    await api.model.send(plan_stated(plan, PlanState.RUNNING, 1))
    await until_there(api, f"/plans/{plan}")
    began = time.monotonic()
    answer = await api.read(f"/plans/{plan}", wait="0.7s", min_version=9)
    assert answer["version"] == 1
    assert 0.6 < time.monotonic() - began < 5


async def test_a_task_says_why_it_waits_in_a_sentence(api: Api) -> None:
    plan = uuid.uuid4()
    why = Waiting(why=WaitReason.ENGINE_PAUSED, holder="engine:local", since_at=NOW, detail="local is paused")
    await api.model.send(tasks_stated(plan, task_record(plan, 0, S.QUEUED, 1, waiting=why)))
    task = await until_there(api, f"/tasks/{task_id(plan, 'item/0')}")
    assert task["plan_id"] == str(plan)
    assert task["waiting"]["sentence"] == (
        "engine local takes no new work (local is paused), since 2026-03-29T01:30:00Z;"
        " open it with `signalbox engine resume local`"
    )
    listed = await api.read("/tasks", why="engine_paused", engine="local")
    assert [one["id"] for one in listed["items"]] == [task["id"]]


async def test_a_task_says_how_far_it_is(api: Api) -> None:
    plan = uuid.uuid4()
    await api.model.send(tasks_stated(plan, task_record(plan, 0, S.RUNNING, 1)))
    id = task_id(plan, "item/0")
    assert (await until_there(api, f"/tasks/{id}"))["progress"] is None
    data = TaskProgressData(
        plan_id=plan, task_id=id, attempt=1, sequence=1, at=NOW, fraction=0.5, message="2 stages done",
        workers=(WorkerProgress(worker=3, phase=Phase.FAILED),),
    )  # fmt: skip
    await api.model.send(TaskProgress.of(data, subject=plan, source="signalbox/executor", time=NOW, aggregateversion=1))

    async def shown() -> bool:
        return (await api.read(f"/tasks/{id}"))["progress"] is not None

    await until(shown, seconds=10, why="the progress is read")
    seen = (await api.read(f"/tasks/{id}"))["progress"]
    assert (seen["fraction"], seen["message"], seen["steps"]) == (0.5, "2 stages done", [])
    assert seen["workers"] == [{"worker": 3, "phase": "failed", "error": None}]


async def test_who_closed_an_engine_is_the_one_who_did_not_the_one_who_changed_it_later(api: Api) -> None:
    plan = uuid.uuid4()
    async with api.model.connection() as connection:
        for version, (intake, who) in enumerate([("open", "bob"), ("paused", "ann"), ("draining", "bob")], start=1):
            await connection.execute(
                "INSERT INTO definition_version (kind, id, version, revision, body, created_by, created_at, reason)"
                " VALUES ('engine', 'shut', $1::int, $1::int, $2, $3, $4, $5)",
                version, json.dumps({"intake": intake}), f"user:{who}", NOW + timedelta(hours=version),
                f"{who} says so",
            )  # fmt: skip
    why = Waiting(why=WaitReason.ENGINE_PAUSED, holder="engine:shut", since_at=NOW, detail="shut is draining")
    await api.model.send(plan_stated(plan, PlanState.RUNNING, 1))
    await api.model.send(tasks_stated(plan, task_record(plan, 0, S.QUEUED, 1, waiting=why)))
    task = await until_there(api, f"/tasks/{task_id(plan, 'item/0')}")
    sentence = "engine shut takes no new work (shut is draining: by user:ann: ann says so), since 2026-03-29T03:30:00Z;"
    assert sentence in task["waiting"]["sentence"]
    (of_plan, *_) = (await until_there(api, f"/plans/{plan}"))["waiting"]
    assert sentence in of_plan["sentence"]


async def test_a_plan_says_a_reason_of_two_engines_once_and_that_nobody_is_there_to_start_anything(api: Api) -> None:
    plan = uuid.uuid4()
    why = Waiting(why=WaitReason.PLAN_LIMIT, holder=f"plan:{plan}", since_at=NOW, detail="1 of 1 slots are taken")
    await api.model.send(plan_stated(plan, PlanState.RUNNING, 1, counts=Counts(total=5, waiting=5)))
    records = [task_record(plan, n, S.QUEUED, 1, waiting=why, engine=f"e{n % 2}") for n in range(5)]
    await api.model.send(tasks_stated(plan, *records))
    await until_there(api, f"/tasks/{task_id(plan, 'item/4')}")
    found: list[Any] = []

    async def nobody_there() -> bool:  # a busy broker's first answer may take too long to be waited for
        found[:] = (await api.read(f"/plans/{plan}"))["waiting"]
        return len(found) == 2

    await until(nobody_there, why=f"the plan says that no executor runs: {found}")
    limit, nobody = found
    assert (limit["tasks"], limit["why"]) == (5, "plan_limit")
    assert nobody["sentence"].startswith("no executor runs")


async def test_a_plan_the_planner_has_not_answered_for_says_so(api: Api) -> None:
    plan = uuid.uuid4()
    record = plan_record(plan, PlanState.ACCEPTED, 0, transitions=())
    async with api.model.connection() as connection:
        await writes.accept_plan(connection, record, trace_id=None)
    (waiting,) = (await api.read(f"/plans/{plan}"))["waiting"]
    assert "the planner has not answered since 2026-03-29T01:30:00Z: no planner runs" in waiting["sentence"]


async def log_of(api: Api, plan: uuid.UUID, *texts: bytes, attempt: int = 1, first: int = 0) -> str:
    """Store these pieces one after the other."""
    task, at = task_id(plan, "item/0"), first
    for text in texts:
        await api.blobs.write(f"logs/{task}/{attempt}/{at:016d}.gz", gzip.compress(text))
        at += len(text)
    return f"/tasks/{task}/logs"


async def test_logs_are_read_completely_from_a_byte_and_from_the_end(api: Api) -> None:
    plan = uuid.uuid4()
    await api.model.send(tasks_stated(plan, task_record(plan, 0, S.RUNNING, 4)))
    await until_there(api, f"/tasks/{task_id(plan, 'item/0')}")
    path = await log_of(api, plan, b"one\ntwo\n", b"three\n<script>\n")
    answer = await api.get(path)
    assert answer.text == "one\ntwo\nthree\n<script>\n"
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert (await api.get(path, since=5)).text == "wo\nthree\n<script>\n"
    assert (await api.get(path, tail=3)).text == "two\nthree\n<script>\n"
    assert (await api.get(path, attempt=2)).text == ""
    await log_of(api, plan, b"last\n", first=1000)
    assert "\n[977 bytes are not kept]\nlast\n" in (await api.get(path)).text


async def test_logs_of_workers_are_shown_of_each_and_merged_and_those_that_run_are_asked_for_once(api: Api) -> None:
    plan = uuid.uuid4()
    path = f"/../admin/reprocessing/jobs/{plan}/logs"
    records = [
        task_record(plan, n, state, 4).model_copy(update={"item_key": f"worker/{n}"})
        for n, state in enumerate((S.RUNNING, S.FAILED, S.RUNNING))
    ]
    assert (await api.get(path)).status == 404
    async with api.model.connection() as connection:
        job = ReprocessingRecord(job_id=plan, version=1, status=ReprocessingStatus("running"))
        await reprocessing.write_states(connection, [job])
    await api.model.send(tasks_stated(plan, *records))
    await until_there(api, f"/tasks/{records[2].task_id}")
    now = datetime.now(UTC)
    early, late = (f"{now - timedelta(seconds=ago):%Y-%m-%dT%H:%M:%S}.5Z" for ago in (3600, 2))
    logs = {
        0: f"{early} INFO begun\n{late} ERROR gone\n  <b>traceback\x1b[31m\n",
        1: f"{late} WARNING \xff\n",
    }
    for number, text in logs.items():
        await api.blobs.write(f"logs/{records[number].task_id}/1/{0:016d}.gz", gzip.compress(text.encode()))
    shown = await api.read(path)
    assert (shown["job_id"], shown["sorted"]) == (str(plan), False)
    assert [(one["worker_index"], one["pod_name"], one["error"]) for one in shown["logs"]] == [
        (0, f"reprocess-{plan}-0", None), (1, f"reprocess-{plan}-1", None),
        (2, f"reprocess-{plan}-2", "nothing is stored of it yet"),
    ]  # fmt: skip
    assert shown["logs"][0]["lines"] == [
        f"{early} INFO begun", f"{late} ERROR gone", f"{late}   <b>traceback\x1b[31m",
    ]  # fmt: skip
    assert (await api.read(path, tail=1))["logs"][0]["lines"] == [f"{late}   <b>traceback\x1b[31m"]
    merged = (await api.read(path, since=60, sort="true"))["lines"]
    assert [(line["worker_index"], line["timestamp"], line["message"]) for line in merged] == [
        (0, late, "ERROR gone"), (0, late, "  <b>traceback\x1b[31m"), (1, late, "WARNING \xff"),
    ]  # fmt: skip
    requests = await api.model.value("SELECT count(*) FROM outbox WHERE topic = 'operations.v1'")
    assert requests == 2, "one request for each worker that runs, however often somebody looks"
    for wrong in ({"tail": 1001}, {"tail": "x"}, {"since": 0}, {"since": "nan"}, {"sort": "maybe"}):
        assert (await api.get(path, **wrong)).status == 422


async def test_the_log_of_an_indexed_job_is_shown_by_worker(api: Api) -> None:
    plan = uuid.uuid4()
    task = task_record(plan, 0, S.RUNNING, 4).model_copy(update={"item_key": "workers"})
    async with api.model.connection() as connection:
        job = ReprocessingRecord(job_id=plan, version=1, status=ReprocessingStatus("running"), total_workers=2)
        await reprocessing.write_states(connection, [job])
    await api.model.send(tasks_stated(plan, task))
    await until_there(api, f"/tasks/{task.task_id}")
    text = "[1] 2026-03-28T01:00:01Z INFO one\n[0] 2026-03-28T01:00:00Z INFO zero\n"
    await api.blobs.write(f"logs/{task.task_id}/1/{0:016d}.gz", gzip.compress(text.encode()))
    shown = await api.read(f"/../admin/reprocessing/jobs/{plan}/logs")
    assert [(one["worker_index"], one["lines"]) for one in shown["logs"]] == [
        (0, ["2026-03-28T01:00:00Z INFO zero"]), (1, ["2026-03-28T01:00:01Z INFO one"]),
    ]  # fmt: skip
    merged = (await api.read(f"/../admin/reprocessing/jobs/{plan}/logs", sort="true"))["lines"]
    assert [line["message"] for line in merged] == ["INFO zero", "INFO one"]


async def test_a_followed_log_streams_until_it_ends_and_the_executor_is_asked_to_hurry(api: Api) -> None:
    plan = uuid.uuid4()
    task = task_id(plan, "item/0")
    await api.model.send(tasks_stated(plan, task_record(plan, 0, S.RUNNING, 4)))
    await until_there(api, f"/tasks/{task}")
    path = await log_of(api, plan, b"one\n")
    following = asyncio.create_task(api.get(path, follow="true"))

    async def follow_is_sent() -> bool:
        return bool(await api.model.value("SELECT count(*) FROM outbox WHERE topic = 'operations.v1'"))

    await until(follow_is_sent)
    value = await api.model.value("SELECT value FROM outbox WHERE topic = 'operations.v1'")
    event = decode(topic("operations.v1"), value)
    assert isinstance(event, LogsFollow)
    assert (event.data.task_id, event.data.attempt, event.data.actor) == (task, 1, "user:ann")
    await log_of(api, plan, b"two\n", first=4)
    await api.blobs.write(f"logs/{task}/1/end.json", json.dumps({"bytes": 8, "truncated": False}).encode())
    assert (await following).text == "one\ntwo\n"


async def test_a_followed_log_with_marks_says_where_to_go_on_and_ends_with_its_token(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it a silent log is cut off by whoever is between, a restart costs lines, and a revoked token reads on."""
    monkeypatch.setattr("signalbox_gateway.routes.tasks.HEARTBEAT_SECONDS", 0.1)
    monkeypatch.setattr("signalbox_gateway.log_following.TOKEN_SECONDS", 0.1)
    plan = uuid.uuid4()
    task = task_id(plan, "item/0")
    await api.model.send(tasks_stated(plan, task_record(plan, 0, S.RUNNING, 4)))
    await until_there(api, f"/tasks/{task}")
    path = await log_of(api, plan, "né\0".encode())
    seen: list[str] = []

    async def revoked(request: Any, name: str) -> bool:
        seen.append(request.headers["authorization"])
        return len(seen) < 5

    monkeypatch.setattr("signalbox_gateway.routes.tasks.still_may", revoked)
    cut_off = (await api.get(path, follow="true", marks="true")).text
    assert cut_off.startswith("né?\x004\n\x004\n"), "the piece with its offset, then heartbeats"
    assert "end" not in cut_off
    await api.blobs.write(f"logs/{task}/1/end.json", json.dumps({"bytes": 4, "truncated": False}).encode())
    assert (await api.get(path, follow="true", marks="true", since=4)).text.endswith("\x004\n\x00end\n")


async def test_the_status_says_how_everything_is_and_which_part_does_not_answer(api: Api) -> None:
    plan = uuid.uuid4()
    await api.model.send(
        plan_stated(plan, PlanState.RUNNING, 1), tasks_stated(plan, task_record(plan, 0, S.RUNNING, 4))
    )
    await until_there(api, f"/tasks/{task_id(plan, 'item/0')}")
    shown = await api.read("/status")
    assert (shown["database"], shown["kafka"]) == ({"ok": True}, {"ok": True})
    assert shown["outbox"]["oldest_unsent_seconds"] >= 0
    assert shown["tasks"] == {"RUNNING": 1}
    groups = {group["group"]: group for group in shown["groups"]}
    assert groups[f"{api.model.prefix}api-gateway.facts"]["members"] == 1
    assert groups[f"{api.model.prefix}planner.control"] == {
        "group": f"{api.model.prefix}planner.control", "members": 0, "lag": 0,
    }  # fmt: skip
    api.parts.broker = Groups("127.0.0.1:1", group_prefix="x", topic_prefix="x").snapshot
    began = time.monotonic()
    shown = await api.read("/status")
    assert time.monotonic() - began < 6
    assert not shown["kafka"]["ok"]
    assert shown["database"] == {"ok": True}


async def test_a_trace_is_read_from_the_store_that_is_configured(api: Api, otlp: OtlpReceiver) -> None:
    telemetry = Telemetry("executor", otlp_endpoint=otlp.endpoint)
    with telemetry.tracer.start_as_current_span("outer", attributes={"task": "t1"}) as outer:
        telemetry.tracer.start_span("inner").end()
    await asyncio.to_thread(telemetry.stop)
    trace_id = format(outer.get_span_context().trace_id, "032x")
    assert (await api.get(f"/traces/{trace_id}")).status == 404, "no store is configured"
    api.parts.settings = api.parts.settings.model_copy(update={"trace_store_url": otlp.endpoint})
    trace = await until_there(api, f"/traces/{trace_id}")
    first, second = trace["spans"]
    assert (first["name"], first["service"], first["parent_id"], first["attributes"]) == (
        "outer", "executor", None, {"task": "t1"},
    )  # fmt: skip
    assert (second["name"], second["parent_id"], second["status"]) == ("inner", first["span_id"], "unset")
    assert (await api.get(f"/traces/{'0' * 31}1")).status == 404
    api.parts.settings = api.parts.settings.model_copy(update={"trace_store_url": "http://127.0.0.1:1"})
    assert (await api.get(f"/traces/{trace_id}")).status == 503
