"""Extract, transform and load: rows are made, cleaned in parallel batches, checked, and written to a file."""

import json
import tempfile
import time
from pathlib import Path
from typing import Any

from airflow.sdk import Param, dag, get_current_context, task


@task
def extract() -> list[list[dict[str, Any]]]:
    """Make rows in batches. Every tenth row has no value."""
    params = get_current_context()["params"]
    rows = [{"id": number, "value": None if number % 10 == 9 else number * 1.5} for number in range(params["rows"])]
    size = params["batch_size"]
    return [rows[begin : begin + size] for begin in range(0, len(rows), size)]


@task(retries=2, retry_delay=5)
def transform(batch: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Drop rows without a value, and scale the others."""
    time.sleep(float(get_current_context()["params"]["seconds_per_batch"]))
    return [{"id": row["id"], "value": round(row["value"] * 2, 2)} for row in batch if row["value"] is not None]


@task
def validate(batches: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Refuse rows that are there twice."""
    rows = [row for batch in batches for row in batch]
    if len({row["id"] for row in rows}) != len(rows):
        raise ValueError("a row is there twice")
    return rows


@task
def load(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Write the rows to a file of the run."""
    run_id = get_current_context()["dag_run"].run_id
    path = Path(tempfile.gettempdir()) / f"{run_id.replace(':', '_')}.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return {"rows": len(rows), "total": round(sum(row["value"] for row in rows), 2), "file": str(path)}


@dag(
    dag_id="data_processing_pipeline", schedule=None, catchup=False, tags=["signalbox"],
    params={
        "rows": Param(100, type="integer", minimum=1, maximum=100_000),
        "batch_size": Param(25, type="integer", minimum=1),
        "seconds_per_batch": Param(20, type="number", minimum=0, maximum=600),
    },
)  # fmt: skip
def data_processing_pipeline() -> None:
    load(validate(transform.expand(batch=extract())))


data_processing_pipeline()
