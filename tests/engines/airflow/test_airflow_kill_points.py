"""Executors killed by SIGKILL while they submit to Airflow: one DAG run for each run key, whatever the moment."""

import pytest

from engines.airflow.harness import Harness
from engines.kill_points import KILL_POINTS, ROUNDS, dies_and_another_goes_on
from support.crash_points.scene import CrashStand
from support.crash_points.stands import scene_of

pytestmark = [pytest.mark.engine, pytest.mark.long, pytest.mark.timeout(300)]


@pytest.mark.parametrize("number", range(ROUNDS))
@pytest.mark.parametrize("point", KILL_POINTS)
async def test_an_executor_killed_while_it_submits_leaves_one_run(
    stand: CrashStand, airflow: Harness, point: str, number: int
) -> None:
    before = await runs(airflow)
    async with scene_of(stand, "airflow", airflow) as scene:
        await dies_and_another_goes_on(scene, point)
    assert len(await runs(airflow)) == len(before) + 1


async def runs(airflow: Harness) -> list[str]:
    """The ids of all runs of the conformance DAG."""
    body = {"dag_ids": ["conformance"], "page_limit": 5000}
    found = await airflow.api("POST", "/dags/~/dagRuns/list", body)
    return [run["dag_run_id"] for run in found["dag_runs"]]
