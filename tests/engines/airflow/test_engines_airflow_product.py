"""The product on a real Airflow 3: the workflows API and the command line, through every service."""

import json

import pytest

from engines.airflow.product import ENDED, AirflowProduct
from engines.harness import until

pytestmark = [pytest.mark.engine, pytest.mark.timeout(400), pytest.mark.asyncio(loop_scope="session")]


async def test_a_workflow_runs_fails_is_retried_and_shows_its_tasks_and_log(product: AirflowProduct) -> None:
    created = await product.call(
        "POST", "/workflows", {"name": "My Pipeline", "description": "Example", "dag_id": "pipeline"}
    )
    assert (created.status, created.headers["Location"]) == (201, "/api/v1/workflows/my-pipeline")
    assert created.body["dag_id"] == "pipeline"
    parameters = {"failures": {"load": 2}, "text": "{{ not a template }} {% nor {# this"}
    triggered = await product.call(
        "POST", "/workflows/my-pipeline/runs", {"task_id": 123, "dataset_id": 456, "parameters": parameters}
    )
    assert triggered.status == 202
    run = triggered.body
    assert (run["state"], run["task_id"], run["dataset_id"], run["parameters"]) == ("triggered", 123, 456, parameters)
    failed = await product.run_until("my-pipeline", run["id"], *ENDED)
    assert failed["state"] == "failed"
    assert "task load failed on try 2" in failed["error"]
    shown = await product.tasks_until("my-pipeline", run["id"], load="failed", extract="success")
    assert {"transform[0]", "transform[1]"} < shown.keys()
    at_airflow = await product.airflow.api("GET", f"/dags/pipeline/dagRuns/{failed['dag_run_id']}")
    conf = at_airflow["conf"]
    assert conf.pop("signalbox")["task_id"] == failed["task"]
    assert conf == {**parameters, "task_id": 123, "dataset_id": 456}
    assert failed["url"] == f"{product.airflow.server.url}/dags/pipeline/runs/{failed['dag_run_id']}"

    control = {"action": "retry", "note": "the source is back"}
    retried = (await product.call("POST", f"/workflows/my-pipeline/runs/{run['id']}/control", control)).body
    assert retried["run"]["retry_of"] == run["id"]
    again = await product.run_until("my-pipeline", retried["run_id"], *ENDED)
    assert (again["state"], again["result"], again["dag_run_id"]) == ("completed", {"rows": 30}, failed["dag_run_id"])
    runs = (await product.ask("GET", "/workflows/my-pipeline/runs"))["items"]
    assert [one["id"] for one in runs] == [retried["run_id"], run["id"]]


async def test_a_run_is_stopped_and_what_cannot_be_controlled_is_reported(product: AirflowProduct) -> None:
    await product.ask("POST", "/workflows", {"name": "Endless", "dag_id": "conformance"})
    run = await product.ask("POST", "/workflows/endless/runs", {"parameters": {"endless": True}})
    await product.run_until("endless", run["id"], "running")
    place = f"/workflows/endless/runs/{run['id']}/control"
    for action, words in (
        ("pause", "Airflow cannot pause one run"),
        ("resume", "only a paused run can be resumed"),
        ("retry", "only a failed or stopped run can be retried"),
    ):
        refused = await product.call("POST", place, {"action": action, "note": "no"})
        assert refused.problem == (409, "conflict")
        assert words in refused.body["detail"]
    for body, field in (
        ({"action": "modify"}, "note"),
        ({"action": "modify", "note": "x" * 901}, "note"),
        ({"action": "modify", "parameters": {"endless": False}}, "parameters"),
    ):
        refused = await product.call("POST", place, body)
        assert (refused.problem, refused.fields) == ((422, "invalid"), [field])
    modified = (await product.call("POST", place, {"action": "modify", "note": "Checked by ann"})).body

    async def is_noted() -> bool:
        return (await product.ask("GET", f"/workflows/endless/runs/{run['id']}"))["note"] == "Checked by ann"

    await until(is_noted, "the run has its new note")
    assert (await product.ask("GET", f"/operations/{modified['operation_id']}"))["state"] == "done"
    wrong = await product.call("POST", place, {"action": "explode"})
    assert (wrong.problem, wrong.fields) == ((422, "invalid"), ["action"])
    stopped = (await product.call("POST", place, {"action": "stop", "note": "Manual stop"})).body
    assert stopped["operation_id"]
    ended = await product.run_until("endless", run["id"], *ENDED)
    assert ended["state"] == "stopped"
    at_airflow = await product.airflow.api("GET", f"/dags/conformance/dagRuns/{ended['dag_run_id']}")
    assert at_airflow["state"] == "failed"
    assert at_airflow["note"].startswith("Checked by ann\n")
    again = await product.call("POST", place, {"action": "stop"})
    assert again.problem == (409, "conflict")


async def test_a_run_of_a_paused_dag_says_what_it_waits_for(product: AirflowProduct) -> None:
    await product.ask("POST", "/workflows", {"name": "Held", "dag_id": "held"})
    run = await product.ask("POST", "/workflows/held/runs", {})
    await product.run_until("held", run["id"], "queued")

    async def reason_is_shown() -> bool:
        shown = await product.ask("GET", f"/workflows/held/runs/{run['id']}")
        return any("DAG held is paused in Airflow" in one["detail"] for one in shown["waiting"])

    await until(reason_is_shown, "the run says that its DAG is paused")
    paused = await product.control("held", run["id"], "pause")
    assert paused.problem == (409, "conflict")
    assert "pause its DAG" in paused.body["detail"]
    assert "held" in await product.signalbox("workflow", "resume", "held", "--reason", "the source is back")
    try:
        assert (await product.run_until("held", run["id"]))["state"] == "completed"
    finally:
        await product.signalbox("workflow", "pause", "held")
    assert (await product.airflow.api("GET", "/dags/held"))["is_paused"] is True
    await product.ask("POST", "/workflows", {"name": "Gone", "dag_id": "no_such_dag"})
    gone = (await product.call("POST", "/workflows/gone/pause", {})).body["operation_id"]
    answered = await product.ask("GET", f"/operations/{gone}?wait=20s&until=end")
    assert (answered["state"], "no_such_dag" in answered["answer"]) == ("refused", True)
    run = await product.ask("POST", "/workflows/gone/runs", {})
    failed = await product.run_until("gone", run["id"])
    assert failed["state"] == "failed"
    assert "'no_such_dag' not found" in failed["error"]


async def test_a_run_that_airflow_does_not_have_is_held_and_goes_on(product: AirflowProduct) -> None:
    await product.ask("POST", "/workflows", {"name": "Waits", "dag_id": "conformance"})
    engine = await product.ask("GET", "/engines/airflow")
    await product.ask("POST", "/engines/airflow/pause", {"reason": "maintenance"})
    try:
        run = await product.ask("POST", "/workflows/waits/runs", {})
        refused = await product.control("waits", run["id"], "modify", "too early")
        assert (refused.problem, "does not have it yet" in refused.body["detail"]) == ((409, "conflict"), True)
        assert (await product.control("waits", run["id"], "pause", "not before noon")).status == 202
        await product.run_until("waits", run["id"], "paused")
    finally:
        await product.ask("POST", "/engines/airflow/resume", {"reason": "done"})
    assert engine["id"] == "airflow"
    held = await product.ask("GET", f"/workflows/waits/runs/{run['id']}")
    assert (held["state"], held["dag_run_id"]) == ("paused", None)
    assert (await product.control("waits", run["id"], "resume")).status == 202
    assert (await product.run_until("waits", run["id"]))["state"] == "completed"


async def test_the_command_line_creates_triggers_and_shows(product: AirflowProduct) -> None:
    """A person's whole way: save, run and wait, look, delete."""
    (product.folder / "w.yaml").write_text("name: From the shell\ndag_id: pipeline\n")
    signalbox = product.signalbox
    await signalbox("workflow", "create", "-f", "w.yaml")
    run = json.loads(await signalbox("workflow", "run", "from-the-shell", "-p", "limit=7", "--wait", "-o", "json"))
    assert (run["state"], run["parameters"], run["result"]) == ("completed", {"limit": 7}, {"rows": 30})

    async def is_logged() -> bool:
        return "extract works, try 1" in await signalbox("task", "logs", run["task"])

    await until(is_logged, "the log is stored")
    assert run["id"] in await signalbox("workflow", "runs", "from-the-shell")
    await signalbox("workflow", "delete", "from-the-shell", "--yes")
    assert run["dag_run_id"] in await signalbox("workflow", "status", "from-the-shell", run["id"])
