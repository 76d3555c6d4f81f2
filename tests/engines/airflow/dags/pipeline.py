"""Three steps, the second mapped, that fail where and as often as `conf` asks for."""

import os
import time
from pathlib import Path

from airflow.sdk import Param, dag, get_current_context, task

STAMPS = Path(os.environ["SIGNALBOX_TEST_STAMPS"])


def act(step: str) -> None:
    """Write a line to the log, and fail if this step shall fail until a number of tries."""
    context = get_current_context()
    conf, tried = context["dag_run"].conf or {}, context["ti"].try_number
    with (STAMPS / context["dag_run"].run_id).open("a") as stamps:
        stamps.write(f"{step} {tried}\n")
    print(f"{step} works, try {tried}")
    while conf.get("hold") == step and not (STAMPS / f"{context['dag_run'].run_id}.release").exists():
        time.sleep(0.1)
    if tried <= int(conf.get("failures", {}).get(step, 0)):
        raise RuntimeError(f"{step} was asked to fail on try {tried}")


@task
def extract() -> list[int]:
    act("extract")
    return [1, 2]


@task
def transform(number: int) -> int:
    act(f"transform{number}")
    return number * 10


@task(retries=1, retry_delay=0)
def load(numbers: list[int]) -> dict[str, int]:
    act("load")
    return {"rows": sum(numbers)}


@dag(
    dag_id="pipeline", schedule=None, catchup=False, max_active_runs=100,
    params={"limit": Param(5, type="integer", minimum=1)},
)  # fmt: skip
def pipeline() -> None:
    load(transform.expand(number=extract()))


pipeline()
