"""Spark's distribution and the tests' JAR: fetched or built once on a machine, kept in the user's cache.

The archive is the source distribution of `pyspark` on PyPI, which holds all of Spark but the scripts for clusters.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from engines.flink.distribution import eclipse_compiler, kept_once
from signalbox_chassis import start_fence
from signalbox_local.programs import Programs

FETCH_SECONDS: Final = 900
COMPILE_SECONDS: Final = 180
VERSION: Final = "4.3.0"
_SHA256: Final = "e8c517948eff7088a7aa07449aa8eafa4a15a8d50319de2525a6fd26622476c6"
TEST_SOURCES: Final = Path(__file__).with_name("java")
LAUNCHER_SOURCES: Final = Path(start_fence.__file__).with_name("java")
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)


def spark_home() -> Path:
    """A `SPARK_HOME` of this version, fetched unless it is in the cache."""
    return kept_once(f"spark-{VERSION}", _fetch)


def compiled_jobs() -> Path:
    """The JAR with the tests' Spark applications, compiled unless it is in the cache."""
    sources = sorted(TEST_SOURCES.rglob("*.java"))
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:16]
    folder = kept_once(f"spark-test-jobs-{digest}", lambda draft: compile_jar(sources, draft / "jobs.jar"))
    return folder / "jobs.jar"


def compile_jar(sources: Sequence[Path], jar: Path) -> None:
    """Compile for Java 8 and pack, byte for byte the same each time."""
    with tempfile.TemporaryDirectory() as place:
        classes = Path(place) / "classes"
        command = [
            Programs().java().path, "-jar", str(eclipse_compiler()), "-source", "8", "-target", "8", "-nowarn",
            "-proc:none", "-g:none", "-cp", os.pathsep.join(map(str, _libraries())), "-d", str(classes),
            *map(str, sources),
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=COMPILE_SECONDS, check=False)
        if done.returncode:
            raise RuntimeError(f"{sources[0].parent} does not compile:\n{done.stderr[-4000:]}")
        with zipfile.ZipFile(jar, "w", zipfile.ZIP_DEFLATED) as packed:
            packed.writestr(zipfile.ZipInfo("META-INF/MANIFEST.MF", _EPOCH), "Manifest-Version: 1.0\n\n")
            for file in sorted(classes.rglob("*.class")):
                name = zipfile.ZipInfo(file.relative_to(classes).as_posix(), _EPOCH)
                packed.writestr(name, file.read_bytes())


def _libraries() -> list[Path]:
    return sorted((spark_home() / "jars").glob("*.jar"))


def _fetch(folder: Path) -> None:
    """The parts of the archive that a standalone cluster needs, laid out as in Apache's own archive."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as place:
        requirements = Path(place) / "requirements.txt"
        requirements.write_text(f"pyspark=={VERSION} --hash=sha256:{_SHA256}\n")
        command = [
            sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "-q", "download", "--no-deps",
            "--no-binary=pyspark", "--require-hashes", "-d", place, "-r", str(requirements),
        ]  # fmt: skip
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=FETCH_SECONDS)
        (archive,) = Path(place).glob("pyspark-*.tar.gz")
        with tarfile.open(archive) as packed:
            for member in packed:
                parts = Path(member.name).parts[1:]
                if not member.isfile() or ".." in parts:
                    continue
                if parts[:1] == ("lib",):
                    target = folder / "python" / "lib" / Path(*parts[1:])
                elif parts[:2] in (("deps", "bin"), ("deps", "jars")):
                    target = folder / Path(*parts[1:])
                else:
                    continue
                content = packed.extractfile(member)
                assert content is not None
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("wb") as file:
                    shutil.copyfileobj(content, file, 1 << 20)
                target.chmod(0o755 if parts[1:2] == ("bin",) else 0o644)
