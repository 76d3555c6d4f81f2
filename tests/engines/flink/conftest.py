"""A session cluster, JARs on a web server and adapters, for the tests of this folder."""

import asyncio
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest
import pytest_asyncio

from engines.flink.cluster import FlinkCluster
from engines.flink.jars import JarServer
from engines.flink.product import FlinkProduct, running_product
from engines.flink.runs import FlinkBench
from signalbox_chassis.blobs import Blobs


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Generator[FlinkCluster]:
    """The cluster that tests share: what they start there has ids of its own."""
    with FlinkCluster(tmp_path_factory.mktemp("flink")) as cluster:
        yield cluster


@pytest.fixture
def jars(tmp_path: Path) -> Generator[JarServer]:
    with JarServer(tmp_path / "jars") as jars:
        yield jars


@pytest_asyncio.fixture
async def bench(cluster: FlinkCluster, jars: JarServer, tmp_path: Path) -> AsyncGenerator[FlinkBench]:
    """An adapter on the shared cluster; its jobs are cancelled afterwards."""
    bench = FlinkBench(cluster, jars, Blobs(f"file://{tmp_path / 'blobs'}"), tmp_path)
    try:
        yield bench
    finally:
        await bench.end_all()
        await asyncio.gather(*(engine.close() for engine in bench.engines))


@pytest.fixture(scope="session")
def shared_jars(tmp_path_factory: pytest.TempPathFactory) -> Generator[JarServer]:
    with JarServer(tmp_path_factory.mktemp("jars")) as jars:
        yield jars


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def product(
    cluster: FlinkCluster,
    shared_jars: JarServer,
    postgres_url: str,
    kafka_bootstrap: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncGenerator[FlinkProduct]:
    """Every service, with the shared cluster as the default engine."""
    folder = tmp_path_factory.mktemp("product")
    async with running_product(cluster, shared_jars, postgres_url, kafka_bootstrap, folder) as product:
        yield product
    await asyncio.to_thread(cluster.cancel_all)
