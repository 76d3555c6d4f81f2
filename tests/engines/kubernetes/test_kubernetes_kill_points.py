"""Executors killed by SIGKILL while they create a Job: one Job for each run key, whatever the moment."""

import pytest

from engines.kill_points import KILL_POINTS, ROUNDS, dies_and_another_goes_on
from engines.kubernetes.harness import Harness
from support.crash_points.scene import CrashStand
from support.crash_points.stands import scene_of

pytestmark = [pytest.mark.engine, pytest.mark.long, pytest.mark.timeout(300)]


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
