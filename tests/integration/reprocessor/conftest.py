"""Reprocessors on a schema of their own, on the shared servers."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest_asyncio

from support.reprocessing import Reprocessors, reprocessors_on


@pytest_asyncio.fixture
async def reprocessors(postgres_url: str, kafka_bootstrap: str, tmp_path: Path) -> AsyncGenerator[Reprocessors]:
    async with reprocessors_on(postgres_url, kafka_bootstrap, tmp_path) as made, made.reprocessing():
        yield made
