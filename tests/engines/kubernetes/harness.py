"""The Kubernetes engine: a namespace of its own in a real cluster, with real containers."""

import asyncio
import itertools
import json
import shlex
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Self

import yaml

from engines.harness import EngineHarness, WorkRequest, leave_when_begun, lines_in
from engines.kubernetes.cluster import KubernetesCluster, shared_cluster
from engines.kubernetes.distribution import IMAGE
from signalbox_contracts.definitions.work import KubernetesWork, Work
from signalbox_executor.engines.kubernetes.adapter import KubernetesEngine
from signalbox_executor.engines.port import Engine, Submission
from support.holding_proxy import HoldingProxy

_numbers = itertools.count(1)
ENDLESS: Final = "sleep 600 & trap 'kill $!; exit 143' TERM; wait"
"""A shell that ends at once when it is asked to: process 1 of a container ignores SIGTERM otherwise."""


def shell_work(script: str, **fields: Any) -> KubernetesWork:
    """Work that runs a shell script in the image of the tests."""
    defaults: dict[str, Any] = {"image_pull_policy": "Never", "stop_grace_seconds": 1}
    return KubernetesWork.model_validate({"image": IMAGE, "command": ["/bin/sh", "-c", script], **defaults, **fields})


class Harness(EngineHarness):
    """One namespace. Each run appends a line to a file of the host when its container begins."""

    kind = "kubernetes"
    lost_answer_point = "kubernetes.released"
    begins_late = True
    late_submit_starts = False
    max_result_bytes = 4095
    keeps_empty_results = False

    proxy: HoldingProxy | None = None

    def __init__(self, cluster: KubernetesCluster, folder: Path) -> None:
        self.cluster = cluster
        self.folder = folder
        self.namespace = f"test-{next(_numbers)}"
        self.stamps = folder / "stamps"
        self.stamps.mkdir(parents=True)
        self.stamps.chmod(0o777)
        self.connection = {
            "kind": "kubernetes",
            "config": str(cluster.kubeconfig),
            "namespace": self.namespace,
            "max_parallel_workers": 100,
        }
        self.settings = {"SIGNALBOX_KUBERNETES_CONFIG_FILES": str(cluster.kubeconfig)}
        cluster.kubectl("create", "namespace", self.namespace)

    @classmethod
    @contextmanager
    def started(cls, folder: Path) -> Generator[Self]:
        """In the one cluster of this test run."""
        harness = cls(shared_cluster(), folder)
        try:
            yield harness
        finally:
            harness.delete_jobs()

    @classmethod
    @contextmanager
    def started_to_be_late(cls, folder: Path) -> Generator[Self]:
        """Executors reach the cluster through a proxy, which `late` uses."""
        with cls.started(folder) as harness:
            direct = yaml.safe_load(harness.cluster.kubeconfig.read_text())
            cluster = direct["clusters"][0]["cluster"]
            with HoldingProxy(cluster["server"], Path(cluster["certificate-authority"])) as proxy:
                cluster["server"], harness.proxy = proxy.url, proxy
                config = folder / "through-the-proxy.kubeconfig"
                config.write_text(yaml.safe_dump(direct))
                harness.connection = {**harness.connection, "config": str(config)}
                harness.settings = {"SIGNALBOX_KUBERNETES_CONFIG_FILES": str(config)}
                yield harness

    async def end_all(self) -> None:
        await asyncio.to_thread(self.delete_jobs)

    def delete_jobs(self) -> None:
        self.kubectl("delete", "jobs", "--all", "--cascade=background", "--wait=false")

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """In the namespace of this harness."""
        return self.cluster.kubectl("-n", self.namespace, *arguments, stdin=stdin)

    def create_raw(self, path: str, document: Mapping[str, Any]) -> None:
        """POST to a path of the API, such as a part of an object."""
        self.cluster.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(document))

    def apply(self, document: Mapping[str, Any]) -> None:
        self.kubectl("apply", "-f", "-", stdin=json.dumps(document))

    def objects(self, kinds: str, selector: str = "") -> list[dict[str, Any]]:
        """Objects of the namespace, such as `jobs,pods`."""
        found = self.kubectl("get", kinds, "-o", "json", *(("-l", selector) if selector else ()))
        return list(json.loads(found)["items"])

    def work(self, key: str, request: WorkRequest) -> Work:
        lines = ['echo begun >> "/stamps/$SIGNALBOX_RUN_KEY"', f"printf %s {shlex.quote(request.log)}"]
        files: dict[str, str] = {}
        if request.result is not None:
            pieces = range(0, max(1, len(request.result)), 16_000)
            files = {f"result-{at:06d}": request.result[at : at + 16_000] for at in pieces}
            lines.append('cat /config/job/result-* > "$SIGNALBOX_RESULT"')
        lines.append(ENDLESS if request.endless else f"exit {request.exit_code}")
        template = self.stamped()
        if request.refused:
            template["spec"]["nodeNmae"] = "x"
        return shell_work("\n".join(lines), files=files, pod_template=template)

    def stamped(self) -> dict[str, Any]:
        """What makes the folder of the stamps appear in the container."""
        volume = {"name": "stamps", "hostPath": {"path": str(self.stamps)}}
        container = {"name": "main", "volumeMounts": [{"name": "stamps", "mountPath": "/stamps"}]}
        return {"spec": {"volumes": [volume], "containers": [container]}}

    def wrong_work(self) -> tuple[Work, str]:
        return shell_work("true", pod_template={"spec": {"nodeNmae": "x"}}), "work.pod_template.spec.nodeNmae"

    async def submit_without_answer(self, submission: Submission) -> None:
        await leave_when_begun(self, submission)

    async def starts(self, key: str) -> int:
        return lines_in(self.stamps / key)

    async def out_of_reach(self) -> Engine:
        return await self.open(server="https://127.0.0.1:1")

    @property
    def adapter(self) -> KubernetesEngine:
        """The adapter with all it can do."""
        assert isinstance(self.engine, KubernetesEngine)
        return self.engine

    @contextmanager
    def late(self, key: str) -> Generator[None]:
        """The Job is there, suspended; what releases it is under way."""
        assert self.proxy is not None
        with self.proxy.holding(f"/jobs/{key}"):
            yield

    def forget(self, key: str) -> None:
        self.clean(key)

    def clean(self, key: str) -> None:
        arguments = ("delete", "job", key, "--ignore-not-found", "--wait=false")
        self.kubectl(*arguments)
