"""The servers put together: started in one go, found again after any crash, stopped by their pid files."""

import contextlib
import fcntl
import json
import shlex
import signal
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from signalbox_local import bootstrap, folders, kafka, probe, supervisor
from signalbox_local.errors import SettingWrong, StackBusy
from signalbox_local.kafka import KafkaCluster
from signalbox_local.keeping import Keeper
from signalbox_local.otlp import OtlpReceiver
from signalbox_local.postgres import PostgresServer
from signalbox_local.process import OWNED, Lifetime, Running, ServerProcess, read_pid_file, send
from signalbox_local.programs import Programs
from signalbox_local.progress import Reporter
from signalbox_local.redis import RedisServer
from signalbox_local.secret import write_private
from signalbox_local.services import SupervisedService
from signalbox_local.settings import GIVEN, Settings
from signalbox_local.signalbox import Signalbox

LOCK_SECONDS = 240.0
HEALTHY, SILENT, STOPPED, ABSENT = "healthy", "not answering", "stopped", "not available"


class Server(Protocol):
    """What the stack needs of each server."""

    changed: list[str]

    def running(self) -> bool: ...
    def healthy(self) -> bool: ...
    def launch(self) -> None: ...
    def wait_ready(self, seconds: float = ...) -> None: ...


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. Addresses hold no passwords."""

    server: str
    state: str
    address: str
    pid: int | None
    log: str

    @property
    def fine(self) -> bool:
        return self.state in (HEALTHY, ABSENT, f"given, {HEALTHY}")


class Stack:
    """The stack of one state folder."""

    def __init__(self, settings: Settings, reporter: Reporter | None = None) -> None:
        self.settings = settings
        self.reporter = reporter or Reporter()
        self.folder = settings.stack
        self.programs = Programs(settings, self.reporter)
        self.signalbox = Signalbox(settings, self.reporter, OWNED)
        self.new_token: str | None = None
        """The administrator's token, when `up` made it: it is shown once."""
        self._record = self._read_record()
        # an environment made by `signalbox-local env` names our own servers: those are not given
        own = self._record["own"]
        self.given = {name: address for name, address in settings.given.items() if own.get(name) != address}

    # ------------------------------------------------------------------ commands

    def fetch(self) -> None:
        """Bring all that is missing for what is not given, and prepare Kafka. Raises FetchFailed and its siblings."""
        if "kafka" not in self.given:
            self.programs.kafka_libs()
            self.programs.java()
            kafka.train(self.programs)
        if "postgres" not in self.given:
            self.programs.postgres()
        if "redis" not in self.given:
            self.programs.redis()

    def up(self, brokers: int | None = None, *, services: bool = False, scripted: bool = False) -> list[Row]:
        """Start what does not run, wait until all is healthy, write `env`. Raises what stops it; the rest stays up.

        `services`: Signalbox itself on top, with an administrator and the engine `local`; `scripted`: and the scripted
        engine. Services of an earlier `up` that died are started again either way.
        """
        folders.make(self.folder)
        folders.check_space(self.folder)
        with self._locked() as lock:
            for name, address in self.given.items():
                if not given_answers(name, address):
                    raise SettingWrong(
                        f"{GIVEN[name]}: nothing that speaks {name} answers at {_public(address)}",
                        "start that server, correct the address, or unset the variable and the stack starts its own",
                    )
            self.fetch()
            servers = self._servers(Lifetime(owned=False, keep_fds=(lock,)), brokers)
            if "redis" in servers and self.programs.redis() is None:
                del servers["redis"]
            for server in servers.values():
                server.launch()
            for server in servers.values():
                server.wait_ready()
                for line in server.changed:
                    self.reporter.report(line)
            addresses = self._write_env(servers)
            if services or any(kept.expected for kept in self.signalbox.services.values()):
                self._signalbox_up(addresses, servers, lock, scripted)
        return self.status()

    def _signalbox_up(self, addresses: dict[str, str], servers: dict[str, Server], lock: int, scripted: bool) -> None:
        kafka = servers.get("kafka")
        replication = min(3, len(kafka.nodes)) if isinstance(kafka, KafkaCluster) else 1
        life = Lifetime(owned=False, keep_fds=(lock,))
        self.signalbox = Signalbox(self.settings, self.reporter, life)
        logs = {name: self._rows(name, server)[0].log for name, server in servers.items()}
        keeper = Keeper(servers, logs, self.reporter)
        self.signalbox.up(addresses, keeper, replication=replication, scripted=scripted)
        self._write_env(servers)
        self.new_token = bootstrap.administrator(self.signalbox)
        bootstrap.password(self.signalbox)
        for engine in bootstrap.engines(self.signalbox, scripted=scripted):
            self.reporter.report(f"engine {engine} is defined")

    def down(self) -> list[str]:
        """Stop every process that a pid file of this stack names. Returns what was done, a line each."""
        if not self.folder.exists():
            return []
        with self._locked():
            lines: list[str] = []
            # the services first: they still write to the servers
            for files in self._pid_files():
                found = [(file, read_pid_file(file)) for file in files]
                for _, running in found:
                    if running:
                        # a frozen one first has to wake up
                        send(running, signal.SIGCONT)
                        send(running, running.stop_signal)
                lines += [self._finish(file, running) for file, running in found]
            for spec in self.folder.glob(f"*/{supervisor.SPEC_FILE}"):
                spec.unlink()  # the next `up` writes what is to run
            for name in ("env", "servers.json"):
                (self.folder / name).unlink(missing_ok=True)
        return lines

    def status(self) -> list[Row]:
        """What runs, asked of the servers themselves."""
        self._record = self._read_record()
        rows: list[Row] = []
        servers = self._servers(OWNED, None)
        for name in GIVEN:
            if name in self.given:
                address = self.given[name]
                state = HEALTHY if given_answers(name, address) else SILENT
                rows.append(Row(name, f"given, {state}", _public(address), None, "-"))
            else:
                rows += self._rows(name, servers[name])
        kept = [service for service in self.signalbox.services.values() if service.expected]
        return [*rows, *(self._service_row(service) for service in reversed(kept))]

    def environment(self) -> str:
        """The text of `env`: shell lines that point clients at the stack. Raises SettingWrong when it is not up."""
        try:
            return (self.folder / "env").read_text()
        except FileNotFoundError:
            raise SettingWrong("the stack is not up", "`make up`, then again") from None

    # ------------------------------------------------------------------ parts

    def _servers(self, life: Lifetime, brokers: int | None) -> dict[str, Server]:
        """In the order of starting: the slowest first."""
        ports, programs = self.settings.ports, self.programs
        count = brokers or len(list((self.folder / "kafka").glob("node[0-9]*/data"))) or 1
        made: dict[str, Server] = {
            "kafka": KafkaCluster(self.folder / "kafka", count, life=life, programs=programs, port=ports.get("kafka")),
            "postgres": PostgresServer(
                self.folder / "postgres", life=life, programs=programs, port=ports.get("postgres")
            ),
            "redis": RedisServer(self.folder / "redis", life=life, programs=programs, port=ports.get("redis")),
            "otlp": OtlpReceiver(self.folder / "otlp", life=life, port=ports.get("otlp")),
        }
        return {name: server for name, server in made.items() if name not in self.given}

    def _rows(self, name: str, server: Server) -> list[Row]:
        if isinstance(server, KafkaCluster):
            return [self._row(node.process, node.healthy, lambda node=node: node.address) for node in server.nodes]
        assert isinstance(server, PostgresServer | RedisServer | OtlpReceiver)
        if name in self._record["absent"] and not server.running():
            return [Row(name, ABSENT, "-", None, "-")]
        return [self._row(server.process, server.healthy, lambda: f"127.0.0.1:{server.port}")]

    def _row(self, process: ServerProcess, healthy: "Check", address: "AddressOf") -> Row:
        pid = process.pid
        where = "-"
        with contextlib.suppress(KeyError):  # never started: no port yet
            where = address()
        state = STOPPED if pid is None else HEALTHY if healthy() else SILENT
        return Row(process.name, state, where, pid, str(process.log) if process.log.exists() else "-")

    def _service_row(self, service: SupervisedService) -> Row:
        port = "api" if "api" in service.port_names else "http"
        return self._row(service.process, service.healthy, lambda: f"127.0.0.1:{service.book[port]}")

    def _pid_files(self) -> list[list[Path]]:
        """In the order of stopping; what stands in one list is stopped together."""
        every = [*sorted(self.folder.glob("*/server.pid")), *sorted(self.folder.glob("*/node*/server.pid"))]
        kept = [file for file in every if (file.parent / supervisor.SPEC_FILE).exists()]
        return [kept, [file for file in every if file not in kept]]

    def _finish(self, file: Path, running: Running | None) -> str:
        if running is None:
            file.unlink(missing_ok=True)
            return f"{file.parent.name} had ended before"
        process = ServerProcess(
            file.parent,
            running.name,
            stop_signal=signal.Signals(running.stop_signal),
            stop_seconds=running.stop_seconds,
        )
        process.stop()
        return f"stopped {running.name} (pid {running.pid})"

    # ------------------------------------------------------------------ records

    def _read_record(self) -> "Record":
        """`servers.json`: the addresses of our own servers at the last `up`, and what that went without."""
        try:
            read = json.loads((self.folder / "servers.json").read_text())
            return {"own": dict(read["own"]), "absent": dict.fromkeys(read["absent"], "")}
        except (OSError, ValueError, KeyError, TypeError):
            return {"own": {}, "absent": {}}

    def _write_env(self, servers: dict[str, Server]) -> dict[str, str]:
        """Write the addresses for clients; returns those of the servers."""
        own = {name: address_of(server) for name, server in servers.items()}
        absent = [name for name in GIVEN if name not in own and name not in self.given]
        write_private(self.folder / "servers.json", json.dumps({"own": own, "absent": absent}))
        addresses = {**own, **self.given}
        lines = [f"export {GIVEN[name]}={shlex.quote(addresses[name])}\n" for name in GIVEN if name in addresses]
        lines += [f"export {name}={shlex.quote(url)}\n" for name, url in self.signalbox.addresses().items()]
        write_private(self.folder / "env", "".join(lines))
        return addresses

    @contextmanager
    def _locked(self) -> Generator[int]:
        """One `up` or `down` at a time. The lock is freed by the kernel when its holder dies, however it dies."""
        with (self.folder / "lock").open("a") as lock:
            deadline, announced = time.monotonic() + LOCK_SECONDS, False
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    pass
                if not announced:
                    self.reporter.report("another signalbox-local is at work on this stack: waiting for it")
                    announced = True
                if time.monotonic() > deadline:
                    raise StackBusy(
                        f"another signalbox-local has held {lock.name} for {LOCK_SECONDS:.0f} s",
                        f"see what it does (`fuser {lock.name}`), end it, then again",
                    )
                time.sleep(0.1)
            yield lock.fileno()


class Check(Protocol):
    def __call__(self) -> bool: ...


class AddressOf(Protocol):
    def __call__(self) -> str: ...


Record = dict[str, dict[str, str]]


def address_of(server: Server) -> str:
    """The address for clients, password included."""
    if isinstance(server, KafkaCluster):
        return server.bootstrap
    if isinstance(server, OtlpReceiver):
        return server.endpoint
    assert isinstance(server, PostgresServer | RedisServer)
    return server.url


def given_answers(name: str, address: str) -> bool:
    """Whether a given server answers; a Kafka behind TLS or SASL is only asked for an open port."""
    if name == "kafka":
        brokers = [entry.strip().rpartition(":") for entry in address.split(",")]
        return any(probe.tcp(host.strip("[]"), int(port)) for host, _, port in brokers)
    if name == "postgres":
        return probe.any_postgres(address)
    if name == "redis":
        return probe.redis(address)
    parts = urlsplit(address)
    return probe.tcp(parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))


def _public(address: str) -> str:
    """An address without user and password."""
    return address.rpartition("@")[2] if "://" in address else address


def as_json(rows: list[Row]) -> str:
    return json.dumps([asdict(row) for row in rows], indent=2)
