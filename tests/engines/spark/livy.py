"""A real Livy 0.7.1 that starts real applications of Spark 4.3 in local mode, on loopback."""

import os
import shutil
import signal
import subprocess
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from engines.flink.distribution import kept_once
from engines.spark.cluster import full_java
from engines.spark.distribution import spark_home
from signalbox_local.ports import free_ports
from signalbox_local.process import OWNED, ServerProcess

VERSION: Final = "0.7.1-incubating"
FETCH_SECONDS: Final = 900
_OPENS: Final = (
    "java.base/java.lang", "java.base/java.util", "java.base/java.net", "java.security.jgss/sun.security.krb5",
)  # fmt: skip
_POM: Final = f"""<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>signalbox.test</groupId><artifactId>livy</artifactId><version>1</version><packaging>pom</packaging>
<dependencies><dependency><groupId>org.apache.livy</groupId><artifactId>livy-server</artifactId>
<version>{VERSION}</version></dependency></dependencies></project>"""


def livy_jars() -> Path:
    """Livy's JARs, fetched by Maven unless they are in the cache."""
    return kept_once(f"livy-{VERSION}", _fetch)


def _fetch(folder: Path) -> None:
    (folder / "pom.xml").write_text(_POM)
    command = ["mvn", "-q", "-B", "dependency:copy-dependencies", f"-DoutputDirectory={folder / 'lib'}"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=FETCH_SECONDS)


class LivyServer:
    """One Livy without recovery, with protection against forged requests. A restart forgets its batches."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("conf", "logs", "process"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        (self._port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{self._port}"
        self.process = ServerProcess(folder / "process", "Livy", stop_signal=signal.SIGTERM, stop_seconds=20)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.process.stop()

    def start(self) -> None:
        """Return when it answers."""
        settings = {
            "livy.server.host": "127.0.0.1", "livy.server.port": self._port, "livy.spark.master": "local[1]",
            "livy.file.local-dir-whitelist": f"{self.folder.parent}/,{Path(__file__).parent}/,{Path.home()}/.cache/",
            "livy.server.csrf-protection.enabled": "true",
        }  # fmt: skip
        lines = [f"{name} = {value}" for name, value in settings.items()]
        (self.folder / "conf" / "livy.conf").write_text("\n".join(lines) + "\n")
        java = full_java()
        environment = {
            "PATH": os.environ["PATH"], "HOME": str(self.folder), "LIVY_HOME": str(self.folder),
            "LIVY_CONF_DIR": str(self.folder / "conf"), "SPARK_HOME": str(spark_home()),
            "JAVA_HOME": str(Path(java).parents[1]), "SPARK_LOCAL_IP": "127.0.0.1",
            "PYSPARK_PYTHON": shutil.which("python3") or "python3",
        }  # fmt: skip
        opens = [word for name in _OPENS for word in ("--add-opens", f"{name}=ALL-UNNAMED")]
        class_path = f"{self.folder / 'conf'}:{livy_jars() / 'lib'}/*"
        command = [
            java, "-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", *opens, "-cp", class_path,
            "org.apache.livy.server.LivyServer",
        ]  # fmt: skip
        self.process.start(command, life=OWNED, env=environment)
        self.process.wait_ready(self._answers, seconds=120)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/batches", timeout=10) as response:
                return response.status == 200
        except OSError:
            return False
