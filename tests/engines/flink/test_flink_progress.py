"""What a running job says of itself, and what is removed of what was uploaded for jobs."""

from collections.abc import AsyncGenerator
from datetime import timedelta

import pytest

from engines.flink.distribution import compiled_jobs
from engines.flink.runs import FlinkBench
from engines.flink.test_flink_jars import padded
from engines.harness import until
from signalbox_chassis.runtime.clock import SystemClock
from signalbox_executor.engines.flink.artifacts import StoredJar
from signalbox_executor.engines.flink.uploads import Uploads
from signalbox_executor.engines.port import Phase

pytestmark = pytest.mark.engine


async def test_a_running_job_shows_records_checkpoints_and_back_pressure(bench: FlinkBench) -> None:
    """The counter is slow, so what feeds it waits for it."""
    slow = {"records": "100000000", "per-second": "5000", "slow-millis": "20", "checkpoint-millis": "300"}
    submission = bench.new_submission(config={**slow, "counts": str(bench.folder / "counts")})
    await bench.submit_patiently(submission)
    await bench.began(submission)
    messages: list[str] = []

    async def complete() -> bool:
        found = await bench.engine.progress([bench.watched(submission)])
        messages.append(found[submission.run_key].message if found else "")
        words = ("records in", "checkpoints", "back pressure in")
        return all(word in messages[-1] for word in words) and not messages[-1].startswith("0 records")

    await until(complete, "the progress names records, checkpoints and back pressure")
    await bench.engine.cancel(bench.watched(submission))
    assert (await bench.seen(submission)).phase is Phase.KILLED


async def test_only_jars_that_we_uploaded_long_ago_are_removed_from_the_cluster(bench: FlinkBench) -> None:
    first = bench.new_submission()
    await bench.submit_patiently(first)
    await bench.seen(first)
    ours = await bench.jar_of(first)

    async def content() -> AsyncGenerator[bytes]:
        yield compiled_jobs(bench.cluster.version).read_bytes()

    jobs = bench.job_manager
    foreign = await jobs.upload("nightly-report.jar", content(), timeout_seconds=60)
    second = bench.new_submission(jar_url=bench.jars.put("second.jar", padded(compiled_jobs(bench.cluster.version))))
    await bench.submit_patiently(second)
    await bench.seen(second)
    names = {jar.name for jar in await jobs.jars()}
    assert {"nightly-report.jar", f"signalbox-{ours}.jar"} <= names
    kept = await bench.jar_of(second)
    uploads = Uploads(jobs, bench.blobs, SystemClock(), timedelta(seconds=-60))
    incarnation = await jobs.incarnation()
    await uploads.jar_id(StoredJar(kept, 1), incarnation)
    names = {jar.name for jar in await jobs.jars()}
    assert f"signalbox-{ours}.jar" not in names
    assert {"nightly-report.jar", f"signalbox-{kept}.jar"} <= names
    await jobs.delete_jar(foreign)
