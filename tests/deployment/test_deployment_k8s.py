"""`kubectl apply -k k8s/overlays/dev` on a real cluster: work through the API, a pod killed, all down and up again."""

import os
import subprocess
import tempfile
import time
from collections.abc import Generator
from pathlib import Path

import pytest

from demo.api import Api
from deployment.cluster import NAMESPACE, OVERLAY, ManifestCluster
from deployment.compose_stack import HOME, TOKEN
from deployment.demonstration import Demonstration, session
from deployment.docker import Docker

pytestmark = [pytest.mark.deployment, pytest.mark.timeout(3600)]
URL = "http://127.0.0.1:8000"


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
    admin = ("python", "-m", "signalbox_gateway", "admin", "create", "admin")
    shown = cluster.ours("exec", "deployment/api-gateway", "-c", "service", "--", *admin)
    token = TOKEN.search(shown)
    assert token
    async with session(token.group()) as opened:
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
    command = [cluster.program, "kubectl", "--kubeconfig", str(cluster.kubeconfig)]
    script = [HOME / "k8s/make-secrets.sh", "signalbox", secrets]
    environment = {**os.environ, "KUBECTL": " ".join(command)}
    done = subprocess.run(script, env=environment, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("created") == 7
    (secrets / "redis_url").unlink()
    done = subprocess.run(script, env=environment, check=False, capture_output=True, text=True, timeout=30)
    assert done.stderr.strip().endswith(f"is missing: run compose/make-secrets.sh {secrets}")


def test_a_cluster_without_the_needed_api_says_which(cluster: ManifestCluster) -> None:
    with pytest.raises(AssertionError, match='no matches for kind "PodMonitor"'):
        cluster.kubectl("apply", "--dry-run=server", "-f", str(HOME / "k8s/components/monitoring/podmonitor.yaml"))


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
