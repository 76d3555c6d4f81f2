"""The real servers of a test run: started at first use, ended with the run. Given servers are used where named.

A test that stops, kills or fills a server starts its own instead (`private_kafka`, `private_postgres`).
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from signalbox_local.kafka import KafkaCluster
from signalbox_local.otlp import OtlpReceiver
from signalbox_local.postgres import PostgresServer
from signalbox_local.redis import RedisServer

FAST = {"fsync": "off", "max_connections": "200", "shared_buffers": "128MB", "max_wal_size": "2GB"}


@pytest.fixture(scope="session")
def run_folder() -> Iterator[Path]:
    """Where this run's servers keep their data. Not pytest's own folder, which no other account may enter."""
    runs = Path(__file__).parents[2] / ".local" / "test-runs"
    runs.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=runs))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def kafka_bootstrap(run_folder: Path) -> Iterator[str]:
    given = os.environ.get("SIGNALBOX_KAFKA_BOOTSTRAP")
    if given:
        yield given
        return
    cluster = KafkaCluster(run_folder / "kafka")
    cluster.start()
    yield cluster.bootstrap
    cluster.stop()


@pytest.fixture(scope="session")
def postgres_url(run_folder: Path) -> Iterator[str]:
    given = os.environ.get("SIGNALBOX_DATABASE_URL")
    if given:
        yield given
        return
    server = PostgresServer(run_folder / "postgres", settings=FAST)
    server.start()
    yield server.url
    server.stop("immediate")


@pytest.fixture(scope="session")
def redis_url(run_folder: Path) -> Iterator[str]:
    given = os.environ.get("SIGNALBOX_REDIS_URL")
    if given:
        yield given
        return
    server = RedisServer(run_folder / "redis")
    server.start()
    yield server.url
    server.stop()


@pytest.fixture(scope="session")
def otlp(run_folder: Path) -> Iterator[OtlpReceiver]:
    receiver = OtlpReceiver(run_folder / "otlp")
    receiver.start()
    yield receiver
    receiver.stop()


@pytest.fixture
def private_kafka(run_folder: Path, request: pytest.FixtureRequest) -> Iterator[KafkaCluster]:
    """A broker that this test may stop and kill."""
    cluster = KafkaCluster(run_folder / f"kafka-{request.node.name[:40]}", session_ms=1500)
    cluster.start()
    yield cluster
    cluster.stop()


@pytest.fixture
def private_postgres(run_folder: Path, request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    """A PostgreSQL that this test may stop and kill. It writes through (fsync), as production does."""
    server = PostgresServer(run_folder / f"pg-{request.node.name[:40]}", settings={"max_connections": "100"})
    server.start()
    yield server
    server.stop("immediate")
