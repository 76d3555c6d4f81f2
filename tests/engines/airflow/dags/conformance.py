"""A DAG that does what its `conf` asks for: the work of the conformance suite."""

import json
import os
import time
from pathlib import Path

from airflow.sdk import dag, get_current_context, task

STAMPS = Path(os.environ["SIGNALBOX_TEST_STAMPS"])


@task
def work() -> object:
    """Stamp the start, write the log, then end as asked."""
    context = get_current_context()
    conf = context["dag_run"].conf or {}
    run_id = context["dag_run"].run_id
    with (STAMPS / run_id).open("a") as stamps:
        stamps.write(f"{context['ti'].try_number}\n")
    for line in str(conf.get("log", "")).splitlines():
        print(line)
    while conf.get("endless") and not (STAMPS / f"{run_id}.release").exists():
        time.sleep(0.1)
    if conf.get("fail"):
        raise RuntimeError(f"asked to fail: {conf['fail']}")
    return read(conf["result"]) if "result" in conf else None


def read(text: str) -> object:
    """The result, which must be JSON."""
    try:
        return json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the result is no JSON: {error}") from None


def refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not allowed")


@dag(dag_id="conformance", schedule=None, catchup=False, max_active_runs=1000, max_active_tasks=1000)
def conformance() -> None:
    work()


conformance()
