"""Kafka with users, TLS and an access list, PostgreSQL and Redis over TLS: a pipeline runs, intruders do not."""

import asyncio
import os
import subprocess
import sys
import uuid
from collections.abc import Generator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiokafka.errors import GroupAuthorizationFailedError, TopicAuthorizationFailedError

from demo.api import Api
from deployment.installation import SCRIPTED, SERVICES, Installation, run
from deployment.secure_servers import SecureServers, installation_on, script, secure_servers
from signalbox_chassis.messaging.connection import KafkaRefused, consumer, producer
from signalbox_chassis.persistence.connection import connect

pytestmark = [pytest.mark.deployment, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def servers(run_folder: Path) -> Generator[SecureServers]:
    folder = run_folder / "secure"
    folder.mkdir()
    with secure_servers(folder) as made:
        yield made


@pytest.fixture(scope="module")
def installed(servers: SecureServers, run_folder: Path) -> Generator[Installation]:
    """Every service, each with its own user, role and secrets."""
    made = installation_on(servers, run_folder / "installed")
    for _ in range(2):  # it may run again
        done = made.provision()
        assert done.returncode == 0, done.stderr
    try:
        made.start(SCRIPTED, *SERVICES)
        yield made
    finally:
        made.stop_all()


async def test_a_pipeline_runs_and_every_connection_is_encrypted(
    installed: Installation, servers: SecureServers
) -> None:
    def step(id: str, *before: str) -> dict[str, Any]:
        work = {"kind": "scripted", "script": {"run_seconds": 0.2}}
        return {"id": id, "engine": "e1", "work": work, "depends_on": list(before)}

    headers = {"Authorization": f"Bearer {installed.admin_token('ann')}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        api = Api(installed.api_url, session)
        await api.define("engines", {"id": "e1", "name": "e1", "observe_every_seconds": 0.1,
                                     "connection": {"kind": "scripted", "url": installed.scripted_url}})  # fmt: skip
        await api.define("pipelines", {"id": "p1", "name": "p1", "steps": [step("a"), step("b", "a")]})
        plan = await api.ask("POST", "/pipelines/p1/run", {"params": {}})
        assert (await api.ended(plan["id"], seconds=90))["state"] == "SUCCEEDED"
        status = await api.ask("GET", "/status")
    groups = {group["group"]: group["members"] for group in status["groups"]} if "groups" in status else {}
    assert all(groups.values()), status
    admin = await connect(servers.secret("admin_database_url"), timeout=10)
    try:
        rows = await admin.fetch(
            "SELECT a.usename, s.ssl FROM pg_stat_activity a JOIN pg_stat_ssl s USING (pid) WHERE a.usename LIKE 'sig%'"
        )
    finally:
        await admin.close()
    assert len({row["usename"] for row in rows}) == len(SERVICES)
    assert all(row["ssl"] for row in rows)


async def test_a_service_that_writes_a_topic_of_another_is_refused(
    installed: Installation, servers: SecureServers
) -> None:
    user, password = "signalbox_scheduler", servers.secret("scheduler_kafka_password")
    kafka = servers.connection(user, password)
    sender: Any = producer(kafka, enable_idempotence=True)
    await sender.start()
    try:
        with pytest.raises(TopicAuthorizationFailedError):
            await sender.send_and_wait("signalbox.requests.v1", b"{}")
    finally:
        await sender.stop()
    reader: Any = consumer(kafka, group_id="signalbox.planner.control")
    reader.subscribe(["signalbox.operations.v1"])
    try:
        with pytest.raises(GroupAuthorizationFailedError):
            await reader.start()
    finally:
        await reader.stop()


async def test_a_wrong_password_or_authority_is_one_clear_line(
    installed: Installation, servers: SecureServers, tmp_path: Path
) -> None:
    wrong = f"wrong-{uuid.uuid4().hex}"
    with pytest.raises(KafkaRefused, match="user signalbox_planner or its password is wrong"):
        await servers.connection("signalbox_planner", wrong).check()
    (tmp_path / "password").write_text(wrong)
    done = await asyncio.to_thread(
        installed.run, "planner", "-m", "signalbox_planner", SIGNALBOX_KAFKA_PASSWORD_FILE=str(tmp_path / "password")
    )
    assert done.returncode == 1
    assert "user signalbox_planner or its password is wrong" in last_line(done)
    assert wrong not in done.stderr + done.stdout
    done = await asyncio.to_thread(installed.provision, SIGNALBOX_KAFKA_PASSWORD_FILE=str(tmp_path / "password"))
    assert done.stderr.splitlines()[-1].startswith("provision: Kafka ")
    script("deploy/make-certificates.sh", tmp_path / "other")
    other = str(tmp_path / "other/ca.pem")
    done = await asyncio.to_thread(installed.run, "planner", "-m", "signalbox_planner", SIGNALBOX_KAFKA_CA_FILE=other)
    assert done.returncode == 1
    assert "its certificate is refused" in last_line(done)
    assert "SIGNALBOX_KAFKA_CA_FILE" in last_line(done)


async def test_a_wrong_authority_of_postgresql_is_one_clear_line(
    installed: Installation, servers: SecureServers, tmp_path: Path
) -> None:
    script("deploy/make-certificates.sh", tmp_path / "other")
    url = servers.secret("planner_database_url").replace(str(servers.ca), str(tmp_path / "other/ca.pem"))
    (tmp_path / "url").write_text(url)
    done = await asyncio.to_thread(
        installed.run, "planner", "-m", "signalbox_planner", SIGNALBOX_DATABASE_URL_FILE=str(tmp_path / "url")
    )
    assert done.returncode == 1
    assert "certificate verify failed" in last_line(done)
    admin = servers.secret("admin_database_url").replace(str(servers.ca), str(tmp_path / "other/ca.pem"))
    (tmp_path / "admin").write_text(admin)
    done = await asyncio.to_thread(installed.provision, SIGNALBOX_DATABASE_URL_FILE=str(tmp_path / "admin"))
    assert done.returncode == 1
    assert "certificate verify failed" in done.stderr.splitlines()[-1]


async def test_a_wrong_authority_of_redis_is_one_clear_line(servers: SecureServers, tmp_path: Path) -> None:
    script("deploy/make-certificates.sh", tmp_path / "other")
    url = servers.secret("redis_url")
    code = (
        "import asyncio,sys,logging; logging.basicConfig(format='%(message)s')\n"
        "from limits import RateLimitItemPerMinute as I\n"
        "from signalbox_gateway.identity import rate_limits\n"
        "rate_limits.REDIS_SECONDS = 30.0\n"  # the certificate is tried here, not the time
        "c=rate_limits.Counter(sys.stdin.read()); asyncio.run(c.hit(I(5),'x'))"
    )

    def tried(address: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", code], input=address, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stderr

    assert tried(url) == ""
    (line,) = tried(url.replace(str(servers.ca), str(tmp_path / "other/ca.pem"))).splitlines()
    assert "certificate verify failed" in line


def test_no_password_is_in_a_log_or_a_command_line(installed: Installation, servers: SecureServers) -> None:
    secrets = [file.read_text().strip() for file in servers.secrets.glob("*_password")]
    assert len(secrets) >= len(SERVICES)
    seen = subprocess.run(["ps", "axww", "-o", "args"], capture_output=True, text=True, check=True, timeout=30).stdout
    for name in SERVICES:
        environment = Path(f"/proc/{installed.processes[name].pid}/environ").read_text()
        seen += installed.log(name) + environment
    assert not [secret for secret in secrets if secret in seen]


def test_the_rules_are_printed_without_a_broker() -> None:
    done = run(["-m", "signalbox_chassis.messaging.access"], {"PATH": os.environ["PATH"]})
    assert "--add --allow-principal User:signalbox_planner --operation Write --topic signalbox.plans.v1" in done.stdout


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    return [line for line in done.stderr.splitlines() if " ends: " in line][-1]
