"""Livy batches on a real Livy 0.7.1, which starts real Spark applications in local mode."""

import asyncio
import shutil
from collections.abc import AsyncGenerator, Collection, Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import pytest

from engines.conformance import EngineConformance, see, see_running
from engines.harness import EngineHarness, WorkRequest, new_submission, watched
from engines.kill_points import KILL_POINTS, ROUNDS, dies_and_another_goes_on
from engines.spark.distribution import compiled_jobs
from engines.spark.harness import ENDLESS_SECONDS
from engines.spark.livy import LivyServer
from signalbox_contracts.definitions.work import SparkWork
from signalbox_executor.engines.capabilities import PROTOCOLS, Capability
from signalbox_executor.engines.port import ENDS, Engine, EngineRefused, Phase, Submission
from support.crash_points.scene import CrashStand
from support.crash_points.stands import scene_of

pytestmark = [pytest.mark.engine, pytest.mark.timeout(240)]
FAST = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"


class LivyHarness(EngineHarness):
    kind = "spark"
    plain_logs = False
    lost_answer_point = "spark.answered"
    begins_late = True

    def __init__(self, folder: Path, livy: LivyServer) -> None:
        self.folder = folder
        self.livy = livy
        self.stamps = folder / "stamps"
        conf = {"spark.driver.memory": "512m", "spark.ui.enabled": "false", "spark.driver.extraJavaOptions": FAST}
        self.connection = {"kind": "spark", "api": "livy", "url": livy.url, "conf": conf}
        self.settings = {"SIGNALBOX_BLOB_URL": (folder / "blobs").as_uri()}

    @classmethod
    @contextmanager
    def started(cls, folder: Path) -> Generator[Self]:
        jar = folder / "jobs.jar"
        shutil.copy(compiled_jobs(), jar)
        with LivyServer(folder / "livy") as livy:
            yield cls(folder, livy)

    def has(self, capability: Capability) -> bool:
        missing = {Capability.RESULTS, Capability.PROGRESS, Capability.WAITING}
        return super().has(capability) and capability not in missing

    def work(self, key: str, request: WorkRequest) -> SparkWork:
        seconds = ENDLESS_SECONDS if request.endless else 0
        arguments = (str(self.stamps / key), str(request.exit_code), str(seconds), key, request.log)
        return SparkWork(application=str(self.folder / "jobs.jar"), main_class="probe.App", arguments=arguments)

    def wrong_work(self) -> tuple[SparkWork, str]:
        return SparkWork(application="/nowhere/a.py"), "work.application"

    async def submit_without_answer(self, submission: Submission) -> None:
        """Another executor sends it and dies."""
        other = await self.open()
        await other.submit(submission)
        await other.close()

    async def starts(self, key: str) -> int:
        stamps = self.stamps / key
        return len(stamps.read_text().splitlines()) if stamps.exists() else 0

    async def out_of_reach(self) -> Engine:
        return await self.open(url="http://127.0.0.1:1")

    async def end_all(self) -> None:
        """Leave nothing running: Livy ends what it deletes."""
        for path in self.stamps.glob("*") if self.stamps.exists() else ():
            await self.engine.cancel(watched(_of(path.name)))


def _of(key: str) -> Any:
    return type("Of", (), {"run_key": key, "attempt": 1})


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Generator[LivyHarness]:
    with LivyHarness.started(tmp_path_factory.mktemp("livy")) as running:
        yield running


@pytest.fixture
async def harness(running: LivyHarness) -> AsyncGenerator[LivyHarness]:
    async with running.opened():
        yield running


class TestLivy(EngineConformance):
    """What Livy's batches promise of the suite."""

    async def test_the_adapter_has_what_its_kind_declares_and_nothing_else(self, harness: EngineHarness) -> None:
        """Spark's standalone adapter has more: the executor looks at what an adapter has."""
        has = {capability for capability, protocol in PROTOCOLS.items() if isinstance(harness.engine, protocol)}
        assert has == {Capability.LOGS, Capability.SEALS, Capability.CONNECTION_TEST}


async def test_a_livy_that_restarts_has_lost_its_batches_and_gets_none_twice(tmp_path: Path) -> None:
    """Its ids begin at 0 again: a remembered id would be somebody else's batch."""
    with LivyHarness.started(tmp_path) as running:
        async with running.opened() as harness:
            sent, ended = new_submission(harness, WorkRequest(endless=True)), new_submission(harness)
            await harness.engine.submit(ended)
            await see(harness, ended)
            await harness.engine.submit(sent)
            await see_running(harness, sent)
            await asyncio.to_thread(harness.livy.process.kill)
            await asyncio.to_thread(harness.livy.start)
            other = new_submission(harness)
            await harness.engine.submit(other)
            assert await harness.engine.submit(sent) == sent.run_key
            await lost(harness, sent)
            assert (await see(harness, other)).phase is Phase.SUCCEEDED
            assert (await see(harness, ended)).phase is Phase.SUCCEEDED
            assert await harness.starts(sent.run_key) == 1
            kill_orphans(harness.stamps / sent.run_key)


async def lost(harness: EngineHarness, of: Submission, phases: Collection[Phase] = (Phase.LOST, *ENDS)) -> None:
    assert (await see(harness, of, phases)).phase is Phase.LOST


def kill_orphans(mark: Path) -> None:
    """End the application that a killed Livy left."""
    import os
    import signal

    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                words = (process / "cmdline").read_bytes()
            except OSError:
                continue
            if str(mark).encode() in words:
                os.kill(int(process.name), signal.SIGKILL)


async def test_livy_sets_no_environment_and_says_so(harness: LivyHarness) -> None:
    sent = new_submission(harness)
    work = SparkWork(application="/a.py", environment={"A": "b"})
    with pytest.raises(EngineRefused) as refused:
        await harness.engine.submit(replace(sent, work=work))
    assert refused.value.field == "work.environment"


async def test_the_connection_test_names_the_version(harness: LivyHarness) -> None:
    engine: Any = harness.engine
    details = await engine.test_connection()
    assert details["version"].startswith("0.7.1")


@pytest.mark.long
@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("number", range(ROUNDS))
@pytest.mark.parametrize("point", KILL_POINTS)
async def test_an_executor_killed_while_it_submits_leaves_one_batch(
    stand: CrashStand, running: LivyHarness, point: str, number: int
) -> None:
    """A batch that is there before tells that Livy did not restart: what may have been sent may be sent again."""
    async with running.opened() as harness:
        await harness.engine.submit(new_submission(harness))
        async with scene_of(stand, "livy", harness) as scene:
            await dies_and_another_goes_on(scene, point)
            assert await harness.starts(scene.key) == 1
