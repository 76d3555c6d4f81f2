"""A planner beside a real executor and a scripted engine, one place for all tests of a module: plans keep apart."""

import asyncio
from collections.abc import Iterator

import pytest

from signalbox_chassis.messaging.topics import create_topics
from support.executor import Stand, make_store, remove_store
from support.planner import TOPICS, Planners, make_planners
from support.scripted import scripted_server


@pytest.fixture(scope="module")
def planners(postgres_url: str, kafka_bootstrap: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Planners]:
    folder = tmp_path_factory.mktemp("planner")
    with scripted_server(folder) as url:
        store = asyncio.run(make_store(postgres_url))
        stand = Stand(store.url, store.schema, kafka_bootstrap, url, folder)
        made = asyncio.run(make_planners(postgres_url, stand))
        asyncio.run(create_topics(kafka_bootstrap, TOPICS, prefix=stand.prefix))
        asyncio.run(stand.register())
        yield made
        stand.stop_children()
        asyncio.run(remove_store(made, postgres_url))
        asyncio.run(remove_store(store, postgres_url))
