"""The containers of the data platform on a real Docker engine: HDFS on three DataNodes, Spark, PostgreSQL, the API."""

import json
import os
import urllib.request
from collections.abc import Generator
from dataclasses import dataclass, field
from datetime import date

import pytest

from deployment import stand_ins
from deployment.data_platform import PLATFORM, WINDOW_DAYS, DataPlatform
from deployment.docker import Docker, DockerFailed
from signalbox_local.ports import free_ports
from support.deadlines import block_until

pytestmark = [pytest.mark.deployment, pytest.mark.timeout(2400)]
UP_SECONDS = 600


@dataclass
class Containers:
    """One project of `compose/data-platform/docker-compose.yml`."""

    docker: Docker
    data: DataPlatform
    project: str = f"data-platform-{os.getpid()}"
    ports: list[int] = field(default_factory=lambda: free_ports(4))

    def compose(self, *words: str, seconds: float = UP_SECONDS, **more: str) -> str:
        names = ("NAMENODE_PORT", "HDFS_PORT", "RECOMMENDATION_DATABASE_PORT", "RECOMMENDATION_PORT")
        variables = {
            **dict(zip(names, map(str, self.ports), strict=True)),
            **{f"{name.upper()}_IMAGE": tag for name, tag in stand_ins.PLATFORM_NAMES.items()},
            "POSTGRES_IMAGE": stand_ins.NAMES["postgres"],
            "PYTHON_IMAGE": stand_ins.BASE,
            "POSTGRES_PASSWORD": "known",
            "SOURCE_FOLDER": str(self.data.folder / "source"),
            "PROCESSING_WINDOW_DAYS": str(WINDOW_DAYS),
        }
        file = str(PLATFORM / "docker-compose.yml")
        options = ("-p", self.project, "-f", file)
        return self.docker.run("compose", *options, *words, seconds=seconds, check=True, **{**variables, **more})

    def check(self, service: str, name: str, **environment: str) -> int:
        """The exit code of a health check inside of a container."""
        options = [word for name, value in environment.items() for word in ("-e", f"{name}={value}")]
        command = f"bash /healthchecks/{name}.healthcheck.sh; echo exit $?"
        return int(self.compose("exec", "-T", *options, service, "bash", "-c", command).split("exit ")[-1])

    def job(self, service: str, day: date, mode: str) -> None:
        """Run a job to its end, as a scheduler does. Raises DockerFailed when it ends with another code than 0."""
        self.compose("run", "--rm", "-T", service, EVENT_DATE=str(day), MODE=mode)


@pytest.fixture(scope="module")
def containers(docker: Docker, tmp_path_factory: pytest.TempPathFactory) -> Generator[Containers]:
    stand_ins.prepare_platform(docker)
    made_network = docker.process("network", "create", "uni_net").returncode == 0
    data = DataPlatform(tmp_path_factory.mktemp("platform"))
    (data.folder / "source/events").mkdir(parents=True)
    for place in (data.folder, data.folder / "source", data.folder / "source/events"):
        place.chmod(0o755)
    made = Containers(docker, data)
    try:
        made.compose("--profile", "jobs", "build", seconds=1200)
        yield made
    except BaseException:
        print(made.compose("ps", "-a"), made.compose("logs", "--tail", "30")[-10_000:])
        raise
    finally:
        made.compose("--profile", "*", "down", "-v", "-t", "10")
        if made_network:
            docker.process("network", "rm", "uni_net")


def test_health_checks_of_storage_and_serving_exit_0_and_1_in_their_containers(containers: Containers) -> None:
    containers.compose("up", "-d", "--wait", "namenode")
    assert containers.check("namenode", "namenode") == 0
    assert containers.check("namenode", "namenode", NAMENODE_URL="http://namenode:1") == 1
    assert containers.check("namenode", "datanode") == 1, "no DataNode lives yet"
    containers.compose("up", "-d", "--wait")
    assert containers.check("datanode1", "datanode", MIN_LIVE_DATANODES="3") == 0
    assert containers.check("datanode1", "datanode", MIN_LIVE_DATANODES="4") == 1
    assert containers.check("postgres", "postgres") == 0
    assert containers.check("postgres", "postgres", POSTGRES_PORT="1") == 1
    assert containers.check("recommendation_api", "api") == 0
    containers.compose("stop", "postgres")
    assert containers.check("recommendation_api", "api") == 1
    containers.compose("up", "-d", "--wait")


def test_an_initial_load_and_a_day_go_through_hdfs_to_the_api(containers: Containers) -> None:
    data = containers.data
    data.make_events([data.day(n) for n in range(-2, 2)])
    for number in (-2, -1, 0):
        data.deliver(data.day(number))
    for number, mode in ((0, "initial_load"), (1, "incremental")):
        if number:
            with pytest.raises(DockerFailed):  # its file is late
                containers.job("ingestion", data.day(number), mode)
            data.deliver(data.day(number))
        for service in ("ingestion", "processing", "recommendation_loader"):
            containers.job(service, data.day(number), mode)
        served(containers, data.day(number))
    report = containers.compose(
        "exec", "-T", "namenode", "curl", "-sf", "http://namenode:9870/webhdfs/v1/lake/events?op=GETCONTENTSUMMARY"
    )
    shown = json.loads(report)["ContentSummary"]
    assert shown["spaceConsumed"] == 3 * shown["length"] > 0, "each block has three copies"


@pytest.mark.parametrize("service", ["ingestion", "processing", "recommendation_loader"])
def test_the_check_of_a_job_exits_0_while_it_lives_or_after_a_clean_end(containers: Containers, service: str) -> None:
    name = service.removeprefix("recommendation_")
    identity = containers.compose("run", "-d", "-T", service, "sleep", "300").strip().splitlines()[-1]

    def inside(line: str) -> str:
        return containers.docker.run("exec", identity, "bash", "-c", line).strip()

    check = f"bash /healthchecks/{name}.healthcheck.sh; echo exit $?"
    run = f"/opt/data-platform/run_job.sh {name}"
    try:
        assert inside(check) == "exit 1", "it was never started"
        assert inside(f"{run} sleep 100 & sleep 2; {check}; kill $(cat /tmp/data-platform/{name}.pid)") == "exit 0"
        block_until(lambda: inside(check) == "exit 1", seconds=20, why="it was killed")
        assert inside(f"{run} true; {check}") == "exit 0", "it ended well"
        assert inside(f"{run} false; {check}") == "exit 1", "it failed"
    finally:
        containers.docker.run("rm", "-f", identity)


def served(containers: Containers, day: date) -> None:
    """The API answers what the events of the window mean."""
    for user, items in containers.data.expected(day).items():
        url = f"http://127.0.0.1:{containers.ports[3]}/recommendations/{user}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            assert [(one["item"], one["score"]) for one in json.load(answer)["items"]] == items, (user, day)
