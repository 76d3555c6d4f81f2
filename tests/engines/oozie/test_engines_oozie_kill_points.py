"""Executors killed by SIGKILL while they submit or rerun: one run for each key, and no output is deleted."""

import asyncio
from collections.abc import Generator
from pathlib import Path

import pytest

from engines.harness import WorkRequest
from engines.kill_points import KILL_POINTS, ROUNDS, dies_and_another_goes_on
from engines.oozie.harness import Harness
from engines.oozie.oozie_process import Hands
from engines.oozie.world import World
from signalbox_contracts.definitions.work import OozieWork, Work
from support.crash_points.scene import CrashStand
from support.crash_points.stands import scene_of

pytestmark = [pytest.mark.engine, pytest.mark.long, pytest.mark.timeout(300)]
DONE = {"SUCCEEDED", "KILLED", "DONEWITHERROR"}


class Submits(Harness):
    """New workflows."""

    async def prepare(self, world: World) -> None:
        """Make what a round needs."""

    async def check_kept(self) -> None:
        """Fail if a round deleted something."""


class WorkflowReruns(Submits):
    """Reruns of a workflow that failed; each has a target of its own."""

    lost_answer_point = "oozie.rerun_sent"
    target = ""

    async def prepare(self, world: World) -> None:
        self._hands, self._out = world.hands, world.folder / "a/out"
        self.target = await world.failed_workflow("wf-move")
        world.touch("a/source/file")
        (self._out / "kept").write_text("precious")

    def work(self, key: str, request: WorkRequest) -> Work:
        return OozieWork(mode="rerun", object="workflow", target=self.target, scope="only_failed")

    async def starts(self, key: str) -> int:
        return (await self._hands.info(self.target))["run"] if key.endswith("-1") else 0

    async def check_kept(self) -> None:
        assert (self._out / "kept").read_text() == "precious"


class ActionReruns(Submits):
    """Reruns of the action of a coordinator that has an output dataset; each has a coordinator of its own."""

    lost_answer_point = "oozie.rerun_sent"
    target = ""

    async def prepare(self, world: World) -> None:
        self._hands, self._out = world.hands, world.folder / "outs/2026-01-01"
        world.touch("raws/2026-01-01/_READY")
        coordinator = await world.coordinator("coord-data", days=1)
        await world.hands.until(coordinator, DONE)
        self.target = f"{coordinator}@1"
        world.touch("raws/2026-01-01/_GATE")
        self._out.mkdir(parents=True, exist_ok=True)
        (self._out / "kept").write_text("precious")

    def work(self, key: str, request: WorkRequest) -> Work:
        return OozieWork(mode="rerun", object="coordinator", target=self.target)

    async def starts(self, key: str) -> int:
        runs = await self._hands.call("GET", f"/v2/job/{self.target}", show="allruns")
        return len(runs["workflows"]) - 1 if key.endswith("-1") else 0

    async def check_kept(self) -> None:
        assert (self._out / "kept").read_text() == "precious"


KINDS = {"submit": Submits, "workflow rerun": WorkflowReruns, "coordinator rerun": ActionReruns}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Generator[Harness]:
    with Harness.started(tmp_path_factory.mktemp("oozie")) as harness:
        yield harness


@pytest.mark.parametrize("number", range(ROUNDS))
@pytest.mark.parametrize("point", KILL_POINTS)
@pytest.mark.parametrize("kind", KINDS)
async def test_an_executor_killed_while_it_submits_leaves_one_run_and_the_output(
    stand: CrashStand, running: Harness, tmp_path: Path, kind: str, point: str, number: int
) -> None:
    harness = KINDS[kind](running.folder, running.server)
    await harness.prepare(World(Hands(running.url), tmp_path))
    async with scene_of(stand, "oozie", harness) as scene:
        await dies_and_another_goes_on(scene, point)
    await harness.check_kept()
    await asyncio.to_thread(harness.clean, "")
