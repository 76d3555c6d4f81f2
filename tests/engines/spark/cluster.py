"""A real standalone cluster for tests: one master with its REST server and one worker, on loopback.

`SparkCluster(folder)` starts nothing; `start()` does. The processes die with the test run, whatever ends it; drivers of
a worker that was killed hard run on, as in production, and are ended by `stop`.
"""

import json
import os
import shutil
import signal
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from engines.spark.distribution import spark_home
from signalbox_local.ports import free_ports
from signalbox_local.process import OWNED, ServerProcess
from support.deadlines import block_until

READY_SECONDS: Final = 120
FAST: Final = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xshare:auto"
_OPENS: Final = (
    "java.lang", "java.lang.invoke", "java.lang.reflect", "java.io", "java.net", "java.nio", "java.util",
    "java.util.concurrent", "java.util.concurrent.atomic", "jdk.internal.ref", "sun.nio.ch", "sun.nio.cs",
    "sun.security.action", "sun.util.calendar",
)  # fmt: skip
JVM_OPTIONS: Final = (
    *FAST.split(), "-XX:+IgnoreUnrecognizedVMOptions", "-Xmx320m", "--sun-misc-unsafe-memory-access=allow",
    "-Dio.netty.tryReflectionSetAccessible=true", *(f"--add-opens=java.base/{name}=ALL-UNNAMED" for name in _OPENS),
)  # fmt: skip


def full_java() -> str:
    """A Java 17 or newer with all of its modules: the one that Kafka runs on here lacks `jdk.incubator.vector`."""
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=f"{home}/bin" if home else None)
    assert found, "Spark needs a Java 17 or newer: set JAVA_HOME, or put java on the PATH"
    return str(Path(found).resolve())


class SparkCluster:
    """A master without recovery unless `recovers`, and a worker with this many cores and MiB. Ports stay the same."""

    def __init__(
        self,
        folder: Path,
        *,
        cores: int = 64,
        memory_mib: int = 65_536,
        recovers: bool = False,
        retained: int = 1000,
        worker_timeout_seconds: int = 60,
    ) -> None:
        self.folder = folder
        self.cores, self.memory_mib = cores, memory_mib
        self._recovers, self._retained = recovers, retained
        self._worker_timeout_seconds = worker_timeout_seconds
        self._port, self._web, self._rest, self._worker_port, self._worker_web = free_ports(5)
        self.url = f"http://127.0.0.1:{self._rest}"
        self.web_url = f"http://127.0.0.1:{self._web}"
        self.master_url = f"spark://127.0.0.1:{self._port}"
        self.work = folder / "work"
        self.master = self._process("master")
        self.worker = self._process("worker")

    def connection(self, **changes: Any) -> dict[str, Any]:
        """The connection of an engine on this cluster, with applications that start as fast as they can."""
        conf = {
            "spark.driver.memory": "512m", "spark.executor.memory": "512m", "spark.cores.max": "1",
            "spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1", "spark.ui.enabled": "false",
            "spark.driver.extraJavaOptions": FAST, "spark.executor.extraJavaOptions": FAST,
            "spark.sql.shuffle.partitions": "2",
        }  # fmt: skip
        return {
            "kind": "spark", "url": self.url, "web_url": self.web_url, "master_url": self.master_url, "conf": conf,
            **changes,
        }  # fmt: skip

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Return when the worker is registered."""
        self.start_master()
        self.start_worker()

    def start_master(self) -> None:
        """Start it and return when it is in charge."""
        options = {
            "spark.master.rest.enabled": "true", "spark.master.rest.host": "127.0.0.1",
            "spark.master.rest.port": self._rest, "spark.deploy.retainedDrivers": self._retained,
            "spark.worker.timeout": self._worker_timeout_seconds,
        }  # fmt: skip
        if self._recovers:
            options |= {
                "spark.deploy.recoveryMode": "FILESYSTEM", "spark.deploy.recoveryDirectory": self.folder / "recovery",
            }  # fmt: skip
            (self.folder / "recovery").mkdir(exist_ok=True)
        ports = ("--host", "127.0.0.1", "--port", str(self._port), "--webui-port", str(self._web))
        self._run(self.master, "org.apache.spark.deploy.master.Master", options, *ports)
        self.master.wait_ready(lambda: (self.page() or {}).get("status") == "ALIVE", seconds=READY_SECONDS)

    def start_worker(self) -> None:
        """Start it and return when the master has it."""
        ports = ("--host", "127.0.0.1", "--port", str(self._worker_port), "--webui-port", str(self._worker_web))
        sizes = ("--cores", str(self.cores), "--memory", f"{self.memory_mib}m", "--work-dir", str(self.work))
        options = {"spark.worker.timeout": self._worker_timeout_seconds}  # heartbeats come four times as often
        self._run(self.worker, "org.apache.spark.deploy.worker.Worker", options, *ports, *sizes, self.master_url)
        self.wait_for_worker()

    def wait_for_worker(self) -> None:
        """Return when the master has a worker."""
        self.worker.wait_ready(lambda: (self.page() or {}).get("aliveworkers", 0) >= 1, seconds=READY_SECONDS)

    def stop(self) -> None:
        for process in (self.worker, self.master):
            process.kill()
        self.end_orphans()

    def end_orphans(self) -> None:
        """End the drivers and executors that a killed worker left: processes in a folder of this cluster's own."""
        for process in Path("/proc").iterdir():
            if process.name.isdigit():
                with suppress(OSError):
                    if (process / "cwd").resolve().is_relative_to(self.work):
                        os.kill(int(process.name), signal.SIGKILL)

    def page(self) -> dict[str, Any] | None:
        """The master's list; None when there is no good answer."""
        try:
            with urllib.request.urlopen(f"{self.web_url}/json/", timeout=10) as response:
                return json.load(response)
        except (OSError, ValueError):
            return None

    def drivers(self) -> dict[str, str]:
        """The state of every driver that the master remembers, by id."""
        page = self.page() or {"activedrivers": [], "completeddrivers": []}
        return {driver["id"]: driver["state"] for driver in (*page["completeddrivers"], *page["activedrivers"])}

    def create(self, request: dict[str, Any]) -> str:
        """Submit a driver as it is; its id."""
        call = urllib.request.Request(
            f"{self.url}/v1/submissions/create", json.dumps(request).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(call, timeout=10) as response:
            return json.load(response)["submissionId"]

    def push_out(self, count: int) -> None:
        """Let so many drivers end: none of them has an application, so their worker starts no process."""
        request: dict[str, Any] = {
            "action": "CreateSubmissionRequest", "clientSparkVersion": "4.3.0", "mainClass": "none.None",
            "appResource": "file:///nowhere/none.jar", "appArgs": [], "environmentVariables": {},
            "sparkProperties": {
                "spark.app.name": "none", "spark.master": self.master_url, "spark.driver.memory": "64m",
                "spark.submit.deployMode": "cluster",
            },
        }  # fmt: skip
        for _ in range(count):
            self.create(request)
        self.until(lambda: not {"SUBMITTED", "RUNNING"} & set(self.drivers().values()), "they ended")

    def is_of(self, driver: str, run_key: str) -> bool:
        """Whether a driver was started for this key, by what its worker wrote down."""
        path = self.work / driver / "stderr"
        return path.exists() and run_key in path.read_text()

    def kill(self, driver: str) -> None:
        """Ask the master for the end of a driver, whatever becomes of it."""
        request = urllib.request.Request(f"{self.url}/v1/submissions/kill/{driver}", method="POST")
        with suppress(OSError), urllib.request.urlopen(request, timeout=10):
            pass

    def kill_all(self) -> None:
        """End every driver, and return when none is live any more."""
        live = [driver for driver, state in self.drivers().items() if state in ("SUBMITTED", "RUNNING")]
        for driver in live:
            self.kill(driver)
        self.until(
            lambda: all(self.drivers().get(driver) not in ("SUBMITTED", "RUNNING") for driver in live), "all ended"
        )

    def until(self, condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
        """Return when it holds; fail with `what` after the time."""
        block_until(condition, seconds=seconds, why=lambda: f"{what}; drivers: {self.drivers()}")

    def _process(self, name: str) -> ServerProcess:
        folder = self.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        return ServerProcess(folder, f"Spark {name}", stop_signal=signal.SIGTERM, stop_seconds=20)

    def _run(self, process: ServerProcess, entry: str, options: dict[str, Any], *arguments: str) -> None:
        home, java = spark_home(), full_java()
        conf = self.folder / "conf"
        conf.mkdir(exist_ok=True)
        (conf / "log4j2.properties").write_text(
            "rootLogger.level = warn\nrootLogger.appenderRef.stderr.ref = console\nappender.console.type = Console\n"
            "appender.console.name = console\nappender.console.target = SYSTEM_ERR\n"
            "appender.console.layout.type = PatternLayout\nappender.console.layout.pattern = %d %p %c{1}: %m%n\n"
        )
        environment = {
            "PATH": os.environ["PATH"], "HOME": str(self.folder), "SPARK_HOME": str(home),
            "JAVA_HOME": str(Path(java).parents[1]), "SPARK_LOCAL_IP": "127.0.0.1", "SPARK_SCALA_VERSION": "2.13",
            "SPARK_CONF_DIR": str(conf),
            "PYSPARK_PYTHON": shutil.which("python3") or "python3",
        }  # fmt: skip
        class_path = f"{conf}:{home}/jars/*"
        properties = [f"-D{name}={value}" for name, value in options.items()]
        process.start(
            [java, *JVM_OPTIONS, *properties, "-cp", class_path, entry, *arguments], life=OWNED, env=environment
        )
