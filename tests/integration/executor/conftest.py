"""A schema of its own for every test; topics and a scripted engine where they are needed."""

from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from signalbox_chassis.messaging.topics import create_topics
from support.executor import TOPICS, Stand, Store, make_store, remove_store, remove_topics
from support.scripted import scripted_server


@pytest_asyncio.fixture
async def store(postgres_url: str) -> AsyncGenerator[Store]:
    made = await make_store(postgres_url)
    yield made
    await remove_store(made, postgres_url)


@pytest.fixture
def scripted_url(tmp_path: Path) -> Iterator[str]:
    """A scripted engine of its own."""
    with scripted_server(tmp_path) as url:
        yield url


@pytest_asyncio.fixture
async def executors(store: Store, scripted_url: str, kafka_bootstrap: str, tmp_path: Path) -> AsyncGenerator[Stand]:
    stand = Stand(store.url, store.schema, kafka_bootstrap, scripted_url, tmp_path)
    await create_topics(kafka_bootstrap, TOPICS, prefix=stand.prefix)
    yield stand
    stand.stop_children()
    await remove_topics(stand)
