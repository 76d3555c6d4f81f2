"""Executors killed by SIGKILL while they submit a Flink job: one Flink job for each run key, whatever the moment."""

from collections.abc import Generator

import pytest

from engines.flink.harness import Harness
from engines.kill_points import KILL_POINTS, ROUNDS, dies_and_another_goes_on
from support.crash_points.scene import CrashStand
from support.crash_points.stands import scene_of

pytestmark = [pytest.mark.engine, pytest.mark.long, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def flink(tmp_path_factory: pytest.TempPathFactory) -> Generator[Harness]:
    with Harness.started(tmp_path_factory.mktemp("flink")) as harness:
        yield harness


@pytest.mark.parametrize("number", range(ROUNDS))
@pytest.mark.parametrize("point", KILL_POINTS)
async def test_an_executor_killed_while_it_submits_leaves_one_job(
    stand: CrashStand, flink: Harness, point: str, number: int
) -> None:
    before = len(flink.cluster.jobs())
    async with scene_of(stand, "flink", flink) as scene:
        await dies_and_another_goes_on(scene, point)
    assert len(flink.cluster.jobs()) == before + 1
