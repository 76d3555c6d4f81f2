"""JARs: fetched through the guard, bounded, checked, pinned; a bad one is refused with the reason."""

import hashlib
import io
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest

from engines.flink.distribution import compiled_jobs
from engines.flink.runs import FlinkBench
from signalbox_contracts.ids import run_key_hash128
from signalbox_executor.engines.flink.artifacts import FetchLimits
from signalbox_executor.engines.port import EngineRefused, Phase

pytestmark = pytest.mark.engine
MIB = 1024 * 1024


def padded(jar: Path, size: int = 0) -> bytes:
    """The tests' JAR with something more in it, and so another checksum."""
    content = io.BytesIO(jar.read_bytes())
    with zipfile.ZipFile(content, "a", zipfile.ZIP_STORED) as archive:
        archive.writestr("padding", os.urandom(max(size, 16)))
    return content.getvalue()


async def refused(bench: FlinkBench, url: str, reason: str, **changes: Any) -> None:
    submission = bench.new_submission(jar_url=url, **changes)
    with pytest.raises(EngineRefused) as error:
        await bench.engine.submit(submission)
    assert (error.value.field, error.value.sealed) == ("work.jar_url", True)
    assert reason in error.value.reason
    with pytest.raises(EngineRefused, match=r"work\.jar_url") as again:
        await bench.another().submit(submission)
    assert (again.value.reason, again.value.sealed) == (error.value.reason, True)
    assert run_key_hash128(submission.run_key) not in bench.cluster.jobs()


async def test_bad_jars_are_refused_with_the_reason_and_leave_nothing(bench: FlinkBench) -> None:
    await refused(bench, bench.jars.url("nothing.jar"), "answers status 404")
    await refused(bench, bench.jars.put("page.jar", b"<!DOCTYPE html>"), "is no JAR: it begins with b'<!DOCTYPE html>'")
    empty = io.BytesIO()
    with zipfile.ZipFile(empty, "w") as archive:
        archive.writestr("readme.txt", "no classes")
    await refused(bench, bench.jars.put("empty.jar", empty.getvalue()), "it has no class in it")
    await refused(bench, "http://127.0.0.1:9/x.jar", "could not be fetched, 3 times")
    await refused(bench, bench.jar_url, "the job allows " + "0" * 64, jar_sha256="0" * 64)
    assert await bench.blobs.list("artifacts/pins") == []


async def test_a_jar_at_an_internal_address_or_over_the_limit_is_not_fetched(bench: FlinkBench) -> None:
    bench.engine = bench.another(jar_allow="")
    await refused(bench, bench.jar_url, "127.0.0.1 is this host itself; an operator can allow it")
    bench.engine = bench.another(limits=FetchLimits(max_bytes=1000))
    await refused(bench, bench.jar_url, "an operator sets SIGNALBOX_FLINK_JAR_MAX_BYTES")
    assert await bench.blobs.list("artifacts") == []


async def test_a_jar_server_that_recovers_is_asked_again(bench: FlinkBench) -> None:
    bench.jars.statuses["jobs.jar"] = [503]
    submission = bench.new_submission()
    await bench.engine.submit(submission)
    assert (await bench.seen(submission)).phase is Phase.SUCCEEDED


async def test_a_jar_replaced_under_its_url_is_run_by_a_new_version_alone(bench: FlinkBench) -> None:
    """The running version keeps the JAR it was pinned to; a pin can be renewed, and both stay in the history."""
    old = compiled_jobs(bench.cluster.version).read_bytes()
    first = bench.new_submission(target="job:loader")
    await bench.engine.submit(first)
    new = padded(compiled_jobs(bench.cluster.version))
    bench.jars.put("jobs.jar", new)
    second = bench.new_submission(target="job:loader")
    third = bench.new_submission(target="job:loader", target_version=2)
    for submission in (second, third):
        await bench.another().submit(submission)
    assert [await bench.jar_of(one) for one in (first, second, third)] == [digest(old), digest(old), digest(new)]
    pinned = await bench.engine.pin_artifact("jobs/loader/1", bench.jar_url)
    assert pinned["sha256"] == digest(new)
    fourth = bench.new_submission(target="job:loader")
    await bench.another().submit(fourth)
    assert await bench.jar_of(fourth) == digest(new)
    assert len(await bench.blobs.list("artifacts/pins/jobs/loader/1")) == 2
    for submission in (first, second, third, fourth):
        assert (await bench.seen(submission)).phase is Phase.SUCCEEDED


async def test_a_large_jar_does_not_grow_the_executors_memory(bench: FlinkBench) -> None:
    url = bench.jars.put("large.jar", padded(compiled_jobs(bench.cluster.version), 200 * MIB))
    before = peak_memory()
    submission = bench.new_submission(jar_url=url)
    await bench.submit_patiently(submission)
    assert peak_memory() - before < 60 * MIB
    assert (await bench.seen(submission)).phase is Phase.SUCCEEDED


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def peak_memory() -> int:
    """The peak of this process since the last call, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    peak = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    Path("/proc/self/clear_refs").write_text("5")
    return peak


async def test_a_key_refused_for_its_jar_sends_nothing_even_when_the_jar_is_good_later(bench: FlinkBench) -> None:
    """A copy of the submit that was on its way must not start what was reported as refused."""
    url = bench.jars.url("late.jar")
    submission = bench.new_submission(jar_url=url)
    with pytest.raises(EngineRefused):
        await bench.engine.submit(submission)
    bench.jars.put("late.jar", compiled_jobs(bench.cluster.version))
    with pytest.raises(EngineRefused) as refused:
        await bench.another().submit(submission)
    assert (refused.value.sealed, bench.starts(submission.run_key)) == (True, [])
