"""An older version is upgraded to this checkout under load, service by service, then put back, then upgraded again.

The older version is the newest release before this commit: a tag `v…`, else an entry of `deploy/releases.toml`. Before
the first release it is the last commit that changed a migration in place: nothing older can be upgraded.
`SIGNALBOX_UPGRADE_FROM` names another.
Both versions run with the packages of this checkout's environment.
"""

import asyncio
import compileall
import io
import os
import subprocess
import tarfile
import time
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest

from demo.api import Api, Unexpected
from deployment.installation import HOME, SCRIPTED, SERVICES, Installation
from support.releases import newest_release

pytestmark = [pytest.mark.deployment, pytest.mark.timeout(1200)]
EVERY_SECONDS = 0.1
GIVE_UP_SECONDS = 120
MIGRATIONS = ("services/*/migrations/*", "libs/chassis/src/signalbox_chassis/persistence/tables.py")


def git(*words: str) -> bytes:
    return subprocess.run(["git", "-C", HOME, *words], check=True, capture_output=True, timeout=60).stdout


def older_version() -> str:
    """What to upgrade from: a name that git knows."""
    if named := os.environ.get("SIGNALBOX_UPGRADE_FROM"):
        return named
    return newest_release() or git("log", "-1", "--format=%h", "--", *MIGRATIONS).decode().strip()


def is_clone() -> bool:
    try:
        return Path(git("rev-parse", "--show-toplevel").decode().strip()) == HOME
    except (subprocess.CalledProcessError, FileNotFoundError):
        return False


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source tree of the older version."""
    if not is_clone():
        pytest.skip("git does not read this as a clone: there is no older version to upgrade from")
    version = older_version()
    folder = tmp_path_factory.mktemp("older")
    with tarfile.open(fileobj=io.BytesIO(git("archive", "--format=tar", version, "libs", "services"))) as archive:
        archive.extractall(folder, filter="data")
    compileall.compile_dir(folder, quiet=2, workers=2)  # as an installed version is
    commits = int(git("rev-list", "--count", f"{version}..HEAD"))
    print(f"\nupgrading from {version}, {commits} commits before this one")
    return folder


@pytest.fixture(scope="module")
def installed(
    older: Path, run_folder: Path, postgres_url: str, kafka_bootstrap: str, redis_url: str
) -> Generator[Installation]:
    """The older version, complete and running."""
    secrets = run_folder / "upgrade-secrets"
    secrets.mkdir()
    (secrets / "admin_database_url").write_text(postgres_url)
    (secrets / "redis_url").write_text(redis_url)
    address = urlsplit(postgres_url)
    named = {"DATABASE_HOST": f"{address.hostname}:{address.port}{address.path}"}
    subprocess.run(
        [HOME / "compose/make-secrets.sh", secrets], env={**os.environ, **named}, check=True, capture_output=True,
        timeout=60,
    )  # fmt: skip
    made = Installation(run_folder / "upgrade", secrets, {"SIGNALBOX_KAFKA_BOOTSTRAP": kafka_bootstrap})
    done = made.provision(older)
    assert done.returncode == 0, done.stderr
    try:
        made.start(SCRIPTED, *SERVICES, source=older)
        yield made
    finally:
        made.stop_all()


@dataclass
class Load:
    """Starts a job again and again, as a program does: with a key, until it is answered."""

    api: Api
    plans: list[str] = field(default_factory=list[str])
    longest_seconds: float = 0.0
    """The longest that one start took to be answered."""
    ended: bool = False

    async def run(self) -> None:
        number = 0
        while not self.ended:
            began = time.monotonic()
            self.plans.append(await self._start(f"start-{number}"))
            self.longest_seconds = max(self.longest_seconds, time.monotonic() - began)
            number += 1
            await asyncio.sleep(EVERY_SECONDS)

    async def _start(self, key: str) -> str:
        give_up_at = time.monotonic() + GIVE_UP_SECONDS
        while True:
            try:
                answer = await self.api.ask("POST", "/jobs/j1/start", {}, headers={"Idempotency-Key": key})
                return str(answer["id"])
            except (aiohttp.ClientError, Unexpected) as error:
                passing = not isinstance(error, Unexpected) or error.status in (409, 429, 500, 502, 503)
                if not passing or time.monotonic() > give_up_at:
                    raise
                await asyncio.sleep(0.1)


async def test_an_upgrade_under_load_and_the_way_back_lose_nothing_and_start_nothing_twice(
    installed: Installation, older: Path
) -> None:
    headers = {"Authorization": f"Bearer {installed.admin_token('ann')}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        api = Api(installed.api_url, session)
        await api.define("engines", {"id": "e1", "name": "e1", "observe_every_seconds": 0.2,
                                     "connection": {"kind": "scripted", "url": installed.scripted_url}})  # fmt: skip
        work = {"kind": "scripted", "script": {"run_seconds": 1}}
        await api.define("jobs", {"id": "j1", "name": "j1", "engine": "e1", "work": work})
        load = Load(api)
        task = asyncio.create_task(load.run())
        done = await asyncio.to_thread(installed.provision)
        assert done.returncode == 0, done.stderr
        for source in (HOME, older, HOME):
            for name in SERVICES:
                before = len(load.plans)
                await asyncio.to_thread(installed.stop, name)
                await asyncio.to_thread(installed.start, name, source=source)
                assert not task.done(), task
                while len(load.plans) == before:  # noqa: ASYNC110
                    await asyncio.sleep(EVERY_SECONDS)
        load.ended = True
        await task
        for plan in load.plans:
            assert (await api.ended(plan, seconds=GIVE_UP_SECONDS))["state"] == "SUCCEEDED"
        async with session.get(f"{installed.scripted_url}/starts") as answer:
            starts: dict[str, list[str]] = (await answer.json())["starts"]
    print(f"{len(load.plans)} plans; the longest start took {load.longest_seconds:.1f} s to be answered")
    assert len(set(load.plans)) == len(load.plans)
    assert len(starts) == len(load.plans)
    assert {len(handles) for handles in starts.values()} == {1}
