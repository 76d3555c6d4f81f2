"""Kubernetes for tests: its programs, a container runtime and an image, made once on a machine and kept in its cache.

Kubernetes comes as Go modules and is compiled here (about 16 minutes of CPU from empty caches). The container runtime
comes from the system's package archive: where it is installed that one is used, elsewhere its packages are unpacked
into the cache and the system stays as it is.
"""

import fcntl
import hashlib
import io
import json
import os
import platform
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from signalbox_local.settings import cache_folder

BUILD_SECONDS: Final = 3600
FETCH_SECONDS: Final = 300
SOURCES: Final = Path(__file__).with_name("kube_all")
IMAGE: Final = "localhost/signalbox-test:1"
"""Busybox: the image of every container of the tests, and of the sandboxes around them."""
_PACKAGES: Final = ("containerd", "runc", "containernetworking-plugins")


@dataclass(frozen=True, slots=True)
class Runtime:
    """Where the programs of the container runtime are."""

    path: str
    """The search path that has `containerd`, its shim, `ctr` and `runc`."""
    network_plugins: Path

    def program(self, name: str) -> str:
        found = shutil.which(name, path=self.path)
        if found is None:
            raise RuntimeError(f"{name} is not in {self.path}")
        return found


def cache() -> Path:
    """The user's cache of Signalbox."""
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def version() -> str:
    """The version of Kubernetes that `kube_all/go.mod` requires, such as `1.35.4`."""
    found = re.search(r"^\s*k8s\.io/kubernetes v(\S+)$", (SOURCES / "go.mod").read_text(), re.MULTILINE)
    assert found is not None
    return found[1]


def kubernetes() -> Path:
    """The binary with every program of Kubernetes, compiled unless it is in the cache."""
    sources = [SOURCES / name for name in ("go.mod", "go.sum", "main.go")]
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:12]
    return _cached(f"kubernetes-{version()}-{digest}", _compile) / "kube-all"


def runtime() -> Runtime:
    """The system's containerd, runc and network plugins, or those unpacked in the cache."""
    system = Path("/usr/lib/cni"), Path("/opt/cni/bin")
    plugins = next((folder for folder in system if (folder / "bridge").exists()), None)
    if plugins and all(shutil.which(name) for name in ("containerd", "containerd-shim-runc-v2", "ctr", "runc")):
        return Runtime(os.environ["PATH"], plugins)
    root = _cached("container-runtime-1", lambda folder: _unpack(_PACKAGES, folder))
    search = os.pathsep.join(str(root / part) for part in ("usr/bin", "usr/sbin"))
    return Runtime(f"{search}{os.pathsep}{os.environ['PATH']}", root / "usr" / "lib" / "cni")


def image() -> Path:
    """The archive of `IMAGE`, as `ctr images import` reads it."""
    return _cached("kubernetes-image-1", _build_image) / "image.tar"


def _cached(name: str, make: Callable[[Path], None]) -> Path:
    """A folder of the cache, complete or absent. Two test runs at once make it once."""
    target = cache() / name
    with locked(cache() / f"{name}.lock"):
        if not target.exists():
            with tempfile.TemporaryDirectory(dir=cache(), prefix=f".{name}-") as draft:
                made = Path(draft) / "made"
                made.mkdir()
                make(made)
                made.rename(target)
    return target


@contextmanager
def locked(path: Path) -> Generator[None]:
    with path.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _compile(folder: Path) -> None:
    """Compile against the locked modules. The version is linked in twice: server and client library each have it."""
    number = version()
    facts = {
        "gitVersion": f"v{number}", "gitMajor": "1", "gitMinor": number.split(".")[1], "gitCommit": "test",
        "gitTreeState": "clean", "buildDate": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    linked = " ".join(f"-X {package}.{name}={value}" for package in packages for name, value in facts.items())
    command = [
        "go", "build", "-p", str(min(4, os.cpu_count() or 2)), "-mod=readonly", "-trimpath", "-buildvcs=false",
        "-ldflags", f"-s -w {linked}", "-o", str(folder / "kube-all"), ".",
    ]  # fmt: skip
    _run(command, cwd=SOURCES, seconds=BUILD_SECONDS, env={"CGO_ENABLED": "0"})


def _unpack(packages: tuple[str, ...], folder: Path) -> None:
    """Packages of this system's release, unpacked without installing them."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as place:
        Path(place).chmod(0o755)
        try:
            _run(["apt-get", "-qq", "download", *packages], cwd=Path(place), seconds=FETCH_SECONDS)
        except RuntimeError:
            _run(["apt-get", "-qq", "update"], cwd=Path(place), seconds=FETCH_SECONDS)
            _run(["apt-get", "-qq", "download", *packages], cwd=Path(place), seconds=FETCH_SECONDS)
        for package in sorted(Path(place).glob("*.deb")):
            _run(["dpkg-deb", "-x", str(package), str(folder)], cwd=Path(place), seconds=60)


def _build_image(folder: Path) -> None:
    """One layer with a static busybox and a link for each of its commands."""
    root = folder / "root"
    _unpack(("busybox-static",), root)
    busybox = next(path for path in (root / "bin/busybox", root / "usr/bin/busybox") if path.exists())
    names = subprocess.run([busybox, "--list"], check=True, capture_output=True, text=True, timeout=30).stdout.split()
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as archive:
        for name in ("bin", "etc", "tmp", "dev", "proc", "sys"):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
            archive.addfile(entry)
        _add(archive, "etc/passwd", b"root:x:0:0:root:/:/bin/sh\napp:x:10001:10001::/:/bin/sh\n")
        _add(archive, "etc/group", b"root:x:0:\napp:x:10001:\n")
        _add(archive, "bin/busybox", busybox.read_bytes(), mode=0o755)
        for name in sorted({*names, "sh", "sleep"} - {"busybox"}):
            entry = tarfile.TarInfo(f"bin/{name}")
            entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
            archive.addfile(entry)
    shutil.rmtree(root)
    _write_archive(folder / "image.tar", layer.getvalue())


def _write_archive(target: Path, layer: bytes) -> None:
    """The archive format of `docker save`."""
    digest = hashlib.sha256(layer).hexdigest()
    config = {
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()],
        "os": "linux",
        "config": {"Cmd": ["/bin/sleep", "2147483647"], "Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
        "history": [{"created_by": "signalbox tests"}],
    }
    described = json.dumps(config).encode()
    name = f"{hashlib.sha256(described).hexdigest()}.json"
    manifest = [{"Config": name, "RepoTags": [IMAGE], "Layers": [f"{digest}/layer.tar"]}]
    with tarfile.open(target, "w") as archive:
        _add(archive, name, described)
        _add(archive, f"{digest}/layer.tar", layer)
        _add(archive, "manifest.json", json.dumps(manifest).encode())


def _add(archive: tarfile.TarFile, name: str, content: bytes, *, mode: int = 0o644) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    archive.addfile(entry, io.BytesIO(content))


def _run(command: list[str], *, cwd: Path, seconds: float, env: Mapping[str, str] | None = None) -> None:
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[:3])} failed:\n{(done.stderr or done.stdout)[-4000:]}")
