"""Signalbox as an operator starts it without containers: a process for each service, settings by files.

Each service may come from a source tree of its own, so that services of two versions can run beside each other.
"""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from signalbox_contracts.services import ServiceSpec, installed_services
from support.deadlines import DeadlineExceeded

READY_SECONDS: Final = 90.0
"""How long a service that is not ready may do nothing at all."""
READY_PROCESSOR_SECONDS: Final = 60.0
"""How much processor time a service may use until it is ready: several times what a cold start takes."""
STOP_SECONDS: Final = 30.0
SCRIPTED: Final = "scripted"
SERVICES: Final = ("planner", "executor", "scheduler", "notifier", "reprocessor", "api-gateway")
HOME: Final = Path(__file__).parents[2]


@dataclass
class Installation:
    """One installation. `secrets` holds what `compose/make-secrets.sh` made, `common` what every service is given."""

    folder: Path
    secrets: Path
    common: Mapping[str, str]
    kafka_users: bool = False
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict[str, "subprocess.Popen[bytes]"])
    ports: dict[str, int] = field(default_factory=dict[str, int])

    def __post_init__(self) -> None:
        self.specs: dict[str, ServiceSpec] = {spec.name: spec for spec in installed_services()}
        for spec in self.specs.values():
            self.ports |= {f"{spec.name}.{port}": unused_port() for port in spec.ports}
        self.ports[SCRIPTED] = unused_port()
        for name in ("blobs", "scripted", "logs"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)

    @property
    def api_url(self) -> str:
        return f"http://127.0.0.1:{self.ports['api-gateway.api']}"

    @property
    def scripted_url(self) -> str:
        return f"http://127.0.0.1:{self.ports[SCRIPTED]}"

    # ------------------------------------------------------------------ settings

    def environment(self, name: str, source: Path = HOME) -> dict[str, str]:
        """The variables of one service."""
        spec = self.specs[name]
        chosen = {
            **_outside(source),
            **self.common,
            "SIGNALBOX_DATABASE_URL_FILE": str(self.secrets / f"{spec.schema}_database_url"),
            "SIGNALBOX_BLOB_URL": f"file://{self.folder / 'blobs'}",
            "SIGNALBOX_EGRESS_ALLOW": "127.0.0.1,localhost",
            "SIGNALBOX_WORKER_LEASE_SECONDS": "6",
            "SIGNALBOX_RENEW_SECONDS": "2",
            "SIGNALBOX_TAKE_OVER_SECONDS": "1",
            **{one.variable: str(self.ports[f"{name}.{port}"]) for port, one in spec.ports.items()},
        }
        if self.kafka_users:
            chosen["SIGNALBOX_KAFKA_USER"] = f"signalbox_{spec.schema}"
            chosen["SIGNALBOX_KAFKA_PASSWORD_FILE"] = str(self.secrets / f"{spec.schema}_kafka_password")
        if spec.reads_secrets or spec.writes_secrets or spec.own_secrets:
            chosen["SIGNALBOX_SECRETS_URL_FILE"] = chosen["SIGNALBOX_DATABASE_URL_FILE"]
            chosen["SIGNALBOX_SECRET_KEY_FILE"] = str(self.secrets / "secret_key")
        if name in ("api-gateway", "notifier"):
            chosen["SIGNALBOX_REDIS_URL_FILE"] = str(self.secrets / "redis_url")
        if name == "api-gateway":
            chosen["SIGNALBOX_API_HOST"] = "127.0.0.1"
            chosen["SIGNALBOX_LIVE_URLS"] = f"http://127.0.0.1:{self.ports['notifier.live']}"
        if spec.worker_role:
            chosen["SIGNALBOX_WORKER_DATABASE_URL_FILE"] = str(self.secrets / f"{spec.schema}_worker_database_url")
        return chosen

    def administrator(self, source: Path = HOME) -> dict[str, str]:
        """The variables of `provision`."""
        chosen = {
            **_outside(source),
            **self.common,
            "SIGNALBOX_DATABASE_URL_FILE": str(self.secrets / "admin_database_url"),
        }
        if self.kafka_users:
            chosen["SIGNALBOX_KAFKA_USER"] = "kafka_admin"
            chosen["SIGNALBOX_KAFKA_PASSWORD_FILE"] = str(self.secrets / "kafka_admin_password")
            chosen["SIGNALBOX_KAFKA_SASL_MECHANISM"] = "PLAIN"
        return chosen

    # ------------------------------------------------------------------ running

    def provision(self, source: Path = HOME, **more: str) -> subprocess.CompletedProcess[str]:
        """Topics, schemas, users and rights."""
        words = ["-m", "signalbox_chassis.persistence.provision", "--addresses", str(self.secrets)]
        return run(words, {**self.administrator(source), **more})

    def run(self, name: str, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        """`python WORDS` with the settings of a service, to its end."""
        return run(words, {**self.environment(name), "SIGNALBOX_HTTP_PORT": "0", **more})

    def admin_token(self, name: str) -> str:
        done = self.run("api-gateway", "-m", "signalbox_gateway", "admin", "create", name)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def start(self, *names: str, source: Path = HOME) -> None:
        """Start these services and wait until they are ready."""
        for name in names:
            if name == SCRIPTED:
                module, environment = "signalbox_executor.engines.scripted.server", _outside(source)
                words = ["--folder", str(self.folder / "scripted"), "--port", str(self.ports[SCRIPTED])]
            else:
                module, words, environment = self.specs[name].package, [], self.environment(name, source)
            with (self.folder / "logs" / f"{name}.log").open("ab") as log:
                command = [sys.executable, "-m", module, *words]
                self.processes[name] = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        for name in names:
            self.wait_ready(name)

    def wait_ready(self, name: str) -> None:
        checks = {SCRIPTED: "/counts"} if name == SCRIPTED else {
            f"{name}.{port}": one.probe for port, one in self.specs[name].ports.items()
        }  # fmt: skip
        for port, path in checks.items():
            self._wait_answer(name, f"http://127.0.0.1:{self.ports[port]}{path}")

    def _wait_answer(self, name: str, url: str) -> None:
        """Return when it answers. A busy machine is no failure: what is limited is the service's own processor time."""
        pid, used, used_at = self.processes[name].pid, 0.0, time.monotonic()
        while not self._answers(name, url):
            if (now := processor_seconds(pid)) > used:
                used, used_at = now, time.monotonic()
            if used > READY_PROCESSOR_SECONDS or time.monotonic() - used_at > READY_SECONDS:
                raise DeadlineExceeded(
                    f"{name} is not ready after {used:.1f} s of processor time:\n{self.log(name)[-3000:]}"
                )
            time.sleep(0.05)

    def _answers(self, name: str, url: str) -> bool:
        assert self.processes[name].poll() is None, f"{name} ended:\n{self.log(name)[-3000:]}"
        return answers(url)

    def stop(self, name: str, number: signal.Signals = signal.SIGTERM) -> None:
        process = self.processes.pop(name)
        process.send_signal(number)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def stop_all(self) -> None:
        for process in self.processes.values():
            process.terminate()
        for name in list(self.processes):
            self.stop(name, signal.SIGTERM)

    def log(self, name: str) -> str:
        return (self.folder / "logs" / f"{name}.log").read_text(errors="replace")


def run(words: tuple[str, ...] | list[str], environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words], env=environment, capture_output=True, text=True, check=False, timeout=180
    )


def unused_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def processor_seconds(pid: int) -> float:
    """What a process has used until now, in steps of a hundredth of a second."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return response.status == 200
    except (OSError, urllib.error.HTTPError):
        return False


def _outside(source: Path) -> dict[str, str]:
    """What a process needs of its surroundings, and where its packages come from."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TZ") if name in os.environ}
    if source == HOME:
        return kept
    parts = [*(source / "libs").glob("*/src"), *(source / "services").glob("*/src")]
    return {**kept, "PYTHONPATH": ":".join(str(part) for part in sorted(parts))}
