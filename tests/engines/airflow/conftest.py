"""One real Airflow for all tests of this folder."""

from collections.abc import AsyncGenerator, Generator

import pytest

from engines.airflow.harness import Harness


@pytest.fixture(scope="session")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Generator[Harness]:
    with Harness.started(tmp_path_factory.mktemp("airflow")) as started:
        yield started


@pytest.fixture
async def harness(airflow: Harness) -> AsyncGenerator[Harness]:
    async with airflow.opened():
        yield airflow
