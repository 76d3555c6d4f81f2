"""Schedulers on a schema of their own, on the shared servers."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest_asyncio

from support.scheduler import Schedulers, schedulers_on


@pytest_asyncio.fixture
async def schedulers(postgres_url: str, kafka_bootstrap: str, tmp_path: Path) -> AsyncGenerator[Schedulers]:
    async with schedulers_on(postgres_url, kafka_bootstrap, tmp_path) as made:
        yield made
