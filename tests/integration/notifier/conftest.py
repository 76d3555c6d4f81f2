"""Notifiers on a schema of their own, on the shared servers."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest_asyncio

from signalbox_chassis.messaging.topics import create_topics
from support.executor import remove_store
from support.notifier import TOPICS, Notifiers, make_notifiers


@pytest_asyncio.fixture
async def notifiers(postgres_url: str, kafka_bootstrap: str, tmp_path: Path) -> AsyncGenerator[Notifiers]:
    made = await make_notifiers(postgres_url, kafka_bootstrap, tmp_path)
    await create_topics(kafka_bootstrap, TOPICS, prefix=made.prefix)
    yield made
    await remove_store(made, postgres_url)
