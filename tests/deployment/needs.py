"""`python tests/deployment/needs.py TARGET`: says what a `make test-TARGET` needs and this machine lacks, a line each.

It runs first, so that nothing starts, compiles or is skipped before a missing package is known. Exits 1 when something
is missing.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from signalbox_local.settings import cache_folder

COMPOSE_FOLDERS: Final = tuple(
    Path(folder)
    for folder in (
        "/usr/libexec/docker/cli-plugins",
        "/usr/lib/docker/cli-plugins",
        "/usr/local/lib/docker/cli-plugins",
    )
)
"""Where systems install the plugins of docker."""
Check = Callable[[], str]
"""What is missing and how to get it, as one line; empty when nothing is."""


def package(program: str, name: str, *places: str) -> Check:
    """A program on the search path, or at one of these patterns below `/usr/lib`, and the package that has it."""

    def check() -> str:
        found = shutil.which(program) or any(next(Path("/usr/lib").glob(place), None) for place in places)
        return "" if found else f"{program} is not installed: apt-get install {name}"

    return check


def root() -> str:
    return "" if os.geteuid() == 0 else "containers need root: run it as root"


def docker_engine() -> str:
    if os.environ.get("SIGNALBOX_TEST_DOCKER_HOST"):
        return package("docker", "docker.io")()
    if not shutil.which("dockerd") or not shutil.which("docker"):
        return "there is no Docker engine: apt-get install docker.io, or set SIGNALBOX_TEST_DOCKER_HOST"
    return root() or package("iptables", "iptables")()


def compose_plugin() -> str:
    places = (cache_folder() / "docker-config/cli-plugins", *COMPOSE_FOLDERS)
    if shutil.which("go") or any((place / "docker-compose").exists() for place in places):
        return ""
    return "there is no docker compose 2 and no Go 1.24 to compile it: install docker-compose-plugin or golang-go"


def base_image() -> str:
    """What `python:3.11-slim` is unpacked with, unless that was done before."""
    kept = (cache_folder() / "images/python-3.11-slim.tar").exists()
    return "" if kept else package("debootstrap", "debootstrap")()


def kubernetes() -> str:
    if shutil.which("go") or any(cache_folder().glob("kubernetes-1.*/kube-all")):
        return root()
    return "Kubernetes is not compiled yet and there is no Go 1.25 or newer: install golang-go"


def java_17() -> str:
    home = os.environ.get("JAVA_HOME")
    program = shutil.which("java", path=f"{home}/bin" if home else None)
    shown = subprocess.run([program, "-version"], capture_output=True, text=True, check=False).stderr if program else ""
    found = re.search(r'version "(\d+)', shown)
    if found and int(found[1]) >= 17:
        return ""
    return "there is no Java 17 or newer: apt-get install openjdk-17-jre-headless, or set JAVA_HOME"


SERVERS: Final = (
    package("redis-server", "redis-server"),
    # the PostgreSQL that is fetched was built without TLS
    package("postgres", "postgresql", "postgresql/*/bin/postgres"),
    package("openssl", "openssl"),
)
DOCKER: Final = (docker_engine, compose_plugin, base_image, package("openssl", "openssl"))
TARGETS: Final[dict[str, tuple[Check, ...]]] = {
    "secure": SERVERS,
    "alerts": (*SERVERS, package("prometheus", "prometheus")),
    "hosts": DOCKER,
    "compose": (*DOCKER, package("prometheus", "prometheus")),
    "k8s": (*DOCKER, *SERVERS, kubernetes),
    "data-platform": (*DOCKER, java_17, package("mvn", "maven"), package("curl", "curl")),
    "upgrade": (package("git", "git"),),
}


def missing(target: str) -> list[str]:
    """The lines, each once."""
    return list(dict.fromkeys(line for check in TARGETS[target] if (line := check())))


def main(target: str) -> int:
    lines = missing(target)
    for line in lines:
        print(f"make test-{target}: {line}", file=sys.stderr)
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
