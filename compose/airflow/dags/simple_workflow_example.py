"""A start, some processing, and a completion: how a run looks. `processing_time` says how many seconds it takes."""

import time

from airflow.sdk import Param, dag, get_current_context, task


@task
def start() -> dict[str, object]:
    """Show what the run was started with."""
    conf = get_current_context()["dag_run"].conf or {}
    print(f"task {conf.get('task_id')}, dataset {conf.get('dataset_id')}")
    return {"task_id": conf.get("task_id"), "dataset_id": conf.get("dataset_id")}


@task
def process(started: dict[str, object]) -> dict[str, object]:
    """Work for as long as the run asks for."""
    seconds = float(get_current_context()["params"]["processing_time"])
    time.sleep(seconds)
    return {**started, "seconds": seconds}


@task
def complete(processed: dict[str, object]) -> dict[str, object]:
    """Hand on the result of the run."""
    print(f"done: {processed}")
    return {**processed, "status": "completed"}


@dag(
    dag_id="simple_workflow_example", schedule=None, catchup=False, tags=["signalbox"],
    params={"processing_time": Param(30, type="number", minimum=0, maximum=3600)},
)  # fmt: skip
def simple_workflow_example() -> None:
    complete(process(start()))


simple_workflow_example()
