"""A real Kubernetes cluster of one machine: API server, controllers, scheduler, kubelet, containers; ready in seconds.

`KubernetesCluster.started()` is the one function tests need. The processes die with the test run, whatever ends it;
what containers a killed run leaves behind, the next one removes.
"""

import atexit
import base64
import contextlib
import fcntl
import json
import os
import shutil
import signal
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final, Self

import yaml

from engines.kubernetes.certificates import Certificates
from engines.kubernetes.distribution import IMAGE, cache, image, kubernetes, runtime
from signalbox_local.ports import free_ports
from signalbox_local.process import OWNED, ServerProcess
from support.deadlines import block_until

READY_SECONDS: Final = 180
PARTS: Final = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "containerd", "kubelet")
_NETS: Final = range(96, 112)
"""Second octets of 127.N.0.0/24 and 10.N.0.0/16: clusters of several test runs stand side by side."""


class KubernetesCluster:
    """One cluster under a folder of the cache. The path is short: names of sockets below it have a limit of 108."""

    def __init__(self, net: int, folder: Path) -> None:
        self.net = net
        self.folder = folder
        self.address = f"127.{net}.0.1"
        self.url = f"https://{self.address}"
        self.certificates = Certificates(folder / "pki")
        self.kubelet_settings: dict[str, Any] = {}
        self._etcd, self._etcd_peer, self._kubelet_port = free_ports(3)
        self._binary = str(kubernetes())
        self._runtime = runtime()
        self._processes: dict[str, ServerProcess] = {}
        for part in PARTS:
            (folder / part).mkdir(parents=True, exist_ok=True)
            self._processes[part] = ServerProcess(
                folder / part, f"Kubernetes {part}", stop_signal=signal.SIGTERM, stop_seconds=10
            )

    @classmethod
    @contextmanager
    def started(cls, *, node: bool = True) -> Generator[Self]:
        """A cluster of the caller's own, empty; all of it is gone afterwards. Without a node no pod ever runs."""
        if os.geteuid() != 0:
            raise RuntimeError("containers need root: run the tests of the Kubernetes engine as root")
        with _free_net() as (net, folder):
            remove_leftovers(folder)
            cluster = cls(net, folder)
            try:
                cluster.start_control_plane()
                if node:
                    cluster.start_node()
                yield cluster
            finally:
                cluster.stop()

    @property
    def kubeconfig(self) -> Path:
        """Of an administrator."""
        return self.certificates.kubeconfig("admin")

    def start_control_plane(self) -> None:
        """Return when the API answers and the controllers work."""
        self.certificates.write(self.address)
        self.start("etcd")
        self.start("kube-apiserver")
        self.start("kube-controller-manager")
        self.start("kube-scheduler")
        self.until(lambda: self.answers("-n", "default", "get", "serviceaccount", "default"), "the controllers work")

    def start_node(self) -> None:
        """Return when the node is ready and has the image of the tests."""
        self.start("containerd")
        self._ctr("-n", "k8s.io", "images", "import", str(image()))
        self.start("kubelet")
        self.until(
            lambda: self.answers("wait", "--for=condition=Ready", "node/localhost", "--timeout=1s"), "the node is ready"
        )

    def start(self, part: str) -> None:
        """Start one part and return when it answers; where it has no way to answer, when it runs."""
        process, ready = self._processes[part], self._ready(part)
        process.start(self._command(part), life=OWNED, env={**os.environ, "PATH": self._runtime.path})
        process.wait_ready(ready, seconds=READY_SECONDS)

    def kill(self, part: str) -> None:
        """kill -9."""
        self._processes[part].kill()

    def stop(self) -> None:
        """End everything and remove what it leaves: containers, mounts, the bridge, the folder."""
        for part in ("kubelet", "kube-scheduler", "kube-controller-manager", "kube-apiserver", "etcd", "containerd"):
            self._processes[part].kill()  # nothing of it is needed any more
        remove_leftovers(self.folder)
        subprocess.run(["ip", "link", "delete", f"sbk{self.net}"], capture_output=True, timeout=10, check=False)

    def compact(self) -> None:
        """Let etcd forget every version but the last."""
        body = json.dumps({"key": base64.b64encode(b"/").decode()}).encode()
        revision = int(json.loads(self._post_etcd("range", body))["header"]["revision"])
        self._post_etcd("compaction", json.dumps({"revision": revision, "physical": True}).encode())

    def _post_etcd(self, call: str, body: bytes) -> bytes:
        with urllib.request.urlopen(f"http://127.0.0.1:{self._etcd}/v3/kv/{call}", data=body, timeout=30) as answer:
            return bytes(answer.read())

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """The output of kubectl as administrator. Raises `CalledProcessError` with what it wrote."""
        return self._kubectl(arguments, stdin, check=True).stdout

    def apply(self, manifest: str, *, namespace: str = "default") -> None:
        self.kubectl("-n", namespace, "apply", "-f", "-", stdin=manifest)

    def answers(self, *arguments: str) -> bool:
        """Whether kubectl succeeds with these arguments."""
        return self._kubectl(arguments, None, check=False).returncode == 0

    def until(self, condition: Callable[[], bool], what: str, seconds: float = READY_SECONDS) -> None:
        """Return when it holds; fail with `what` and the tails of all logs after the time."""

        def tails() -> str:
            return "\n".join(f"{name}:\n{process.log_tail(5)}" for name, process in self._processes.items())

        block_until(condition, seconds=seconds, why=lambda: f"{what}\n{tails()}", poll_seconds=0.1)

    def _kubectl(
        self, arguments: tuple[str, ...], stdin: str | None, *, check: bool
    ) -> subprocess.CompletedProcess[str]:
        command = [self._binary, "kubectl", "--kubeconfig", str(self.kubeconfig), *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=120, check=False)
        if check and done.returncode:
            raise AssertionError(f"kubectl {' '.join(arguments)} failed: {done.stderr[-2000:]}")
        return done

    def _ctr(self, *arguments: str) -> None:
        command = [self._runtime.program("ctr"), "-a", str(self._socket), *arguments]
        subprocess.run(command, check=True, capture_output=True, timeout=120)

    @property
    def _socket(self) -> Path:
        return self.folder / "containerd" / "c.sock"

    def _ready(self, part: str) -> Callable[[], bool]:
        if part == "etcd":
            return lambda: b"true" in _get(f"http://127.0.0.1:{self._etcd}/health")
        if part == "kube-apiserver":
            return lambda: _get(f"{self.url}/readyz", self.certificates.path("ca.crt")) == b"ok"
        if part == "containerd":
            return self._socket.exists
        return lambda: True

    def _command(self, part: str) -> list[str]:
        if part == "containerd":
            return [self._runtime.program("containerd"), "-c", str(self._containerd_settings())]
        options = {
            "etcd": self._etcd_options,
            "kube-apiserver": self._api_server_options,
            "kube-controller-manager": self._controller_options,
            "kube-scheduler": self._scheduler_options,
            "kubelet": self._kubelet_options,
        }[part]()
        return [self._binary, part, *(f"--{name}={value}" for name, value in options.items())]

    def _etcd_options(self) -> dict[str, object]:
        client, peer = f"http://127.0.0.1:{self._etcd}", f"http://127.0.0.1:{self._etcd_peer}"
        return {
            "name": "e1",
            "data-dir": self.folder / "etcd" / "data",
            "listen-client-urls": client,
            "advertise-client-urls": client,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": f"e1={peer}",
            "unsafe-no-fsync": "true",  # a killed process loses nothing by it
            "log-level": "warn",
        }

    def _api_server_options(self) -> dict[str, object]:
        """It listens on the address of its own Service: in-cluster configuration works without a proxy."""
        pki = self.certificates.path
        return {
            "etcd-servers": f"http://127.0.0.1:{self._etcd}",
            "bind-address": self.address,
            "secure-port": 443,
            "advertise-address": self.address,
            "endpoint-reconciler-type": "none",
            "service-cluster-ip-range": f"127.{self.net}.0.0/24",
            "tls-cert-file": pki("apiserver.crt"),
            "tls-private-key-file": pki("apiserver.key"),
            "token-auth-file": pki("tokens.csv"),
            "client-ca-file": pki("ca.crt"),
            "service-account-issuer": "https://kubernetes.default.svc",
            "service-account-key-file": pki("sa.pub"),
            "service-account-signing-key-file": pki("sa.key"),
            "authorization-mode": "Node,RBAC",
            "kubelet-preferred-address-types": "Hostname",
            "allow-privileged": "true",
            "profiling": "false",
        }

    def _controller_options(self) -> dict[str, object]:
        own = self.certificates.kubeconfig("kube-controller-manager")
        return {
            "kubeconfig": own,
            "authentication-kubeconfig": own,
            "authorization-kubeconfig": own,
            "service-account-private-key-file": self.certificates.path("sa.key"),
            "root-ca-file": self.certificates.path("ca.crt"),
            "use-service-account-credentials": "true",
            "leader-elect": "false",
            "bind-address": self.address,
            "cert-dir": self.folder / "kube-controller-manager" / "pki",
            "profiling": "false",
            "kube-api-qps": 300,
            "kube-api-burst": 600,
        }

    def _scheduler_options(self) -> dict[str, object]:
        own = self.certificates.kubeconfig("kube-scheduler")
        return {
            "kubeconfig": own,
            "authentication-kubeconfig": own,
            "authorization-kubeconfig": own,
            "leader-elect": "false",
            "bind-address": self.address,
            "cert-dir": self.folder / "kube-scheduler" / "pki",
            "profiling": "false",
            "kube-api-qps": 300,
            "kube-api-burst": 600,
        }

    def _kubelet_options(self) -> dict[str, object]:
        """Pods get no cgroups of their own: two kubelets on a machine would remove each other's."""
        settings: dict[str, Any] = {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": "127.0.0.1",
            "port": self._kubelet_port,
            "healthzPort": 0,
            "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
            "authorization": {"mode": "AlwaysAllow"},
            "containerRuntimeEndpoint": f"unix://{self._socket}",
            "podLogsDir": str(self.folder / "pods"),
            "cgroupDriver": "cgroupfs",
            "failCgroupV1": False,
            "cgroupsPerQOS": False,
            "enforceNodeAllocatable": [],
            "failSwapOn": False,
            "makeIPTablesUtilChains": False,
            "oomScoreAdj": 0,
            "imageGCHighThresholdPercent": 100,
            "evictionHard": {"memory.available": "100Mi", "nodefs.available": "0%", "imagefs.available": "0%"},
            "nodeStatusUpdateFrequency": "5s",
            "shutdownGracePeriod": "0s",
            "registryPullQPS": 100,
            "kubeAPIQPS": 300,
            "kubeAPIBurst": 600,
            "maxPods": 250,
            **self.kubelet_settings,
        }
        (self.folder / "kubelet.yaml").write_text(yaml.safe_dump(settings))
        return {
            "config": self.folder / "kubelet.yaml",
            "kubeconfig": self.certificates.kubeconfig("node"),
            "hostname-override": "localhost",
            "root-dir": self.folder / "kubelet" / "root",
            "cert-dir": self.folder / "kubelet" / "pki",
        }

    def _containerd_settings(self) -> Path:
        """`restrict_oom_score_adj`: a container inside a container may not lower its score."""
        folder, network = self.folder / "containerd", self.folder / "cni"
        network.mkdir(exist_ok=True)
        addresses = f'"ranges":[[{{"subnet":"10.{self.net}.0.0/16"}}]],"routes":[{{"dst":"0.0.0.0/0"}}]'
        (network / "10-bridge.conflist").write_text(
            f'{{"cniVersion":"0.4.0","name":"k8s","plugins":[{{"type":"bridge","bridge":"sbk{self.net}",'
            f'"isGateway":true,"ipMasq":false,"hairpinMode":true,"ipam":{{"type":"host-local",'
            f'"dataDir":"{network}/ipam",{addresses}}}}},{{"type":"loopback"}}]}}'
        )
        settings = self.folder / "containerd.toml"
        settings.write_text(f"""version = 2
root = "{folder}/root"
state = "{folder}/state"
[grpc]
  address = "{self._socket}"
[plugins."io.containerd.internal.v1.opt"]
  path = "{folder}/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{IMAGE}"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{self._runtime.network_plugins}"
    conf_dir = "{network}"
""")
        return settings


_shared: list[tuple[KubernetesCluster, contextlib.ExitStack]] = []


def shared_cluster() -> KubernetesCluster:
    """The one cluster of this test run, started when it is first needed and gone when the run ends."""
    if not _shared:
        stack = contextlib.ExitStack()
        _shared.append((stack.enter_context(KubernetesCluster.started()), stack))
        atexit.register(stack.close)
    return _shared[0][0]


@contextmanager
def _free_net() -> Generator[tuple[int, Path]]:
    """A network and folder no other test run uses now. The lock ends with the process that holds it."""
    for net in _NETS:
        with (cache() / f"k8s-{net}.lock").open("a") as lock:
            if _locks(lock):
                yield net, cache() / f"k8s-{net}"
                return
    raise RuntimeError(f"{len(_NETS)} Kubernetes clusters of tests run already")


def _locks(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def remove_leftovers(folder: Path) -> None:
    """End the container shims that live on under this folder and what runs in them, unmount, remove the folder."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            program, *arguments = (process / "cmdline").read_text().split("\0")
            if "containerd-shim" in program and any(one.startswith(f"{folder}/") for one in arguments):
                _kill_family(int(process.name))
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for mount in sorted((one for one in mounts if one.startswith(f"{folder}/")), reverse=True):
        subprocess.run(["umount", "-l", mount], capture_output=True, timeout=10, check=False)
    if folder.exists():
        shutil.rmtree(folder)


def _kill_family(pid: int) -> None:
    children = [int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in _children(task)]
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    for child in children:
        with contextlib.suppress(OSError):
            _kill_family(child)


def _children(task: Path) -> list[str]:
    try:
        return (task / "children").read_text().split()
    except OSError:
        return []


def _get(url: str, authority: str | None = None) -> bytes:
    """The body of a good answer, else nothing."""
    context = ssl.create_default_context(cafile=authority) if authority else None
    try:
        with urllib.request.urlopen(url, timeout=5, context=context) as response:
            return bytes(response.read(100))
    except (OSError, urllib.error.URLError):
        return b""
