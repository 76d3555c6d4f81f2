"""A real Docker engine for tests: the one of `SIGNALBOX_TEST_DOCKER_HOST`, else one of our own in the user's cache."""

import atexit
import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from deployment.needs import COMPOSE_FOLDERS
from signalbox_local.process import OWNED, ServerProcess
from signalbox_local.settings import cache_folder

READY_SECONDS: Final = 60
COMPOSE: Final = Path(__file__).with_name("docker_compose")
COMPOSE_PACKAGE: Final = "github.com/docker/compose/v2"
COMPOSE_VERSION: Final = "v2.40.3"


class DockerFailed(AssertionError):
    """A docker command ended badly; the text is what it wrote."""


@dataclass
class Docker:
    """One engine, reached through its socket."""

    host: str
    plugins: Path
    """A folder for DOCKER_CONFIG, whose `cli-plugins` hold compose."""
    environment: dict[str, str] = field(default_factory=dict[str, str])

    def run(self, *arguments: str, seconds: float = 600, check: bool = True, **variables: str) -> str:
        """The output of `docker …`. Raises DockerFailed."""
        done = self.process(*arguments, seconds=seconds, **variables)
        if check and done.returncode:
            raise DockerFailed(f"docker {' '.join(arguments)}: {(done.stderr or done.stdout)[-3000:]}")
        return done.stdout

    def process(self, *arguments: str, seconds: float = 600, **variables: str) -> subprocess.CompletedProcess[str]:
        """`docker …`, however it ends."""
        return subprocess.run(
            ["docker", *arguments], env=self.variables(variables), capture_output=True, text=True, timeout=seconds,
            check=False,
        )  # fmt: skip

    def variables(self, more: Mapping[str, str] = {}) -> dict[str, str]:
        """The environment in which docker reaches this engine and builds need no plugin."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("SIGNALBOX_", "POSTGRES_"))}
        return {
            **kept,
            "DOCKER_HOST": self.host,
            "DOCKER_CONFIG": str(self.plugins),
            "DOCKER_BUILDKIT": "0",
            **self.environment,
            **more,
        }

    def has(self, image: str) -> bool:
        """Whether the engine has this image."""
        return self.process("image", "inspect", image).returncode == 0


def engine() -> Docker:
    """The engine of this test run, started when it is first needed. Raises RuntimeError where there can be none."""
    if not _started:
        _started.append(_start())
    return _started[0]


_started: list[Docker] = []


def _start() -> Docker:
    plugins = _compose_plugin()
    named = os.environ.get("SIGNALBOX_TEST_DOCKER_HOST")
    if named:
        return Docker(named, plugins)
    program = shutil.which("dockerd")
    if os.geteuid() != 0 or program is None:
        raise RuntimeError("no Docker engine: install docker.io and run as root, or set SIGNALBOX_TEST_DOCKER_HOST")
    folder = cache_folder() / "docker"
    folder.mkdir(parents=True, exist_ok=True)
    socket = f"unix://{folder}/docker.sock"
    process = ServerProcess(folder, "dockerd", stop_signal=signal.SIGTERM, stop_seconds=30)
    docker = Docker(socket, plugins)
    (folder / "dockerd.pid").unlink(missing_ok=True)
    process.start(
        [
            program, "-H", socket, "--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec",
            "-p", f"{folder}/dockerd.pid",
        ],
        life=OWNED,
    )  # fmt: skip
    process.wait_ready(lambda: docker.process("version").returncode == 0, seconds=READY_SECONDS)
    atexit.register(lambda: _stop(process))
    return docker


def _stop(process: ServerProcess) -> None:
    """End the engine, and undo what it did to the host's network."""
    process.stop()
    undo = [
        "iptables -P FORWARD ACCEPT",
        "iptables -F DOCKER-USER",
        "ip link delete docker0",
    ]
    for command in undo:
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            subprocess.run(command.split(), capture_output=True, timeout=10, check=False)


def _compose_plugin() -> Path:
    """A docker configuration with compose 2: the installed one, or one that is compiled once into the cache."""
    folder = cache_folder() / "docker-config"
    target = folder / "cli-plugins" / "docker-compose"
    if target.exists():
        return folder
    target.parent.mkdir(parents=True, exist_ok=True)
    for place in COMPOSE_FOLDERS:
        if (place / target.name).exists():
            target.symlink_to(place / target.name)
            return folder
    print("compiling docker compose, once (some minutes)", file=sys.stderr)
    draft = target.with_suffix(f".{os.getpid()}")  # two test runs may compile at once
    # no limit of its own: on a busy machine with cold caches it took more than half an hour
    done = subprocess.run(
        [
            "go", "build", "-p", "2", "-mod=readonly", "-o", str(draft), "-ldflags",
            f"-s -w -X {COMPOSE_PACKAGE}/internal.Version={COMPOSE_VERSION}", f"{COMPOSE_PACKAGE}/cmd",
        ],
        cwd=COMPOSE, env={**os.environ, "CGO_ENABLED": "0"}, check=False, capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"docker compose cannot be compiled: {done.stderr[-1000:]}")
    draft.replace(target)
    return folder
