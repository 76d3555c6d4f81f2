"""The Java side of Kafka: flags, class path, the formatted template and the class archive."""

import hashlib
import os
import shutil
from pathlib import Path

from signalbox_local import jars
from signalbox_local.errors import ServerNotReady
from signalbox_local.process import run
from signalbox_local.programs import Programs

CLUSTER_ID = "MkU3OEVBNTcwNTJENDM2Qg"
"""Any 16 bytes in base64url. Fixed, so that one formatted template serves every cluster."""

_FLAGS = (
    "-Xmx256m", "-Xms256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xss512k", "-XX:MaxDirectMemorySize=128m",
    "-XX:ReservedCodeCacheSize=48m", "-Djava.awt.headless=true", "-Dcom.sun.management.jmxremote=false",
    "-Dorg.slf4j.simpleLogger.showDateTime=true", "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.log.kafka.server.BrokerServer=info",
    "-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info",
)  # fmt: skip


def environment() -> dict[str, str]:
    # without it glibc keeps an arena per thread: tens of MiB that nobody uses
    return {**os.environ, "MALLOC_ARENA_MAX": "2"}


class KafkaJvm:
    """Command lines for one Java and one set of jars."""

    def __init__(self, programs: Programs) -> None:
        self.java = programs.java()
        self.home = programs.kafka_home
        self.class_path = jars.class_path(programs.kafka_libs())
        self.train_into: Path | None = None
        # an archive fits one build of Java and one class path; a wrong one would be ignored in silence
        build = f"{self.java.path} {Path(self.java.path).stat().st_mtime_ns} {self.class_path} {jars.lock_text()}"
        tag = hashlib.sha256(build.encode()).hexdigest()[:10]
        self.archive = self.home / f"classes-{self.java.major}-{tag}.{'aot' if self.java.major >= 25 else 'jsa'}"

    def broker(self, properties: Path) -> list[str]:
        return [self.java.path, *_FLAGS, *self._archive_flags(), "-cp", self.class_path, "kafka.Kafka", str(properties)]

    def _archive_flags(self) -> list[str]:
        new = self.java.major >= 25  # JEP 514
        if self.train_into:
            return [f"-XX:{'AOTCacheOutput' if new else 'ArchiveClassesAtExit'}={self.train_into}"]
        if self.archive.exists():
            return [f"-XX:{'AOTCache' if new else 'SharedArchiveFile'}={self.archive}"]
        return []

    def template(self) -> Path:
        """A formatted empty data folder, made once per set of jars (a JVM run of about 1 s) and copied afterwards.

        With a static quorum the checkpoint in it names no node and no address. Raises ServerNotReady.
        """
        tag = hashlib.sha256(jars.lock_text().encode()).hexdigest()[:10]
        template = self.home / f"template-{tag}"
        if not template.exists():
            draft = self.home / f"template-{tag}.{os.getpid()}"
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir()
            try:
                self._format(draft)
                if not template.exists():  # else a run beside us was faster: same content
                    (draft / "data").replace(template)
            finally:
                shutil.rmtree(draft, ignore_errors=True)
        return template

    def _format(self, draft: Path) -> None:
        properties, log = draft / "properties", draft / "log"
        properties.write_text(
            "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@127.0.0.1:1\n"
            "listeners=PLAINTEXT://127.0.0.1:2,CONTROLLER://127.0.0.1:1\ncontroller.listener.names=CONTROLLER\n"
            f"log.dirs={draft}/data\n"
        )
        command = [
            self.java.path, "-Xmx128m", "-XX:TieredStopAtLevel=1", "-cp", self.class_path,
            "kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", str(properties),
        ]  # fmt: skip
        if run(command, log=log, seconds=90):
            raise ServerNotReady(
                f"Kafka's storage tool failed:\n{log.read_text()[-2000:]}",
                f"check that {self.java.path} is a working Java",
            )
