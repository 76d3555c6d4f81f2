"""Executors killed by SIGKILL while they submit a Spark driver: how often the application began, by its own count."""

from collections.abc import Generator

import pytest

from engines.harness import WorkRequest
from engines.kill_points import KILL_POINTS, ROUNDS, dies_and_another_goes_on
from engines.spark.harness import Harness
from signalbox_contracts.ids import run_key
from signalbox_contracts.states import TaskState
from support.crash_points.kill_methods import killed
from support.crash_points.scene import After, CrashStand, Found
from support.crash_points.stands import scene_of
from support.proofs import proves

pytestmark = [pytest.mark.engine, pytest.mark.long, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def fenced(tmp_path_factory: pytest.TempPathFactory) -> Generator[Harness]:
    with Harness.started(tmp_path_factory.mktemp("spark")) as harness:
        yield harness


@pytest.fixture(scope="module")
def unfenced(fenced: Harness, tmp_path_factory: pytest.TempPathFactory) -> Harness:
    """The same cluster without a fence."""
    return Harness(tmp_path_factory.mktemp("unfenced"), fenced.cluster, None)


@pytest.mark.parametrize("number", range(ROUNDS))
@pytest.mark.parametrize("point", KILL_POINTS)
async def test_with_the_fence_an_executor_killed_while_it_submits_leaves_one_start(
    stand: CrashStand, fenced: Harness, point: str, number: int
) -> None:
    async with scene_of(stand, "spark", fenced) as scene:
        await dies_and_another_goes_on(scene, point)
        assert await fenced.starts(scene.key) == 1


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize("point", ["after acceptance", "before the commit"])
async def test_a_driver_claims_its_start_while_no_executor_lives(
    stand: CrashStand, fenced: Harness, point: str, number: int
) -> None:
    """The claim is made between the death of one executor and the start of the next, which adopts the driver."""
    async with scene_of(stand, "spark", fenced) as scene:
        await killed(KILL_POINTS[point])(scene)
        await scene.started()
        scene.executor()
        await scene.check_after(After(TaskState.SUCCEEDED, (1,)))
        assert await fenced.starts(scene.key) == 1


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize("point", KILL_POINTS)
@proves("executor.engines.spark.records: without the fence a driver is")
async def test_without_the_fence_what_may_have_been_sent_is_unknown_and_never_sent_again(
    stand: CrashStand, unfenced: Harness, point: str, number: int
) -> None:
    """What was sent is found by the command of its driver; what was not stays UNKNOWN until a person decides."""
    async with scene_of(stand, "unfenced", unfenced) as scene:
        await killed(KILL_POINTS[point])(scene)
        scene.executor()
        if point == "before the call":
            await scene.in_state(TaskState.UNKNOWN)
            assert await unfenced.starts(scene.key) == 0
        else:
            await scene.check_after(After(TaskState.SUCCEEDED, (1,)))
            assert await unfenced.starts(scene.key) == 1


@pytest.mark.parametrize(
    ("policy", "state", "starts"), [("fail", TaskState.FAILED, 0), ("retry", TaskState.SUCCEEDED, 1)]
)
async def test_without_the_fence_the_policy_decides_about_what_may_have_been_sent(
    stand: CrashStand, unfenced: Harness, policy: str, state: TaskState, starts: int
) -> None:
    async with scene_of(stand, "unfenced", unfenced) as scene:
        scene.environment["SIGNALBOX_UNKNOWN_SECONDS"] = "0.5"
        scene.shape(WorkRequest(), attempts=2, on_unknown=policy)
        await scene.put()
        await scene.died(scene.executor("executor.after_intent"))
        await scene.check_found(Found(TaskState.SUBMITTING, sends=1, fence=1))
        scene.executor()
        await scene.in_state(state)
        assert [await unfenced.starts(run_key(scene.task.task_id, number)) for number in (1, 2)] == [0, starts]
