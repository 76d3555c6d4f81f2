"""Savepoints: runs that stop with one, start from one, and go on counting where they were."""

from pathlib import Path

import pytest

from engines.flink.runs import FlinkBench
from engines.harness import until
from signalbox_contracts.artifacts import FlinkSavepoint, savepoints_folder
from signalbox_executor.engines.capabilities import Savepoint
from signalbox_executor.engines.port import EndCause, Phase, Submission

pytestmark = pytest.mark.engine
ENDLESS = {"records": "100000000", "per-second": "200"}


def counted(file: Path) -> list[tuple[int, int]]:
    """What the job wrote: its count in Flink's state, and the number it counted."""
    pairs = [line.split() for line in file.read_text().splitlines()] if file.exists() else []
    return [(int(count), int(number)) for count, number in (pair for pair in pairs if len(pair) == 2)]


async def stop(bench: FlinkBench, submission: Submission) -> str:
    """Cancel until it has ended; the path of its savepoint."""

    async def ended() -> bool:
        await bench.engine.cancel(bench.watched(submission))
        return (await bench.engine.observe([bench.watched(submission)]))[submission.run_key].phase is not Phase.RUNNING

    await until(ended, "the job stopped")
    seen = await bench.seen(submission)
    assert (seen.phase, seen.cause) == (Phase.KILLED, EndCause.CANCELLED)
    words, _, path = seen.message.partition("stopped with savepoint ")
    assert (words, path.startswith("file:")) == ("", True), seen.message
    return path


async def test_a_job_stopped_with_a_savepoint_goes_on_where_it_was(bench: FlinkBench, tmp_path: Path) -> None:
    counts = tmp_path / "counts"
    config = {**ENDLESS, "counts": str(counts)}
    first = bench.new_submission(config=config, stop_with_savepoint=True, target="job:counter")
    await bench.engine.submit(first)
    await bench.began(first)

    async def hundred() -> bool:
        return len(counted(counts)) >= 100

    await until(hundred, "a hundred were counted")
    path = await stop(bench, first)
    before = len(counted(counts))
    second = bench.new_submission(config=config, savepoint_path=path)
    await bench.engine.submit(second)

    async def went_on() -> bool:
        return len(counted(counts)) >= before + 100

    await until(went_on, "a hundred more were counted")
    await bench.engine.cancel(bench.watched(second))
    await bench.seen(second)
    pairs = counted(counts)
    assert pairs == [(number + 1, number) for number in range(len(pairs))]  # none lost, none twice, none anew
    (blob,) = await bench.blobs.list(savepoints_folder("job:counter"))
    kept = FlinkSavepoint.model_validate_json(await bench.blobs.read(blob.key))
    assert (kept.path, kept.run_key, kept.stopped) == (path, first.run_key, True)


async def test_a_savepoint_is_taken_while_the_job_runs_on(bench: FlinkBench) -> None:
    submission = bench.new_submission(config=ENDLESS, target="job:running")
    await bench.engine.submit(submission)
    await bench.began(submission)
    watched = bench.watched(submission)
    assert await bench.engine.savepoint(watched, "request") is None
    for _ in range(2):
        await bench.engine.take_savepoint(watched, "request")
    results: list[Savepoint] = []

    async def taken() -> bool:
        found = await bench.another().savepoint(watched, "request")
        results.extend([found] if found else [])
        return bool(results) and results[-1] != Savepoint()

    await until(taken, "the savepoint was taken")
    assert results[-1].failure == ""
    assert (await bench.seen(submission, {Phase.RUNNING})).phase is Phase.RUNNING
    folders = [path for path in bench.cluster.savepoints.iterdir() if str(path) in str(results[-1].path)]
    assert len(folders) == 1
    assert len(await bench.blobs.list(savepoints_folder("job:running"))) == 1


async def test_a_job_without_slots_says_so_and_stops_without_a_savepoint(bench: FlinkBench) -> None:
    submission = bench.new_submission(parallelism=100, stop_with_savepoint=True)
    await bench.engine.submit(submission)
    seen = await bench.seen(submission, {Phase.SUBMITTED})
    assert seen.phase is Phase.SUBMITTED

    async def explained() -> bool:
        return submission.run_key in await bench.engine.explain_waiting([bench.watched(submission)])

    await until(explained, "Flink says that it waits for slots")
    reasons = await bench.engine.explain_waiting([bench.watched(submission)])
    assert reasons[submission.run_key].startswith("no free task slots: its 201 tasks wait")

    async def ended() -> bool:
        await bench.engine.cancel(bench.watched(submission))
        return (await bench.engine.observe([bench.watched(submission)]))[submission.run_key].phase is Phase.KILLED

    await until(ended, "the job was cancelled")
