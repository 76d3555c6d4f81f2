"""Runs on a real session cluster: what they were given, how they end, and that a key is one job."""

import asyncio
import hashlib

import pytest

from engines.flink.distribution import compiled_jobs
from engines.flink.runs import FlinkBench
from signalbox_contracts.ids import run_key_hash128
from signalbox_executor.engines.port import EndCause, EngineRefused, Phase

pytestmark = pytest.mark.engine


async def test_a_job_runs_with_its_configuration_as_arguments(bench: FlinkBench) -> None:
    submission = bench.new_submission(config={"day": "2026-11-27", "empty": ""}, arguments=("--more", "x y"))
    handle = await bench.engine.submit(submission)
    seen = await bench.seen(submission)
    assert (seen.phase, seen.cause, seen.handle) == (Phase.SUCCEEDED, EndCause.COMPLETED, handle)
    assert handle == run_key_hash128(submission.run_key)
    assert seen.started_at
    assert seen.ended_at
    (line,) = bench.starts(submission.run_key)
    assert "day=2026-11-27, empty=, more=x y, records=20" in line


async def test_one_key_sent_by_several_executors_at_once_is_one_job(bench: FlinkBench) -> None:
    submission = bench.new_submission(config={"records": "1000000"})
    engines = [bench.engine, *(bench.another() for _ in range(4))]
    handles = await asyncio.gather(*(engine.submit(submission) for engine in engines))
    assert set(handles) == {run_key_hash128(submission.run_key)}
    await bench.began(submission)
    assert len(bench.starts(submission.run_key)) == 1


async def test_a_run_that_ended_is_adopted_by_a_late_copy(bench: FlinkBench) -> None:
    submission = bench.new_submission()
    await bench.engine.submit(submission)
    first = await bench.seen(submission)
    assert await bench.another().submit(submission) == first.handle
    assert (await bench.seen(submission)).ended_at == first.ended_at
    assert len(bench.starts(submission.run_key)) == 1


async def test_a_jar_is_fetched_and_uploaded_once_and_pinned(bench: FlinkBench) -> None:
    for _ in range(2):
        submission = bench.new_submission()
        await bench.engine.submit(submission)
        await bench.seen(submission)
    jars = bench.cluster.get("/jars")["files"]
    digest = hashlib.sha256(compiled_jobs(bench.cluster.version).read_bytes()).hexdigest()
    assert [jar["name"] for jar in jars].count(f"signalbox-{digest}.jar") == 1


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"main": "throw", "day": "monday"}, "main failed: IllegalArgumentException: the table of monday is missing"),
        ({"main": "nothing"}, "main ended without starting a job"),
    ],
)
async def test_a_main_that_starts_nothing_is_refused_with_its_reason(
    bench: FlinkBench, config: dict[str, str], reason: str
) -> None:
    submission = bench.new_submission(config=config)
    with pytest.raises(EngineRefused) as refused:
        await bench.engine.submit(submission)
    assert refused.value.reason == reason
    assert run_key_hash128(submission.run_key) not in bench.cluster.jobs()


async def test_an_entry_class_that_does_not_exist_is_named(bench: FlinkBench) -> None:
    with pytest.raises(EngineRefused) as refused:
        await bench.engine.submit(bench.new_submission(entry_class="probe.Nobody"))
    assert (refused.value.field, refused.value.reason) == ("work.entry_class", "the JAR has no class probe.Nobody")


async def test_a_main_that_fails_after_it_started_its_job_leaves_that_job_running(bench: FlinkBench) -> None:
    """A 400 is no proof that nothing runs (Flink 2.3)."""
    submission = bench.new_submission(config={"main": "twice", "records": "1000000"})
    handle = await bench.engine.submit(submission)
    assert (await bench.seen(submission, {Phase.RUNNING})).handle == handle
    await bench.began(submission)
    assert len(bench.starts(submission.run_key)) == 1


async def test_a_job_that_fails_in_an_operator_says_where_and_why(bench: FlinkBench) -> None:
    submission = bench.new_submission(config={"fail-at": "7"})
    await bench.engine.submit(submission)
    seen = await bench.seen(submission)
    assert (seen.phase, seen.cause) == (Phase.FAILED, EndCause.FAILED)
    assert "IllegalStateException: record 7 cannot be read" in seen.message


async def test_a_cancelled_job_is_killed(bench: FlinkBench) -> None:
    submission = bench.new_submission(config={"records": "1000000"})
    await bench.engine.submit(submission)
    await bench.began(submission)
    for _ in range(2):
        await bench.engine.cancel(bench.watched(submission))
    assert (await bench.seen(submission)).phase is Phase.KILLED
    assert await bench.another().submit(submission) == run_key_hash128(submission.run_key)
    assert len(bench.starts(submission.run_key)) == 1
