"""The three example DAGs on a real Airflow, and the same three as pipelines of ours: the same numbers come out."""

from typing import Any

import pytest

from engines.airflow.product import PIPELINES, POLL_SECONDS, AirflowProduct
from support.deadlines import wait_until

pytestmark = [pytest.mark.engine, pytest.mark.timeout(400), pytest.mark.asyncio(loop_scope="session")]
PARAMETERS: dict[str, dict[str, Any]] = {
    "simple_workflow_example": {"processing_time": 0.5},
    "data_processing_pipeline": {"rows": 40, "seconds_per_batch": 0.2},
    "ml_training_pipeline": {"points": 50, "training_time": 0.2},
}
RESULTS: dict[str, dict[str, Any]] = {
    "simple_workflow_example": {"task_id": 123, "dataset_id": 456, "seconds": 0.5, "status": "completed"},
    "data_processing_pipeline": {"rows": 36, "total": 2052.0},
    "ml_training_pipeline": {"slope": 3.003, "intercept": 2.003, "error": 0.058},
}
LAST = {"simple_workflow_example": "complete", "data_processing_pipeline": "load", "ml_training_pipeline": "evaluate"}


async def plan_ended(product: AirflowProduct, plan: str) -> dict[str, Any]:
    seen: list[dict[str, Any]] = []

    async def ended() -> bool:
        seen.append(await product.ask("GET", f"/plans/{plan}"))
        return seen[-1]["ended_at"] is not None

    await wait_until(ended, seconds=180, why=f"plan {plan} ended", poll_seconds=POLL_SECONDS)
    return seen[-1]


def without_file(result: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in result.items() if name != "file"}


async def test_each_example_gives_the_same_result_as_a_dag_and_as_a_pipeline(product: AirflowProduct) -> None:
    await product.ask("POST", "/engines", {"id": "local", "name": "Here", "connection": {"kind": "process"}})
    await product.signalbox("pipeline", "apply", str(PIPELINES))
    runs, plans = dict[str, str](), dict[str, str]()
    for name, parameters in PARAMETERS.items():
        await product.ask("POST", "/workflows", {"name": f"DAG {name}", "dag_id": name})
        body = {"task_id": 123, "dataset_id": 456, "parameters": parameters}
        workflow = f"dag-{name}"
        runs[workflow] = (await product.ask("POST", f"/workflows/{workflow}/runs", body))["id"]
        places = {"program": str(product.program)}
        if name != "simple_workflow_example":
            places["folder"] = str(product.folder / "files")
        params = {**parameters, **places}
        plans[name] = (await product.ask("POST", f"/pipelines/{name}/run", {"params": params}))["id"]
    for name, plan in plans.items():
        ended = await plan_ended(product, plan)
        tasks = (await product.ask("GET", f"/plans/{plan}/tasks"))["items"]
        assert ended["state"] == "SUCCEEDED", [task["error"] for task in tasks]
        (last,) = [task for task in tasks if task["step"] == LAST[name]]
        assert without_file(last["result"]) == RESULTS[name]
    for workflow, run in runs.items():
        ended = await product.run_until(workflow, run)
        assert (ended["state"], ended["error"]) == ("completed", None)
        assert without_file(ended["result"]) == RESULTS[workflow.removeprefix("dag-")]
