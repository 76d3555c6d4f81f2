"""One real Oozie for all tests of a run."""

import base64
import os
from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from pydantic import SecretStr

from engines.oozie.assembly import why_not
from engines.oozie.oozie_process import Hands, OozieProcess
from engines.oozie.world import World
from signalbox_executor.engines.oozie.adapter import OozieEngine
from support.full_stack import FullStack, make_full_stack


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


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(
    oozie: OozieProcess, postgres_url: str, kafka_bootstrap: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[FullStack]:
    folder = tmp_path_factory.mktemp("stack")
    plain, secret_key = FullStack.settings, SecretStr(base64.b64encode(os.urandom(32)).decode())

    def settings(stack: FullStack, name: str) -> Any:
        found: Any = plain(stack, name)
        return found.model_copy(update={"secret_key": secret_key} if hasattr(found, "secret_key") else {})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FullStack, "settings", settings)
        async with make_full_stack(postgres_url, kafka_bootstrap, "http://127.0.0.1:1", folder) as made:
            engine = {"kind": "oozie", "url": oozie.url, "user": "alice", "local_files": True}
            body = {"id": "ooz", "name": "Oozie", "connection": engine, "observe_every_seconds": 0.2}
            await made.ask("POST", "/engines", {**body, "limits": {"concurrency": 20}})
            yield made
