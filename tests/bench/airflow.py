"""40 small Python programs, one after the other, on a real Airflow: `python -m bench airflow`.

The same programs as in `bench.pipelines`, each a BashOperator. Airflow is the one of the tests (LocalExecutor on
PostgreSQL); where it is not in the cache the row says so and nothing is installed.
"""

import json
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from bench.api import LIGHT_PROGRAM, percentile, write_light_program
from bench.pipelines import PROGRAMS
from engines.airflow.distribution import is_installed
from engines.airflow.harness import database
from engines.airflow.server import AirflowServer

ROUNDS: Final = 2
SECONDS: Final = 600
DAG: Final = """
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

with DAG("chain", schedule=None):
    before = None
    for number in range({count}):
        step = BashOperator(task_id=f"s{{number}}", bash_command="{program}")
        if before:
            before >> step
        before = step
"""


class ChainServer(AirflowServer):
    """An Airflow with the chain as its only DAG."""

    def _copy_dags(self, sources: Sequence[Path]) -> None:
        del sources
        (self.dags / "chain.py").write_text(DAG.format(count=PROGRAMS, program=LIGHT_PROGRAM))


def measure() -> dict[str, Any]:
    if not is_installed(3):
        return {"airflow": "not installed: `make test-airflow` does it"}
    write_light_program()
    with database() as url, tempfile.TemporaryDirectory() as folder, ChainServer(Path(folder) / "a", url) as server:
        rounds = [_run(server) for _ in range(ROUNDS)]
    seconds, gaps = [one[0] for one in rounds], [gap for one in rounds for gap in one[1]]
    return {
        f"airflow {server.version}, chain of {PROGRAMS} Python programs, seconds of each round": seconds,
        "from the start of a task to the start of the next, ms p50": round(percentile(gaps, 0.5)),
    }


def _run(server: AirflowServer) -> tuple[float, list[float]]:
    """Seconds from the request to the end, and milliseconds between the starts of tasks."""
    began = time.perf_counter()
    run = _call(server, "/dags/chain/dagRuns", {"logical_date": None})["dag_run_id"]
    while time.perf_counter() - began < SECONDS:
        state = _call(server, f"/dags/chain/dagRuns/{run}")["state"]
        if state == "success":
            seconds = time.perf_counter() - began
            tasks = _call(server, f"/dags/chain/dagRuns/{run}/taskInstances?limit=100")["task_instances"]
            starts = sorted(datetime.fromisoformat(task["start_date"]) for task in tasks)
            gaps = [(after - before).total_seconds() * 1000 for before, after in pairwise(starts)]
            return round(seconds, 2), gaps
        if state == "failed":
            sys.exit(f"airflow: run {run} failed")
        time.sleep(0.2)
    sys.exit(f"airflow: run {run} did not end within {SECONDS} s")


def _call(server: AirflowServer, path: str, body: dict[str, Any] | None = None) -> Any:
    headers = {"Authorization": server.authorization(), "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{server.url}{server.api}{path}", data=data, headers=headers)
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)


if __name__ == "__main__":
    print(json.dumps({"airflow": measure()}, indent=2))
