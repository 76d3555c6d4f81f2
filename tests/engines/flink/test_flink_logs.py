"""The log of a run: its own lines of Flink's logs, and why it failed."""

import pytest

from engines.flink.runs import FlinkBench
from signalbox_contracts.ids import run_key_hash128
from signalbox_executor.engines.flink.adapter import FlinkEngine
from signalbox_executor.engines.port import Watched

pytestmark = pytest.mark.engine


async def read(engine: FlinkEngine, watched: Watched, *, limit: int) -> bytes:
    """The whole log in pieces."""
    text = b""
    while page := (await engine.logs(watched, offset=len(text), limit=limit)).data:
        text += page
    return text


async def test_a_failed_job_has_its_lines_and_exceptions_as_its_log(bench: FlinkBench) -> None:
    other = bench.new_submission()
    failing = bench.new_submission(config={"fail-at": "7"})
    for submission in (other, failing):
        await bench.engine.submit(submission)
        await bench.seen(submission)
    text = (await read(bench.engine, bench.watched(failing), limit=997)).decode()
    assert "[jobmanager/flink-jobmanager.log]" in text
    assert "flink-taskmanager.log]" in text
    assert "starting with --fail-at 7" in text  # what the job itself logs in its operator
    assert "[exceptions]" in text
    assert "IllegalStateException: record 7 cannot be read" in text
    assert run_key_hash128(other.run_key) not in text
    again = await read(bench.another(), bench.watched(failing), limit=100_000)
    assert len(again) == len(text)


async def test_an_executor_that_takes_over_goes_on_behind_what_was_stored(bench: FlinkBench) -> None:
    submission = bench.new_submission()
    await bench.engine.submit(submission)
    await bench.seen(submission)
    watched = bench.watched(submission)
    first = await bench.engine.logs(watched, limit=1_000_000)
    assert first.data
    assert (await bench.engine.logs(watched, offset=first.next_offset)).data == b""
    assert (await bench.another().logs(watched, offset=first.next_offset)).data == b""


async def test_a_run_nobody_knows_has_no_log(bench: FlinkBench) -> None:
    assert (await bench.engine.logs(Watched("sb-unknown-1", 1))).data == b""
