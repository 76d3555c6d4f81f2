"""What runs of a real Airflow mean to us: results, failures, logs of every try, stops, retries, pauses."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from engines.airflow.harness import Harness
from engines.airflow.scenarios import new_submission, observe, pipeline, run_of, see
from engines.harness import until
from signalbox_contracts.definitions.work import AirflowWork
from signalbox_executor.engines.airflow.names import was_stopped
from signalbox_executor.engines.port import EndCause, EngineRefused, EngineUnavailable, Phase, Watched

pytestmark = pytest.mark.engine


async def test_the_last_task_gives_the_result_and_every_try_its_log(harness: Harness) -> None:
    """`load` fails once and Airflow itself tries it again: both logs are there, in order."""
    submission = new_submission(pipeline(failures={"load": 1}))
    handle = await harness.adapter.submit(submission)
    seen = await see(harness.adapter, submission, handle)
    assert (seen.phase, seen.result, seen.exit_code) == (Phase.SUCCEEDED, {"rows": 30}, None)
    page = "grid?dag_run_id=" if harness.server.major == 2 else "runs/"
    assert (seen.handle, seen.handle_url) == (
        f"pipeline/{submission.run_key}",
        f"{harness.server.url}/dags/pipeline/{page}{submission.run_key}",
    )
    log = await full_log(harness, Watched(submission.run_key, 1, handle), limit=1_000_000)
    headings = ("--- extract, try 1 ---", "--- load, try 1 ---", "--- load, try 2 ---")
    extract, first, second = (log.index(heading) for heading in headings)
    assert extract < first < second
    assert extract < log.index("extract works, try 1") < first
    # a task's output and its error come to Airflow by two ways: either may be first
    assert all(first < log.index(f"load {words} try 1") < second for words in ("works,", "was asked to fail on"))
    assert second < log.index("load works, try 2")
    assert "--- transform[0], try 1 ---" in log
    assert "--- transform[1], try 1 ---" in log
    assert await full_log(harness, Watched(submission.run_key, 1, handle), limit=700) == log


async def full_log(harness: Harness, run: Watched, *, limit: int) -> str:
    """The log as the executor reads it: page after page, with an adapter that remembers nothing."""
    engine = harness.fresh_engine()
    log = b""
    while data := (await engine.logs(run, offset=len(log), limit=limit)).data:
        log += data
    await engine.close()
    return log.decode()


async def test_a_failure_names_its_tasks_and_a_clear_runs_only_those_again(harness: Harness) -> None:
    submission = new_submission(pipeline(failures={"transform2": 1}))
    handle = await harness.adapter.submit(submission)
    failed = await see(harness.adapter, submission, handle)
    assert (failed.phase, failed.cause) == (Phase.FAILED, EndCause.FAILED)
    assert failed.message == (
        "task transform[1] failed on try 1; load upstream_failed: "
        "RuntimeError: transform2 was asked to fail on try 1"
    )  # fmt: skip
    run = await run_of(harness, "pipeline", submission.run_key)
    work = AirflowWork(
        mode="clear",
        dag_id="pipeline",
        dag_run_id=submission.run_key,
        expected_queued_at=run.get("queued_at"),
        note="once more",
    )
    retry = new_submission(work)
    lost = harness.deaf_engine("/clearTaskInstances" if harness.server.major == 2 else "/clear")
    with pytest.raises(EngineUnavailable):
        await lost.submit(retry)
    await lost.close()
    assert await harness.adapter.submit(retry) == handle
    again = await see(harness.adapter, retry, handle)
    assert (again.phase, again.result) == (Phase.SUCCEEDED, {"rows": 30})
    began = harness.server.stamps.joinpath(submission.run_key).read_text().splitlines()
    assert (began[0], set(began[1:3]), began[3:]) == (
        "extract 1",
        {"transform1 1", "transform2 1"},
        ["transform2 2", "load 1"],
    )
    assert await harness.adapter.submit(retry) == handle  # a late copy of the submit
    assert (await see(harness.adapter, retry, handle)).phase is Phase.SUCCEEDED
    other = new_submission(work)
    with pytest.raises(EngineRefused) as refused:
        await harness.adapter.submit(other)
    assert refused.value.field == ("work.dag_run_id" if harness.server.major == 2 else "work.expected_queued_at")
    nothing = new_submission(AirflowWork(mode="clear", dag_id="pipeline", dag_run_id=submission.run_key))
    with pytest.raises(EngineRefused, match=r"no task of run .* failed: there is nothing to clear"):
        await harness.adapter.submit(nothing)


async def test_a_stop_leaves_what_cleans_up_to_end(harness: Harness) -> None:
    submission = new_submission(AirflowWork(dag_id="cleanup", note="of ann"))
    handle = await harness.adapter.submit(submission)

    async def works() -> bool:
        return harness.server.stamps.joinpath(f"{submission.run_key}.works").exists()

    await until(works, "the work began")
    watched = Watched(submission.run_key, 1, handle)
    await asyncio.gather(*(harness.adapter.cancel(watched) for _ in range(3)))
    run = await run_of(harness, "cleanup", submission.run_key)
    assert run["note"].startswith("of ann\n")
    assert was_stopped(run["note"], submission.run_key)
    seen = await see(harness.adapter, submission, handle)
    assert (seen.phase, seen.cause) == (Phase.KILLED, EndCause.CANCELLED)
    assert "stopped by Signalbox" in seen.message
    assert harness.server.stamps.joinpath(f"{submission.run_key}.released").exists()


async def test_what_a_stop_skipped_runs_when_the_run_is_retried(harness: Harness) -> None:
    """A clear of what failed alone would leave `load` skipped, and the run would look successful."""
    submission = new_submission(pipeline(hold="extract"))
    handle = await harness.adapter.submit(submission)

    async def works() -> bool:
        return harness.server.starts(submission.run_key) == 1

    await until(works, "the first task began")
    await harness.adapter.cancel(Watched(submission.run_key, 1, handle))
    harness.clean(submission.run_key)
    assert (await see(harness.adapter, submission, handle)).phase is Phase.KILLED
    retry = new_submission(AirflowWork(mode="clear", dag_id="pipeline", dag_run_id=submission.run_key))
    lost = harness.deaf_engine("/setNote" if harness.server.major == 2 else submission.run_key, "/clearTaskInstances")
    for _ in range(2):  # the answer to the note is lost, then that to the clear
        with pytest.raises(EngineUnavailable):
            await lost.submit(retry)
    await lost.close()
    assert await harness.adapter.submit(retry) == handle
    again = await see(harness.adapter, retry, handle)
    assert (again.phase, again.result) == (Phase.SUCCEEDED, {"rows": 30})
    began = harness.server.stamps.joinpath(submission.run_key).read_text().splitlines()
    assert began.count("load 1") == 1
    # 2.x ends a stopped task seconds later: released before, it succeeds, and is not cleared
    assert began.count("extract 2") == 1 or harness.server.major == 2


async def test_a_run_of_a_paused_dag_says_what_it_waits_for(harness: Harness) -> None:
    await harness.api("PATCH", "/dags/pipeline", {"is_paused": True})
    try:
        submission = new_submission(pipeline())
        handle = await harness.adapter.submit(submission)
        assert (await observe(harness.adapter, submission, handle)).phase is Phase.SUBMITTED
        reasons = await harness.adapter.explain_waiting([Watched(submission.run_key, 1, handle)])
        words = "DAG pipeline is paused in Airflow: its runs stay queued until it is unpaused"
        assert reasons == {submission.run_key: words}
    finally:
        await harness.api("PATCH", "/dags/pipeline", {"is_paused": False})
    assert (await see(harness.adapter, submission, handle)).phase is Phase.SUCCEEDED
    assert await harness.adapter.explain_waiting([Watched(submission.run_key, 1, handle)]) == {}


async def test_progress_counts_the_tasks_of_each_run(harness: Harness) -> None:
    ended, unknown = new_submission(pipeline(failures={"transform1": 1})), new_submission(pipeline())
    handle = await harness.adapter.submit(ended)
    await see(harness.adapter, ended, handle)
    progress = await harness.adapter.progress([Watched(ended.run_key, 1, handle), Watched(unknown.run_key, 1)])
    assert set(progress) == {ended.run_key}
    assert progress[ended.run_key].fraction == 1
    words = "extract success; load upstream_failed; transform[0] failed; transform[1] success"
    assert progress[ended.run_key].message == words


@pytest.mark.parametrize(
    ("work", "field", "words"),
    [
        (AirflowWork(dag_id="no_such_dag"), "work.dag_id", "not found; it cannot parse broken.py"),
        (AirflowWork(dag_id="~"), "work.dag_id", "is not the id of a DAG"),
        (AirflowWork(dag_id="../dags"), "work.dag_id", "is not the id of a DAG"),
        (AirflowWork(dag_id="pipeline", conf={"limit": 0}), "work.conf", "limit"),
        (AirflowWork(dag_id="pipeline", conf={"limit": "many"}), "work.conf", "limit"),
        (AirflowWork(dag_id="pipeline", conf={"signalbox": 1}), "work.conf.signalbox", "is not allowed"),
        (AirflowWork(dag_id="pipeline", logical_date="yesterday"), "work.logical_date", "date"),
        (AirflowWork(mode="clear", dag_id="pipeline", dag_run_id="none"), "work.dag_run_id", "has no run none"),
        (AirflowWork(mode="clear", dag_id="pipeline", dag_run_id="a/b"), "work.dag_run_id", "is not the id of a"),
    ],
)  # fmt: skip
async def test_work_airflow_will_not_run_is_refused_with_its_field(
    harness: Harness, work: AirflowWork, field: str, words: str
) -> None:
    with pytest.raises(EngineRefused) as refused:
        await harness.adapter.submit(new_submission(work))
    assert refused.value.field == field
    assert words in refused.value.reason


async def test_the_connection_test_lists_dags_and_what_cannot_be_parsed(harness: Harness) -> None:
    details: Any = await harness.adapter.test_connection()
    assert details["version"] == harness.server.version
    assert {"conformance", "pipeline", "cleanup"} <= {dag["dag_id"] for dag in details["dags"]}
    assert [Path(error["file"]).name for error in details["import_errors"]] == ["broken.py"]
    assert "no_such_name" in details["import_errors"][0]["error"]


@pytest.mark.parametrize(
    ("dag_id", "conf", "fields"),
    [
        ("data_processing_pipeline", {"rows": 20, "batch_size": 10, "seconds_per_batch": 0}, {"rows", "total", "file"}),
        ("ml_training_pipeline", {"points": 50, "training_time": 0}, {"slope", "intercept", "error"}),
    ],
)
async def test_the_example_dags_run(harness: Harness, dag_id: str, conf: dict[str, Any], fields: set[str]) -> None:
    submission = new_submission(AirflowWork(dag_id=dag_id, conf=conf))
    handle = await harness.adapter.submit(submission)
    seen = await see(harness.adapter, submission, handle)
    assert seen.phase is Phase.SUCCEEDED, seen.message
    assert isinstance(seen.result, dict)
    assert seen.result.keys() == fields
