"""One real Airflow for all tests of this folder."""

import os
from collections.abc import AsyncGenerator, Generator

import pytest

pytest.register_assert_rewrite("contract.engines.suite", "engines.airflow.harness")

from engines.airflow.harness import AirflowHarness, RunningServer  # noqa: E402


@pytest.fixture(scope="session")
def airflow(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Generator[AirflowHarness]:
    if "SIGNALBOX_TEST_AIRFLOW" in os.environ:
        yield AirflowHarness(RunningServer())
        return
    postgres_url: str = request.getfixturevalue("postgres_url")
    with AirflowHarness.stand(tmp_path_factory.mktemp("airflow"), postgres_url) as harness:
        yield harness


@pytest.fixture
async def harness(airflow: AirflowHarness) -> AsyncGenerator[AirflowHarness]:
    async with airflow.opened():
        yield airflow
