"""Executors killed by SIGKILL while they submit a Flink job: one Flink job for each run key, whatever the moment."""

from collections.abc import AsyncGenerator, Generator

import pytest
import pytest_asyncio

from engines.flink.harness import Harness
from engines.kill_points import KILL_POINTS, ROUNDS, dies_and_another_goes_on
from support.crash_points.scene import CrashStand
from support.crash_points.stands import scene_of, stand_on

pytestmark = [pytest.mark.engine, pytest.mark.long, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def flink(tmp_path_factory: pytest.TempPathFactory) -> Generator[Harness]:
    with Harness.started(tmp_path_factory.mktemp("flink")) as harness:
        yield harness


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stand(
    kafka_bootstrap: str, postgres_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[CrashStand]:
    async with stand_on(postgres_url, kafka_bootstrap, tmp_path_factory.mktemp("stand")) as stand:
        yield stand


@pytest.mark.parametrize("number", range(ROUNDS))
@pytest.mark.parametrize("point", KILL_POINTS)
async def test_an_executor_killed_while_it_submits_leaves_one_job(
    stand: CrashStand, flink: Harness, point: str, number: int
) -> None:
    before = len(flink.cluster.jobs())
    async with scene_of(stand, "flink", flink) as scene:
        await dies_and_another_goes_on(scene, point)
    assert len(flink.cluster.jobs()) == before + 1
