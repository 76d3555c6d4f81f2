"""Signalbox put on top of the servers: prepared, started, given an administrator and its first engines."""

import base64
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from signalbox_contracts.services import ServiceSpec, ServiceUnusable, installed_services
from signalbox_local import examples, folders
from signalbox_local.console import Console
from signalbox_local.errors import CannotContinue, ServerNotReady
from signalbox_local.keeping import LOOK_SECONDS, Keeper
from signalbox_local.process import Lifetime
from signalbox_local.progress import Reporter
from signalbox_local.run_user import run_user
from signalbox_local.secret import write_private
from signalbox_local.services import SupervisedService, outside, pass_on
from signalbox_local.settings import Settings

SCRIPTED: Final = "scripted"
"""The scripted engine's server: no service, but started and stopped like one."""
API: Final = "api"
LIVE: Final = "live"
"""The name of the port where people and programs reach Signalbox."""
API_PORT: Final = 8000
"""Where the API of a stack that stays listens when the port is free at the first start, and none is insisted on."""
WORK: Final = "work"
"""A service that may read the secrets of work runs work: it gets what the process engine needs."""
WORKER_PROGRAM: Final = Path(sys.executable).with_name("signalbox-reprocessing-worker")
"""What the process engine runs for the reprocessor."""
PROVISION_SECONDS = 120
FOR_ONE_MACHINE: Final = {
    # one executor, restarted in a second: nobody need wait half a minute until a dead one's work is taken over
    "SIGNALBOX_WORKER_LEASE_SECONDS": "6",
    "SIGNALBOX_RENEW_SECONDS": "2",
    "SIGNALBOX_TAKE_OVER_SECONDS": "1",
}
OURS: Final = (
    "SIGNALBOX_KAFKA_BOOTSTRAP", "SIGNALBOX_DATABASE_URL", "SIGNALBOX_REDIS_URL", "SIGNALBOX_OTLP_ENDPOINT",
    "SIGNALBOX_API_URL", "SIGNALBOX_SCRIPTED_URL", "SIGNALBOX_TOKEN", "SIGNALBOX_PORT", "SIGNALBOX_JAVA",
    "SIGNALBOX_POSTGRES_BIN", "SIGNALBOX_REDIS_SERVER", "SIGNALBOX_KAFKA_PORT", "SIGNALBOX_POSTGRES_PORT",
    "SIGNALBOX_REDIS_PORT", "SIGNALBOX_OTLP_PORT", "SIGNALBOX_PROCESS_PROGRAMS", "SIGNALBOX_PROCESS_WORKING_FOLDERS",
    "SIGNALBOX_PROCESS_USER",
    "SIGNALBOX_EGRESS_ALLOW", "SIGNALBOX_CRASH_AT", "SIGNALBOX_CACHE",
)  # fmt: skip
"""Variables that the stack sets itself, or that are about the stack and not for a service."""


class Signalbox:
    """The services of one state folder."""

    def __init__(self, settings: Settings, reporter: Reporter, life: Lifetime) -> None:
        self.folder = settings.stack
        self.reporter = reporter
        self.console = Console.of(settings.cache, reporter)
        try:
            self.specs = {spec.name: spec for spec in installed_services()}
        except ServiceUnusable as error:
            raise CannotContinue(str(error), "correct that package's pyproject.toml, then `make setup`") from error
        fixed = {API: settings.ports[API]} if API in settings.ports else None
        self.services = {SCRIPTED: SupervisedService(self.folder / SCRIPTED, SCRIPTED, life=life)}
        self.services[SCRIPTED].paths = {"http": "/counts"}
        for name, spec in self.specs.items():
            service = SupervisedService(
                self.folder / name,
                name,
                life=life,
                ports=tuple(spec.ports),
                fixed=fixed if API in spec.ports else None,
                preferred=None if life.owned else {API: API_PORT},
            )
            service.paths = {port: declared.probe for port, declared in spec.ports.items()}
            self.services[name] = service

    @property
    def api_spec(self) -> ServiceSpec:
        """The service that people and programs reach. Raises CannotContinue when none is installed."""
        for spec in self.specs.values():
            if API in spec.ports:
                return spec
        raise CannotContinue("no installed service has a port named `api`", "`make setup`, then again")

    @property
    def api(self) -> SupervisedService:
        return self.services[self.api_spec.name]

    @property
    def api_url(self) -> str:
        return self.api.url(API)

    @property
    def scripted_url(self) -> str:
        return self.services[SCRIPTED].url("http")

    @property
    def token_file(self) -> Path:
        return self.folder / "admin-token"

    @property
    def password_file(self) -> Path:
        return self.folder / "admin-password"

    @property
    def programs(self) -> Path:
        """Where the example programs lie, that the engine `local` may run."""
        return self.folder / "programs"

    @property
    def events(self) -> Path:
        """The folder whose files of events may be sent again."""
        return self.folder / "events"

    @property
    def work(self) -> Path:
        """The one folder, with all below it, that runs of the engine `local` may work in."""
        return self.folder / "work"

    def addresses(self) -> dict[str, str]:
        """Variable → address for clients, of what is expected to run."""
        if not self.api.expected:
            return {}
        addresses = {"SIGNALBOX_API_URL": self.api_url}
        if self.services[SCRIPTED].expected:
            addresses["SIGNALBOX_SCRIPTED_URL"] = self.scripted_url
        return addresses

    # ------------------------------------------------------------------ starting

    def up(self, servers: Mapping[str, str], keeper: Keeper, *, replication: int, scripted: bool) -> None:
        """Start all on these servers and wait until they answer. Raises CannotContinue and its kinds."""
        wanted = [name for name in self.services if name != SCRIPTED or scripted or self.services[name].expected]
        roles = self._provisioned(wanted) or self._provision(servers, replication, keeper)
        for name in wanted:
            self.services[name].settle()
        for name in wanted:
            command, environment = self._specification(name, servers, roles)
            self.services[name].configure(command, environment)
        began = time.monotonic()
        for name in wanted:
            self.services[name].launch()
        for name in wanted:
            self.services[name].wait_ready(look=keeper.look)
            for line in self.services[name].changed:
                self.reporter.report(line)
        self.reporter.report(f"services answer after {time.monotonic() - began:.1f} s")

    def _provisioned(self, wanted: list[str]) -> dict[str, str]:
        """The addresses of an earlier run, when all runs that is wanted: then there is nothing to provision."""
        if not all(self.services[name].running() for name in wanted):
            return {}
        try:
            roles: dict[str, str] = json.loads((self.folder / "roles.json").read_text())
        except (OSError, ValueError):
            return {}
        return roles if set(self.specs) <= set(roles) else {}

    def _provision(self, servers: Mapping[str, str], replication: int, keeper: Keeper) -> dict[str, str]:
        """Topics, roles, schemas; the services' own database addresses. Again if a server died meanwhile."""
        file = self.folder / "roles.json"
        environment = {
            **outside(os.environ),
            **pass_on(os.environ, OURS),
            "SIGNALBOX_KAFKA_BOOTSTRAP": servers["kafka"],
            "SIGNALBOX_DATABASE_URL": servers["postgres"],
        }
        command = [sys.executable, "-m", "signalbox_chassis.persistence.provision"]
        command += ["--roles", str(file), "--replication", str(replication)]
        while True:
            restarts = keeper.restarts
            code, printed, error = _run(command, environment, keeper)
            if not code:
                break
            keeper.look()
            if keeper.restarts == restarts:
                raise CannotContinue(error.strip()[-4000:], "cure what it names, then `make up` again")
        self.reporter.report(printed.strip())
        return json.loads(file.read_text())

    def _specification(
        self, name: str, servers: Mapping[str, str], roles: Mapping[str, str]
    ) -> tuple[list[str], dict[str, str]]:
        """Command and variables of a service."""
        service = self.services[name]
        if name == SCRIPTED:
            data = folders.make(service.folder / "data")
            module = "signalbox_executor.engines.scripted.server"
            return [sys.executable, "-m", module, "--folder", str(data), "--port", str(service.book["http"])], {}
        spec = self.specs[name]
        environment = {
            **FOR_ONE_MACHINE,
            **pass_on(os.environ, OURS),
            "SIGNALBOX_KAFKA_BOOTSTRAP": servers["kafka"],
            "SIGNALBOX_DATABASE_URL": roles[name],
            "SIGNALBOX_HTTP_HOST": "127.0.0.1",
            "SIGNALBOX_BLOB_URL": f"file://{folders.make(self.folder / 'blobs', 0o700)}",
            "SIGNALBOX_EGRESS_ALLOW": _joined("127.0.0.1", "localhost", os.environ.get("SIGNALBOX_EGRESS_ALLOW", "")),
            **{declared.variable: str(service.book[port]) for port, declared in spec.ports.items()},
        }
        if "redis" in servers:
            environment["SIGNALBOX_REDIS_URL"] = servers["redis"]
        if "otlp" in servers:
            environment["SIGNALBOX_OTLP_ENDPOINT"] = servers["otlp"]
        if API in spec.ports:
            environment["SIGNALBOX_API_HOST"] = "127.0.0.1"
            environment["SIGNALBOX_TRACE_STORE_URL"] = servers.get("otlp", "")
            feeds = [self.services[other] for other, declared in self.specs.items() if LIVE in declared.ports]
            environment["SIGNALBOX_LIVE_URLS"] = ",".join(feed.url(LIVE) for feed in feeds)
            if self.console.sources is not None:
                environment.setdefault("SIGNALBOX_CONSOLE_FOLDER", str(self.console.folder))
        if spec.reads_secrets or spec.writes_secrets or spec.own_secrets:
            environment["SIGNALBOX_SECRET_KEY"] = self._secret_key()
            environment["SIGNALBOX_SECRETS_URL"] = roles[name]
        if WORK in spec.reads_secrets:
            environment |= self._process_engine()
        if spec.worker_role:
            environment |= self._event_files(servers, roles.get(f"{name}.worker", ""))
        return [sys.executable, "-m", spec.package], environment

    def _process_engine(self) -> dict[str, str]:
        """What the operator of this host allows: the example programs, and what the caller adds."""
        programs = [*map(str, examples.install(self.programs)), *_listed("SIGNALBOX_PROCESS_PROGRAMS")]
        programs += [str(WORKER_PROGRAM)] if WORKER_PROGRAM.exists() else []
        places = [str(folders.make(self.work)), *_listed("SIGNALBOX_PROCESS_WORKING_FOLDERS")]
        return {
            "SIGNALBOX_PROCESS_FOLDER": str(folders.make(self.folder / "process")),
            "SIGNALBOX_PROCESS_PROGRAMS": ",".join(programs),
            "SIGNALBOX_PROCESS_WORKING_FOLDERS": ",".join(places),
            "SIGNALBOX_PROCESS_USER": self._run_user(programs),
        }

    def _run_user(self, programs: list[str]) -> str:
        return os.environ.get("SIGNALBOX_PROCESS_USER") or run_user(
            [Path(program) for program in programs], [self.work]
        )

    def _event_files(self, servers: Mapping[str, str], worker_url: str) -> dict[str, str]:
        """Reprocessing of event files: those below `events`, to a topic of the stack's own Kafka unless named."""
        places = [str(folders.make(self.events)), *_listed("SIGNALBOX_REPROCESSING_LOCAL_FOLDERS")]
        chosen = os.environ.get("SIGNALBOX_REPROCESSING_KAFKA_BOOTSTRAP", "")
        return {
            "SIGNALBOX_WORKER_DATABASE_URL": worker_url,
            "SIGNALBOX_REPROCESSING_FOLDER": str(folders.make(self.folder / "reprocessing")),
            "SIGNALBOX_REPROCESSING_LOCAL_FOLDERS": ",".join(places),
            "SIGNALBOX_REPROCESSING_KAFKA_BOOTSTRAP": chosen or servers["kafka"],
            "SIGNALBOX_REPROCESSING_WORKER_PROGRAM": str(WORKER_PROGRAM),
            "SIGNALBOX_PROCESS_USER": self._run_user([str(WORKER_PROGRAM)]) if WORKER_PROGRAM.exists() else "",
        }

    def _secret_key(self) -> str:
        """Wraps the keys of the vault's secrets; made once, and lost with the folder."""
        file = self.folder / "secret-key"
        if not file.exists():
            write_private(file, base64.b64encode(secrets.token_bytes(32)).decode())
        return file.read_text()


def _run(command: list[str], environment: Mapping[str, str], keeper: Keeper) -> tuple[int, str, str]:
    """Run a command while the servers are kept: its exit code, output and errors. Raises ServerNotReady."""
    deadline = time.monotonic() + PROVISION_SECONDS
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        while True:
            try:
                printed, error = running.communicate(timeout=LOOK_SECONDS)
            except subprocess.TimeoutExpired:
                try:
                    keeper.look()
                    if time.monotonic() > deadline:
                        raise ServerNotReady(
                            f"topics and schemas were not ready within {PROVISION_SECONDS} s",
                            "see `make status`, then again",
                        ) from None
                except CannotContinue:
                    running.kill()
                    raise
            else:
                return running.returncode, printed, error


def _listed(variable: str) -> list[str]:
    return [part.strip() for part in os.environ.get(variable, "").split(",") if part.strip()]


def _joined(*parts: str) -> str:
    return ",".join(part for part in parts if part)
