"""The tests of the Kubernetes engine share one cluster; each module has a namespace of its own."""

from collections.abc import AsyncGenerator, Generator

import pytest

from engines.kubernetes.harness import Harness


@pytest.fixture(scope="module")
def namespace(tmp_path_factory: pytest.TempPathFactory) -> Generator[Harness]:
    with Harness.started(tmp_path_factory.mktemp("kubernetes")) as harness:
        yield harness


@pytest.fixture
async def harness(namespace: Harness) -> AsyncGenerator[Harness]:
    async with namespace.opened():
        yield namespace
