"""Images that stand in for those of a registry: PostgreSQL, Redis and nginx from Debian, Kafka as the stack has it.

`python:3.11-slim` is unpacked from Debian's packages. Where a registry answers, none of this is needed.
"""

import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from deployment.docker import Docker
from engines.flink.distribution import kept_once
from engines.spark.distribution import spark_home
from signalbox_local.programs import Programs
from signalbox_local.settings import cache_folder

BASE: Final = "python:3.11-slim"
SOURCES: Final = Path(__file__).with_name("stand_ins")
PACKAGES: Final = "python3,python3-pip,python3-venv,ca-certificates"


def _tag(name: str, file: str) -> str:
    """The name of a stand-in; another one when its sources change."""
    sources = b"".join(source.read_bytes() for source in sorted(SOURCES.glob(f"{file}*")))
    return f"signalbox-test/{name}:{hashlib.sha256(sources).hexdigest()[:12]}"


NAMES: Final = {name: _tag(name, name) for name in ("postgres", "kafka", "redis", "nginx")}
PLATFORM_NAMES: Final = {
    "namenode": _tag("namenode", "hadoop"),
    "datanode": _tag("datanode", "hadoop"),
    "spark": _tag("spark", "spark"),
}
HADOOP_VERSION: Final = "3.4.1"
FETCH_SECONDS: Final = 600


def prepare(docker: Docker) -> None:
    """Make the images that this engine lacks."""
    if not docker.has(BASE):
        _base(docker)
    for name, tag in NAMES.items():
        if not docker.has(tag):
            _stand_in(docker, name, tag)


def prometheus(docker: Docker) -> str | None:
    """The image of Debian's Prometheus; None where its program is not installed."""
    program = shutil.which("prometheus")
    if program is None:
        return None
    tag = _tag("prometheus", "prometheus")
    if not docker.has(tag):
        with _context("prometheus") as context:
            (context / "programs").mkdir()
            shutil.copy2(program, context / "programs" / "prometheus")
            docker.run("build", "-q", "-f", str(context / "prometheus.Dockerfile"), "-t", tag, str(context))
    return tag


def prepare_platform(docker: Docker) -> None:
    """Make what stands in for the images of the data platform: HDFS from Maven, Spark from PyPI."""
    for name, tag in PLATFORM_NAMES.items():
        if docker.has(tag):
            continue
        file = "spark" if name == "spark" else "hadoop"
        with _context(file) as context:
            if name == "spark":
                shutil.copytree(spark_home(), context / "spark", symlinks=True)
            else:
                shutil.copytree(kept_once(f"hadoop-hdfs-{HADOOP_VERSION}", _fetch_hadoop) / "libs", context / "libs")
            docker.run(
                "build", "-q", "--build-arg", f"ROLE={name}", "-f", str(context / f"{file}.Dockerfile"), "-t", tag,
                str(context), seconds=FETCH_SECONDS,
            )  # fmt: skip


def _fetch_hadoop(folder: Path) -> None:
    """The order of the names matters: with another one Maven takes an older Jackson than HDFS needs."""
    wanted = "".join(
        f"<dependency><groupId>org.apache.hadoop</groupId><artifactId>{name}</artifactId>"
        f"<version>{HADOOP_VERSION}</version></dependency>"
        for name in ("hadoop-hdfs", "hadoop-hdfs-client", "hadoop-common")
    )
    (folder / "pom.xml").write_text(
        '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
        "<groupId>signalbox.test</groupId><artifactId>hadoop</artifactId><version>1</version>"
        f"<dependencies>{wanted}</dependencies></project>"
    )
    command = ["mvn", "-q", "-B", "dependency:copy-dependencies", f"-DoutputDirectory={folder / 'libs'}"]
    subprocess.run(
        [*command, "-DincludeScope=runtime"], cwd=folder, check=True, capture_output=True, timeout=FETCH_SECONDS
    )


def _base(docker: Docker) -> None:
    """Debian's Python 3.11 as `python:3.11-slim`; kept as an archive in the cache."""
    archive = cache_folder() / "images" / "python-3.11-slim.tar"
    if archive.exists():
        docker.run("load", "-q", "-i", str(archive))
        return
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir="/var/tmp") as place:
        root = Path(place) / "root"
        subprocess.run(
            ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", str(root), _mirror()],
            check=True, capture_output=True, timeout=900,
        )  # fmt: skip
        for marker in root.glob("usr/lib/python3*/EXTERNALLY-MANAGED"):
            marker.unlink()
        (root / "usr/bin/python").symlink_to("python3")
        certificates = Path("/etc/ssl/certs/ca-certificates.crt")
        shutil.copy2(certificates, root / "etc/ssl/certs/ca-certificates.crt")
        tar = Path(place) / "root.tar"
        left_out = ["--exclude=./dev", "--exclude=./proc", "--exclude=./sys", "--exclude=./var/cache/apt/archives"]
        subprocess.run(["tar", "-C", str(root), *left_out, "-cf", str(tar), "."], check=True, timeout=300)
        settings = [
            "CMD [\"python3\"]", f"ENV PIP_CERT={certificates}", f"ENV SSL_CERT_FILE={certificates}",
        ]  # fmt: skip
        docker.run("import", *(word for line in settings for word in ("-c", line)), str(tar), BASE)
        draft = archive.with_suffix(".new")
        docker.run("save", "-o", str(draft), BASE)
        draft.replace(archive)


def _mirror() -> str:
    """The mirror in the system's package sources."""
    for file in sorted(Path("/etc/apt/sources.list.d").glob("*.sources")):
        for line in file.read_text().splitlines():
            if line.startswith("URIs:"):
                return line.split()[1]
    raise RuntimeError("no package source with a line `URIs:` in /etc/apt/sources.list.d")


def _stand_in(docker: Docker, name: str, tag: str) -> None:
    with _context(name) as context:
        if name == "kafka":
            programs = Programs()
            shutil.copytree(Path(programs.java().path).parent.parent, context / "java", symlinks=True)
            shutil.copytree(programs.kafka_libs(), context / "libs")
        docker.run("build", "-q", "-f", str(context / f"{name}.Dockerfile"), "-t", tag, str(context))


@contextmanager
def _context(name: str) -> Generator[Path]:
    """A build context with the Dockerfile and scripts of one stand-in."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as place:
        for source in SOURCES.glob(f"{name}*"):
            shutil.copy2(source, place)
        yield Path(place)
