"""The runs of a DAG by logical date, and how dated runs are started, cleared and retried: a stand-in of Airflow 3."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import aiohttp
import pytest
from aiohttp import web

from signalbox_contracts.definitions.selection import AirflowRuns, OozieWorkflows
from signalbox_contracts.definitions.work import AirflowWork
from signalbox_contracts.ids import run_key
from signalbox_executor.engines.airflow.adapter import AirflowEngine
from signalbox_executor.engines.airflow.client import AirflowClient, Credentials
from signalbox_executor.engines.port import EngineRefused, Submission

TASK, EARLIER = UUID("81edcdb3-b82e-460c-9eb6-7702bba3ad9a"), UUID("91edcdb3-b82e-460c-9eb6-7702bba3ad9a")
DAY = datetime(2026, 4, 1, tzinfo=UTC)
DATE = "2026-04-01T00:00:00Z"


class Airflow3:
    """One DAG, `daily`, with runs that have one task each."""

    def __init__(self) -> None:
        self.runs: dict[str, dict[str, Any]] = {}
        self.dag: dict[str, Any] = {"dag_id": "daily", "is_paused": False, "has_import_errors": False}
        self.cleared: list[dict[str, Any]] = []

    def add(self, id: str, at: datetime, state: str = "success", **more: Any) -> dict[str, Any]:
        begins = {"queued_at": f"{DAY + timedelta(hours=len(self.runs)):%Y-%m-%dT%H:%M:%SZ}", "note": None}
        run = {"dag_id": "daily", "dag_run_id": id, "state": state, "logical_date": f"{at:%Y-%m-%dT%H:%M:%SZ}"}
        self.runs[id] = {**run, **begins, "conf": {}, **more}
        return self.runs[id]

    async def handle(self, request: web.Request) -> web.Response:
        path = request.path.removeprefix("/api/v2")
        body: Any = await request.json() if request.can_read_body else None
        if path == "/auth/token":
            return web.json_response({"access_token": "t"}, status=201)
        if path == "/version":
            return web.json_response({"version": "3.3.2"})
        if not path.startswith("/dags/daily"):
            return web.json_response({"detail": f"The Dag with ID: `{path.split('/')[2]}` was not found"}, status=404)
        parts = path.split("/")[3:]
        if not parts:
            return web.json_response(self.dag)
        if len(parts) == 1:
            return self._start(body) if request.method == "POST" else self._list(request.query)
        run = self.runs.get(parts[1])
        if run is None:
            return web.json_response({"detail": "not found"}, status=404)
        if parts[2:] == ["taskInstances"]:
            wanted = request.query.getall("state", [run["state"]])
            rows = [{"task_id": "work", "state": run["state"]}] if run["state"] in wanted else []
            return web.json_response({"task_instances": rows, "total_entries": len(rows)})
        if parts[2:] == ["clear"]:
            self.cleared.append(body)
            run |= {"state": "queued", "note": body["note"], "queued_at": "2026-04-09T00:00:00Z"}
        return web.json_response(run)

    def _start(self, body: dict[str, Any]) -> web.Response:
        at = datetime.fromisoformat(body["logical_date"])
        taken = any(run["logical_date"] == f"{at:%Y-%m-%dT%H:%M:%SZ}" for run in self.runs.values())
        if taken or body["dag_run_id"] in self.runs:
            return web.json_response({"detail": {"reason": "Unique constraint violation"}}, status=409)
        return web.json_response(self.add(body["dag_run_id"], at, "queued", conf=body["conf"]))

    def _list(self, query: Any) -> web.Response:
        first, last = (datetime.fromisoformat(query[f"logical_date_{end}"]) for end in ("gte", "lte"))
        found = [run for run in self.runs.values() if first <= datetime.fromisoformat(run["logical_date"]) <= last]
        begin = int(query["offset"])
        rows = sorted(found, key=lambda run: run["logical_date"])[begin : begin + int(query["limit"])]
        return web.json_response({"dag_runs": rows, "total_entries": len(found)})


@asynccontextmanager
async def opened(server: Airflow3) -> AsyncGenerator[AirflowEngine]:
    async def credentials() -> Credentials:
        return Credentials(username="ann", password="right")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    engine = AirflowEngine(AirflowClient(url, credentials, http_session=aiohttp.ClientSession), fresh_seconds=0)
    try:
        yield engine
    finally:
        await engine.close()
        await runner.cleanup()


def submission(task: UUID = TASK, attempt: int = 1, **work: Any) -> Submission:
    values = {"dag_id": "daily", "logical_date": DATE, **work}
    return Submission(
        run_key=run_key(task, attempt), task_id=task, attempt=attempt, work=AirflowWork.model_validate(values)
    )


async def test_each_date_is_found_with_its_run_or_without_page_by_page() -> None:
    server = Airflow3()
    for hours in range(0, 24 * 150, 2):  # more runs between the dates than one answer holds
        server.add(f"scheduled__{hours}", DAY + timedelta(hours=hours))
    server.runs["scheduled__24"]["state"] = "failed"
    dates = tuple(DAY + timedelta(days=n, hours=n == 149) for n in range(150))
    async with opened(server) as engine:
        first = await engine.resolve_selection(AirflowRuns(dag_id="daily", dates=dates))
        second = await engine.resolve_selection(AirflowRuns(dag_id="daily", dates=dates), first.next_page)
    items = [*first.items, *second.items]
    assert (len(first.items), second.next_page, [one.nominal_at for one in items]) == (100, None, list(dates))
    assert (items[1].target, items[1].engine_state) == ("scheduled__24", "failed")
    assert items[1].last_modified is not None
    assert (items[149].target, items[149].engine_state) == ("", ""), "at this hour nothing ran"


async def test_a_dag_that_is_not_there_and_another_kind_of_selection_are_refused() -> None:
    server = Airflow3()
    async with opened(server) as engine:
        with pytest.raises(EngineRefused, match="there is no DAG gone") as refused:
            await engine.resolve_selection(AirflowRuns(dag_id="gone", dates=(DAY,)))
        assert refused.value.field == "selection.dag_id"
        with pytest.raises(EngineRefused, match="oozie_workflows"):
            await engine.resolve_selection(OozieWorkflows(name="x"))
        server.dag |= {"is_paused": True, "has_import_errors": True}
        (item,) = (await engine.resolve_selection(AirflowRuns(dag_id="daily", dates=(DAY,)))).items
        assert item.details == {"object": "dag_run", "paused": True, "import_errors": True}


async def test_a_second_attempt_clears_the_run_that_the_first_started_and_no_run_of_somebody_else() -> None:
    """A DAG has one run per logical date: without it every retry is refused, because the date is taken."""
    server = Airflow3()
    async with opened(server) as engine:
        handle = await engine.submit(submission())
        server.runs[run_key(TASK, 1)]["state"] = "failed"
        assert await engine.submit(submission(attempt=2)) == handle
        assert await engine.submit(submission(attempt=2)) == handle, "a copy of the submit"
        assert [one["only_failed"] for one in server.cleared] == [True]
        server.runs[run_key(TASK, 1)]["state"] = "failed"
        assert await engine.submit(submission(EARLIER, after_tasks=(TASK,))) == handle, "in a linked plan"
        server.runs[run_key(TASK, 1)]["state"] = "failed"
        with pytest.raises(EngineRefused, match="another run of DAG daily has this logical date") as refused:
            await engine.submit(submission(UUID(int=7)))
        assert refused.value.field == "work.logical_date"
    assert (len(server.runs), len(server.cleared)) == (1, 2)


async def test_a_success_is_cleared_completely_where_that_is_wanted_and_only_as_it_was_seen() -> None:
    server = Airflow3()
    run = server.add("scheduled__1", DAY)
    clear: dict[str, Any] = {"mode": "clear", "dag_run_id": "scheduled__1", "expected_queued_at": run["queued_at"]}
    async with opened(server) as engine:
        with pytest.raises(EngineRefused, match="no task of run scheduled__1 failed"):
            await engine.submit(submission(**clear))
        await engine.submit(submission(clear_tasks="all", **clear))
        assert [one["only_failed"] for one in server.cleared] == [False]
        run["state"] = "failed"
        with pytest.raises(EngineRefused, match="was cleared by somebody else"):
            await engine.submit(submission(UUID(int=7), **clear))
        await engine.submit(submission(attempt=2, **clear))
        run["state"] = "failed"
        await engine.submit(submission(EARLIER, after_tasks=(TASK,), **clear))
    assert len(server.cleared) == 3
