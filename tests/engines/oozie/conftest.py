"""One real Oozie for all tests of a run."""

from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest

from engines.oozie.assembly import why_not
from engines.oozie.oozie_process import Hands, OozieProcess
from engines.oozie.world import World
from signalbox_executor.engines.oozie.adapter import OozieEngine


@pytest.fixture(scope="session")
def oozie(tmp_path_factory: pytest.TempPathFactory) -> Generator[OozieProcess]:
    if reason := why_not():
        pytest.skip(f"a real Oozie: {reason}")
    server = OozieProcess.in_folder(tmp_path_factory.mktemp("oozie"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def world(oozie: OozieProcess, tmp_path: Path) -> World:
    return World(Hands(oozie.url), tmp_path)


@pytest.fixture
async def engine(oozie: OozieProcess) -> AsyncGenerator[OozieEngine]:
    engine = World.engine_of(oozie.url)
    yield engine
    await engine.close()
