"""A real Prometheus with the rules that are shipped scrapes a running stack; each alert is made to fire once.

Only the times of the rules are shorter: `for` and the windows of rates. What they measure, and the limits, are as
shipped. Nothing fires before something goes wrong.
"""

import asyncio
import json
import re
import shutil
import subprocess
import urllib.request
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import aiohttp
import pytest
import yaml

from demo.api import Api
from deployment.installation import SCRIPTED, SERVICES, Installation, unused_port
from deployment.secure_servers import SecureServers, installation_on, secure_servers
from deployment.test_deployment_observe import OBSERVE, rules
from signalbox_chassis.messaging.connection import producer
from signalbox_chassis.persistence.connection import connect
from support.deadlines import block_until, wait_until

pytestmark = [
    pytest.mark.deployment,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus is not installed"),
]
EVENTS = 4000
QUIET_SECONDS = 15


class Prometheus:
    """The server of this machine, with the shipped configuration but for where the services are."""

    def __init__(self, folder: Path, installed: Installation) -> None:
        folder.mkdir()
        self.port = unused_port()
        configuration = yaml.safe_load((OBSERVE / "prometheus/prometheus.yml").read_text())
        configuration["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        (scrape,) = configuration["scrape_configs"]
        del scrape["dns_sd_configs"], scrape["relabel_configs"]
        scrape["static_configs"] = [
            {"targets": [f"127.0.0.1:{installed.ports[f'{name}.http']}"], "labels": {"service": name}}
            for name in SERVICES
        ]
        (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
        text = (OBSERVE / "prometheus/alerts.yml").read_text()
        text = re.sub(r"for: \d+m", "for: 5s", text).replace("[5m]", "[20s]")
        (folder / "alerts.yml").write_text(text)
        with (folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
                 f"--web.listen-address=127.0.0.1:{self.port}"],
                stdout=log, stderr=log,
            )  # fmt: skip

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(20)

    def ask(self, path: str) -> dict[str, Any]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/v1/{path}", timeout=10) as answer:
            return cast("dict[str, Any]", json.load(answer)["data"])

    def up(self) -> int:
        """Services that were scraped; 0 while it does not answer."""
        try:
            targets = self.ask("targets")["activeTargets"]
        except OSError:
            return 0
        return sum(one["health"] == "up" for one in targets)

    def firing(self) -> dict[str, list[dict[str, str]]]:
        """Alert → the labels of each that fires."""
        found: dict[str, list[dict[str, str]]] = {}
        for one in self.ask("alerts")["alerts"]:
            if one["state"] == "firing":
                found.setdefault(one["labels"]["alertname"], []).append(one["labels"])
        return found

    async def fires(self, alert: str, seconds: float, **labels: str) -> None:
        """Return when it fires with these labels."""

        async def does() -> bool:
            shown = await asyncio.to_thread(self.firing)
            return any(labels.items() <= one.items() for one in shown.get(alert, []))

        await wait_until(does, seconds=seconds, why=f"{alert} fires with {labels}", poll_seconds=0.5)


@pytest.fixture(scope="module")
def servers(run_folder: Path) -> Generator[SecureServers]:
    folder = run_folder / "alerts"
    folder.mkdir()
    with secure_servers(folder) as made:
        yield made


@pytest.fixture(scope="module")
def installed(servers: SecureServers, run_folder: Path) -> Generator[Installation]:
    made = installation_on(servers, run_folder / "alerts-installed")
    done = made.provision()
    assert done.returncode == 0, done.stderr
    try:
        made.start(SCRIPTED, *SERVICES)
        yield made
    finally:
        made.stop_all()


@pytest.fixture(scope="module")
def prometheus(installed: Installation, run_folder: Path) -> Generator[Prometheus]:
    made = Prometheus(run_folder / "prometheus", installed)
    try:
        yield made
    finally:
        made.stop()


async def test_each_alert_fires_on_a_running_stack_and_none_without_a_cause(
    installed: Installation, servers: SecureServers, prometheus: Prometheus
) -> None:
    block_until(lambda: prometheus.up() == len(SERVICES), seconds=60, why="every service is scraped")
    headers = {"Authorization": f"Bearer {installed.admin_token('ann')}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        api = Api(installed.api_url, session)
        await _define(api, installed)
        await asyncio.sleep(QUIET_SECONDS)  # three times what the rules wait for
        assert prometheus.firing() == {}
        fired = await _all(api, installed, servers, prometheus)
    assert fired == {rule["alert"] for rule in rules()}


async def _all(api: Api, installed: Installation, servers: SecureServers, prometheus: Prometheus) -> set[str]:
    """Bring about what each alert is for, and wait until it fires; their names."""
    await _send(servers, "signalbox.triggers.v1", [b"no event"])
    await prometheus.fires("SignalboxMessagesParked", 60, service="planner")

    admin = await connect(servers.secret("admin_database_url"), timeout=10)
    try:
        await admin.execute("UPDATE api_gateway.definition SET body = '{}' WHERE kind = 'job' AND id = 'damaged'")
        await prometheus.fires("SignalboxDefinitionsUnreadable", 60, kind="job")
    finally:
        await admin.close()

    await api.ask("POST", "/jobs/long/start", {})
    installed.stop(SCRIPTED)
    await prometheus.fires("SignalboxEngineUnreachable", 120, engine="e1")
    installed.start(SCRIPTED)

    async with _locked(servers, "scheduler.schedule"):
        await asyncio.sleep(25)  # the limit of the rule is 10 s
    await prometheus.fires("SignalboxSchedulesLate", 60)

    async with _locked(servers, "planner.republish_request"):
        await prometheus.fires("SignalboxLoopFailing", 60, service="planner", loop="republish")

    async with _locked(servers, "planner.inbox"):
        event = {"specversion": "1.0", "source": "/alerts", "type": "nothing.follows", "time": "2026-01-01T00:00:00Z"}
        events = [json.dumps({**event, "id": str(number)}).encode() for number in range(EVENTS)]
        await _send(servers, "signalbox.triggers.v1", events)
        await prometheus.fires("SignalboxBehind", 120, service="planner")

    installed.stop("reprocessor")
    await prometheus.fires("SignalboxServiceDown", 60, service="reprocessor")
    installed.start("reprocessor")

    installed.stop("notifier")
    await prometheus.fires("SignalboxNotificationsLate", 150)
    installed.start("notifier")

    servers.kafka.stop()
    await prometheus.fires("SignalboxNotPublishing", 150, service="scheduler")
    servers.kafka.launch()
    return {
        "SignalboxMessagesParked", "SignalboxEngineUnreachable", "SignalboxSchedulesLate", "SignalboxLoopFailing",
        "SignalboxBehind", "SignalboxServiceDown", "SignalboxNotificationsLate", "SignalboxNotPublishing",
        "SignalboxDefinitionsUnreadable",
    }  # fmt: skip


async def _define(api: Api, installed: Installation) -> None:
    """An engine, two jobs on it, and a schedule that ticks every two seconds."""
    await api.define("engines", {"id": "e1", "name": "e1", "observe_every_seconds": 0.5,
                                 "connection": {"kind": "scripted", "url": installed.scripted_url}})  # fmt: skip
    for id, seconds in (("short", 0.1), ("long", 900), ("damaged", 0.1)):
        work = {"kind": "scripted", "script": {"run_seconds": seconds}}
        await api.define("jobs", {"id": id, "name": id, "engine": "e1", "work": work})
    await api.define("schedules", {
        "id": "often", "name": "often", "cron": "*/2 * * * * *", "target": {"kind": "job", "id": "short"},
        "missed": {"policy": "all", "max": 100},
    })  # fmt: skip


@asynccontextmanager
async def _locked(servers: SecureServers, table: str) -> AsyncGenerator[None]:
    """Nobody else reads or writes this table during the block."""
    admin = await connect(servers.secret("admin_database_url"), timeout=10)
    try:
        await admin.execute("SET idle_in_transaction_session_timeout = 0; SET lock_timeout = '60s'")
        async with admin.transaction():
            await admin.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            yield
    finally:
        await admin.close()


async def _send(servers: SecureServers, topic: str, values: list[bytes]) -> None:
    sender: Any = producer(servers.connection("kafka_admin", servers.secret("kafka_admin_password")))
    await sender.start()
    try:
        await asyncio.gather(*[await sender.send(topic, value) for value in values])
    finally:
        await sender.stop()
