"""A real cluster for the manifests. It has no service proxy and no DNS, so every pod shares the host's network.

An admission policy of this cluster adds that, with the names of the services in the hosts file: the manifests stay as
they are shipped.
"""

import json
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any, Final, cast

from deployment import stand_ins
from deployment.compose_stack import HOME, version
from deployment.docker import Docker
from engines.kubernetes.cluster import KubernetesCluster

NAMESPACE: Final = "signalbox-dev"
OVERLAY: Final = HOME / "k8s/overlays/dev"
PORTS: Final = (5432, 6379, 8000, 8080, 9092, 9093, *range(9101, 9107), 9110)
SERVICES: Final = ("planner", "executor", "scheduler", "notifier", "reprocessor", "api-gateway")
DEPLOYMENTS: Final = (*SERVICES, "console")
REGISTRY_NAMES: Final = {"postgres": "postgres:17", "kafka": "apache/kafka:4.1.0", "redis": "redis:7"}
"""What the manifests call the images that the stand-ins stand in for."""
CLAIMS: Final = {"data-postgres-0": 999, "data-kafka-0": 1000, "signalbox-files": 10001}
"""Claim → the user whose files it holds."""
POLICY: Final = {
    "apiVersion": "admissionregistration.k8s.io/v1beta1",
    "kind": "MutatingAdmissionPolicy",
    "metadata": {"name": "host-network"},
    "spec": {
        "reinvocationPolicy": "Never",
        "failurePolicy": "Fail",
        "matchConstraints": {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": NAMESPACE}},
            "resourceRules": [
                {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
            ],
        },
        "mutations": [
            {
                "patchType": "JSONPatch",
                "jsonPatch": {
                    "expression": '[JSONPatch{op: "add", path: "/spec/hostNetwork", value: true}, '
                    'JSONPatch{op: "add", path: "/spec/hostAliases", value: [{"ip": dyn("127.0.0.1"), '
                    '"hostnames": dyn(["kafka", "postgres", "redis", "notifier", "api-gateway"])}]}]'
                },
            }
        ],
    },
}
BINDING: Final = {
    "apiVersion": "admissionregistration.k8s.io/v1beta1",
    "kind": "MutatingAdmissionPolicyBinding",
    "metadata": {"name": "host-network"},
    "spec": {"policyName": "host-network"},
}


class ManifestCluster(KubernetesCluster):
    """The cluster of the engine's tests, with that policy."""

    def _api_server_options(self) -> dict[str, object]:
        return {
            **super()._api_server_options(),
            "feature-gates": "MutatingAdmissionPolicy=true",
            "runtime-config": "admissionregistration.k8s.io/v1beta1=true",
        }

    volumes: Path
    """Where `prepare` makes the folders of the claims."""

    @property
    def program(self) -> str:
        """The binary that is kubectl when it is called with that word."""
        return self._binary

    def prepare(self, docker: Docker, folder: Path) -> None:
        """Images, volumes and the policy: what an administrator of a cluster does before."""
        taken = [port for port in PORTS if _taken(port)]
        if taken:
            raise RuntimeError(f"ports {taken} of this machine are in use; the pods share its network and need them")
        self.volumes = folder
        self._import(docker, folder)
        for claim, user in CLAIMS.items():
            self.kubectl("apply", "-f", "-", stdin=json.dumps(_volume(claim, user, folder / claim)))
        for document in (POLICY, BINDING):
            self.kubectl("apply", "-f", "-", stdin=json.dumps(document))
        self.until(lambda: self._policy_works(), "the admission policy works", seconds=60)

    def _policy_works(self) -> bool:
        """Whether a pod that is not stored gets the host's network."""
        self.answers("create", "namespace", NAMESPACE)
        pod = {
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "look", "namespace": NAMESPACE},
            "spec": {"containers": [{"name": "look", "image": "none"}]},
        }  # fmt: skip
        shown = self._kubectl(
            ("create", "--dry-run=server", "-o", "json", "-f", "-"), json.dumps(pod), check=False
        ).stdout
        found = cast("dict[str, Any]", json.loads(shown)) if shown else {}
        return bool(found.get("spec", {}).get("hostNetwork"))

    def _import(self, docker: Docker, folder: Path) -> None:
        for name, tag in REGISTRY_NAMES.items():
            docker.run("tag", stand_ins.NAMES[name], tag)
        archive = folder / "images.tar"
        ours = [f"signalbox/{name}:{version()}" for name in (*DEPLOYMENTS, "reprocessing-worker", "tools")]
        docker.run("save", "-o", str(archive), *ours, *REGISTRY_NAMES.values())
        program = self._runtime.program("ctr")
        subprocess.run(
            [program, "-a", str(self._socket), "-n", "k8s.io", "images", "import", str(archive)],
            check=True, capture_output=True, timeout=900,
        )  # fmt: skip
        archive.unlink()

    def ours(self, *arguments: str) -> str:
        """kubectl in the namespace of the overlay."""
        return self.kubectl("-n", NAMESPACE, *arguments)

    def ready(self, seconds: int = 600, *, servers: bool = True) -> None:
        """Return when the job is done and every part has rolled out."""
        self._waited("wait", "--for=condition=complete", "job/provision", f"--timeout={seconds}s", seconds=seconds)
        ours = [f"deployment/{name}" for name in DEPLOYMENTS]
        for part in (*(("statefulset/postgres", "statefulset/kafka") if servers else ()), *ours):
            self._waited("rollout", "status", part, f"--timeout={seconds}s", seconds=seconds)

    def _waited(self, *arguments: str, seconds: int) -> None:
        command = [self._binary, "kubectl", "--kubeconfig", str(self.kubeconfig), "-n", NAMESPACE, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30, check=False)
        if done.returncode:
            raise AssertionError(f"kubectl {' '.join(arguments)}: {done.stderr[-1000:]}\n{self.state()}")

    def state(self) -> str:
        """Pods, events and logs, for whoever reads a failed test."""
        shown = [self.ours("get", "pods", "-o", "wide"), self.ours("get", "events", "--sort-by=.lastTimestamp")[-6000:]]
        selectors = [f"app.kubernetes.io/name={name}" for name in ("provision", *DEPLOYMENTS)]
        shown += [self._logs(selector) for selector in selectors]
        return "\n".join(shown)

    def _logs(self, selector: str) -> str:
        words = ("-n", NAMESPACE, "logs", "-l", selector, "--all-containers", "--tail=15")
        return self._kubectl(words, None, check=False).stdout[-3000:]


def _volume(claim: str, user: int, folder: Path) -> dict[str, Any]:
    """A volume of this host for one claim."""
    parts = ("blobs", "process", "work", "events", "reprocessing") if claim == "signalbox-files" else ()
    for place in (folder, *(folder / part for part in parts)):
        place.mkdir(parents=True)
        shutil.chown(place, user, user)
        place.chmod(0o750)
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": claim},
        "spec": {
            "capacity": {"storage": "4Gi"},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "hostPath": {"path": str(folder)},
            "claimRef": {"namespace": NAMESPACE, "name": claim},
        },
    }


def _taken(port: int) -> bool:
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind(("0.0.0.0", port))
        except OSError:
            return True
    return False
