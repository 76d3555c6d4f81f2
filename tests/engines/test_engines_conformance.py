"""Every engine that has a harness, through the conformance suite."""

from collections.abc import AsyncGenerator, Generator

import pytest

from engines.conformance import EngineConformance
from engines.harness import EngineHarness, each_engine


@pytest.fixture(scope="module", params=each_engine())
def running_engine(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Generator[EngineHarness]:
    harness: type[EngineHarness] = request.param
    with harness.started(tmp_path_factory.mktemp(harness.kind)) as running:
        yield running


@pytest.fixture
async def harness(running_engine: EngineHarness) -> AsyncGenerator[EngineHarness]:
    async with running_engine.opened():
        yield running_engine


class TestEngines(EngineConformance):
    """The suite itself is in `conformance.py`."""
