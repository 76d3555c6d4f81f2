"""Masters, workers and claim servers that die or forget, on real processes; starts are counted by the application."""

import asyncio
import os
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from engines.conformance import see, see_running
from engines.harness import WorkRequest, new_submission, until, watched
from engines.spark.claims import ClaimServer
from engines.spark.cluster import SparkCluster
from engines.spark.harness import Harness
from signalbox_chassis.blobs import Blobs
from signalbox_chassis.start_fence import JAR, StartFence
from signalbox_contracts.messages.tasks import EndCause, Phase
from signalbox_executor.engines.port import ENDS, EngineUnavailable, Observation, Submission
from signalbox_executor.engines.spark import outcomes
from signalbox_executor.engines.spark.requests import Fenced, Target, create_request
from support.proofs import proves

pytestmark = pytest.mark.engine


@asynccontextmanager
async def own_cluster(folder: Path, *, fenced: bool = True, **options: Any) -> AsyncGenerator[Harness]:
    """A cluster whose parts may be killed."""
    with ClaimServer((folder / "blobs").as_uri()) as claims, SparkCluster(folder / "cluster", **options) as cluster:
        async with Harness(folder, cluster, claims if fenced else None).opened() as harness:
            yield harness


def lasting(harness: Harness, seconds: int) -> Submission:
    """A new task whose application lasts so long."""
    sent = new_submission(harness)
    return replace(sent, work=harness.work(sent.run_key, WorkRequest(), seconds=seconds))


async def now(harness: Harness, of: Submission) -> Observation | None:
    return (await harness.engine.observe([watched(of)])).get(of.run_key)


async def test_a_master_that_restarts_with_recovery_goes_on_with_its_drivers(tmp_path: Path) -> None:
    async with own_cluster(tmp_path, recovers=True) as harness:
        sent = lasting(harness, 15)
        handle = await harness.engine.submit(sent)
        await see_running(harness, sent)
        await asyncio.to_thread(harness.cluster.master.kill)
        with pytest.raises(EngineUnavailable):
            await harness.engine.observe([watched(sent)])
        await asyncio.to_thread(harness.cluster.start_master)
        seen = await see(harness, sent)
        assert (seen.phase, seen.handle) == (Phase.SUCCEEDED, handle)
        assert await harness.starts(sent.run_key) == 1


@pytest.mark.parametrize("fenced", [True, False])
async def test_a_master_that_restarts_without_recovery_has_lost_its_drivers(tmp_path: Path, fenced: bool) -> None:
    async with own_cluster(tmp_path, fenced=fenced) as harness:
        sent = new_submission(harness, WorkRequest(endless=True))
        handle = await harness.engine.submit(sent)
        await see_running(harness, sent)
        await asyncio.to_thread(harness.forget, sent.run_key)
        seen = await see(harness, sent, {Phase.LOST, *ENDS})
        assert (seen.phase, seen.cause) == (Phase.LOST, None)
        assert "the master does not know the driver" in seen.message
        assert await harness.engine.submit(sent) == handle
        assert await harness.starts(sent.run_key) == 1


async def test_an_orphan_driver_of_a_lost_worker_runs_on_and_its_end_is_known(tmp_path: Path) -> None:
    """A worker that is gone is no end: a second attempt beside the first would be two runs."""
    async with own_cluster(tmp_path, worker_timeout_seconds=3) as harness:
        sent = lasting(harness, 12)
        await harness.engine.submit(sent)
        await see_running(harness, sent)
        os.kill(harness.cluster.worker.pid or 0, signal.SIGSTOP)
        seen = await see(harness, sent, {Phase.LOST, *ENDS})
        assert seen.phase is Phase.LOST
        assert "its worker was lost" in seen.message
        ended = await see(harness, sent)
        assert (ended.phase, ended.cause) == (Phase.SUCCEEDED, EndCause.COMPLETED)
        assert await harness.starts(sent.run_key) == 1


async def test_the_driver_of_a_killed_worker_ends_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spark 4.3: a driver exits when the connection to its worker breaks. Its launcher reports that."""
    monkeypatch.setattr(outcomes, "EXIT_GRACE", timedelta(seconds=3))
    async with own_cluster(tmp_path, worker_timeout_seconds=3) as harness:
        sent = new_submission(harness, WorkRequest(endless=True))
        await harness.engine.submit(sent)
        await see_running(harness, sent)
        await asyncio.to_thread(harness.cluster.worker.kill)
        assert (await see(harness, sent, {Phase.LOST, *ENDS})).phase is Phase.LOST
        ended = await see(harness, sent)
        assert (ended.phase, ended.cause) == (Phase.FAILED, EndCause.INFRASTRUCTURE)
        assert "the driver was told to end before its application returned" in ended.message
        assert await harness.starts(sent.run_key) == 1


async def test_without_the_fence_the_driver_of_a_killed_worker_is_lost(tmp_path: Path) -> None:
    async with own_cluster(tmp_path, fenced=False, worker_timeout_seconds=3) as harness:
        sent = lasting(harness, 2)
        await harness.engine.submit(sent)
        await see_running(harness, sent)
        await asyncio.to_thread(harness.cluster.worker.kill)
        assert (await see(harness, sent, {Phase.LOST, *ENDS})).phase is Phase.LOST


async def test_a_driver_that_200_others_pushed_out_is_known(tmp_path: Path) -> None:
    """`spark.deploy.retainedDrivers` is 200 by default: thousands of tasks push one another out in minutes."""
    async with own_cluster(tmp_path, retained=200) as harness:
        seen_before, never_seen = new_submission(harness), new_submission(harness)
        await harness.engine.submit(seen_before)
        handle = await harness.engine.submit(never_seen)
        await see(harness, seen_before)

        async def finished() -> bool:
            return (await asyncio.to_thread(harness.cluster.drivers))[handle] == "FINISHED"

        await until(finished, "the second driver ended")
        await asyncio.to_thread(harness.cluster.push_out, 220)
        drivers = await asyncio.to_thread(harness.cluster.drivers)
        assert handle not in drivers
        assert len(drivers) <= 200
        for sent in (seen_before, never_seen):
            assert (await see(harness, sent)).phase is Phase.SUCCEEDED
            assert await harness.starts(sent.run_key) == 1


@proves("chassis.start_fence.__init__: of all copies of a start one")
async def test_of_two_drivers_of_one_key_one_runs_its_application(harness: Harness) -> None:
    """The fence alone, without anything that keeps the second driver from being sent."""
    sent = new_submission(harness)
    fence = StartFence(Blobs((harness.folder / "blobs").as_uri()))
    target = Target(
        name="spark", master_url=harness.cluster.master_url, version="4.3.0", conf=harness.connection["conf"]
    )  # fmt: skip
    for _ in range(2):
        secret = await fence.open_send(sent.run_key, harness.context().clock.now())
        assert harness.claims is not None
        fenced = Fenced(harness.claims.url, secret, 60)
        work: Any = sent.work
        harness.cluster.create(create_request(work, sent.run_key, target, fenced))

    async def ended() -> bool:
        states = [state for id, state in harness.cluster.drivers().items() if harness.cluster.is_of(id, sent.run_key)]
        return states == ["FINISHED", "FINISHED"]

    await until(ended, "both drivers ended with 0")
    assert await harness.starts(sent.run_key) == 1
    owner = await fence.owner(sent.run_key)
    assert owner is not None
    outputs = {
        path.parent.name: path.read_text()
        for path in harness.cluster.work.glob("*/stderr")
        if sent.run_key in path.read_text()
    }
    (loser,) = outputs.keys() - {owner.run}
    assert f"the application is not started: not me: {owner.run} has this work" in outputs[loser]


async def fetched(harness: Harness, of: Submission) -> None:
    """Return when the worker of a driver has its launcher: from then on only the claim needs our API."""
    seen = await now(harness, of)
    assert seen is not None
    assert seen.handle is not None
    assert harness.claims is not None
    jar = harness.cluster.work / seen.handle / harness.claims.jar_name

    async def there() -> bool:
        return jar.exists() and jar.stat().st_size == JAR.stat().st_size

    await until(there, "the launcher was fetched")


async def test_a_driver_waits_for_a_claim_server_that_is_away(harness: Harness) -> None:
    assert harness.claims is not None
    sent = new_submission(harness)
    await harness.engine.submit(sent)
    await fetched(harness, sent)
    harness.claims.stop()
    handle = (await see(harness, sent, {Phase.RUNNING})).handle
    stderr = harness.cluster.work / str(handle) / "stderr"

    async def command_is_there() -> bool:
        return stderr.exists()

    try:
        await until(command_is_there, "the driver began")
        assert await harness.starts(sent.run_key) == 0
    finally:
        harness.claims.start()
    assert (await see(harness, sent)).phase is Phase.SUCCEEDED
    assert await harness.starts(sent.run_key) == 1


@proves("executor.engines.spark.observing: only a run that cannot begin")
async def test_a_driver_that_cannot_claim_its_start_runs_nothing(harness: Harness) -> None:
    sent = new_submission(harness)
    harness_settings = {**harness.settings, "SIGNALBOX_SPARK_CLAIM_SECONDS": "2"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(harness, "settings", harness_settings)
        engine = await harness.open()
    claims = harness.claims
    assert claims is not None
    await engine.submit(sent)
    await fetched(harness, sent)
    claims.stop()
    try:
        seen = await see(harness, sent)
    finally:
        claims.start()
    assert (seen.phase, seen.cause) == (Phase.FAILED, EndCause.INFRASTRUCTURE)
    assert "nothing of it ran: the application is not started, for its start could not be claimed at" in seen.message
    assert await harness.starts(sent.run_key) == 0
    await engine.close()
