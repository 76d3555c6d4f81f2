"""Real Kafka in KRaft mode: one broker for development, three for chaos tests. Plain text on loopback only."""

import base64
import os
import shutil
import signal
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from signalbox_local import folders, kafka_jvm, probe
from signalbox_local.errors import ForeignData
from signalbox_local.ports import PortBook
from signalbox_local.process import OWNED, Lifetime, ServerProcess
from signalbox_local.programs import Programs

READY_SECONDS = 60.0
STOP_SECONDS = 10.0
STOP_SECONDS_OF_MANY = 2.0  # voters that lost their quorum only sit out a timeout; kill -9 loses nothing acknowledged
_PORTS = ("kafka", "kafka_inter", "kafka_controller")


class KafkaNode:
    """One broker, which is a controller too. Its data survives stop and kill."""

    def __init__(self, cluster: "KafkaCluster", number: int, brokers: int) -> None:
        self.cluster = cluster
        self.number = number
        self.folder = cluster.folder / f"node{number}"
        patience = STOP_SECONDS if brokers == 1 else STOP_SECONDS_OF_MANY
        self.process = ServerProcess(self.folder, f"kafka-{number}", stop_signal=signal.SIGTERM, stop_seconds=patience)
        self.advertised: str | None = None
        """Set before `start` to let clients come through a fault proxy at that host:port."""

    @property
    def port(self) -> int:
        return self.cluster.port_of(self.number, "kafka")

    @property
    def address(self) -> str:
        return self.advertised or f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int | None:
        return self.process.pid

    @property
    def log(self) -> Path:
        return self.process.log

    def start(self) -> None:
        """Start the broker on its data unless it runs; does not wait. Raises what `KafkaCluster.start` does."""
        if self.process.running():
            return
        self.cluster.prepare()
        self._write_configuration()
        jvm = self.cluster.jvm
        self.process.start(
            jvm.broker(self.folder / "server.properties"), life=self.cluster.life, env=kafka_jvm.environment()
        )

    def wait_ready(self, seconds: float = READY_SECONDS) -> None:
        """Wait until the broker answers. Its client port opens last, after it was registered and unfenced.

        Raises ServerNotReady.
        """
        self.process.wait_ready(self.healthy, seconds=seconds)

    def healthy(self) -> bool:
        return probe.kafka("127.0.0.1", self.port)

    def stop(self) -> None:
        """SIGTERM, then SIGKILL after 10 s (one of three: after 2 s)."""
        self.process.stop()

    def kill(self) -> None:
        self.process.kill()

    def freeze(self) -> None:
        """A hung broker: connections stay open, nothing answers."""
        self.process.freeze()

    def thaw(self) -> None:
        self.process.thaw()

    def _write_configuration(self) -> None:
        cluster, count = self.cluster, len(self.cluster.nodes)
        values = {
            "node_id": self.number,
            "voters": cluster.voters,
            "port": self.port,
            "inter_port": cluster.port_of(self.number, "kafka_inter"),
            "controller_port": cluster.port_of(self.number, "kafka_controller"),
            "advertised": self.address,
            "data": self.folder / "data",
            "replicas": min(count, 3),
            "insync": min(count, 2),
            "session_ms": cluster.session_ms,
        }
        text = Path(__file__).with_name("kafka.properties").read_text()
        for name, value in values.items():
            text = text.replace(f"@{name}@", str(value))
        extra = "".join(f"{name}={value}\n" for name, value in cluster.extra.items())
        (self.folder / "server.properties").write_text(text + extra)

    def format(self) -> None:
        """Give the node an empty formatted data folder unless it has one: a copy of the template, in one step."""
        data, draft = self.folder / "data", self.folder / "data.new"
        if data.exists():
            return
        shutil.rmtree(draft, ignore_errors=True)
        shutil.copytree(self.cluster.jvm.template(), draft)
        directory = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        (draft / "meta.properties").write_text(
            f"version=1\ncluster.id={kafka_jvm.CLUSTER_ID}\nnode.id={self.number}\ndirectory.id={directory}\n"
        )
        draft.replace(data)


class KafkaCluster:
    """1 or 3 brokers under `folder`. Made anew on the same folder it is the same cluster, with the same ports if free.

    `extra` are broker properties that override ours; `session_ms` is how long the controller waits for a dead broker,
    and so what a restart after kill -9 costs at least. With the default `life` the brokers die with this process.
    """

    def __init__(
        self,
        folder: Path,
        brokers: int = 1,
        *,
        extra: Mapping[str, str] = {},
        session_ms: int = 3000,
        life: Lifetime = OWNED,
        programs: Programs | None = None,
        port: int | None = None,
    ) -> None:
        self.folder = folder.absolute()
        self.extra = dict(extra)
        self.session_ms = session_ms
        self.life = life
        self.programs = programs or Programs()
        fixed = {"kafka": port} if port and brokers == 1 else {}
        self.nodes = [KafkaNode(self, number + 1, brokers) for number in range(brokers)]
        self._books = {node.number: PortBook(node.folder / "ports.json", fixed) for node in self.nodes}
        self._jvm: kafka_jvm.KafkaJvm | None = None
        self.changed: list[str] = []

    @property
    def jvm(self) -> kafka_jvm.KafkaJvm:
        if self._jvm is None:
            self._jvm = kafka_jvm.KafkaJvm(self.programs)
        return self._jvm

    @property
    def bootstrap(self) -> str:
        """`host:port,...` for clients; known once `start` was called."""
        return ",".join(node.address for node in self.nodes)

    @property
    def voters(self) -> str:
        return ",".join(
            f"{node.number}@127.0.0.1:{self.port_of(node.number, 'kafka_controller')}" for node in self.nodes
        )

    def port_of(self, number: int, use: str) -> int:
        return self._books[number][use]

    def running(self) -> bool:
        return all(node.process.running() for node in self.nodes)

    def healthy(self) -> bool:
        return all(node.pid and node.healthy() for node in self.nodes)

    def prepare(self) -> None:
        """Folders, formatted data and ports of all nodes; changes nothing of a node that runs. Raises ForeignData."""
        for node in self.nodes:
            folders.make(node.folder, 0o700).chmod(0o700)  # every message lies there: no run of another user reads it
            node.format()
        if not any(node.process.running() for node in self.nodes):
            # all or none: each node's configuration names the controller ports of all
            for book in self._books.values():
                self.changed += book.settle(*_PORTS)

    def _check_size(self) -> None:
        found = len(list(self.folder.glob("node[0-9]*/data")))
        if found and found != len(self.nodes):
            raise ForeignData(
                f"{self.folder} holds a cluster of {found} broker(s), not {len(self.nodes)}",
                f"`signalbox-local up --brokers {found}`, or `make down` and move {self.folder} away",
            )

    def launch(self) -> None:
        """Start all brokers without waiting. Raises what `start` does."""
        self._check_size()
        for node in self.nodes:
            node.start()

    def start(self) -> Self:
        """Start what does not run and wait until all answer.

        Raises FetchFailed, ProgramMissing, SettingWrong, ForeignData, PortTaken, ServerNotReady.
        """
        self.launch()
        self.wait_ready()
        return self

    def wait_ready(self, seconds: float = READY_SECONDS) -> None:
        """Wait until all brokers answer. Raises ServerNotReady."""
        for node in self.nodes:
            node.wait_ready(seconds)

    def stop(self) -> None:
        """Stop all. With three, the last two are killed: voters without a quorum would only sit out a timeout, and
        kill -9 loses nothing that was acknowledged."""
        first, *rest = self.nodes
        first.stop()
        for node in rest:
            node.kill()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


def wipe(cluster: KafkaCluster) -> None:
    """Kill a throw-away cluster and remove its folder."""
    for node in cluster.nodes:
        node.kill()
    shutil.rmtree(cluster.folder, ignore_errors=True)


def train(programs: Programs) -> None:
    """Write the class archive once (10 s) by a throw-away broker that is stopped in order. Halves every start."""
    jvm = kafka_jvm.KafkaJvm(programs)
    if jvm.archive.exists():
        return
    programs.reporter.report("preparing Kafka's class archive, once: about 15 s")
    home = programs.kafka_home
    for leftover in home.glob("train-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    draft = jvm.archive.with_name(f"{jvm.archive.name}.{os.getpid()}")
    cluster = KafkaCluster(home / f"train-{os.getpid()}", programs=programs)
    cluster.jvm.train_into = draft
    node = cluster.nodes[0]
    node.process.stop_seconds = 90  # it writes the archive when it is asked to end
    try:
        cluster.start()
        node.stop()
        if draft.exists():
            draft.replace(jvm.archive)
    finally:
        wipe(cluster)
        draft.unlink(missing_ok=True)
