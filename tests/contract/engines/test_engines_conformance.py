"""Every engine that needs nothing but this machine, through the conformance suite."""

from collections.abc import AsyncGenerator, Generator

import pytest

from contract.engines.harness import Harness, ProcessHarness, ScriptedHarness
from contract.engines.suite import EngineConformance

HARNESSES: list[type[Harness]] = [
    ScriptedHarness,
    ProcessHarness,
]


@pytest.fixture(scope="module", params=HARNESSES, ids=lambda harness: harness.__name__.removesuffix("Harness").lower())
def stand(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Generator[Harness]:
    kind: type[Harness] = request.param
    with kind.stand(tmp_path_factory.mktemp("engine")) as stand:
        yield stand


@pytest.fixture
async def harness(stand: Harness) -> AsyncGenerator[Harness]:
    async with stand.opened():
        yield stand


class TestEngines(EngineConformance):
    """The suite itself is in `suite.py`."""
