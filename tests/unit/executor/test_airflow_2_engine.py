"""The adapter against a stand-in of Airflow 2 that answers as a real 2.11.0 was recorded to (`airflow_answers`)."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
import pytest
from aiohttp import web

from signalbox_contracts.definitions.work import AirflowWork
from signalbox_contracts.messages.tasks import EndCause, Phase
from signalbox_executor.engines.airflow.adapter import AirflowEngine
from signalbox_executor.engines.airflow.client import AirflowClient, Credentials
from signalbox_executor.engines.port import EngineRefused, EngineUnavailable, Observation, Submission, Watched

ANSWERS = Path(__file__).with_name("airflow_answers")
RUN_KEY = "sb-81edcdb3-b82e-460c-9eb6-7702bba3ad9a-1"
TASK = UUID("81edcdb3-b82e-460c-9eb6-7702bba3ad9a")
RUN = "/api/v1/dags/pipeline/dagRuns/" + RUN_KEY


def recorded(name: str) -> tuple[int, Any]:
    answer = json.loads((ANSWERS / f"{name}-2.11.0.json").read_text())
    return answer["status"], answer["body"]


class Airflow2:
    """One DAG run, if it was started, with the tasks that were recorded. `password` is what it takes."""

    def __init__(self) -> None:
        self.run: dict[str, Any] | None = None
        self.password = "right"
        self.loses_answers = False
        self.fails_after_notes = False
        self.posts: list[tuple[str, Any]] = []
        self.odd: dict[str, bytes] = {}
        """Bodies that are sent as they are, by path."""

    async def handle(self, request: web.Request) -> web.Response:
        if request.path == "/api/v1/version":
            return web.json_response({"git_version": None, "version": "2.11.0"})
        if not request.path.startswith("/api/v1/"):
            return web.json_response({"detail": "not found", "status": 404, "title": "Not Found"}, status=404)
        if request.headers["Authorization"] != aiohttp.encode_basic_auth("ann", self.password):
            return self._recorded("unauthorized")
        if request.path in self.odd:
            return web.Response(body=self.odd[request.path], status=200 if request.method == "GET" else 400)
        body = await request.json() if request.can_read_body else None
        if request.method in ("POST", "PATCH") and not request.path.endswith("/list"):
            self.posts.append((request.path.removeprefix("/api/v1"), body))
        return self._answer(request.method, request.path, body)

    def _answer(self, method: str, path: str, body: Any) -> web.Response:
        if path == "/api/v1/dags/pipeline/dagRuns":
            return self._trigger(body)
        if path.startswith("/api/v1/dags/no_such/"):
            return self._recorded("dag-missing")
        if path == "/api/v1/importErrors":
            row = {"import_error_id": 1, "filename": "/opt/airflow/dags/held.py", "stack_trace": "RuntimeError"}
            return web.json_response({"import_errors": [row], "total_entries": 1})
        if path == "/api/v1/dags/pipeline/tasks":
            tasks = [{"task_id": "extract", "downstream_task_ids": ["load"]}, {"task_id": "load"}]
            return web.json_response({"tasks": tasks, "total_entries": 2})
        if self.run is None:
            return web.json_response(
                {"detail": "DAGRun not found", "status": 404, "title": "DAGRun not found"}, status=404
            )
        if path.endswith("/xcomEntries"):
            return web.json_response({"xcom_entries": [recorded("return-value")[1]], "total_entries": 1})
        if path.endswith("/xcomEntries/return_value"):
            return self._recorded("return-value")
        if path.endswith("/clearTaskInstances"):
            self.run.update(state="queued", end_date=None)
            return web.Response(status=500) if self.loses_answers else self._recorded("tasks")
        if path.endswith("/taskInstances"):
            return self._recorded("tasks")
        if path == RUN + "/setNote":
            self.run["note"] = body["note"]
            if self.fails_after_notes:
                return web.Response(status=500)
        elif method == "PATCH":
            self.run["state"] = body["state"]
        return web.json_response(self.run)

    def _trigger(self, body: Any) -> web.Response:
        if self.run is not None:
            return self._recorded("run-exists")
        self.run = {**recorded("run")[1], "dag_run_id": body["dag_run_id"], "conf": body["conf"], "note": None}
        return web.Response(status=500) if self.loses_answers else web.json_response(self.run)

    def _recorded(self, name: str) -> web.Response:
        status, body = recorded(name)
        return web.json_response(body, status=status)


@asynccontextmanager
async def opened(server: Airflow2, password: str = "right") -> AsyncGenerator[AirflowEngine]:
    async def credentials() -> Credentials:
        return Credentials(username="ann", password=password)

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


def submission(**work: Any) -> Submission:
    values = {"dag_id": "pipeline", "conf": {"day": 1}, **work}
    return Submission(run_key=RUN_KEY, task_id=TASK, attempt=1, work=AirflowWork.model_validate(values))


async def seen(engine: AirflowEngine) -> Observation:
    watched = Watched(RUN_KEY, 1, f"pipeline/{RUN_KEY}")
    return (await engine.observe([watched]))[RUN_KEY]


async def test_a_run_is_started_once_followed_and_its_result_read() -> None:
    server = Airflow2()
    async with opened(server) as engine:
        handle = await engine.submit(submission())
        assert await engine.submit(submission()) == handle, "a 409 for a run of ours is this run"
        assert server.run is not None
        assert server.run["conf"]["signalbox"]["run_key"] == RUN_KEY
        assert "logical_date" not in server.posts[0][1], "2.x refuses a date of null"
        assert (await seen(engine)).phase is Phase.SUBMITTED
        server.run["state"] = "success"
        end = await seen(engine)
        assert (end.phase, end.cause, end.result) == (Phase.SUCCEEDED, EndCause.COMPLETED, {"rows": 30})
        assert end.handle_url is not None
        assert "/dags/pipeline/grid?dag_run_id=" in end.handle_url


async def test_a_start_whose_answer_is_lost_is_found_by_the_next() -> None:
    server = Airflow2()
    server.loses_answers = True
    async with opened(server) as engine:
        with pytest.raises(EngineUnavailable) as lost:
            await engine.submit(submission())
        assert lost.value.may_have_arrived
        assert await engine.submit(submission()) == f"pipeline/{RUN_KEY}"


async def test_a_foreign_run_with_our_id_is_a_conflict() -> None:
    server = Airflow2()
    server.run = {**recorded("run")[1], "conf": {}}
    async with opened(server) as engine:
        with pytest.raises(EngineRefused) as refused:
            await engine.submit(submission())
        assert refused.value.field == "run_key"


async def test_a_run_is_stopped_by_its_state_and_a_mark_in_its_note() -> None:
    server = Airflow2()
    async with opened(server) as engine:
        await engine.submit(submission())
        await engine.cancel(Watched(RUN_KEY, 1, f"pipeline/{RUN_KEY}"))
        end = await seen(engine)
        assert (end.phase, end.cause) == (Phase.KILLED, EndCause.CANCELLED)
        assert server.run is not None
        assert f"[signalbox stopped {RUN_KEY}]" in server.run["note"]


def clears(server: Airflow2) -> list[bool]:
    return [body["dry_run"] for path, body in server.posts if path.endswith("/clearTaskInstances")]


def failed_run() -> dict[str, Any]:
    return {**recorded("run")[1], "state": "failed", "end_date": "2026-01-02T03:04:05Z"}


async def test_the_failed_tasks_of_a_run_are_cleared_once() -> None:
    server = Airflow2()
    server.run = failed_run()
    async with opened(server) as engine:
        again = submission(mode="clear", dag_run_id=RUN_KEY)
        await engine.submit(again)
        await engine.submit(again)
        assert clears(server) == [False]


async def test_a_clear_whose_answer_is_lost_is_not_done_again() -> None:
    """Not while the run is queued once more, and not when it has failed once more."""
    server = Airflow2()
    server.run, server.loses_answers = failed_run(), True
    async with opened(server) as engine:
        again = submission(mode="clear", dag_run_id=RUN_KEY)
        with pytest.raises(EngineUnavailable):
            await engine.submit(again)
        server.loses_answers = False
        assert await engine.submit(again) == f"pipeline/{RUN_KEY}"
        server.run.update(state="failed", end_date="2026-01-02T03:09:00Z")
        assert await engine.submit(again) == f"pipeline/{RUN_KEY}"
        assert clears(server) == [False]


async def test_a_clear_that_came_no_further_than_its_mark_is_done_by_the_next() -> None:
    server = Airflow2()
    server.run, server.fails_after_notes = failed_run(), True
    async with opened(server) as engine:
        again = submission(mode="clear", dag_run_id=RUN_KEY)
        with pytest.raises(EngineUnavailable):
            await engine.submit(again)
        assert clears(server) == []
        server.fails_after_notes = False
        await engine.submit(again)
        assert clears(server) == [False]


async def test_a_wrong_password_and_an_unknown_dag_are_readable() -> None:
    server = Airflow2()
    async with opened(server, password="wrong") as engine:
        with pytest.raises(EngineUnavailable, match="username 'ann' and its password are not accepted"):
            await engine.submit(submission())
    async with opened(server) as engine:
        with pytest.raises(EngineRefused) as refused:
            await engine.submit(submission(dag_id="no_such"))
        assert (refused.value.field, refused.value.value) == ("work.dag_id", "no_such")
        assert refused.value.reason.endswith("; it cannot parse held.py"), "a file that breaks takes its DAGs with it"


async def test_one_run_whose_answer_cannot_be_read_hides_no_other() -> None:
    server, other = Airflow2(), "sb-81edcdb3-b82e-460c-9eb6-7702bba3ad9b-1"
    server.odd["/api/v1/dags/pipeline/dagRuns/" + other] = b'{"dag_id": "pipeline", "state": 7}'
    async with opened(server) as engine:
        await engine.submit(submission())
        runs = [Watched(key, 1, f"pipeline/{key}") for key in (other, RUN_KEY)]
        assert set(await engine.observe(runs)) == {RUN_KEY}


async def test_half_a_letter_in_a_conf_hides_nothing() -> None:
    """2.x writes it as it is; a list with somebody's half emoji in it could not be read at all."""
    server = Airflow2()
    async with opened(server) as engine:
        await engine.submit(submission(conf={"title": "cut"}))
        body = json.dumps(server.run).replace("cut", "\\ud83d")
        server.odd[RUN] = body.encode()
        assert (await seen(engine)).phase is Phase.SUBMITTED


@pytest.mark.parametrize("detail", [["not today"], [{"loc": None, "msg": "not today"}], "not today", {"x": 1}, None, 7])
async def test_a_refusal_in_another_form_is_a_refusal(detail: Any) -> None:
    """A proxy in front has forms of its own: without it the submit ends half way, again and again."""
    server = Airflow2()
    server.odd["/api/v1/dags/pipeline/dagRuns"] = json.dumps({"detail": detail}).encode()
    async with opened(server) as engine:
        with pytest.raises(EngineRefused):
            await engine.submit(submission())
