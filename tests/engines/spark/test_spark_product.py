"""Spark through API and command line, on a real master and worker: save, start, watch, result, logs, cancel."""

import functools
import json
import shutil
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from engines.harness import until
from engines.spark.distribution import compiled_jobs
from engines.spark.livy import LivyServer
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


@contextmanager
def served(folder: Path) -> Generator[str]:
    """The URL of a server of these files."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("by_url", [False, True])
async def test_an_application_has_the_files_modules_and_jars_it_needs(product: SparkProduct, by_url: bool) -> None:
    folder = product.folder / f"parts-{by_url}"
    folder.mkdir()
    shutil.copy(APPS / "parts.py", folder)
    shutil.copy(compiled_jobs(), folder / "needed.jar")
    (folder / "rates.py").write_text("def double(number):\n    return number * 2\n")
    (folder / "limit.txt").write_text("10")
    with served(folder) as url:
        place = url if by_url else str(folder)
        words = ["--py-file", f"{place}/rates.py", "--with-file", f"{place}/limit.txt", "--jar", f"{place}/needed.jar"]
        task = await product.start(f"parts-{by_url}", f"{place}/parts.py", *words)
        ended = await product.task(task)
    assert ended["state"] == "SUCCEEDED", ended
    assert ended["result"] == {"limit": 10, "doubled": 90, "class": "probe.App"}
    assert "1 stages done, 0 active; 2 of 2 tasks; app-" in await product.signalbox("task", "show", task)


async def test_a_jar_at_a_url_is_fetched(product: SparkProduct) -> None:
    stamps = product.folder / "url-stamps"
    with served(compiled_jobs().parent) as url:
        words = ["--arg", str(stamps), "--arg", "0", "--arg", "0", "--arg", "began"]
        task = await product.start("fetched", f"{url}/jobs.jar", "--class", "probe.App", *words)
        ended = await product.task(task)
    assert (ended["state"], stamps.read_text()) == ("SUCCEEDED", "began\n"), ended


async def test_without_the_fence_stages_and_failed_jobs_are_read_in_the_event_log(product: SparkProduct) -> None:
    application = str(APPS / "failing.py")
    task = await product.start("logged", application, "--arg", "swallow", "--max-attempts", "1", engine="unfenced")
    ended = await product.task(task)
    assert ended["state"] == "FAILED", ended
    assert "the driver ended with 0 although the last job of its application failed" in ended["error"]
    shown = await product.signalbox("task", "show", task)
    assert "1 stages done, 0 active; 0 of 1 tasks; 1 jobs failed: " in shown
    assert "row 1 cannot be read" in shown


@pytest.mark.parametrize(
    ("words", "field"),
    [
        (("--spark", "/a.jar"), "work.main_class"),
        (("--spark", "/a.py", "--class", "a.B"), "work.main_class"),
        (("--spark", "/a.py", "--conf", "spark.driver.supervise=true"), "work.conf.spark.driver.supervise"),
        (("--spark", "/a.py", "--conf", "driver.memory=1g"), "work.conf.driver.memory"),
        (("--spark", "/a.py", "--conf", "spark.driver.memory=much"), "work.conf.spark.driver.memory"),
        (("--spark", "/a.py", "--with-file", "/a,b"), "work.files.0"),
    ],
)
async def test_work_that_cannot_run_is_refused_when_it_is_saved(
    product: SparkProduct, words: tuple[str, ...], field: str
) -> None:
    shown = await product.signalbox("job", "create", "wrong", "--engine", "spark", *words, code=2)
    assert field in shown
    await product.signalbox("job", "show", "wrong", code=3)


async def test_memory_that_no_worker_has_is_shown_as_why_a_task_waits(product: SparkProduct) -> None:
    words = ["--class", "probe.App", "--conf", "spark.driver.memory=100g"]
    task = await product.start("huge", str(compiled_jobs()), *words)

    async def explained() -> bool:
        return "no worker can ever run it: the driver wants 1 cores and 102400 MiB" in await product.signalbox(
            "task", "show", task
        )

    await until(explained, "why it waits is shown", timeout_seconds=60)
    await product.signalbox("job", "stop", "huge", "--kill", "--yes", "--wait")
    assert (await product.task(task))["state"] == "CANCELLED"


async def test_a_batch_runs_at_livy(product: SparkProduct) -> None:
    stamps = product.folder / "livy-stamps"
    with LivyServer(product.folder / "livy") as livy:
        conf = {"spark.driver.memory": "512m", "spark.ui.enabled": "false"}
        connection = {"kind": "spark", "api": "livy", "url": livy.url, "conf": conf}
        engine = {"id": "livy", "name": "livy", "connection": connection, "observe_every_seconds": 0.5}
        await product.stack.ask("POST", "/engines", engine)
        await product.signalbox("engine", "test", "livy", "--wait")
        words = ["--class", "probe.App", "--arg", str(stamps), "--arg", "0", "--arg", "0", "--arg", "began"]
        task = await product.start("batch", str(compiled_jobs()), *words, "--arg", "a line\n", engine="livy")
        ended = await product.task(task)
        assert (ended["state"], stamps.read_text()) == ("SUCCEEDED", "began\n"), ended
        assert "a line" in await product.signalbox("task", "logs", task)
