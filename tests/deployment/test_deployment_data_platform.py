"""The example data platform: its verification checklist, and its jobs as a Signalbox pipeline over four days."""

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import AsyncGenerator, Generator
from datetime import UTC, date, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, cast
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
import pytest_asyncio
import yaml
from cronsim import CronSim

from demo.__main__ import database_url
from demo.api import Api, connected
from deployment.data_platform import PLATFORM, DataPlatform, with_defaults
from deployment.docker import Docker
from signalbox_local.ports import free_ports
from signalbox_local.process import Lifetime
from signalbox_local.progress import Reporter
from signalbox_local.settings import cache_folder, load
from signalbox_local.signalbox import Signalbox
from support.e2e import BIN, RunningStack, new_place, run_local

COMPOSE_FILES = (
    "docker-compose.yml",
    *(f"docker_compose/{name}.yml" for name in ("storage", "ingestion", "processing", "serving")),
)
CHECKS = ("namenode", "datanode", "postgres", "api", "ingestion", "processing", "loader")
SCRIPTS = ("initial_load/run_initial_load.sh", "daily_pipeline/run_daily_pipeline.sh")


@pytest.mark.deployment
@pytest.mark.parametrize("name", COMPOSE_FILES)
def test_docker_compose_takes_each_file(name: str, docker: Docker) -> None:
    docker.run("compose", "-f", str(PLATFORM / name), "--profile", "*", "config", "--quiet", POSTGRES_PASSWORD="x")


def test_the_inventory_has_the_names_of_the_document() -> None:
    wanted = [
        "network/network.yml", *COMPOSE_FILES, "scheduler/cron/crontab",
        *(f"scheduler/scripts/{name}" for name in SCRIPTS),
        *(f"healthchecks/{name}.healthcheck.sh" for name in CHECKS),
    ]  # fmt: skip
    assert [name for name in wanted if not (PLATFORM / name).is_file()] == []


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_scripts_are_bash_that_stops_at_a_failure(name: str) -> None:
    script = PLATFORM / "scheduler/scripts" / name
    subprocess.run(["bash", "-n", script], check=True, timeout=10)
    assert os.access(script, os.X_OK)
    assert "set -euo pipefail" in script.read_text()


def test_every_file_names_the_same_network_and_services() -> None:
    services: dict[str, Any] = {}
    for name in COMPOSE_FILES[1:]:
        document = yaml.safe_load((PLATFORM / name).read_text())
        assert document["networks"] == {"uni_net": {"external": True, "name": "uni_net"}}, name
        services |= document["services"]
    assert set(services) == {
        "namenode", "datanode1", "datanode2", "datanode3", "ingestion", "processing", "postgres",
        "recommendation_loader", "recommendation_api",
    }  # fmt: skip
    assert all(service["networks"] == ["uni_net"] for service in services.values())
    started = {name for name, service in services.items() if service.get("restart") == "unless-stopped"}
    assert set(services) - started == {"ingestion", "processing", "recommendation_loader"}
    root = yaml.safe_load((PLATFORM / "docker-compose.yml").read_text())
    assert root["include"] == [*COMPOSE_FILES[1:]]
    network = yaml.safe_load((PLATFORM / "network/network.yml").read_text())
    assert network["networks"]["uni_net"]["external"] is True


def test_every_health_check_is_executable_and_is_used_by_its_service() -> None:
    text = "".join((PLATFORM / name).read_text() for name in COMPOSE_FILES)
    for name in CHECKS:
        assert os.access(PLATFORM / "healthchecks" / f"{name}.healthcheck.sh", os.X_OK)
        assert f"/healthchecks/{name}.healthcheck.sh" in text


def test_the_crontab_runs_the_daily_pipeline_at_two() -> None:
    lines = [
        line for line in (PLATFORM / "scheduler/cron/crontab").read_text().splitlines() if not line.startswith("#")
    ]
    assert lines == ["0 2 * * * run_daily_pipeline.sh >> /var/log/pipeline.log 2>&1"]
    ticks = CronSim(" ".join(lines[0].split()[:5]), datetime(2026, 1, 1, tzinfo=UTC))
    assert [str(next(ticks)) for _ in range(2)] == ["2026-01-01 02:00:00+00:00", "2026-01-02 02:00:00+00:00"]


@pytest.mark.skipif(shutil.which("curl") is None, reason="the checks of the document use curl, which is not installed")
def test_storage_checks_ask_the_namenode(tmp_path: Path) -> None:
    platform = DataPlatform(tmp_path)
    live = {"n": 3}

    class NameNode(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"beans": [{"NumLiveDataNodes": live["n"], "NumDeadDataNodes": 0}]}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            del format, args

    with ThreadingHTTPServer(("127.0.0.1", 0), NameNode) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        assert platform.check("namenode", NAMENODE_URL=url) == 0
        assert platform.check("datanode", NAMENODE_URL=url, MIN_LIVE_DATANODES="3") == 0
        live["n"] = 0
        assert platform.check("datanode", NAMENODE_URL=url) == 1
        server.shutdown()
    assert platform.check("namenode", NAMENODE_URL=url) == 1
    assert platform.check("datanode", NAMENODE_URL=url) == 1


@pytest.mark.parametrize("name", ["ingestion", "processing", "loader"])
def test_job_checks_look_for_a_living_process_or_a_clean_end(name: str, tmp_path: Path) -> None:
    platform = DataPlatform(tmp_path)
    platform.runs.mkdir()
    assert platform.check(name) == 1, "it was never started"
    with subprocess.Popen(["sleep", "60"]) as process:
        (platform.runs / f"{name}.pid").write_text(f"{process.pid}\n")
        assert platform.check(name) == 0, "it is alive"
        process.kill()
    assert platform.check(name) == 1, "it died"
    (platform.runs / f"{name}.exit").write_text("0\n")
    assert platform.check(name) == 0, "it ended well"
    (platform.runs / f"{name}.exit").write_text("3\n")
    assert platform.check(name) == 1, "it failed"


def test_the_jobs_know_their_day_on_the_python_of_the_spark_image() -> None:
    """`apache/spark:4.0.0` is made of Ubuntu 22.04, whose Python 3.10 has no `datetime.UTC`: no job would start."""
    words = "import datetime; del datetime.UTC; import days; print(days.event_date())"
    done = subprocess.run(
        [sys.executable, "-c", words], cwd=PLATFORM / "jobs", capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert date.fromisoformat(done.stdout.strip())


def test_a_password_with_special_characters_is_no_part_of_an_address() -> None:
    services = yaml.safe_load((PLATFORM / "docker_compose/serving.yml").read_text())["services"]
    for name in ("recommendation_loader", "recommendation_api"):
        environment = services[name]["environment"]
        assert environment["DATABASE_URL"] == "postgresql://postgres@postgres:5432/recommendations"
        assert "POSTGRES_PASSWORD" in environment["PGPASSWORD"]


@pytest.mark.parametrize(
    ("watched", "calls", "code"),
    [
        ("0", ["run", "watch p1"], 0),
        ("1 0", ["run", "watch p1", "rerun p1", "watch p2"], 0),
        ("5 0", ["run", "watch p1", "watch p1"], 0),
        ("5 1 1", ["run", "watch p1", "watch p1", "rerun p1", "watch p2"], 1),
    ],
)
def test_the_daily_script_runs_again_what_failed_and_watches_on_what_it_lost(
    watched: str, calls: list[str], code: int, tmp_path: Path
) -> None:
    """An API that is away for a minute fails no plan: running it again is refused, and ended the script."""
    stand_in = tmp_path / "signalbox"
    stand_in.write_text(f"""#!/bin/bash
cd {tmp_path}
case "$1 $2" in
  "pipeline run") echo run >> calls; echo p1 ;;
  "plan watch")
    echo "watch $3" >> calls; [ -f codes ] || echo "{watched}" > codes
    read -r code rest < codes; echo "$rest" > codes; exit "$code" ;;
  "plan rerun") echo "rerun $3" >> calls; echo p2 ;;
esac
""")
    stand_in.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "RETRY_SECONDS": "0"}
    script = PLATFORM / "scheduler/scripts" / SCRIPTS[1]
    done = subprocess.run([script], env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (tmp_path / "calls").read_text().splitlines() == calls
    assert done.returncode == code
    last = done.stdout.splitlines()[-1]
    assert ("end, duration " if code == 0 else "failed after ") in last


# ---- the jobs, on a stack of their own


@pytest.fixture(scope="module")
def platform() -> Generator[tuple[DataPlatform, RunningStack]]:
    place = new_place()
    platform = DataPlatform(place / "platform")
    programs = platform.write_programs()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SIGNALBOX_")}
    environment |= {
        "SIGNALBOX_LOCAL_STACK": str(place),
        "SIGNALBOX_CACHE": str(cache_folder()),
        "SIGNALBOX_PROCESS_PROGRAMS": ",".join(map(str, programs)),
        # Spark, Java and the packages are in the home of whoever runs the tests
        "SIGNALBOX_PROCESS_USER": str(os.geteuid()) if os.geteuid() == 0 else "",
    }
    run_local(environment, "up", "--services")
    try:
        settings = load(environment)
        yield platform, RunningStack(settings, Signalbox(settings, Reporter(), Lifetime(owned=False)), environment)
    finally:
        run_local(environment, "down")


@pytest_asyncio.fixture
async def database(platform: tuple[DataPlatform, RunningStack]) -> AsyncGenerator[str]:
    admin = database_url(platform[1].settings)
    connection = await cast("Any", asyncpg).connect(admin)
    await connection.execute("CREATE DATABASE recommendations")
    await connection.close()
    yield urlunsplit(urlsplit(admin)._replace(path="/recommendations"))


@pytest.mark.deployment
@pytest.mark.timeout(1800)
async def test_initial_load_and_three_days_one_of_them_late_and_tried_again(
    platform: tuple[DataPlatform, RunningStack], database: str
) -> None:
    data, stack = platform
    data.make_events([data.day(n) for n in range(-2, 4)])
    definition = (PLATFORM / "pipelines/recommendations.yaml").read_text()
    (data.folder / "recommendations.yaml").write_text(with_defaults(definition, data.pipeline(database)))
    async with connected(stack.signalbox.api_url, stack.signalbox.token_file) as api:
        await api.ask("PUT", "/secrets/recommendations-database", {"value": database, "uses": ["work"]})
        applied = stack.command("pipeline", "apply", str(data.folder / "recommendations.yaml"))
        assert applied.returncode == 0, applied.stderr
        for number in (-2, -1, 0):
            data.deliver(data.day(number))
        shown = await ran(data, stack, "initial_load", 0)
        assert re.search(r"initial_load \S+: end, duration \d+ s", shown), shown
        await asserted(api, data, database, 0)
        for number in (1, 2, 3):
            if number != 2:
                data.deliver(data.day(number))
            shown = await ran(data, stack, "daily_pipeline", number)
            assert re.search(r"daily \S+: end, duration \d+ s", shown), shown
            assert ("did not succeed; try 2 of 3" in shown) == (number == 2), shown
            await asserted(api, data, database, number)
        for name in ("ingestion", "processing", "loader"):
            assert data.check(name) == 0
        server = urlsplit(database)
        address = {"POSTGRES_HOST": str(server.hostname), "POSTGRES_PORT": str(server.port)}
        assert data.check("postgres", **address) == 0
        assert data.check("postgres", **{**address, "POSTGRES_PORT": str(free_ports(1)[0])}) == 1


async def ran(data: DataPlatform, stack: RunningStack, kind: str, number: int) -> str:
    """What the script printed, which ended with 0. The file of a late day is delivered after its first failure."""
    environment = {
        "PATH": f"{BIN}:{os.environ['PATH']}", "HOME": str(data.folder), "SIGNALBOX_API_URL": stack.signalbox.api_url,
        "SIGNALBOX_TOKEN": stack.token,
    }  # fmt: skip

    def followed() -> tuple[int, str]:
        lines: list[str] = []
        with data.script(kind, data.day(number), environment) as script:
            assert script.stdout
            for line in script.stdout:
                lines.append(line)
                if "did not succeed" in line:
                    data.deliver(data.day(number))
        return script.returncode, "".join(lines)

    code, shown = await asyncio.to_thread(followed)
    assert code == 0, shown
    return shown


async def asserted(api: Api, data: DataPlatform, database: str, number: int) -> None:
    """The API of the platform serves what the events of the window mean."""
    day = data.day(number)
    listed = [plan for plan in await api.every("/plans") if plan["state"] == "SUCCEEDED"]
    assert listed
    await asyncio.to_thread(_assert_served, data, database, day)


def _assert_served(data: DataPlatform, database: str, day: date) -> None:
    with data.served(database) as url:
        for user, items in data.expected(day).items():
            answer = _get(f"{url}/recommendations/{user}")
            assert [(one["item"], one["score"]) for one in answer["items"]] == items, (user, day)
            assert {one["day"] for one in answer["items"]} <= {str(day)}


def _get(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return cast("dict[str, Any]", json.load(answer))
