"""A real standalone cluster for the tests of this folder, and the product on it."""

import asyncio
from collections.abc import AsyncGenerator, Generator

import pytest
import pytest_asyncio

from engines.spark.claims import ClaimServer
from engines.spark.cluster import SparkCluster
from engines.spark.harness import Harness
from engines.spark.product import SparkProduct, running_product


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Generator[SparkCluster]:
    """The cluster that tests share."""
    with SparkCluster(tmp_path_factory.mktemp("spark")) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def started(cluster: SparkCluster, tmp_path_factory: pytest.TempPathFactory) -> Generator[Harness]:
    """An engine on the shared cluster, with claims of its own."""
    folder = tmp_path_factory.mktemp("harness")
    with ClaimServer((folder / "blobs").as_uri()) as claims:
        yield Harness(folder, cluster, claims)


@pytest.fixture
async def harness(started: Harness) -> AsyncGenerator[Harness]:
    async with started.opened():
        yield started


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def product(
    cluster: SparkCluster, postgres_url: str, kafka_bootstrap: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[SparkProduct]:
    async with running_product(cluster, postgres_url, kafka_bootstrap, tmp_path_factory.mktemp("product")) as product:
        yield product
    await asyncio.to_thread(cluster.kill_all)
