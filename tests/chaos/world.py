"""The whole stack as private processes below one folder: more of everything than `make up` starts, and short leases."""

import base64
import json
import os
import re
import secrets
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from signalbox_contracts.services import ServiceSpec, installed_services
from signalbox_local import folders, supervisor
from signalbox_local.kafka import KafkaCluster
from signalbox_local.postgres import PostgresServer
from signalbox_local.process import OWNED
from signalbox_local.services import SupervisedService, outside
from signalbox_local.signalbox import API
from support.proxies import Links

ENTRIES: Final = Path(__file__).parent / "entries"
LEASE_SECONDS: Final = 3.0
ENGINES: Final = {"north": "group-a", "south": "group-b"}
"""The scripted engines, each in an engine group of its own."""
PREPARE_SECONDS: Final = 180
READY_SECONDS: Final = 180
"""Ten Python programs and three JVMs start at once, perhaps beside other work."""
TOKEN: Final = re.compile(r"\bsbt_\w+_[\w-]+")
EVERYWHERE: Final = ("bus.received", "bus.handled", "settle.applied", "work.before_commit", "work.committed",
                     "relay.sent", "relay.marked")  # fmt: skip


SERVICES: Final = installed_services()

SHORT_TIMES: Final = {
    "SIGNALBOX_WORKER_LEASE_SECONDS": str(LEASE_SECONDS),
    "SIGNALBOX_RENEW_SECONDS": "1",
    "SIGNALBOX_TAKE_OVER_SECONDS": "0.5",
    "SIGNALBOX_ENGINE_LEASE_SECONDS": str(LEASE_SECONDS),
    "SIGNALBOX_ENGINE_TIMEOUT_SECONDS": "5",
    "SIGNALBOX_RESEND_SECONDS": "2",
    "SIGNALBOX_STOP_SECONDS": "1",
    "SIGNALBOX_SESSION_TIMEOUT_SECONDS": str(LEASE_SECONDS),
    "SIGNALBOX_RETRY_SECONDS": "10",
    "SIGNALBOX_HANDLER_TIMEOUT_SECONDS": "10",
    "SIGNALBOX_STUCK_SECONDS": "20",
    "SIGNALBOX_DATABASE_POOL_SIZE": "6",
    # the planner's queries, and what the gateway sends again, would heal what was lost: here nothing may be lost
    "SIGNALBOX_RECONCILE_SECONDS": "600",
    "SIGNALBOX_ANSWER_SECONDS": "3600",
}


@dataclass(frozen=True, slots=True)
class Shape:
    """How the stack of one run is made."""

    brokers: int = 3
    replaced: Mapping[str, str] = field(default_factory=dict[str, str])
    """Service → a changed entry of `entries` to run it from."""
    armed: Mapping[str, str] = field(default_factory=dict[str, str])
    """Service → the crash point at which the first process of each replica dies."""


class World:
    """One stack. Everything dies with this process, however that ends."""

    def __init__(self, folder: Path, shape: Shape, links: Links) -> None:
        self.folder = folder
        self.shape = shape
        self.links = links
        self.kafka = KafkaCluster(folder / "kafka", shape.brokers)
        # fsync as it is by default: an immediate restart without it would prove nothing
        self.postgres = PostgresServer(folder / "postgres", settings={"max_connections": "250"})
        self.services = {
            f"{one.name}-{number}": SupervisedService(
                folder / f"{one.name}-{number}", f"{one.name}-{number}", life=OWNED, ports=tuple(one.ports)
            )
            for one in SERVICES
            for number in range(1, one.replicas + 1)
        }
        self.engines = {name: SupervisedService(folder / name, name, life=OWNED) for name in ENGINES}
        self.token = ""

    # ------------------------------------------------------------------ addresses

    @property
    def gateways(self) -> list[str]:
        """Where the API can be reached."""
        return [service.url(API) for service in self.services.values() if API in service.port_names]

    def engine_url(self, name: str) -> str:
        """As the engine's definition says it: through the network that faults cut."""
        return f"http://127.0.0.1:{self.links.port(name) or self.engines[name].book['http']}"

    def journal(self, engine: str) -> Path:
        """What the engine accepted, synced before it answers."""
        return self.engines[engine].folder / "data" / "journal"

    # ------------------------------------------------------------------ starting and stopping

    def start(self) -> None:
        """Everything, until it answers. Raises CannotContinue and its kinds."""
        self.links.start()
        self._advertise()
        self.kafka.launch()
        self.postgres.start()
        self.kafka.wait_ready()
        roles = self._prepare()
        for name in self.engines:
            self._start_engine(name)
        for one in SERVICES:
            for number in range(1, one.replicas + 1):
                self._start_service(one, f"{one.name}-{number}", roles[one.name])
        for service in (*self.engines.values(), *self.services.values()):
            service.wait_ready(READY_SECONDS)
        self.token = self._administrator()

    def stop(self) -> None:
        """Kill it all. Nothing of it is used again."""
        self.stop_services()
        for service in self.engines.values():
            service.process.kill()
        for node in self.kafka.nodes:
            node.kill()
        self.postgres.kill()
        self.links.stop()

    def stop_services(self) -> None:
        """Kill the services: the servers and engines stay."""
        for service in self.services.values():
            service.process.kill()

    def discard(self) -> None:
        """Remove the database, which may lie elsewhere."""
        self.postgres.discard()

    def _advertise(self) -> None:
        """Clients of Kafka come through the links: its brokers say so."""
        self.kafka.prepare()
        for node in self.kafka.nodes:
            port = self.links.open(f"kafka-{node.number}", node.port)
            node.advertised = f"127.0.0.1:{port}" if port else None

    def _prepare(self) -> dict[str, str]:
        file = self.folder / "roles.json"
        environment = {
            **outside(os.environ),
            "SIGNALBOX_KAFKA_BOOTSTRAP": self.kafka.bootstrap,
            "SIGNALBOX_DATABASE_URL": self.postgres.url,
        }
        command = [sys.executable, "-m", "signalbox_chassis.persistence.provision", "--roles", str(file)]
        command += ["--replication", str(min(self.shape.brokers, 3))]
        subprocess.run(command, env=environment, check=True, capture_output=True, timeout=PREPARE_SECONDS)
        return json.loads(file.read_text())

    def _start_engine(self, name: str) -> None:
        service = self.engines[name]
        service.paths = {"http": "/counts"}
        service.settle()
        self.links.open(name, service.book["http"])
        data = folders.make(service.folder / "data")
        program = [sys.executable, str(ENTRIES / "counting_engine.py")]
        service.configure([*program, "--folder", str(data), "--port", str(service.book["http"])], {})
        service.launch()

    def _start_service(self, one: ServiceSpec, name: str, database: str) -> None:
        service = self.services[name]
        service.settle()
        environment = {
            **SHORT_TIMES,
            "SIGNALBOX_KAFKA_BOOTSTRAP": self.kafka.bootstrap,
            "SIGNALBOX_DATABASE_URL": self._database(name, database),
            "SIGNALBOX_SECRETS_URL": self._database(name, database),
            "SIGNALBOX_BLOB_URL": f"file://{folders.make(self.folder / 'blobs')}",
            "SIGNALBOX_SECRET_KEY": self._secret_key(),
            "SIGNALBOX_EGRESS_ALLOW": "127.0.0.1,localhost",
        }
        service.paths = {port: declared.probe for port, declared in one.ports.items()}
        environment |= {declared.variable: str(service.book[port]) for port, declared in one.ports.items()}
        service.configure(self._program(one), environment)
        if one.name in self.shape.armed:
            supervisor.set_next_start_variables(service.folder, {"SIGNALBOX_CRASH_AT": self.shape.armed[one.name]})
        service.launch()

    def _program(self, one: ServiceSpec) -> Sequence[str]:
        entry = self.shape.replaced.get(one.name)
        return [sys.executable, str(ENTRIES / entry), one.package] if entry else [sys.executable, "-m", one.package]

    def _database(self, replica: str, url: str) -> str:
        """The database through this replica's own link, so that one can be cut off and the others go on."""
        port = self.links.open(f"postgres/{replica}", self.postgres.port)
        parts = urlsplit(url)
        return url if not port else parts._replace(netloc=parts.netloc.replace(f":{parts.port}", f":{port}")).geturl()

    def _secret_key(self) -> str:
        file = self.folder / "secret-key"
        if not file.exists():
            file.write_text(base64.b64encode(secrets.token_bytes(32)).decode())
        return file.read_text()

    def _administrator(self) -> str:
        api = next(one for one in SERVICES if API in one.ports)
        order = self.services[f"{api.name}-1"].spec
        assert order is not None
        command = [sys.executable, "-m", api.package, "admin", "create", "admin", "--days", "2"]
        done = subprocess.run(
            command, env=dict(order.environment), capture_output=True, text=True, timeout=60, check=True
        )
        found = TOKEN.search(done.stdout + done.stderr)
        assert found is not None, f"no token was made: {done.stdout}{done.stderr}"
        return found.group()
