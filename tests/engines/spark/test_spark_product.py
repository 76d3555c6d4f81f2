"""Spark through API and command line, on a real master and worker: save, start, watch, result, logs, cancel."""

import json

import pytest

from engines.harness import until
from engines.spark.distribution import compiled_jobs
from engines.spark.product import APPS, SparkProduct

pytestmark = [pytest.mark.engine, pytest.mark.asyncio(loop_scope="session")]


async def test_a_pyspark_job_reads_and_writes_files_and_leaves_its_counts(product: SparkProduct) -> None:
    folder = product.folder / "orders"
    folder.mkdir()
    rows = [{"customer": f"c{number % 7}", "amount": number} for number in range(1000)]
    (folder / "orders.json").write_text("\n".join(map(json.dumps, rows)))
    words = [str(folder / "orders.json"), str(folder / "sums"), str(folder / "stamps")]
    arguments = [part for word in words for part in ("--arg", word)]
    task = await product.start(
        "orders", str(APPS / "orders.py"), *arguments, "--env", "GREETING=hello", "--conf", "spark.cores.max=2"
    )
    ended = await product.task(task)
    assert ended["state"] == "SUCCEEDED", ended
    counts = {"read": 1000, "customers": 7, "amount": 499_500, "greeting": "hello"}
    assert ended["result"] == counts
    assert len((folder / "stamps").read_text().splitlines()) == 1
    assert list((folder / "sums").glob("*.parquet"))
    log = await product.signalbox("task", "logs", task)
    assert "orders are summed: " in log
    watched = await product.signalbox("plan", "show", ended["plan_id"])
    assert "SUCCEEDED" in watched


async def test_a_jar_runs_with_its_arguments_and_is_cancelled(product: SparkProduct) -> None:
    stamps = product.folder / "jar-stamps"
    words = ["--arg", str(stamps), "--arg", "0", "--arg", "600", "--arg", "began"]
    task = await product.start("endless", str(compiled_jobs()), "--class", "probe.App", *words)

    async def began() -> bool:
        return stamps.exists()

    await until(began, "the JAR's main began", timeout_seconds=60)
    seen = await product.task(task, ("RUNNING",))
    await product.signalbox("job", "stop", "endless", "--kill", "--yes", "--wait")
    ended = await product.task(task)
    assert ended["state"] == "CANCELLED", ended
    assert product.cluster.drivers()[seen["handle"]] == "KILLED"
    assert stamps.read_text() == "began\n"


@pytest.mark.parametrize(
    ("how", "state", "reason"),
    [
        ("exit", "FAILED", "exit code 3"),
        ("raise", "FAILED", "ValueError: no such day: 2026-02-30"),
        ("swallow", "FAILED", "the driver ended with 0 although the last job of its application failed"),
        ("recover", "SUCCEEDED", ""),
    ],
)
async def test_a_driver_that_fails_says_why(product: SparkProduct, how: str, state: str, reason: str) -> None:
    task = await product.start(f"failing-{how}", str(APPS / "failing.py"), "--arg", how, "--max-attempts", "1")
    ended = await product.task(task)
    assert ended["state"] == state, ended
    assert reason in json.dumps(ended)
