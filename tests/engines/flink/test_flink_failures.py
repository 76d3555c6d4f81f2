"""What goes wrong with Flink jobs, as a person sees it at the job: true states, readable reasons, nothing half done."""

import asyncio
import io
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest

from engines.flink.product import FlinkProduct
from engines.harness import until

pytestmark = [pytest.mark.engine, pytest.mark.timeout(280), pytest.mark.asyncio(loop_scope="session")]
ENDLESS = {"records": "100000000", "per-second": "50"}


async def test_bad_jobs_fail_with_a_readable_reason_and_start_nothing(product: FlinkProduct) -> None:
    internal = product.jars.url("x.jar").replace("127.0.0.1", "127.0.0.2")
    no_jar = product.jars.put("page.jar", b"<!DOCTYPE html>")
    bad: dict[str, tuple[dict[str, Any], str]] = {
        "unreachable": ({"jarURL": "http://127.0.0.1:9/x.jar"}, "could not be fetched, 3 times"),
        "not-found": ({"jarURL": product.jars.url("nothing.jar")}, "answers status 404"),
        "internal": ({"jarURL": internal}, "127.0.0.2 is this host itself; an operator can allow it"),
        "no-jar": ({"jarURL": no_jar}, "is no JAR: it begins with b'<!DOCTYPE html>'"),
        "other-checksum": ({"jarSHA256": "0" * 64}, "and the job allows " + "0" * 64),
        "no-class": ({"entryClass": "probe.Nobody"}, "the JAR has no class probe.Nobody"),
        "main-throws": ({"config": {"main": "throw", "day": "monday"}}, "the table of monday is missing"),
        "starts-nothing": ({"config": {"main": "nothing"}}, "main ended without starting a job"),
    }
    for id, (changes, _) in bad.items():
        await product.create(id, **changes)
        await product.start(id)
    for id, (_, reason) in bad.items():
        ended = await product.execution(id)
        assert ended["status"] == "FAILED", ended
        assert reason in ended["error"], (id, ended["error"])
        assert product.starts(id) == []


async def test_a_job_that_fails_in_an_operator_names_the_exception(product: FlinkProduct) -> None:
    await product.create("fails-inside", config={"fail-at": "7"})
    await product.start("fails-inside")
    ended = await product.execution("fails-inside")
    assert ended["status"] == "FAILED"
    assert "IllegalStateException: record 7 cannot be read" in ended["error"]
    assert len(product.starts("fails-inside")) == 1


async def test_what_a_request_has_wrong_is_refused_at_once_and_changes_nothing(product: FlinkProduct) -> None:
    await product.create("wrong-requests")
    requests: list[tuple[str, str, Any, str]] = [
        ("POST", "/jobs/wrong-requests/schedule", {"cron": "* * * * *"}, "cron"),
        ("POST", "/jobs/wrong-requests/schedule", {"cron": "0 61 * * * *"}, "cron"),
        ("POST", "/jobs/wrong-requests/start", {"from_savepoint": "latest"}, "from_savepoint"),
        ("POST", "/jobs", {"id": "x1", "jarSHA256": "abc"}, "work.flink.jar_sha256"),
        ("POST", "/jobs", {"id": "x2", "jarURL": "http://h/x.jar", "parallelism": 0}, "work.flink.parallelism"),
    ]
    for method, path, body, field in requests:
        refused = await product.stack.answer(method, path, body)
        assert refused.problem == (422, "invalid"), (path, refused.text)
        assert refused.fields == [field]
    for path in ("/jobs/x1", "/jobs/x2", "/schedules/wrong-requests-schedule"):
        assert (await product.stack.answer("GET", path)).status == 404
    savepoint = await product.stack.answer("POST", "/jobs/wrong-requests/savepoints", {})
    assert savepoint.problem == (409, "conflict")
    assert await product.executions("wrong-requests") == []


async def test_a_job_without_slots_says_so_and_can_be_stopped(product: FlinkProduct) -> None:
    await product.create("wide", parallelism=100)
    await product.start("wide")

    async def explained() -> bool:
        (execution,) = await product.executions("wide")
        return "no free task slots" in (execution["waiting"] or "")

    await until(explained, "the execution says that it waits for slots")
    (execution,) = await product.executions("wide")
    task = await product.stack.ask("GET", f"/tasks/{execution['taskId']}")
    assert "no free task slots" in task["waiting"]["detail"]
    await product.stack.ask("POST", "/jobs/wide/stop", {})
    assert (await product.execution("wide"))["status"] == "STOPPED"
    assert product.starts("wide") == []


async def test_a_jar_replaced_under_its_url_shows_both_checksums_and_the_version_keeps_its_own(
    product: FlinkProduct,
) -> None:
    original = (product.jars.folder / "data-processor.jar").read_bytes()
    url = product.jars.put("replaced.jar", original)
    await product.create("replaced", jarURL=url)
    await product.start("replaced")
    first = await product.execution("replaced")
    product.jars.put("replaced.jar", with_padding(original))
    await product.start("replaced")
    await until(lambda: succeeded(product, "replaced", 2), "the second execution succeeded")
    job = await product.stack.ask("GET", "/jobs/replaced")
    job["labels"] = {"version": "two"}
    await product.stack.ask("PUT", "/jobs/replaced", {k: job[k] for k in ("name", "work", "labels", "retries")})
    await product.start("replaced")
    await until(lambda: succeeded(product, "replaced", 3), "the third execution succeeded")
    newest, second, oldest = await product.executions("replaced")
    assert (oldest["jarSHA256"], second["jarSHA256"]) == (first["jarSHA256"], first["jarSHA256"])
    assert (oldest["jobVersion"], second["jobVersion"], newest["jobVersion"]) == (1, 1, 2)
    assert newest["jarSHA256"] not in (None, first["jarSHA256"])


async def test_a_streaming_job_stops_with_a_savepoint_and_goes_on_from_it_by_the_command_line(
    product: FlinkProduct,
) -> None:
    counts = product.folder / "counts"
    await product.create("counter", config={**ENDLESS, "per-second": "200", "counts": str(counts)})
    await product.signalbox("job", "start", "counter")
    await product.execution("counter", ["RUNNING"])
    await until(lambda: counted(counts, 50), "fifty were counted")
    await product.signalbox("job", "savepoint", "counter", "--wait")
    assert (await product.execution("counter", ["RUNNING"]))["status"] == "RUNNING"
    await product.signalbox("job", "savepoint", "counter", "--stop", "--wait")
    stopped = await product.execution("counter")
    assert stopped["status"] == "STOPPED"
    savepoints = (await product.stack.ask("GET", "/jobs/counter/savepoints"))["items"]
    assert [one["stopped"] for one in savepoints] == [True, False]
    before = len(counts.read_text().splitlines())
    await product.signalbox("job", "start", "counter", "--from-savepoint", "latest")
    await until(lambda: counted(counts, before + 50), "fifty more were counted")
    await product.signalbox("job", "stop", "counter", "--yes")
    assert (await product.execution("counter"))["status"] == "STOPPED"
    numbers = [line.split() for line in counts.read_text().splitlines() if len(line.split()) == 2]
    assert [(int(a), int(b)) for a, b in numbers] == [(number + 1, number) for number in range(len(numbers))]


async def test_a_killed_job_manager_leaves_five_jobs_in_their_true_state_with_the_reason(product: FlinkProduct) -> None:
    """One of them ends the JobManager itself: it does so once."""
    ids = [f"lost-{number}" for number in range(5)]
    for id in ids:
        await product.create(id, config=ENDLESS, on_unknown="fail")
        await product.start(id)
    for id in ids:
        await product.execution(id, ["RUNNING"])
    await until(lambda: begun(product, ids), "all five began")
    product.cluster.job_manager.kill()
    await asyncio.to_thread(product.cluster.start_job_manager)
    for id in ids:
        ended = await product.execution(id)
        assert ended["status"] == "FAILED"
        assert "the JobManager restarted after it got this job" in ended["error"], ended["error"]
    await asyncio.to_thread(product.cluster.wait_for_slots)
    await product.create("exits", config={"main": "exit"}, on_unknown="fail")
    await product.start("exits")
    await asyncio.to_thread(
        product.cluster.until, lambda: product.cluster.job_manager.running() is None, "the JobManager ended"
    )
    await asyncio.to_thread(product.cluster.start_job_manager)
    ended = await product.execution("exits")
    assert ended["status"] == "FAILED"
    assert "the JobManager restarted" in ended["error"], ended["error"]
    assert product.cluster.job_manager.running() is not None
    await asyncio.to_thread(product.cluster.wait_for_slots)
    await product.create("afterwards")
    await product.start("afterwards")
    assert (await product.execution("afterwards"))["status"] == "SUCCEEDED"
    assert [len(product.starts(id)) for id in ids] == [1] * 5


async def succeeded(product: FlinkProduct, id: str, runs: int) -> bool:
    return [one["status"] for one in await product.executions(id)] == ["SUCCEEDED"] * runs


async def begun(product: FlinkProduct, ids: list[str]) -> bool:
    return all(product.starts(id) for id in ids)


async def counted(file: Path, lines: int) -> bool:
    return file.exists() and len(file.read_text().splitlines()) >= lines


def with_padding(jar: bytes) -> bytes:
    content = io.BytesIO(jar)
    with zipfile.ZipFile(content, "a", zipfile.ZIP_STORED) as archive:
        archive.writestr("padding", os.urandom(16))
    return content.getvalue()
