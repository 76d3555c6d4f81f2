"""The API reference of the workflow platform's document, request by request, through every service on a real Airflow.

Bodies are the document's, but for the password (a common one is refused) and the address of Slack.
"""

import json
from typing import Any

import pytest

from engines.airflow.product import AirflowProduct, types_of
from engines.harness import until
from support.deadlines import DeadlineExceeded, wait_until

pytestmark = [pytest.mark.engine, pytest.mark.timeout(400), pytest.mark.asyncio(loop_scope="session")]
REGISTER = """{
  "username": "user",
  "email": "user@example.com",
  "name": "User Name",
  "password": "four unrelated words"
}"""
LOGIN = """{
  "username": "user",
  "password": "four unrelated words"
}"""
CREATE = """{
  "name": "My Workflow",
  "description": "Example workflow",
  "dag_id": "simple_workflow_example"
}"""
TRIGGER = """{
  "task_id": 123,
  "dataset_id": 456,
  "parameters": {"processing_time": 30}
}"""
STOP = """{
  "action": "stop",
  "note": "Manual stop"
}"""
SLACK = """{
  "name": "slack-alerts",
  "channel": "slack",
  "webhook_url": "https://hooks.slack.com/...",
  "notification_types": ["workflow_failed", "workflow_completed"]
}"""
RETRY = STOP.replace('"stop"', '"retry"')
WORKFLOW_EVENTS = {"triggered", "started", "completed", "failed", "stopped", "retried"}
TASK_EVENTS = {"started", "completed", "failed"}


async def test_the_documents_requests_work_as_they_are_written(product: AirflowProduct) -> None:
    registered = await product.stack.api().request("POST", "/auth/register", json.loads(REGISTER), token="")
    assert (registered.status, registered.body["username"]) == (201, "user")
    logged_in = await product.stack.api().request("POST", "/auth/login", json.loads(LOGIN), token="")
    assert (logged_in.status, logged_in.body["token_type"].lower()) == (200, "bearer")
    token: str = logged_in.body["access_token"]
    await product.ask("POST", "/bindings", {"username": "user", "role": "operator"})

    async def call(method: str, path: str, body: str | None = None) -> Any:
        return await product.stack.api().request(method, path, json.loads(body) if body else None, token=token)

    slack = SLACK.replace("https://hooks.slack.com/...", f"{product.slack.url}/services/T0/B0/secret")
    configured = await call("POST", "/notifications/configs", slack)
    assert (configured.status, configured.body["channel"]) == (201, "slack")
    assert configured.body["notification_types"] == ["workflow.failed", "workflow.completed"]
    assert "secret/" not in json.dumps(configured.body)

    created = await call("POST", "/workflows", CREATE)
    assert (created.status, created.headers["Location"]) == (201, "/api/v1/workflows/my-workflow")
    assert {name: created.body[name] for name in json.loads(CREATE)} == json.loads(CREATE)
    workflow = created.body["id"]
    paths = ("/ws", "/ws/user/user", f"/ws/workflow/{workflow}", f"/ws/user/user/workflow/{workflow}")
    async with (
        product.following(paths[0], token) as everything,
        product.following(paths[1], token) as by_user,
        product.following(paths[2], token) as by_workflow,
        product.following(paths[3], token) as by_both,
    ):
        triggered = await call("POST", f"/workflows/{workflow}/runs", TRIGGER)
        assert triggered.status == 202
        run = triggered.body
        assert (run["state"], run["task_id"], run["dataset_id"]) == ("triggered", 123, 456)
        assert run["parameters"] == {"processing_time": 30}
        await product.run_until(workflow, run["id"], "running")
        await product.tasks_until(workflow, run["id"], start="success", process="running")

        stopped = await call("POST", f"/workflows/{workflow}/runs/{run['id']}/control", STOP)
        assert (stopped.status, stopped.body["action"], stopped.body["run_id"]) == (202, "stop", run["id"])
        ended = await product.run_until(workflow, run["id"])
        assert ended["state"] == "stopped"
        at_airflow = await product.airflow.api("GET", f"/dags/simple_workflow_example/dagRuns/{ended['dag_run_id']}")
        assert at_airflow["state"] == "failed"
        conf = {"processing_time": 30, "task_id": 123, "dataset_id": 456}
        assert {name: at_airflow["conf"][name] for name in conf} == conf

        retried = await call("POST", f"/workflows/{workflow}/runs/{run['id']}/control", RETRY)
        assert (retried.status, retried.body["action"], retried.body["run"]["retry_of"]) == (202, "retry", run["id"])
        again = await product.run_until(workflow, retried.body["run_id"], seconds=180)
        result = {"task_id": 123, "dataset_id": 456, "seconds": 30.0, "status": "completed"}
        assert (again["state"], again["dag_run_id"]) == ("completed", ended["dag_run_id"])
        assert again["result"] == result

        async def arrived() -> bool:
            kinds = types_of(everything, again["id"])
            return "workflow.completed" in kinds and kinds.count("task.completed") == 3

        await until(arrived, "every event of the second run came")
    first, second = types_of(everything, run["id"]), types_of(everything, again["id"])
    assert [kind for kind in first if kind.startswith("workflow") and not kind.endswith("changed")] == [
        "workflow.triggered", "workflow.started", "workflow.stopped",
    ]  # fmt: skip
    assert second[0] == "workflow.retried"
    of_tasks = [
        (event["data"]["step"], event["type"]) for event in everything
        if event["run_id"] == again["id"] and "step" in event["data"]
    ]  # fmt: skip
    assert sorted(of_tasks) == sorted(
        (step, kind) for step in ("process", "complete") for kind in ("task.started", "task.completed")
    )
    for followed in (by_user, by_workflow, by_both):
        assert types_of(followed, run["id"]) == first
        assert types_of(followed, again["id"])[:1] == second[:1]

    async def described() -> bool:
        return any("succeeded" in body.decode() for _, body in product.slack.got)

    await until(described, "Slack was told of the completed run")
    await read_change_and_delete(product, workflow, [again["id"], run["id"]])


async def read_change_and_delete(product: AirflowProduct, workflow: str, runs: list[str]) -> None:
    """What the document names without an example: list, get, put and delete, and the runs."""
    listed = await product.ask("GET", "/workflows?dag_id=simple_workflow_example")
    assert [one["id"] for one in listed["items"]] == [workflow]
    shown = await product.call("GET", f"/workflows/{workflow}")
    assert (shown.status, shown.body["version"]) == (200, 1)
    changed = await product.call("PUT", f"/workflows/{workflow}", {**json.loads(CREATE), "description": "Changed"})
    assert (changed.status, changed.body["version"], changed.body["description"]) == (200, 2, "Changed")
    assert [one["id"] for one in (await product.ask("GET", f"/workflows/{workflow}/runs"))["items"]] == runs
    assert (await product.call("DELETE", f"/workflows/{workflow}")).status == 204
    assert (await product.call("GET", f"/workflows/{workflow}")).problem == (404, "not-found")
    assert (await product.ask("GET", f"/workflows/{workflow}/runs/{runs[0]}"))["state"] == "completed"


async def test_all_nine_event_types_of_real_runs_reach_websocket_slack_webhook_and_mail(
    product: AirflowProduct,
) -> None:
    """Runs that succeed, fail, are stopped and retried; every channel gets each kind."""
    for name, more in (
        ("nine-slack", {"channel": "slack", "webhook_url": f"{product.slack.url}/services/T0/B0/other"}),
        ("nine-hook", {"channel": "webhook", "webhook_url": f"{product.webhook.url}/hook"}),
        ("nine-mail", {"channel": "email", "recipients": ["on-call@example.com"]}),
    ):
        types = ["workflow.*", "task.*"]
        await product.ask("POST", "/notifications/configs", {"name": name, "notification_types": types, **more})
    await product.ask("POST", "/workflows", {"name": "Nine", "dag_id": "pipeline"})
    async with product.following("/ws/workflow/nine") as events:
        failing = await product.ask("POST", "/workflows/nine/runs", {"parameters": {"failures": {"load": 2}}})
        held = await product.ask("POST", "/workflows/nine/runs", {"parameters": {"hold": "extract"}})
        assert (await product.run_until("nine", failing["id"]))["state"] == "failed"
        retried = (await product.control("nine", failing["id"], "retry", "the source is back")).body["run_id"]
        shown = await product.run_until("nine", held["id"], "running", "queued")
        await product.tasks_until("nine", held["id"], extract="running")
        await product.control("nine", held["id"], "stop", "Manual stop")
        assert (await product.run_until("nine", held["id"]))["state"] == "stopped"
        product.airflow.clean(shown["dag_run_id"] or "")
        assert (await product.run_until("nine", retried))["state"] == "completed"
        wanted = {f"workflow.{kind}" for kind in WORKFLOW_EVENTS} | {f"task.{kind}" for kind in TASK_EVENTS}

        async def live() -> bool:
            return wanted <= {event["type"] for event in events if event["category"] != "system"}

        await until(live, "all nine types came by WebSocket")
    steps = [
        (event["data"]["step"], event["data"]["attempt"], event["type"]) for event in events
        if event["run_id"] == failing["id"] and "step" in event["data"]
    ]  # fmt: skip
    assert len(steps) == len(set(steps))
    assert {("extract", 1, "task.completed"), ("load", 2, "task.started"), ("load", 2, "task.failed")} <= set(steps)
    again = {event["data"]["step"] for event in events if event["run_id"] == retried and "step" in event["data"]}
    assert again == {"load"}, "only what was cleared runs again"

    missing: dict[str, Any] = {}

    async def received() -> bool:
        hooks = {json.loads(body)["type"] for _, body in product.webhook.got}
        slack = {kind for kind in wanted for _, body in product.slack.got if kind in body.decode()}
        missing.update(hooks=wanted - hooks, slack=wanted - slack, mail=wanted - product.mailbox.types)
        return not any(missing.values())

    try:
        await wait_until(received, seconds=90, why="all nine types reached webhook, Slack and mail", poll_seconds=0.25)
    except DeadlineExceeded:
        pytest.fail(f"missing: {missing}")
