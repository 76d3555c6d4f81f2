"""The product on a real Airflow 3: the workflows API and the command line, through every service."""

import asyncio
import json
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from engines.airflow.harness import Harness
from engines.harness import until
from support.full_stack import FullStack, make_full_stack

pytestmark = [pytest.mark.engine, pytest.mark.timeout(280)]
COMMAND = Path(sys.executable).with_name("signalbox")
ENDED = ("completed", "failed", "stopped")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def whole(
    airflow: Harness, postgres_url: str, kafka_bootstrap: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[FullStack]:
    """Every service, with the real Airflow as the only engine of its kind."""
    folder = tmp_path_factory.mktemp("product")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in airflow.settings.items():
            patch.setenv(name, value)
        patch.setattr(FullStack, "settings", with_logs(FullStack.settings, (folder / "blobs").as_uri()))
        async with make_full_stack(postgres_url, kafka_bootstrap, "http://127.0.0.1:9", folder) as made:
            engine = {"id": "airflow", "name": "Airflow", "connection": dict(airflow.connection)}
            await made.ask("POST", "/engines", {**engine, "observe_every_seconds": 0.5})
            yield made


def with_logs(settings: Any, blob_url: str) -> Any:
    """The same settings, with a place for logs, and without a default engine: the tests register theirs."""

    def changed(self: FullStack, name: str) -> Any:
        found = settings(self, name)
        own = {"airflow_url": ""} if "airflow_url" in type(found).model_fields else {}
        return found.model_copy(update={"blob_url": blob_url, **own})

    return changed


async def run_until(whole: FullStack, workflow: str, run: str, *states: str) -> dict[str, Any]:
    """Read the run until it is in one of these states."""
    seen: list[dict[str, Any]] = []

    async def there() -> bool:
        seen.append(await whole.ask("GET", f"/workflows/{workflow}/runs/{run}"))
        return seen[-1]["state"] in states

    try:
        await until(there, f"run {run} is {' or '.join(states)}", timeout_seconds=120)
    except AssertionError:
        pytest.fail(f"run {run} is not {states}: {json.dumps(seen[-1], indent=1)}")
    return seen[-1]


async def tasks_until(whole: FullStack, workflow: str, run: str, **states: str) -> dict[str, str]:
    """Read the run until these tasks are in these states."""
    seen: dict[str, str] = {}

    async def there() -> bool:
        tasks = (await whole.ask("GET", f"/workflows/{workflow}/runs/{run}"))["tasks"]
        seen.update((task["task_id"], task["state"]) for task in tasks)
        return all(seen.get(name) == state for name, state in states.items())

    await until(there, f"run {run} shows {states}")
    return seen


@pytest.mark.asyncio(loop_scope="module")
async def test_a_workflow_runs_fails_is_retried_and_shows_its_tasks_and_log(whole: FullStack, airflow: Harness) -> None:
    created = await whole.answer(
        "POST", "/workflows", {"name": "My Pipeline", "description": "Example", "dag_id": "pipeline"}
    )
    assert (created.status, created.headers["Location"]) == (201, "/api/v1/workflows/my-pipeline")
    assert created.body["dag_id"] == "pipeline"
    parameters = {"failures": {"load": 2}, "text": "{{ not a template }} {% nor {# this"}
    triggered = await whole.answer(
        "POST", "/workflows/my-pipeline/runs", {"task_id": 123, "dataset_id": 456, "parameters": parameters}
    )
    assert triggered.status == 202
    run = triggered.body
    assert (run["state"], run["task_id"], run["dataset_id"], run["parameters"]) == ("triggered", 123, 456, parameters)
    failed = await run_until(whole, "my-pipeline", run["id"], *ENDED)
    assert failed["state"] == "failed"
    assert "task load failed on try 2" in failed["error"]
    shown = await tasks_until(whole, "my-pipeline", run["id"], load="failed", extract="success")
    assert {"transform[0]", "transform[1]"} < shown.keys()
    at_airflow = await airflow.api("GET", f"/dags/pipeline/dagRuns/{failed['dag_run_id']}")
    conf = at_airflow["conf"]
    assert conf.pop("signalbox")["task_id"] == failed["task"]
    assert conf == {**parameters, "task_id": 123, "dataset_id": 456}
    assert failed["url"] == f"{airflow.server.url}/dags/pipeline/runs/{failed['dag_run_id']}"

    control = {"action": "retry", "note": "the source is back"}
    retried = (await whole.answer("POST", f"/workflows/my-pipeline/runs/{run['id']}/control", control)).body
    assert retried["run"]["retry_of"] == run["id"]
    again = await run_until(whole, "my-pipeline", retried["run_id"], *ENDED)
    assert (again["state"], again["result"], again["dag_run_id"]) == ("completed", {"rows": 30}, failed["dag_run_id"])
    runs = (await whole.ask("GET", "/workflows/my-pipeline/runs"))["items"]
    assert [one["id"] for one in runs] == [retried["run_id"], run["id"]]


@pytest.mark.asyncio(loop_scope="module")
async def test_a_run_is_stopped_and_what_cannot_be_controlled_is_said(whole: FullStack, airflow: Harness) -> None:
    await whole.ask("POST", "/workflows", {"name": "Endless", "dag_id": "conformance"})
    run = await whole.ask("POST", "/workflows/endless/runs", {"parameters": {"endless": True}})
    await run_until(whole, "endless", run["id"], "running")
    place = f"/workflows/endless/runs/{run['id']}/control"
    for action, words in (
        ("pause", "Airflow cannot pause one run"),
        ("resume", "only a paused run can be resumed"),
        ("retry", "only a failed or stopped run can be retried"),
        ("modify", "nothing else of it"),
    ):
        refused = await whole.answer("POST", place, {"action": action, "note": "no"})
        assert refused.problem == (409, "conflict")
        assert words in refused.body["detail"]
    wrong = await whole.answer("POST", place, {"action": "explode"})
    assert (wrong.problem, wrong.fields) == ((422, "invalid"), ["action"])
    stopped = (await whole.answer("POST", place, {"action": "stop", "note": "Manual stop"})).body
    assert stopped["operation_id"]
    ended = await run_until(whole, "endless", run["id"], *ENDED)
    assert ended["state"] == "stopped"
    at_airflow = await airflow.api("GET", f"/dags/conformance/dagRuns/{ended['dag_run_id']}")
    assert at_airflow["state"] == "failed"
    again = await whole.answer("POST", place, {"action": "stop"})
    assert again.problem == (409, "conflict")


@pytest.mark.asyncio(loop_scope="module")
async def test_a_run_of_a_paused_dag_says_what_it_waits_for(whole: FullStack) -> None:
    await whole.ask("POST", "/workflows", {"name": "Held", "dag_id": "held"})
    run = await whole.ask("POST", "/workflows/held/runs", {})
    await run_until(whole, "held", run["id"], "queued")

    async def is_said() -> bool:
        shown = await whole.ask("GET", f"/workflows/held/runs/{run['id']}")
        return any("DAG held is paused in Airflow" in one["detail"] for one in shown["waiting"])

    await until(is_said, "the run says that its DAG is paused")
    await whole.ask("POST", f"/workflows/held/runs/{run['id']}/control", {"action": "stop"})
    assert (await run_until(whole, "held", run["id"], *ENDED))["state"] == "stopped"


@pytest.mark.asyncio(loop_scope="module")
async def test_the_documents_example_runs_with_its_parameters(whole: FullStack) -> None:
    """The calls of the document, as they are written there."""
    workflow = {"name": "My Workflow", "description": "Example workflow", "dag_id": "simple_workflow_example"}
    await whole.ask("POST", "/workflows", workflow)
    body = {"task_id": 123, "dataset_id": 456, "parameters": {"processing_time": 0.1}}
    run = await whole.ask("POST", "/workflows/my-workflow/runs", body)
    ended = await run_until(whole, "my-workflow", run["id"], *ENDED)
    result = {"task_id": 123, "dataset_id": 456, "seconds": 0.1, "status": "completed"}
    assert (ended["state"], ended["result"]) == ("completed", result)


@pytest.mark.asyncio(loop_scope="module")
async def test_the_command_line_creates_triggers_and_shows(whole: FullStack, tmp_path: Path) -> None:
    """A person's whole way: save, run and wait, look, delete."""
    (tmp_path / "w.yaml").write_text("name: From the shell\ndag_id: pipeline\n")
    api = whole.api()
    address = str(api.session._base_url)  # pyright: ignore[reportPrivateUsage]

    async def signalbox(*words: str) -> str:
        process = await asyncio.create_subprocess_exec(
            str(COMMAND), *words, cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "SIGNALBOX_API_URL": address,
                 "SIGNALBOX_TOKEN": whole.token},
        )  # fmt: skip
        out, errors = await process.communicate()
        assert process.returncode == 0, errors.decode()
        return out.decode()

    await signalbox("workflow", "create", "-f", "w.yaml")
    run = json.loads(await signalbox("workflow", "run", "from-the-shell", "-p", "limit=7", "--wait", "-o", "json"))
    assert (run["state"], run["parameters"], run["result"]) == ("completed", {"limit": 7}, {"rows": 30})

    async def is_logged() -> bool:
        return "extract works, try 1" in await signalbox("task", "logs", run["task"])

    await until(is_logged, "the log is stored")
    assert run["id"] in await signalbox("workflow", "runs", "from-the-shell")
    await signalbox("workflow", "delete", "from-the-shell", "--yes")
    assert run["dag_run_id"] in await signalbox("workflow", "status", "from-the-shell", run["id"])
