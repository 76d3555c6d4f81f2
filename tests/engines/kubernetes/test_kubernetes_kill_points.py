"""Executors killed by SIGKILL while they create a Job: one Job for each run key, whatever the moment."""

from collections.abc import AsyncGenerator

import pytest
import pytest_asyncio

from engines.kill_points import KILL_POINTS, ROUNDS, dies_and_another_goes_on
from engines.kubernetes.harness import Harness
from support.crash_points.scene import CrashStand
from support.crash_points.stands import scene_of, stand_on

pytestmark = [pytest.mark.engine, pytest.mark.long, pytest.mark.timeout(300)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stand(
    kafka_bootstrap: str, postgres_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[CrashStand]:
    async with stand_on(postgres_url, kafka_bootstrap, tmp_path_factory.mktemp("stand")) as stand:
        yield stand


@pytest.mark.parametrize("number", range(ROUNDS))
@pytest.mark.parametrize("point", KILL_POINTS)
async def test_an_executor_killed_while_it_submits_leaves_one_job(
    stand: CrashStand, namespace: Harness, point: str, number: int
) -> None:
    """The Jobs are counted in the cluster, and the starts by what the containers left behind."""
    async with scene_of(stand, "kubernetes", namespace) as scene:
        await dies_and_another_goes_on(scene, point)
        assert len(namespace.objects("jobs", f"signalbox/run-key={scene.key}")) == 1
        assert await namespace.starts(scene.key) == 1
