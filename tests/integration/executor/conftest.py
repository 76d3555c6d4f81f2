"""A schema of its own for every test."""

from collections.abc import AsyncGenerator

import pytest_asyncio

from support.executor import Store, make_store, remove_store


@pytest_asyncio.fixture
async def store(postgres_url: str) -> AsyncGenerator[Store]:
    made = await make_store(postgres_url)
    yield made
    await remove_store(made, postgres_url)
