"""`docker compose up` on a real engine: work through the API, a service killed, the stack down and up, nothing lost."""

import json
import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Generator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from demo.api import Api
from deployment import stand_ins
from deployment.compose_stack import HOME, ComposeStack
from deployment.demonstration import PIPELINE, Demonstration, session
from deployment.docker import Docker, DockerFailed
from deployment.test_deployment_observe import rules
from signalbox_local.ports import free_ports
from support.deadlines import block_until

pytestmark = [pytest.mark.deployment, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def stack(images: Docker, tmp_path_factory: pytest.TempPathFactory) -> Generator[ComposeStack]:
    folder = tmp_path_factory.mktemp("compose")
    made = ComposeStack(images, f"signalbox-test-{os.getpid()}", folder)
    made.make_secrets()
    began = time.monotonic()
    try:
        made.up()
        print(f"\nup and healthy after {time.monotonic() - began:.1f} s; memory {made.memory()}")
        yield made
    except BaseException:
        print(made.compose("ps", "-a", check=False), made.compose("logs", "--tail", "40", check=False)[-20_000:])
        raise
    finally:
        made.down(volumes=True)


async def test_work_survives_a_killed_service_and_a_stack_that_goes_down_and_up(stack: ComposeStack) -> None:
    token = stack.admin_token()
    async with session(token) as opened:
        demonstration = Demonstration(Api(stack.url, opened))
        await demonstration.define(stack.demo_database())
        first = await demonstration.initial_load(interrupt=lambda: stack.kill("executor"))
        assert stack.restarts("executor") == 1
        stack.down()
        stack.up()
        api = demonstration.api
        assert await api.ask("GET", f"/plans/{first['id']}") == first
        assert (await api.ask("GET", f"/pipelines/{PIPELINE}"))["id"] == PIPELINE
        second = await demonstration.next_day()
        listed = {plan["id"] for plan in await api.every("/plans")}
        assert listed == {first["id"], second["id"]}


async def test_a_backup_is_restored_on_an_empty_machine(stack: ComposeStack) -> None:
    folder = stack.folder / "backup"
    token = stack.admin_token("second")
    async with session(token) as opened:
        api = Api(stack.url, opened)
        before = await plans(api)
        stack.script("backup.sh", str(folder))
        refused = stack.script("restore.sh", str(folder), check=False)
        assert "say --yes" in refused
        stack.down(volumes=True)
        assert "does not run: start the stack" in stack.script("backup.sh", str(folder), check=False)
        stack.script("restore.sh", str(folder), "--yes")
        after = await plans(api)
        assert [one["id"] for one in after] == [one["id"] for one in before]
        for old, new in zip(before, after, strict=True):
            assert {name: new[name] for name in new if new[name] != old[name]} == {}
        assert before
        demonstration = Demonstration(api)
        await demonstration.define(stack.demo_database())
        await demonstration.initial_load()


async def plans(api: Api) -> list[dict[str, Any]]:
    """Every plan as people see it. A restored database counts its versions on from a later number."""
    found = await api.every("/plans")
    for plan in found:
        del plan["version"], plan["expected"]["task_versions"]
    return found


async def test_containers_run_as_nobody_special_on_a_root_that_cannot_be_written(stack: ComposeStack) -> None:
    for service in ("planner", "executor", "scheduler", "notifier", "reprocessor", "api-gateway"):
        shown = stack.compose(
            "exec", "-T", service, "sh", "-c", "id -u; touch /opt/signalbox/x 2>&1; cat /proc/1/environ"
        )
        assert shown.startswith("10001\n"), service
        assert "Read-only file system" in shown or "Permission denied" in shown
        assert "postgresql://" not in shown, "an address with its password is in the environment"


async def test_the_profile_engines_starts_an_engine_that_runs_a_job(stack: ComposeStack) -> None:
    """With the settings that are shipped; without `scripted:9200` among them its address is refused as an inner one."""
    stack.up("engines")
    listed = stack.compose("--profile", "engines", "config", "--services").split()
    assert set(listed) - set(stack.compose("config", "--services").split()) == {"scripted"}
    async with session(stack.admin_token("third")) as opened:
        api = Api(stack.url, opened)
        connection = {"kind": "scripted", "url": "http://scripted:9200"}
        engine = {"id": "scripted", "name": "scripted", "observe_every_seconds": 0.5, "connection": connection}
        await api.define("engines", engine)
        work = {"kind": "scripted", "script": {"run_seconds": 0.5}}
        await api.define("jobs", {"id": "tried", "name": "tried", "engine": "scripted", "work": work})
        plan = await api.ask("POST", "/jobs/tried/start", {})
        assert (await api.ended(plan["id"], seconds=120))["state"] == "SUCCEEDED"


def test_prometheus_scrapes_every_service(stack: ComposeStack) -> None:
    image = stand_ins.prometheus(stack.docker)
    if image is None:
        pytest.skip("prometheus is not installed: apt-get install prometheus")
    port = free_ports(1)[0]
    named = {"PROMETHEUS_IMAGE": image, "PROMETHEUS_PORT": str(port)}
    stack.compose("--profile", "observe", "up", "-d", "prometheus", check=True, seconds=600, **named)
    services = {"planner", "executor", "scheduler", "notifier", "reprocessor", "api-gateway"}
    block_until(
        lambda: answering(port, 'up{job="signalbox"} == 1') == services, seconds=120,
        why=lambda: str(answering(port, "up")), poll_seconds=1,
    )  # fmt: skip
    for metric in ("signalbox_consumer_lag_messages", "signalbox_outbox_oldest_seconds", "signalbox_loop_passes_total"):
        assert answering(port, metric) >= {"planner", "executor"}, metric
    assert answering(port, "signalbox_plans") == {"api-gateway"}
    assert answering(port, "signalbox_engine_up") == {"api-gateway"}
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/rules", timeout=10) as answer:
        assert len(json.load(answer)["data"]["groups"][0]["rules"]) == len(rules())


def answering(port: int, query: str) -> set[str]:
    """The services in Prometheus' answer; none while it does not answer."""
    address = f"http://127.0.0.1:{port}/api/v1/query?query={quote(query)}"
    try:
        with urllib.request.urlopen(address, timeout=10) as answer:
            return {one["metric"].get("service", "") for one in json.load(answer)["data"]["result"]}
    except OSError:
        return set()


def test_a_port_in_use_is_named_and_another_one_does(stack: ComposeStack) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with pytest.raises(DockerFailed, match=rf"127\.0\.0\.1:{port}.*(already allocated|already in use)"):
            stack.compose("up", "-d", "console", SIGNALBOX_PORT=port)
    stack.up()


def test_a_database_of_a_newer_version_is_one_line_and_nothing_is_changed(stack: ComposeStack) -> None:
    """Without this an older version would work on tables that it does not know."""
    stack.sql("UPDATE planner.schema_version SET version_num = '9999'")
    with pytest.raises(DockerFailed) as refused:
        stack.compose("run", "--rm", "-T", "provision")
    lines = [line for line in str(refused.value).splitlines() if line.startswith("provision: ")]
    assert len(lines) == 1
    assert "the schema planner is at revision 9999, which this version of planner does not know" in lines[0]
    assert "install the newer version again, or restore the backup" in lines[0]
    stack.sql("UPDATE planner.schema_version SET version_num = '0001'")
    stack.compose("run", "--rm", "-T", "provision")


@pytest.mark.parametrize(
    ("secrets", "line"),
    [
        ("", "there are no secrets yet: run compose/make-secrets.sh"),
        ("no-such-folder", r"no-such-folder/\w+_(password|url|key)"),
    ],
)
def test_a_missing_secret_is_named_before_anything_starts(
    images: Docker, tmp_path: Path, secrets: str, line: str
) -> None:
    stack = ComposeStack(images, f"signalbox-bare-{os.getpid()}", tmp_path)
    try:
        with pytest.raises(DockerFailed, match=line):
            stack.compose("up", "-d", SIGNALBOX_SECRETS=secrets and str(tmp_path / secrets))
        assert images.run("ps", "-q", "--filter", f"name={stack.project}") == ""
    finally:
        stack.make_secrets()
        stack.down(volumes=True)


def test_secrets_are_made_once(tmp_path: Path) -> None:
    script = HOME / "compose/make-secrets.sh"
    subprocess.run([script, tmp_path / "s"], check=True, capture_output=True, timeout=30)
    before = {file.name: file.read_text() for file in (tmp_path / "s").iterdir()}
    (tmp_path / "s" / "redis_url").unlink()
    done = subprocess.run([script, tmp_path / "s"], check=True, capture_output=True, text=True, timeout=30)
    assert "1 secrets made" in done.stdout
    assert {file.name: file.read_text() for file in (tmp_path / "s").iterdir()} == before
    assert len(set(before.values())) == len(before)
