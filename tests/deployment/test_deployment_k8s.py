"""`kubectl apply -k k8s/overlays/dev` on a real cluster: work through the API, a pod killed, all down and up again."""

import asyncio
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Generator
from pathlib import Path

import pytest
import yaml

from demo.api import Api
from deployment.cluster import DEPLOYMENTS, NAMESPACE, OVERLAY, SERVICES, ManifestCluster
from deployment.compose_stack import HOME, TOKEN, version
from deployment.demonstration import Demonstration, session
from deployment.docker import Docker
from deployment.secure_servers import SecureServers, secure_servers
from signalbox_chassis.persistence.connection import connect
from support.deadlines import wait_until
from support.reprocessing import write_events

pytestmark = [pytest.mark.deployment, pytest.mark.timeout(3600)]
URL = "http://127.0.0.1:8080"
"""The console's nginx, with the API behind it."""
JOBS = "/api/admin/reprocessing/jobs"
FILES, LINES = 12, 50
CREATE_TOPIC = """
import asyncio
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

async def main():
    admin = AIOKafkaAdminClient(bootstrap_servers="kafka:9092")
    await admin.start()
    await admin.create_topics([NewTopic("bulker-destinations", 4, 1)])
    await admin.close()

asyncio.run(main())
"""
COUNT_SENT = """
import asyncio
from aiokafka import AIOKafkaConsumer, TopicPartition

async def main():
    async with AIOKafkaConsumer(bootstrap_servers="kafka:9092") as consumer:
        print(sum((await consumer.end_offsets([TopicPartition("bulker-destinations", n) for n in range(4)])).values()))

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def cluster(images: Docker) -> Generator[ManifestCluster]:
    with ManifestCluster.started() as started, tempfile.TemporaryDirectory(dir="/var/tmp") as place:
        # pods of another user than root enter these folders
        Path(place).chmod(0o755)
        started.prepare(images, Path(place))
        began = time.monotonic()
        started.kubectl("apply", "-k", str(OVERLAY))
        started.ready()
        print(f"\nrolled out after {time.monotonic() - began:.1f} s")
        yield started


async def test_work_survives_a_killed_pod_and_everything_down_and_up(cluster: ManifestCluster) -> None:
    async with session(administrator(cluster, "admin")) as opened:
        async with opened.get(f"{URL}/console/") as page:
            assert page.status == 200
            assert "<title>Signalbox" in await page.text()
        demonstration = Demonstration(Api(URL, opened))
        await demonstration.define(database(cluster))
        first = await demonstration.initial_load(interrupt=lambda: kill_executor(cluster))
        for replicas in ("0", "1"):
            cluster.ours("scale", "deployment,statefulset", "--all", f"--replicas={replicas}")
            if replicas == "0":
                cluster.until(lambda: "NAME" not in pods(cluster), "every pod is gone")
        cluster.ready()
        assert await demonstration.api.ask("GET", f"/plans/{first['id']}") == first
        second = await demonstration.next_day()
        assert {plan["id"] for plan in await demonstration.api.every("/plans")} == {first["id"], second["id"]}


def test_the_manifests_can_be_applied_again_and_change_nothing(cluster: ManifestCluster) -> None:
    assert "created" not in cluster.kubectl("apply", "-k", str(OVERLAY))
    assert cluster.kubectl("diff", "-k", str(OVERLAY)) == ""


def test_the_cluster_takes_every_manifest_of_production(cluster: ManifestCluster, tmp_path: Path) -> None:
    """Strictly: a field that the API does not know is an error."""
    secrets = tmp_path / "secrets"
    subprocess.run([HOME / "compose/make-secrets.sh", secrets], check=True, capture_output=True, timeout=30)
    cluster.answers("create", "namespace", "signalbox")
    shown = cluster.kubectl("apply", "--dry-run=server", "-k", str(HOME / "k8s/overlays/prod"))
    for kind in ("networkpolicy", "poddisruptionbudget", "horizontalpodautoscaler", "ingress", "deployment", "job"):
        assert f"{kind}." in shown
    made = list(yaml.safe_load_all(cluster.kubectl("kustomize", str(HOME / "k8s/overlays/prod"))))
    fixed = {one["metadata"]["name"] for one in made if one["kind"] == "Deployment" and "replicas" in one["spec"]}
    scaled = {one["metadata"]["name"] for one in made if one["kind"] == "HorizontalPodAutoscaler"}
    assert (fixed | scaled, fixed & scaled) == ({*DEPLOYMENTS}, set()), "an apply takes nothing back"
    command = [cluster.program, "kubectl", "--kubeconfig", str(cluster.kubeconfig)]
    script = [HOME / "k8s/make-secrets.sh", "signalbox", secrets]
    environment = {**os.environ, "KUBECTL": " ".join(command)}
    done = subprocess.run(script, env=environment, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("created") == 7
    (secrets / "redis_url").unlink()
    done = subprocess.run(script, env=environment, check=False, capture_output=True, text=True, timeout=30)
    assert done.stderr.strip().endswith(f"is missing: run compose/make-secrets.sh {secrets}")


def test_what_a_cluster_lacks_is_a_line_each_before_anything_is_applied(
    cluster: ManifestCluster, tmp_path: Path
) -> None:
    kubectl = f"{cluster.program} kubectl --kubeconfig {cluster.kubeconfig}"

    def check(overlay: Path, **more: str) -> list[str]:
        done = subprocess.run(
            [HOME / "k8s/check.sh", overlay], env={**os.environ, "KUBECTL": kubectl, **more}, check=False,
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert done.returncode == (1 if done.stderr else 0)
        return done.stderr.splitlines()

    assert check(OVERLAY) == []
    shutil.copytree(HOME / "k8s", tmp_path / "k8s")
    overlay = tmp_path / "k8s/overlays/prod"
    text = (overlay / "kustomization.yaml").read_text().replace("namespace: signalbox", "namespace: elsewhere")
    text = text.replace("# - ../../components/monitoring", "- ../../components/monitoring")
    (overlay / "kustomization.yaml").write_text(text)
    lines = check(overlay)
    assert lines[0] == (
        "check.sh: the cluster does not know PodMonitor of monitoring.coreos.com/v1: "
        "install what brings it, or leave out the component that has it"
    )
    missing = [line.partition("no secret ")[2].partition(" ")[0] for line in lines[1:]]
    assert missing == sorted([*(f"{name}-secrets" for name in (*SERVICES, "provision")), "signalbox-tls"])
    (line,) = check(overlay, KUBECTL=f"{kubectl} --server=https://127.0.0.1:1")
    assert line.startswith("check.sh: no cluster answers")
    assert not cluster.answers("get", "namespace", "elsewhere")


def test_a_service_account_may_do_nothing_but_what_its_service_needs(cluster: ManifestCluster) -> None:
    def may(account: str, verb: str, resource: str) -> bool:
        user = f"system:serviceaccount:{NAMESPACE}:signalbox-{account}"
        return cluster.answers("-n", NAMESPACE, "auth", "can-i", verb, resource, "--as", user, "-q")

    assert may("executor", "create", "jobs.batch")
    assert not may("executor", "list", "secrets")
    assert not may("executor", "delete", "pods")
    for account in ("planner", "scheduler", "notifier", "reprocessor", "api-gateway", "provision"):
        assert not may(account, "create", "jobs.batch")
        assert not may(account, "get", "secrets")


async def test_files_of_events_are_sent_again_by_pods_of_the_workers_image(cluster: ManifestCluster) -> None:
    events = cluster.volumes / "signalbox-files" / "events"
    await asyncio.to_thread(write_events, events, FILES, LINES)
    python(cluster, CREATE_TOPIC)
    # pods share the host's network here, so a new one gets the port only after the old one is gone
    recreate = {"spec": {"strategy": {"type": "Recreate", "rollingUpdate": None}}}
    cluster.ours("patch", "deployment/reprocessor", "--type=merge", "-p", json.dumps(recreate))
    cluster.ours("set", "env", "deployment/reprocessor", "SIGNALBOX_REPROCESSING_KAFKA_BOOTSTRAP=kafka:9092")
    cluster.ready()
    async with session(administrator(cluster, "eve")) as opened:
        api = Api(URL, opened)
        in_cluster = {"kind": "kubernetes", "config": "local", "namespace": NAMESPACE}
        await api.define("engines", {"id": "cluster", "name": "This cluster", "connection": in_cluster})
        body = {"local_path": "/var/lib/signalbox/events", "connection_ids": ["lake"], "engine": "cluster"}
        path = f"{JOBS}/{(await api.ask('POST', JOBS, body))['id']}"

        async def ended() -> bool:
            return (await api.ask("GET", path))["status"] in ("completed", "failed", "cancelled")

        await wait_until(ended, seconds=300, why="the job has ended", poll_seconds=0.5)
        job = await api.ask("GET", path)
        logs = await api.ask("GET", f"{path}/logs?tail=20")
    assert (job["status"], job["total_workers"]) == ("completed", 2), (job, logs)
    assert (job["total_lines"], job["success_count"], job["balanced"]) == (FILES * LINES, FILES * LINES, True)
    image = cluster.ours("get", "job", job["k8s_job_name"], "-o", "jsonpath={.spec.template.spec.containers[0].image}")
    assert image == f"signalbox/reprocessing-worker:{version()}"
    assert int(python(cluster, COUNT_SENT)) == FILES * LINES


def test_services_of_a_cluster_reach_secure_servers_with_users_of_their_own(
    cluster: ManifestCluster, run_folder: Path, tmp_path: Path
) -> None:
    """The last test of this file: what ran before in this namespace is gone."""
    cluster.ours("delete", "deployment,statefulset,job", "--all", "--wait", "--timeout=180s")
    shutil.copytree(HOME / "k8s", tmp_path / "k8s")
    (run_folder / "k8s-secure").mkdir()
    with secure_servers(run_folder / "k8s-secure") as servers:
        secrets = tmp_path / "secrets"
        secrets.mkdir()
        for file in servers.secrets.iterdir():
            text = file.read_text().replace(str(servers.ca), "/run/secrets/signalbox/ca.pem")
            (secrets / file.name).write_text(text)
        kubectl = f"{cluster.program} kubectl --kubeconfig {cluster.kubeconfig}"
        script = [HOME / "k8s/make-secrets.sh", NAMESPACE, secrets]
        subprocess.run(script, env={**os.environ, "KUBECTL": kubectl}, check=True, capture_output=True, timeout=120)
        overlay = tmp_path / "k8s/overlays/secure"
        overlay.mkdir()
        names = ("tools", *DEPLOYMENTS)
        (overlay / "kustomization.yaml").write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "kustomize.config.k8s.io/v1beta1",
                    "kind": "Kustomization",
                    "namespace": NAMESPACE,
                    "resources": ["../../base"],
                    "components": ["../../components/secure"],
                    "images": [{"name": f"signalbox/{name}", "newTag": version()} for name in names],
                    "configMapGenerator": [
                        {
                            "name": "signalbox-settings",
                            "behavior": "merge",
                            "literals": [
                                f"SIGNALBOX_KAFKA_BOOTSTRAP={servers.kafka.bootstrap}",
                                "SIGNALBOX_BLOB_URL=file:///tmp/blobs",
                            ],
                        }
                    ],
                }
            )
        )
        cluster.kubectl("apply", "-k", str(overlay))
        cluster.ready(servers=False)
        assert administrator(cluster, "ann")
        assert asyncio.run(encrypted(servers)) == {f"signalbox_{name.replace('-', '_')}": True for name in SERVICES}
        cluster.ours("delete", "deployment,job", "--all", "--wait", "--timeout=180s")


async def encrypted(servers: SecureServers) -> dict[str, bool]:
    """Role of a service → whether all of its connections to PostgreSQL are encrypted."""
    admin = await connect(servers.secret("admin_database_url"), timeout=10)
    try:
        rows = await admin.fetch(
            "SELECT usename, bool_and(ssl) AS ssl FROM pg_stat_activity JOIN pg_stat_ssl USING (pid)"
            " WHERE usename LIKE 'signalbox\\_%' GROUP BY 1"
        )
    finally:
        await admin.close()
    return {row["usename"]: row["ssl"] for row in rows}


def python(cluster: ManifestCluster, program: str) -> str:
    """What a program prints in a pod that reaches Kafka."""
    return cluster.ours("exec", "deployment/planner", "-c", "service", "--", "python", "-c", program)


def administrator(cluster: ManifestCluster, name: str) -> str:
    """The token of a new one."""
    admin = ("python", "-m", "signalbox_gateway", "admin", "create", name)
    token = TOKEN.search(cluster.ours("exec", "deployment/api-gateway", "-c", "service", "--", *admin))
    assert token
    return token.group()


def pods(cluster: ManifestCluster) -> str:
    """The pods of the services that are still there, with a head line; empty without any."""
    return cluster.ours("get", "pods", "-l", "app.kubernetes.io/name!=provision")


def kill_executor(cluster: ManifestCluster) -> None:
    """Without a moment to drain."""
    cluster.ours("delete", "pod", "-l", "app.kubernetes.io/name=executor", "--grace-period=0", "--force")


def database(cluster: ManifestCluster) -> str:
    """A database and role for the pipeline's loader, and its address."""
    login = 'PGPASSWORD="$(cat $POSTGRES_PASSWORD_FILE)" psql -q -h 127.0.0.1 -U signalbox -d signalbox -c "$0"'
    for statement in ("CREATE ROLE demo LOGIN PASSWORD 'demo-password'", "CREATE DATABASE demo OWNER demo"):
        cluster.ours("exec", "postgres-0", "--", "sh", "-c", login, statement)
    return "postgresql://demo:demo-password@postgres:5432/demo"
