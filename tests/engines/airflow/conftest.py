"""One real Airflow for all tests of this folder."""

from collections.abc import AsyncGenerator, Generator

import pytest
import pytest_asyncio

from engines.airflow.harness import Harness
from engines.airflow.product import AirflowProduct, running_product


@pytest.fixture(scope="session")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Generator[Harness]:
    with Harness.started(tmp_path_factory.mktemp("airflow")) as started:
        yield started


@pytest.fixture
async def harness(airflow: Harness) -> AsyncGenerator[Harness]:
    async with airflow.opened():
        yield airflow


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def product(
    airflow: Harness,
    postgres_url: str,
    kafka_bootstrap: str,
    redis_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncGenerator[AirflowProduct]:
    folder = tmp_path_factory.mktemp("product")
    async with running_product(airflow, postgres_url, kafka_bootstrap, redis_url, folder) as running:
        yield running
