"""The example data platform on this machine: its jobs as programs of the process engine, its lake in a folder."""

import json
import os
import random
import subprocess
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import yaml

from deployment.compose_stack import HOME
from engines.spark.cluster import JVM_OPTIONS, full_java
from engines.spark.distribution import spark_home
from signalbox_local.ports import free_ports
from signalbox_local.programs import Programs
from support.deadlines import block_until

PLATFORM: Final = HOME / "compose/data-platform"
PROGRAMS: Final = ("preflight", "ingestion", "processing", "loader")
WINDOW_DAYS: Final = 3
TOP: Final = 5
SCRIPT_SECONDS: Final = 600


@dataclass
class DataPlatform:
    """Folders of one run of it, and what its events mean."""

    folder: Path
    first: date = field(default_factory=lambda: datetime.now(UTC).date() - timedelta(20))
    events: dict[date, list[tuple[str, str]]] = field(default_factory=dict[date, list[tuple[str, str]]])

    @property
    def programs(self) -> Path:
        return self.folder / "programs"

    @property
    def lake(self) -> str:
        return f"file://{self.folder}/hdfs"

    @property
    def runs(self) -> Path:
        return self.folder / "runs"

    def day(self, number: int) -> date:
        """0 is the last day of the initial load."""
        return self.first + timedelta(WINDOW_DAYS - 1 + number)

    def write_programs(self) -> list[Path]:
        """What the operator allows: each job, with the Spark and the Python of this machine."""
        for place in (self.programs, self.runs, self.folder / "hdfs", self.folder / "source" / "events"):
            place.mkdir(parents=True)
        submit = self.programs / "spark-submit"
        home, java = spark_home(), full_java()
        words = " ".join(f"'{word}'" for word in (*JVM_OPTIONS, "-Xmx700m"))
        submit.write_text(
            f"#!/bin/bash\nexport SPARK_HOME='{home}' JAVA_HOME='{Path(java).parents[1]}' SPARK_LOCAL_IP=127.0.0.1 "
            f"SPARK_SCALA_VERSION=2.13 PYSPARK_PYTHON='{sys.executable}' PYSPARK_DRIVER_PYTHON='{sys.executable}'\n"
            f"exec '{java}' {words} -cp '{home}/jars/*' org.apache.spark.deploy.SparkSubmit "
            "--conf spark.ui.enabled=false --conf spark.driver.host=127.0.0.1 "
            f'--conf spark.driver.bindAddress=127.0.0.1 "$@"\n'
        )
        submit.chmod(0o755)
        search = f"{Programs().postgres()}:{os.environ['PATH']}"
        for name in PROGRAMS:
            program = self.programs / name
            program.write_text(
                f"#!/bin/bash\nexport PATH='{search}' RUN_FOLDER='{self.runs}' SPARK_SUBMIT='{submit}' "
                f"SPARK_MASTER='local[1]' JOB_PYTHON='{sys.executable}' WAIT_SECONDS=20\n"
                f"exec '{PLATFORM}/jobs/bin/{name}' \"$@\"\n"
            )
            program.chmod(0o755)
        return [self.programs / name for name in PROGRAMS]

    def make_events(self, days: Sequence[date], seed: int = 7) -> None:
        """What users did on these days; not yet where the ingestion looks."""
        chance = random.Random(seed)
        for day in days:
            self.events[day] = [(f"u{chance.randrange(8)}", f"i{chance.randrange(12)}") for _ in range(25)]

    def deliver(self, day: date) -> None:
        """Put the file of a day where the ingestion looks, with one line that is no event."""
        lines = [json.dumps({"user": user, "item": item, "at": f"{day}T10:00:00Z"}) for user, item in self.events[day]]
        (self.folder / "source" / "events" / f"{day}.jsonl").write_text(
            "\n".join([*lines, '{"user": "nobody"}']) + "\n"
        )

    def expected(self, last: date) -> dict[str, list[tuple[str, int]]]:
        """User → items with scores, computed from the events alone."""
        had: dict[str, set[str]] = {}
        for day in (last - timedelta(n) for n in range(WINDOW_DAYS)):
            for user, item in self.events[day]:
                had.setdefault(user, set()).add(item)
        best: dict[str, list[tuple[str, int]]] = {}
        for user, items in had.items():
            scores: dict[str, int] = {}
            for other, theirs in had.items():
                if other != user and items & theirs:
                    for item in theirs - items:
                        scores[item] = scores.get(item, 0) + 1
            best[user] = sorted(scores.items(), key=lambda one: (-one[1], one[0]))[:TOP]
        return best

    def script(self, kind: str, day: date, environment: Mapping[str, str]) -> subprocess.Popen[str]:
        """One of the two scripts for one day, running."""
        name = {"initial_load": "run_initial_load.sh", "daily_pipeline": "run_daily_pipeline.sh"}[kind]
        return subprocess.Popen(
            [PLATFORM / "scheduler/scripts" / kind / name],
            env={
                **environment, "EVENT_DATE": str(day), "PROCESSING_WINDOW_DAYS": str(WINDOW_DAYS), "RETRY_SECONDS": "1",
                "WAIT_SECONDS": str(SCRIPT_SECONDS),
            },
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def check(self, name: str, **environment: str) -> int:
        """The exit code of a health check."""
        search = f"{Programs().postgres()}:{os.environ['PATH']}"
        done = subprocess.run(
            [PLATFORM / "healthchecks" / f"{name}.healthcheck.sh"],
            env={"PATH": search, "RUN_FOLDER": str(self.runs), **environment}, capture_output=True, timeout=30,
            check=False,
        )  # fmt: skip
        return done.returncode

    @contextmanager
    def served(self, database: str) -> Generator[str]:
        """The platform's API while the block runs, at this URL."""
        port = free_ports(1)[0]
        environment = {**os.environ, "DATABASE_URL": database, "PORT": str(port)}
        url = f"http://127.0.0.1:{port}"
        assert self.check("api", API_URL=url) == 1
        command = [sys.executable, PLATFORM / "jobs/api.py"]
        with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
            try:
                block_until(lambda: self.check("api", API_URL=url) == 0, why="the API of the platform does not answer")
                yield url
            finally:
                process.terminate()

    def pipeline(self, postgres: str) -> dict[str, str]:
        """The values of the pipeline's parameters for this machine."""
        server = urlsplit(postgres)
        return {
            "programs": str(self.programs),
            "hdfs_url": self.lake,
            "source_url": f"file://{self.folder}/source",
            "postgres_host": str(server.hostname),
            "postgres_port": str(server.port),
        }


def with_defaults(text: str, values: Mapping[str, Any]) -> str:
    """The pipeline with other defaults of its parameters, as whoever installs it writes them."""
    definition = yaml.safe_load(text)
    for name, value in values.items():
        parameter = definition["params"][name]
        parameter["default"] = int(value) if parameter["type"] == "integer" else value
    return str(yaml.safe_dump(definition, sort_keys=False))
