"""A real Flink session cluster for tests: one JobManager and one TaskManager on loopback, ready in a few seconds.

`FlinkCluster(folder)` starts nothing; `start()` does. The processes die with the test run, whatever ends it.
"""

import json
import signal
import socket
import urllib.request
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from engines.flink.distribution import class_path, flink_java, wanted_version
from signalbox_local.ports import free_ports
from signalbox_local.process import OWNED, ServerProcess
from support.deadlines import block_until

READY_SECONDS: Final = 120
_ENDED: Final = ("FINISHED", "CANCELED", "FAILED")
_MIB: Final = 1024 * 1024
_ZOOKEEPER: Final = "org.apache.flink.shaded.zookeeper3.org.apache.zookeeper.server.ZooKeeperServerMain"
_OPENS: Final = (
    "java.lang", "java.net", "java.io", "java.nio", "sun.nio.ch", "java.lang.reflect", "java.text", "java.time",
    "java.util", "java.util.concurrent", "java.util.concurrent.atomic", "java.util.concurrent.locks",
)  # fmt: skip
_JVM: Final = (
    "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:MaxMetaspaceSize=256m", "-Xms64m", "-Xmx320m",
    "-XX:+IgnoreUnrecognizedVMOptions", *(f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in _OPENS),
)  # fmt: skip
_LOGGING: Final = """
rootLogger.level = INFO
rootLogger.appenderRef.file.ref = File
appender.file.name = File
appender.file.type = FILE
appender.file.fileName = ${sys:log.file}
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = %d{yyyy-MM-dd HH:mm:ss,SSS} [%X{flink-job-id}] %-5p %c{1} - %m%n
"""


class FlinkCluster:
    """A session cluster. A restart keeps ports and folders, and forgets its jobs unless `settings` say otherwise.

    Its jobs may write files below the folder that the Java property `probe.folder` names.
    """

    def __init__(
        self,
        folder: Path,
        *,
        version: str | None = None,
        slots: int = 8,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.folder = folder
        self.version = version or wanted_version()
        self.slots = slots
        self.savepoints = folder / "savepoints"
        self._settings = dict(settings or {})
        self._rest, self._rpc, self._blob = free_ports(3)
        self.url = f"http://127.0.0.1:{self._rest}"
        self.job_manager = self._process("jobmanager")
        self.task_manager = self._process("taskmanager")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Return when every slot is free. Raises with the log's tail when a process does not come up."""
        self._configure()
        self.start_job_manager()
        self.start_task_manager()

    def start_job_manager(self) -> None:
        """Start it and return when it answers. Its jobs of before are forgotten."""
        self._run(self.job_manager, "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint")
        self.job_manager.wait_ready(lambda: self.get("/overview") is not None, seconds=READY_SECONDS)

    def start_task_manager(self) -> None:
        """Start it and return when its slots are registered."""
        self._run(self.task_manager, "org.apache.flink.runtime.taskexecutor.TaskManagerRunner", *_resources(self.slots))
        self.wait_for_slots()

    def wait_for_slots(self) -> None:
        """Return when the JobManager has the slots of a TaskManager that is alive."""
        self.task_manager.wait_ready(lambda: self._slots() >= self.slots, seconds=READY_SECONDS)

    def stop(self) -> None:
        for process in (self.task_manager, self.job_manager):
            process.kill()  # nothing of it is needed any more

    def get(self, path: str) -> Any:
        """The JSON of a GET; None when there is no good answer."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=10) as response:
                return json.load(response)
        except (OSError, ValueError):
            return None

    def jobs(self) -> dict[str, str]:
        """The state of every job the JobManager knows, by job id."""
        overview: dict[str, list[dict[str, str]]] = self.get("/jobs/overview") or {"jobs": []}
        return {job["jid"]: job["state"] for job in overview["jobs"]}

    def cancel(self, job_id: str) -> None:
        """Ask a job to end, whatever becomes of it."""
        request = urllib.request.Request(f"{self.url}/jobs/{job_id}?mode=cancel", method="PATCH")
        with suppress(OSError), urllib.request.urlopen(request, timeout=10):
            pass

    def cancel_all(self) -> None:
        """End every job, and return when none has a slot any more."""
        live = [job for job, state in self.jobs().items() if state not in _ENDED]
        for job in live:
            self.cancel(job)
        self.until(lambda: all(self.jobs().get(job, "FAILED") in _ENDED for job in live), "every job ended")

    def until(self, condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
        """Return when it holds; fail with `what` after the time."""
        block_until(condition, seconds=seconds, why=lambda: f"{what}; jobs: {self.jobs()}")

    def _slots(self) -> int:
        overview: dict[str, int] = self.get("/overview") or {}
        return overview.get("slots-total", 0)

    def _process(self, name: str) -> ServerProcess:
        folder = self.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        return ServerProcess(folder, f"Flink {name}", stop_signal=signal.SIGTERM, stop_seconds=20)

    def _run(self, process: ServerProcess, entry: str, *arguments: str) -> None:
        logging = f"-Dlog4j.configurationFile=file:{self.folder / 'conf' / 'log4j.properties'}"
        memory = "-XX:MaxDirectMemorySize=134217728"
        log_file = process.folder / f"flink-{process.folder.name}.log"
        command = [
            flink_java(), *_JVM, memory, logging, f"-Dlog.file={log_file}", f"-Dprobe.folder={self.folder}",
            "-cp", class_path(self.version), entry, "--configDir", str(self.folder / "conf"), *arguments,
        ]  # fmt: skip
        process.start(command, life=OWNED)

    def _configure(self) -> None:
        conf = self.folder / "conf"
        for folder in (conf, self.folder / "tmp", self.folder / "upload", self.savepoints):
            folder.mkdir(parents=True, exist_ok=True)
        (conf / "log4j.properties").write_text(_LOGGING)
        lines = [f"{name}: {value}" for name, value in {**self._defaults(), **self._settings}.items()]
        (conf / "config.yaml").write_text("\n".join(lines) + "\n")

    def _defaults(self) -> dict[str, Any]:
        return {
            "jobmanager.rpc.address": "127.0.0.1",
            "jobmanager.rpc.port": self._rpc,
            "jobmanager.bind-host": "127.0.0.1",
            "jobmanager.memory.process.size": "768m",
            "jobmanager.memory.jvm-metaspace.size": "128m",
            "jobmanager.memory.jvm-overhead.min": "64m",
            "jobmanager.memory.jvm-overhead.max": "128m",
            "jobmanager.memory.off-heap.size": "64m",
            "taskmanager.bind-host": "127.0.0.1",
            "taskmanager.host": "127.0.0.1",
            "taskmanager.numberOfTaskSlots": self.slots,
            "parallelism.default": 1,
            "rest.address": "127.0.0.1",
            "rest.bind-address": "127.0.0.1",
            "rest.port": self._rest,
            "rest.server.max-content-length": 300 * _MIB,
            "blob.server.port": self._blob,
            "web.refresh-interval": 200,
            "web.upload.dir": self.folder / "upload",
            "io.tmp.dirs": self.folder / "tmp",
            "execution.checkpointing.dir": f"file://{self.folder / 'checkpoints'}",
            "execution.checkpointing.savepoint-dir": f"file://{self.savepoints}",
            "state.checkpoints.dir": f"file://{self.folder / 'checkpoints'}",  # 1.20 reads these names
            "state.savepoints.dir": f"file://{self.savepoints}",
            "resourcemanager.standalone.start-up-time": 3_600_000,  # after it, jobs without a free slot fail at once
            "heartbeat.interval": 1000,
            "heartbeat.timeout": 6000,
            "cluster.registration.initial-timeout": 100,
            "cluster.registration.max-timeout": 1000,
            "cluster.registration.error-delay": 500,
            "cluster.registration.refused-registration-delay": 1000,
        }


@contextmanager
def zookeeper(folder: Path) -> Generator[str]:
    """A ZooKeeper of one process, which Flink's archive holds. Yields its address."""
    folder.mkdir(parents=True)
    (port,) = free_ports(1)
    config = folder / "zoo.cfg"
    config.write_text(
        f"dataDir={folder / 'data'}\nclientPort={port}\nclientPortAddress=127.0.0.1\nadmin.enableServer=false\n"
    )
    command = [flink_java(), "-Xmx128m", "-cp", class_path(wanted_version()), _ZOOKEEPER, str(config)]
    process = ServerProcess(folder, "ZooKeeper", stop_signal=signal.SIGTERM, stop_seconds=5)
    process.start(command, life=OWNED)

    def listens() -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
        return False

    process.wait_ready(listens, seconds=READY_SECONDS)
    try:
        yield f"127.0.0.1:{port}"
    finally:
        process.kill()


def _resources(slots: int) -> list[str]:
    """What the official scripts compute for a TaskManager and pass on its command line."""
    sizes = {
        "taskmanager.memory.network.min": 64,
        "taskmanager.memory.network.max": 64,
        "taskmanager.memory.task.off-heap.size": 0,
        "taskmanager.memory.task.heap.size": 384,
        "taskmanager.memory.managed.size": 32,
        "taskmanager.memory.framework.heap.size": 64,
        "taskmanager.memory.framework.off-heap.size": 64,
        "taskmanager.memory.jvm-metaspace.size": 128,
        "taskmanager.memory.jvm-overhead.min": 64,
        "taskmanager.memory.jvm-overhead.max": 64,
    }
    settings = [f"{name}={mib * _MIB}b" for name, mib in sizes.items()]
    settings += [f"taskmanager.cpu.cores={slots}.0", f"taskmanager.numberOfTaskSlots={slots}"]
    return [word for setting in settings for word in ("-D", setting)]
