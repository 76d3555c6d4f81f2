"""Every list of the API is read page by page while its entries change and others come.

Without an order that stays, a page misses an entry or shows it twice: `created_at` that a fact replaces, an instant
that two entries share, a time that moves.
"""

import asyncio
import json
import uuid
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from signalbox_contracts.ids import task_id
from signalbox_contracts.messages.dead_letters import DeadLetterParkedData
from signalbox_contracts.messages.deliveries import DeliveryRecord, DeliveryState, Try
from signalbox_contracts.messages.plans import PlanTransition
from signalbox_contracts.messages.reprocessing import ReprocessingRecord, ReprocessingStatus
from signalbox_contracts.messages.states import IncidentRecord, IncidentState, MatchOutcome, MatchRecord, TriggerRecord
from signalbox_contracts.messages.tasks import TaskTransition
from signalbox_contracts.messages.ticks import ScheduleTickSkippedData, SkipReason
from signalbox_contracts.states import PlanState, TaskState
from signalbox_gateway.read_model import notifications, reprocessing, starts, writes
from signalbox_gateway.read_model.rows import TaskFacts, item_rows, page_row, parked_row, plan_events, plan_row
from support.gateway import JOB, SCRIPTED, Gateway, running_gateway
from support.read_model import items_page, plan_record, task_record, tasks_stated

pytestmark = pytest.mark.asyncio(loop_scope="module")
NOW = datetime(2026, 3, 1, tzinfo=UTC)
ENTRIES = 7
DOCUMENT = Path(__file__).parents[3] / "services" / "api-gateway" / "openapi.json"
STEP: dict[str, Any] = {"id": "one", "engine": "scripted", "work": {"kind": "scripted", "script": {}}}
TARGET: dict[str, Any] = {"kind": "job", "id": "nightly"}
WORKFLOW: dict[str, Any] = {"engine": "air", "work": {"kind": "airflow", "dag_id": "d"}}
BODIES: dict[str, dict[str, Any]] = {
    "engines": {"connection": SCRIPTED["connection"]},
    "jobs": {"engine": "scripted", "work": STEP["work"]},
    "pipelines": {"steps": [STEP]},
    "schedules": {"target": TARGET, "cron": "0 2 * * *"},
    "triggers": {"target": TARGET, "match": {"types": ["com.example.*"]}},
    "channels": {"destination": {"kind": "email", "to": ["ann@example.org"]}},
    "subscriptions": {"channel": "mail"},
    "freezes": {"engines": ["scripted"], "reason": "month end", "starts_at": "2030-01-01T00:00:00Z"},
    "moves": {
        "engine": "oozie",
        "coordinator": "{id}",
        "airflow_engine": "air",
        "dag_id": "d",
        "moved_at": "2030-01-01T00:00:00Z",
    },
}
"""What each kind of definition needs. `{id}` stands for the definition's own id."""
Made = dict[str, Any]
Write = Callable[[Gateway, Made, int], Awaitable[None]]


@dataclass(frozen=True)
class Listed:
    """One list: entry `number` is made before reading, `write(number)` goes on while it is read."""

    make: Write
    write: Write
    id: str = "id"
    query: str = ""
    names: str = ""
    """The `{id}` of the path: a name, or the key of `Made` that has it."""


def named(body: dict[str, Any], id: str) -> dict[str, Any]:
    """The body of a definition with this id."""
    return {"id": id, **{name: id if value == "{id}" else value for name, value in body.items()}}


def definition(path: str, body: dict[str, Any], first: str = "m") -> Listed:
    async def make(api: Gateway, made: Made, number: int) -> None:
        await api.ask("POST", path, named(body, f"{first}{number}"))

    async def write(api: Gateway, made: Made, number: int) -> None:
        id = f"{first}{number % ENTRIES}"
        await api.ask("PUT", f"{path}/{id}", {**named(body, id), "description": f"changed {number}"})
        await api.ask("POST", path, named(body, f"{'az'[number % 2]}{first}{number}"))

    return Listed(make, write)


def versions(path: str, body: dict[str, Any]) -> Listed:
    async def make(api: Gateway, made: Made, number: int) -> None:
        if not number:
            await api.ask("POST", path, named(body, "v"))
        else:
            await write(api, made, number)

    async def write(api: Gateway, made: Made, number: int) -> None:
        await api.ask("PUT", f"{path}/v", {**named(body, "v"), "description": f"version {uuid.uuid4()}"})

    return Listed(make, write, id="version", names="v")


def plan_list(query: str = "", names: str = "", **changes: Any) -> Listed:
    async def make(api: Gateway, made: Made, number: int) -> None:
        await state(api, made.setdefault(f"plan{number}", uuid.uuid4()), 1)

    async def state(api: Gateway, plan: uuid.UUID, version: int) -> None:
        at = NOW + timedelta(hours=version - 1)
        record = plan_record(plan, PlanState.RUNNING, version, created_at=at, **changes)
        async with api.connection() as connection:
            await writes.write_plans(connection, [plan_row(record, None)], list(plan_events(record)))

    async def write(api: Gateway, made: Made, number: int) -> None:
        await state(api, made[f"plan{number % ENTRIES}"], number + 2)
        await state(api, uuid.uuid4(), 1)

    return Listed(make, write, query=query, names=names)


async def bulk(api: Gateway, made: Made, number: int) -> None:
    """One more bulk operation, with an item for each of these ids."""
    ids = [str(uuid.uuid4()) for _ in range(ENTRIES)]
    made["bulk"] = (await api.ask("POST", "/plans/bulk", {"action": "pause", "ids": ids}))["id"]


async def make_bulk_once(api: Gateway, made: Made, number: int) -> None:
    if not number:
        await bulk(api, made, number)


async def another_bulk(api: Gateway, made: Made, number: int) -> None:
    await bulk(api, {}, number)


async def plan_moves(api: Gateway, made: Made, number: int) -> None:
    plan = made.setdefault("plan", uuid.uuid4())
    made["version"] = version = made.get("version", 0) + 1
    moves = tuple(PlanTransition(version=one, state=PlanState.RUNNING, at=NOW) for one in range(1, version + 1))
    record = plan_record(plan, PlanState.RUNNING, version, transitions=moves)
    async with api.connection() as connection:
        await writes.write_plans(connection, [plan_row(record, None)], list(plan_events(record)))


async def items(api: Gateway, made: Made, number: int) -> None:
    """All items again in a new round, in one transaction, as a batch of facts is."""
    plan = made.setdefault("plan", uuid.uuid4())
    made["round"] = round = made.get("round", -1) + 1
    data = items_page(plan, 1, pages=1, each=ENTRIES, round=round).data
    record = plan_record(plan, PlanState.RUNNING, round + 1)
    async with api.connection() as connection, connection.transaction():
        await writes.write_plans(connection, [plan_row(record, None)], [])
        await writes.take_pages(connection, [page_row(data)])
        await writes.write_items(connection, item_rows(data))


async def state_task(api: Gateway, made: Made, number: int, version: int, **changes: Any) -> None:
    facts = TaskFacts()
    record = task_record(made["plan"], number, TaskState.RUNNING, version, **changes)
    facts.add(tasks_stated(made["plan"], record).data)
    async with api.connection() as connection:
        await writes.write_tasks(connection, facts)


def task_list(engine: str, **more: str) -> Listed:
    async def make(api: Gateway, made: Made, number: int) -> None:
        await items(api, made, number)
        await state_task(api, made, number, 1, engine=engine)

    async def write(api: Gateway, made: Made, number: int) -> None:
        await state_task(api, made, number % ENTRIES, number + 2, engine=engine)
        await state_task(api, made, 100 + number, 1, engine=engine)

    return Listed(make, write, **more)


async def task_moves(api: Gateway, made: Made, number: int) -> None:
    """One move more of one task, and one attempt more."""
    if "plan" not in made:
        await items(api, made, 0)
        made["task"] = task_id(made["plan"], "item/0")
    made["version"] = version = made.get("version", 0) + 1
    moves = tuple(
        TaskTransition(version=one, state=TaskState.RUNNING, attempt=one, at=NOW) for one in range(1, version + 1)
    )
    await state_task(api, made, 0, version, attempt=version, transitions=moves)


def incident_record(id: uuid.UUID, version: int) -> IncidentRecord:
    at = NOW + timedelta(hours=version - 1)
    return IncidentRecord(
        incident_id=id, version=version, state=IncidentState.OPEN, severity="error", title="t", fingerprint="f",
        occurrences=version, first_at=at, last_at=at,
    )  # fmt: skip


def delivery_record(id: uuid.UUID, version: int) -> DeliveryRecord:
    at = NOW + timedelta(hours=version - 1)
    one = Try(number=1, at=NOW, state=DeliveryState.RETRYING, answer="HTTP 500")
    return DeliveryRecord(
        delivery_id=id, version=version, channel_id="c", event_type="workflow.failed", title="t",
        state=DeliveryState.RETRYING, attempts=1, created_at=at, tries=(one,),
    )  # fmt: skip


def reprocessing_record(id: uuid.UUID, version: int) -> ReprocessingRecord:
    return ReprocessingRecord(job_id=id, version=version, status=ReprocessingStatus("running"))


def restated(record: Callable[[uuid.UUID, int], Any], keep: Callable[[Any, list[Any]], Awaitable[None]]) -> Listed:
    """Entries from facts with a version: each is stated again with other times, and new ones tie with the old ones."""

    async def make(api: Gateway, made: Made, number: int) -> None:
        made[f"id{number}"] = uuid.uuid4()
        async with api.connection() as connection:
            await keep(connection, [record(made[f"id{number}"], 1)])

    async def write(api: Gateway, made: Made, number: int) -> None:
        async with api.connection() as connection:
            again = record(made[f"id{number % ENTRIES}"], number + 2)
            await keep(connection, [again, record(uuid.uuid4(), 1)])

    return Listed(make, write)


async def keep_incidents(connection: Any, records: list[IncidentRecord]) -> None:
    await notifications.write_incidents(connection, [(one, "default") for one in records])


async def make_letter(api: Gateway, made: Made, number: int) -> None:
    id = made[f"id{number}"] = uuid.uuid4()
    data = DeadLetterParkedData(
        dead_letter_id=id, service="planner", topic="t", partition=0, offset=1, error="e", value_bytes=0, parked_at=NOW
    )
    async with api.connection() as connection:
        await writes.write_parked(connection, [parked_row(data)])


async def write_letter(api: Gateway, made: Made, number: int) -> None:
    async with api.connection() as connection:
        state = (made[f"id{number % ENTRIES}"], "REDRIVEN", number + 2, "again")
        await writes.write_letter_states(connection, [state])
    await make_letter(api, made, 100 + number)


async def tick(api: Gateway, made: Made, number: int) -> None:
    """Ticks of two instants only, so that they tie."""
    due = NOW - timedelta(days=number % 2)
    data = ScheduleTickSkippedData(
        tick_id=uuid.uuid4(), schedule_id="ticking", schedule_revision=1, due_at=due, event_date=due.date(),
        why=SkipReason.MISSED,
    )  # fmt: skip
    async with api.connection() as connection:
        await starts.write_ticks(connection, [starts.TickRow(data, NOW)])


async def match(api: Gateway, made: Made, number: int) -> None:
    made["version"] = version = made.get("version", 0) + 1
    one = MatchRecord(
        event_id=f"e{version}", event_source="lake", event_type="t", outcome=MatchOutcome.NOT_MATCHED, why="w", at=NOW
    )
    record = TriggerRecord(trigger_id="t", version=version, definitions_revision=1, not_matched=version, events=(one,))
    async with api.connection() as connection:
        await starts.write_triggers(connection, [record])
        await starts.write_triggers(connection, [record])


def posted(path: str, body: Callable[[int], dict[str, Any]], **more: Any) -> Listed:
    async def make(api: Gateway, made: Made, number: int) -> None:
        await api.ask("POST", path, body(number))

    async def write(api: Gateway, made: Made, number: int) -> None:
        await api.ask("POST", path, body(100 + number))

    return Listed(make, write, **more)


async def audited(api: Gateway, made: Made, number: int) -> None:
    await api.ask("POST", "/keys", {"label": "audited"})


async def bind(api: Gateway, made: Made, number: int) -> None:
    await api.ask("POST", "/users", {"username": f"bound{number}", "kind": "service"})
    await api.ask("POST", "/bindings", {"username": f"bound{number}", "role": "viewer"})


async def bind_more(api: Gateway, made: Made, number: int) -> None:
    await bind(api, made, 100 + number)


def configuration(number: int) -> dict[str, Any]:
    return {
        "name": f"c{number}", "channel": "slack", "webhook_url": "https://hooks.slack.com/services/T0/B0/secret",
        "notification_types": ["workflow_failed"],
    }  # fmt: skip


V1 = "/api/v1"
LISTS: dict[str, Listed] = {
    **{f"{V1}/{kind}": definition(f"/{kind}", body) for kind, body in BODIES.items()},
    **{f"{V1}/{kind}/{{id}}/versions": versions(f"/{kind}", body) for kind, body in BODIES.items()},
    f"{V1}/workflows": definition("/jobs", WORKFLOW, first="w"),
    f"{V1}/plans": plan_list("project=paged", project="paged"),
    f"{V1}/jobs/{{id}}/executions": plan_list(target="job:nightly", names="nightly"),
    f"{V1}/workflows/{{id}}/runs": plan_list(target="job:dag", names="dag"),
    f"{V1}/plans/{{id}}/events": Listed(plan_moves, plan_moves, id="version", names="plan"),
    f"{V1}/plans/{{id}}/items": Listed(items, items, id="key", names="plan"),
    f"{V1}/plans/{{id}}/tasks": task_list("local", names="plan"),
    f"{V1}/tasks": task_list("paged", query="engine=paged"),
    f"{V1}/tasks/{{id}}/events": Listed(task_moves, task_moves, id="version", names="task"),
    f"{V1}/tasks/{{id}}/attempts": Listed(task_moves, task_moves, id="attempt", names="task"),
    f"{V1}/incidents": restated(incident_record, keep_incidents),
    f"{V1}/deliveries": restated(delivery_record, notifications.write_deliveries),
    "/api/admin/reprocessing/jobs": restated(reprocessing_record, reprocessing.write_states),
    f"{V1}/dead-letters": Listed(make_letter, write_letter),
    f"{V1}/schedules/{{id}}/ticks": Listed(tick, tick, id="tick_id", names="ticking"),
    f"{V1}/events": Listed(match, match, id="event_id"),
    f"{V1}/audit": Listed(audited, audited, id="seq", query="action=key_create"),
    f"{V1}/bulk-operations": Listed(bulk, bulk),
    f"{V1}/bulk-operations/{{id}}/items": Listed(make_bulk_once, another_bulk, id="position", names="bulk"),
    f"{V1}/users": posted("/users", lambda n: {"username": f"{'amz'[n % 3]}{n}", "kind": "service"}, id="username"),
    f"{V1}/bindings": Listed(bind, bind_more),
    f"{V1}/keys": posted("/keys", lambda n: {"label": f"k{n}"}),
    f"{V1}/notifications/configs": posted("/notifications/configs", configuration),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(postgres_url: str, kafka_bootstrap: str) -> AsyncGenerator[Gateway]:
    async with running_gateway(postgres_url, kafka_bootstrap) as api:
        await api.ask("POST", "/engines", SCRIPTED)
        air = {"kind": "airflow", "url": "http://127.0.0.1:9", "access": {"method": "none"}}
        await api.ask("POST", "/engines", {"id": "air", "connection": air})
        await api.ask("POST", "/engines", {"id": "oozie", "connection": {"kind": "oozie", "url": "http://127.0.0.1:9"}})
        await api.ask("POST", "/jobs", JOB)
        await api.ask("POST", "/jobs", {"id": "dag", **WORKFLOW})
        await api.ask("POST", "/schedules", {"id": "ticking", **BODIES["schedules"]})
        await api.ask("POST", "/channels", {"id": "mail", **BODIES["channels"]})
        yield api


async def test_every_list_of_the_api_document_is_in_the_table() -> None:
    paths = json.loads(DOCUMENT.read_text())["paths"]
    listed = {
        path for path, methods in paths.items()
        if any(one.get("name") == "cursor" for one in methods.get("get", {}).get("parameters", []))
    }  # fmt: skip
    assert set(LISTS) == listed


@pytest.mark.parametrize("path", LISTS)
async def test_each_entry_of_a_list_is_seen_once_while_entries_change_and_others_come(api: Gateway, path: str) -> None:
    listed, made = LISTS[path], dict[str, Any]()
    for number in range(ENTRIES):
        await listed.make(api, made, number)
    where = path.replace("{id}", str(made.get(listed.names, listed.names)))

    async def page(limit: int, cursor: str | None = None) -> tuple[list[str], str | None]:
        more = f"&cursor={cursor}" if cursor else ""
        body = await api.ask("GET", f"{where}?limit={limit}{more}{listed.query and '&'}{listed.query}")
        return [json.dumps(one[listed.id]) for one in body["items"]], body["next_cursor"]

    before, _ = await page(200)
    assert len(set(before)) >= ENTRIES
    seen, cursor, number = list[str](), None, 0
    while number == 0 or cursor:
        (found, cursor), _ = await asyncio.gather(page(3, cursor), listed.write(api, made, number))
        seen += found
        number += 1
    after, _ = await page(200)
    times = Counter(seen)
    assert {one: times[one] for one in before if one in after and times[one] != 1} == {}
    assert [one for one, count in times.items() if count > 1] == []
