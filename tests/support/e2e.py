"""The whole stack for end-to-end tests: started once a run in a folder of its own, reached as users reach it.

`SIGNALBOX_E2E_STACK` names the state folder of a stack that runs already (with `--services --scripted`); it is used
and left running. Nothing here reaches into a service but by signals, its API and what engines wrote down.
"""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from demo.api import Api, connected
from signalbox_local import supervisor
from signalbox_local.process import Lifetime, ServerProcess
from signalbox_local.progress import Reporter
from signalbox_local.services import SupervisedService
from signalbox_local.settings import Settings, cache_folder, load
from signalbox_local.signalbox import SCRIPTED, Signalbox
from support.deadlines import wait_until

BIN = Path(sys.executable).parent
ENTRIES = Path(__file__).parents[1] / "e2e" / "entries"
UP_SECONDS = 180
EXECUTOR, PLANNER, GATEWAY = "executor", "planner", "api-gateway"


@dataclass
class RunningStack:
    """One running stack."""

    settings: Settings
    signalbox: Signalbox
    environment: Mapping[str, str]

    @property
    def token(self) -> str:
        return self.signalbox.token_file.read_text().strip()

    def service(self, name: str) -> SupervisedService:
        return self.signalbox.services[name]

    def command(self, *words: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """`signalbox WORDS` as the administrator."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.settings.stack),
            "SIGNALBOX_API_URL": self.signalbox.api_url,
            "SIGNALBOX_TOKEN": self.token,
        }
        return subprocess.run(
            [str(BIN / "signalbox"), *words], env=environment, input=stdin, capture_output=True, text=True, check=False,
            timeout=60,
        )  # fmt: skip

    async def starts(self) -> dict[str, list[dict[str, Any]]]:
        """Every start the scripted engine ever accepted, by run key."""
        async with aiohttp.ClientSession() as session, session.get(f"{self.signalbox.scripted_url}/starts") as answer:
            return (await answer.json())["starts"]

    async def kill(self, name: str) -> None:
        """kill -9 of a service, below its supervisor; returns when the next one was started."""
        service = self.service(name)
        child, before = service.child, service.starts
        assert child is not None, f"{name} does not run"
        os.kill(child, signal.SIGKILL)
        await until(lambda: service.starts > before, why=f"{name} was not started again")

    async def restart_server(self, folder: str) -> None:
        """kill -9 of a server of the stack (`postgres`, `kafka/node1`), then `up`, as an operator would."""
        ServerProcess(self.settings.stack / folder, folder, stop_signal=signal.SIGKILL, stop_seconds=10).kill()
        await asyncio.to_thread(run_local, self.environment, "up")

    async def healthy(self, name: str, *, seconds: float = 60) -> None:
        await until_async(
            lambda: asyncio.to_thread(self.service(name).healthy), seconds=seconds, why=f"{name} does not answer"
        )

    async def arm(self, name: str, point: str) -> None:
        """Restart a service with a crash point; returns when that one answers."""
        service = self.service(name)
        before = service.starts
        service.restart_with({"SIGNALBOX_CRASH_AT": point})
        await until(lambda: service.starts == before + 1, why=f"{name} was not started again")
        await self.healthy(name)

    @asynccontextmanager
    async def as_program(self, name: str, entry: str, **variables: str) -> AsyncGenerator[None]:
        """The service run from a changed entry of `tests/e2e/entries` while the block runs."""
        service = self.service(name)
        usual = supervisor.read_spec(service.folder)
        assert usual is not None
        changed = replace(
            usual, command=[sys.executable, str(ENTRIES / entry)], environment={**usual.environment, **variables}
        )
        await self._rerun(service, changed)
        try:
            yield
        finally:
            await self._rerun(service, usual)

    async def _rerun(self, service: SupervisedService, order: supervisor.ProcessSpec) -> None:
        await asyncio.to_thread(service.process.stop)
        service.spec = order
        await asyncio.to_thread(service.launch)
        await self.healthy(service.name)


async def until(holds: Callable[[], bool], *, seconds: float = 30, why: str) -> None:
    """Return when it holds. Raises DeadlineExceeded with `why` when it does not in time."""

    async def holds_now() -> bool:
        return holds()

    await until_async(holds_now, seconds=seconds, why=why)


async def until_async(holds: Callable[[], Awaitable[bool]], *, seconds: float = 30, why: str) -> None:
    await wait_until(holds, seconds=seconds, why=why, poll_seconds=0.05)


def unique(word: str) -> str:
    """A name that no other test of this run uses."""
    return f"{word}-{uuid.uuid4().hex[:8]}"


def scripted(count: int, **script: Any) -> list[dict[str, Any]]:
    """Items of a bulk plan for the scripted engine."""
    work = {"kind": "scripted", "script": script}
    return [{"key": f"item/{number:06}", "engine": SCRIPTED, "work": work} for number in range(count)]


@pytest.fixture(scope="session")
def stack(request: pytest.FixtureRequest) -> Iterator[RunningStack]:
    """The stack, with the programs of these tests on the process engine's list."""
    with running_stack(request.session, os.environ.get("SIGNALBOX_E2E_STACK")) as running:
        yield running


@contextmanager
def running_stack(session: pytest.Session, given: str | None = None, **variables: str) -> Generator[RunningStack]:
    """A stack with these variables in its environment; `given` names the folder of one that stays."""
    place = Path(given) if given else new_place()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SIGNALBOX_")}
    environment |= {
        "SIGNALBOX_LOCAL_STACK": str(place),
        "SIGNALBOX_CACHE": str(cache_folder()),
        "SIGNALBOX_PROCESS_PROGRAMS": str(_stamping_program(place)),
        **variables,
    }
    run_local(environment, "up", "--services", "--scripted")
    try:
        settings = load(environment)
        yield RunningStack(settings, Signalbox(settings, Reporter(), Lifetime(owned=False)), environment)
    finally:
        if not given:
            run_local(environment, "down")
            if session.testsfailed:
                print(f"a test failed: the logs are kept in {place}")
            else:
                shutil.rmtree(place, ignore_errors=True)


@pytest_asyncio.fixture
async def api(stack: RunningStack) -> AsyncGenerator[Api]:
    for name in stack.signalbox.services:
        await stack.healthy(name)
    async with connected(stack.signalbox.api_url, stack.signalbox.token_file) as api:
        yield api


def new_place() -> Path:
    runs = Path(__file__).parents[2] / ".local" / "test-runs"
    runs.mkdir(parents=True, exist_ok=True)
    place = Path(tempfile.mkdtemp(prefix="e2e-", dir=runs))
    place.chmod(0o755)
    return place


def _stamping_program(place: Path) -> Path:
    """A program that writes down when it began and ended, under a name that /proc shows."""
    program = place / "programs" / "stampit"
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(f"#!{sys.executable} -IS\n{(ENTRIES / 'stampit.py').read_text()}")
    program.chmod(0o755)
    return program


def run_local(environment: Mapping[str, str], *words: str) -> None:
    done = subprocess.run(
        [str(BIN / "signalbox-local"), *words], env=dict(environment), capture_output=True, text=True, check=False,
        timeout=UP_SECONDS,
    )  # fmt: skip
    if done.returncode:
        pytest.fail(f"signalbox-local {' '.join(words)}: {done.stdout[-1000:]}{done.stderr[-3000:]}")


def started_once(starts: Mapping[str, Sequence[Any]], run_keys: Sequence[str]) -> None:
    """Each of these run keys was started, and none twice."""
    twice = {key: len(starts[key]) for key in run_keys if len(starts.get(key, ())) > 1}
    never = [key for key in run_keys if key not in starts]
    assert (twice, never) == ({}, [])
