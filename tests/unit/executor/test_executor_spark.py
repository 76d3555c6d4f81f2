"""What Spark engines make of answers, without a server: ends of drivers, requests, refusals, waits."""

import base64
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
import zstandard

from signalbox_chassis.blobs import Blobs
from signalbox_chassis.runtime.clock import SystemClock
from signalbox_chassis.start_fence import RunEnd, RunProgress, Started, StartFence
from signalbox_contracts.definitions.work import SparkWork
from signalbox_contracts.messages.tasks import EndCause, Phase
from signalbox_executor.engines.port import EngineRefused, EngineThrottled, Watched
from signalbox_executor.engines.spark.adapter import StandaloneEngine, StandaloneParts
from signalbox_executor.engines.spark.answers import Cluster, Driver, WorkerEntry
from signalbox_executor.engines.spark.event_log import EventLogs, summarize_log
from signalbox_executor.engines.spark.kind import remove_older
from signalbox_executor.engines.spark.livy import NameTaken, batch_request, judge_refusal
from signalbox_executor.engines.spark.master import Master
from signalbox_executor.engines.spark.outcomes import EXIT_GRACE, Facts, judge, root_cause, without_command
from signalbox_executor.engines.spark.progress import summarize
from signalbox_executor.engines.spark.records import RunRecord, RunRecords
from signalbox_executor.engines.spark.requests import Fenced, Target, create_request
from signalbox_executor.engines.spark.waiting import explain, explain_executors

NOW = datetime(2026, 11, 29, tzinfo=UTC)
BEGAN = Started(nonce="a" * 32, at=NOW)
SEALED = Started(nonce="", at=NOW)
TARGET = Target(name="spark", master_url="spark://m:7077", version="4.3.0", conf={"spark.driver.memory": "1g"})
KEY = "sb-00000000-0000-0000-0000-000000000001-1"


def facts(state: str, **known: Any) -> Facts:
    values: dict[str, Any] = {"state": state, "fenced": True, "started": BEGAN, "now": NOW, **known}
    return Facts(**values)


def result(text: bytes) -> RunEnd:
    return RunEnd(exit_code=0, result=base64.b64encode(text).decode(), result_bytes=len(text))


EXITED = "signalbox: System.exit was called at a.Main.main; its code: ?"


@pytest.mark.parametrize(
    ("known", "phase", "cause", "reason"),
    [
        (facts("FINISHED"), Phase.SUCCEEDED, EndCause.COMPLETED, ""),
        (facts("FINISHED", fenced=False, started=None), Phase.SUCCEEDED, EndCause.COMPLETED, ""),
        (facts("FINISHED", started=SEALED), Phase.FAILED, EndCause.INFRASTRUCTURE, "nothing of it ran"),
        (
            facts("FINISHED", progress=RunProgress(last_job_failed=True, last_error="no disk")),
            Phase.FAILED, EndCause.FAILED, "although the last job of its application failed: no disk",
        ),
        (
            facts("FINISHED", progress=RunProgress(last_job_failed=True), allow_failed_jobs=True),
            Phase.SUCCEEDED, EndCause.COMPLETED, "",
        ),
        (facts("FINISHED", end=result(b"{rows: 1}")), Phase.FAILED, EndCause.FAILED, "the result is no JSON"),
        (facts("FAILED", end=RunEnd(exit_code=3, error="exit code 3")), Phase.FAILED, EndCause.FAILED, "exit code 3"),
        (
            facts("FAILED", end=RunEnd(), error_output=f"java.io.IOException: no disk\n\tat x\n{EXITED}\nINFO x\n"),
            Phase.FAILED, EndCause.FAILED,
            "System.exit was called at a.Main.main; its code: ?; the last error before: java.io.IOException: no disk",
        ),
        (facts("KILLED", stopped=True), Phase.KILLED, EndCause.CANCELLED, ""),
        (facts("KILLED"), Phase.KILLED, EndCause.KILLED, "killed by somebody on the cluster"),
        (facts("ERROR", message="java.io.IOException: no such file"), Phase.FAILED, EndCause.FAILED, "no such file"),
        (facts("ERROR"), Phase.LOST, None, "its worker was lost"),
        (facts("ERROR", started=SEALED), Phase.FAILED, EndCause.INFRASTRUCTURE, "nothing of it ran: its worker"),
        (
            facts("FAILED", started=SEALED, start_url="http://api", error_output="java.net.ConnectException: refused"),
            Phase.FAILED, EndCause.INFRASTRUCTURE,
            "its launcher, which is fetched from http://api, did not begin: java.net.ConnectException: refused",
        ),
        (
            facts("FAILED", started=SEALED, start_url="http://api", error_output="signalbox: not me: b has this work"),
            Phase.FAILED, EndCause.INFRASTRUCTURE, "nothing of it ran: not me: b has this work",
        ),
        (facts("ERROR", end=RunEnd(exit_code=0)), Phase.SUCCEEDED, EndCause.COMPLETED, ""),
        (facts("ERROR", end=RunEnd(at=NOW)), Phase.LOST, None, "its worker was lost"),
        (facts("ERROR", end=RunEnd(at=NOW - EXIT_GRACE)), Phase.FAILED, EndCause.INFRASTRUCTURE, "told to end"),
        (facts(""), Phase.LOST, None, "the master does not know the driver"),
        (facts("", end=RunEnd(exit_code=1, error="ValueError: x")), Phase.FAILED, EndCause.FAILED, "ValueError: x"),
    ],
)  # fmt: skip
def test_the_end_of_a_driver(known: Facts, phase: Phase, cause: EndCause | None, reason: str) -> None:
    """A driver that may run on unseen is lost, never ended: a second attempt beside it would be two runs."""
    verdict = judge(known)
    assert (verdict.phase, verdict.cause) == (phase, cause)
    assert reason in verdict.message


def test_a_result_is_read() -> None:
    assert judge(facts("FINISHED", end=result(b'{"rows": 12}'))).result == {"rows": 12}


def test_a_fenced_jar_starts_the_launcher_and_hides_the_secret_from_the_command() -> None:
    work = SparkWork(application="/a.jar", main_class="a.B", arguments=("x",), conf={"spark.cores.max": "2"})
    request = create_request(work, KEY, TARGET, Fenced("http://api/", "top secret", 60))
    assert request["mainClass"] == "signalbox.Launcher"
    assert request["appArgs"] == ["a.B", "x"]
    assert request["appResource"] == "http://api/api/v1/starts/launchers/signalbox-launcher.jar"
    assert request["environmentVariables"]["SIGNALBOX_START_URL"] == f"http://api/api/v1/starts/{KEY}"
    assert request["environmentVariables"].pop("SIGNALBOX_START_SECRET") == "top secret"
    assert "top secret" not in str(request)
    assert request["sparkProperties"]["spark.driver.supervise"] == "false"


def test_a_python_file_at_a_url_is_fetched_for_the_launcher() -> None:
    work = SparkWork(application="s3a://apps/rank.py", arguments=("x",))
    words = create_request(work, KEY, TARGET, Fenced("http://api", "s", 60))["appArgs"]
    assert words[words.index("--py-files") + 1] == "s3a://apps/rank.py"
    assert words[-3:] == ["http://api/api/v1/starts/launchers/launcher.py", "s3a://apps/rank.py", "x"]
    assert create_request(work, KEY, TARGET, None)["appArgs"][-2:] == ["s3a://apps/rank.py", "x"]


def test_livys_texts_are_distinguished() -> None:
    """Recorded from Livy 0.7.1, but for the second, which is in its source."""
    assert judge_refusal("livy", "Duplicate session name: Some(sb-a-1) for session 1") == NameTaken()
    with pytest.raises(EngineThrottled):
        judge_refusal("livy", "Rejected, Reason: too many sessions are being created!")
    with pytest.raises(EngineRefused) as refused:
        judge_refusal("livy", "requirement failed: Local path /x.py cannot be added to user sessions.")
    assert refused.value.field == "work.application"


def test_a_batch_has_the_run_key_as_its_name() -> None:
    work = SparkWork(application="/a.jar", main_class="a.B", jars=("/b.jar",))
    request = batch_request(work, KEY, {"spark.x": "1"})
    assert (request["name"], request["className"], request["jars"]) == (KEY, "a.B", ["/b.jar"])
    assert "pyFiles" not in request


def test_a_wait_names_what_no_worker_has() -> None:
    driver = Driver(id="driver-1", state="SUBMITTED", cores=1, memory=4096)
    small = WorkerEntry(id="w", state="ALIVE", cores=4, coresfree=0, memory=2048, memoryfree=100)
    large = WorkerEntry(id="v", state="ALIVE", cores=4, coresfree=2, memory=8192, memoryfree=1000)
    assert "no worker is alive" in explain(driver, [])
    assert "no worker can ever run it" in explain(driver, [small])
    assert "no worker is free" in explain(driver, [small, large])


def test_an_application_without_executors_names_what_no_worker_has() -> None:
    entry: dict[str, Any] = {"id": "app-1", "state": "WAITING", "memoryperexecutor": 4096}
    waiting = Cluster(activeapps=(entry, {"id": "app-2", "state": "RUNNING"}, 3)).waiting_applications()
    assert list(waiting) == ["app-1"]
    small = WorkerEntry(id="w", state="ALIVE", cores=4, coresfree=0, memory=2048, memoryfree=100)
    large = WorkerEntry(id="v", state="ALIVE", cores=4, coresfree=2, memory=8192, memoryfree=1000)
    assert "no worker is alive" in explain_executors(waiting["app-1"], [])
    assert "the largest of 1 workers has 2048 MiB" in explain_executors(waiting["app-1"], [small])
    assert "has 2 cores and 1000 MiB free" in explain_executors(waiting["app-1"], [small, large])
    assert summarize(RunProgress(application="app-1"), "no executors").message.startswith("no executors; 0 stages")


def test_a_driver_that_cannot_be_read_hides_no_other() -> None:
    cluster = Cluster(activedrivers=({"id": "driver-1", "state": "RUNNING"}, {"id": 7}, "x"), workers=({"id": "w"}, 3))
    assert list(cluster.drivers()) == ["driver-1"]
    assert list(cluster.worker_entries()) == ["w"]


def test_the_reason_of_a_failure_is_its_last_cause() -> None:
    text = 'Launch Command: "java" "x"\n========================================\n\nwarn\njava.io.IOException: a\n'
    assert root_cause(without_command(text) + "Caused by: a.B$CError: b\n\tat x") == "a.B$CError: b"
    assert without_command('Launch Command: "java"') == ""
    assert timedelta(seconds=30) <= EXIT_GRACE


async def test_old_records_are_removed_page_by_page_and_new_ones_stay(tmp_path: Path) -> None:
    """A folder of a million claims must not be held in memory at once."""
    blobs = Blobs(tmp_path.as_uri())
    for number in range(25):
        await blobs.write(f"starts/{number}/sent.json", b"{}")
    for number in range(20):
        os.utime(tmp_path / f"starts/{number}/sent.json", (0, 0))
    pages = [page async for page in blobs.pages("starts", size=10)]
    assert max(map(len, pages)) <= 10
    assert sum(map(len, pages)) == 25
    await remove_older(blobs, "starts", NOW - timedelta(days=365), page_size=10)
    assert {blob.key for blob in await blobs.list("starts")} == {
        f"starts/{number}/sent.json" for number in range(20, 25)
    }


def test_an_event_log_adds_up_to_jobs_stages_and_tasks() -> None:
    """As Spark 4.3 writes them, less what is not read; the last frame of a log that is written is cut."""
    lines = [
        '{"Event":"SparkListenerStageSubmitted","Stage Info":{"Stage ID":0,"Stage Attempt ID":0,"Number of Tasks":2}}',
        '{"Event":"SparkListenerTaskEnd","Stage ID":0,"Task End Reason":{"Reason":"Success"},"Task Info":{}}',
        '{"Event":"SparkListenerTaskEnd","Stage ID":0,"Task End Reason":{"Reason":"ExceptionFailure"}}',
        '{"Event":"SparkListenerStageCompleted","Stage Info":{"Stage ID":0,"Stage Attempt ID":0}}',
        '{"Event":"SparkListenerStageSubmitted","Stage Info":"unreadable"}',
        '{"Event":"SparkListenerJobEnd","Job Result":{"Result":"JobFailed","Exception":{"Message":"no disk"}}}',
    ]
    text = "\n".join(lines).encode()
    expected = RunProgress(
        application="app-1", jobs_failed=1, last_job_failed=True, last_error="no disk", stages_done=1, tasks_done=1,
        tasks_total=2,
    )  # fmt: skip
    assert summarize_log("app-1", [("events_1_app-1", text)]) == expected
    packed = zstandard.compress(text)
    assert summarize_log("app-1", [("events_1_app-1.zstd.inprogress", packed)]) == expected
    assert summarize_log("app-1", [("a.zstd", packed[:-9])]) is not None
    assert summarize_log("app-1", [("a.lz4", b"")]) is None


async def test_the_files_of_a_rolling_event_log_are_read_in_order(tmp_path: Path) -> None:
    logs = EventLogs(Blobs(tmp_path.as_uri()))
    folder = tmp_path / "eventlog_v2_app-1"
    folder.mkdir()
    end = '{"Event":"SparkListenerJobEnd","Job Result":{"Result":"%s"}}'
    (folder / "events_2_app-1").write_text(end % "JobFailed")
    (folder / "events_10_app-1").write_text(end % "JobSucceeded")
    (folder / "appstatus_app-1").write_text("")
    found = await logs.progress("app-1", ended=True)
    assert found is not None
    assert (found.jobs_done, found.jobs_failed, found.last_job_failed) == (1, 1, False)
    (tmp_path / "app-2.inprogress").write_text(end % "JobSucceeded")
    alone = await logs.progress("app-2", ended=False)
    assert alone is not None
    assert alone.jobs_done == 1
    assert await logs.progress("app-3", ended=True) is None
    assert await logs.progress("../app-1", ended=True) is None


class _Master:
    """A master that shows one list."""

    web_url = "http://master"

    def __init__(self, *drivers: dict[str, Any]) -> None:
        self._drivers = drivers

    async def cluster(self) -> Cluster:
        return Cluster(activedrivers=self._drivers)


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"\xff\x00"])
async def test_a_damaged_blob_of_one_run_hides_no_other_run(tmp_path: Path, damage: bytes) -> None:
    """The progress and the reasons to wait of every run of the engine were left out."""
    blobs = Blobs(tmp_path.as_uri())
    fence = StartFence(blobs)
    states = {"bad": "SUBMITTED", "good": "SUBMITTED", "runs": "RUNNING"}
    for run, state in states.items():
        secret = await fence.open_send(run, NOW)
        await fence.take(run, f"driver-{run}", NOW)
        if state == "RUNNING" or run == "bad":
            await fence.claim(run, secret, f"driver-{run}", "n" * 32, NOW)
            await fence.save_progress(run, secret, f"driver-{run}", RunProgress(jobs_done=1))
    for name in ("owner", "progress"):
        await blobs.write(f"starts/bad/{name}.json", damage, replace=True)
    drivers: list[dict[str, Any]] = [{"id": f"driver-{run}", "state": state} for run, state in states.items()]
    parts = StandaloneParts(
        target=TARGET,
        master=cast("Master", _Master(*drivers)),
        blobs=blobs,
        clock=SystemClock(),
        start_url="http://api",
    )
    engine = StandaloneEngine(parts)
    watched = [Watched(run, 1) for run in states]
    assert set(await engine.progress(watched)) == {"runs"}
    assert set(await engine.explain_waiting(watched)) == {"good"}
    await RunRecords(blobs, TARGET.name).create(RunRecord(run_key="runs", sent_at=NOW, fenced=True))
    assert (await engine.observe(watched))["runs"].phase is Phase.RUNNING
