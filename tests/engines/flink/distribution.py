"""Flink's distribution and the tests' JAR: fetched or built once on a machine, kept in the user's cache.

The archives come from PyPI (`apache-flink-libraries`) by pip, against locked digests. The Java compiler is Eclipse's,
one JAR that runs on any Java 17: the Java that Signalbox fetches for Kafka has no `javac`.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from signalbox_local.programs import Programs

FETCH_SECONDS: Final = 600
COMPILE_SECONDS: Final = 120
SOURCES: Final = Path(__file__).with_name("java")
_PARTS: Final = ("flink-dist-", "log4j-api-", "log4j-core-", "log4j-slf4j-impl-", "log4j-1.2-api-")
_COMPILER: Final = ("org.eclipse.jdt", "ecj", "3.38.0")


@dataclass(frozen=True, slots=True)
class Release:
    """One version of Flink as PyPI has it."""

    version: str
    sha256: str
    wheel: bool


RELEASES: Final = {
    "2.3.0": Release("2.3.0", "38ece876553286b3a285cf344c2d2038f8a7ca10da5df54d5107250386d64151", wheel=True),
    "1.20.3": Release("1.20.3", "f07f07a46bb272c1e851379ed92105928367019db31240091a5367fc92800289", wheel=False),
}
NEWEST: Final = "2.3.0"
LONG_TERM: Final = "1.20.3"


def wanted_version() -> str:
    """The version to test with: the newest, or what `FLINK` names (`make test-flink FLINK=1.20.3`)."""
    return os.environ.get("FLINK") or NEWEST


def cache() -> Path:
    """The user's cache of Signalbox; `SIGNALBOX_CACHE` moves it."""
    named = os.environ.get("SIGNALBOX_CACHE")
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = Path(named) if named else root / "signalbox"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def flink_java() -> str:
    """The system's Java where Flink supports it (17 to 21), else the one that Signalbox fetches for Kafka.

    On Java 25 with two cores a JobManager of Flink 2.3.0 stood still: every thread of Pekko's pool slept, with messages
    in the mailbox of its supervisor.
    """
    found = shutil.which("java", path=f"{os.environ['JAVA_HOME']}/bin" if os.environ.get("JAVA_HOME") else None)
    if found is not None:
        shown = subprocess.run([found, "-version"], capture_output=True, text=True, timeout=60, check=False).stderr
        release = re.search(r'version "(\d+)', shown)
        if release is not None and 17 <= int(release[1]) <= 21:
            return found
    return Programs().java().path


def class_path(version: str) -> str:
    """The JARs of this version, fetched unless they are in the cache."""
    folder = kept_once(f"flink-{version}", lambda draft: _fetch(RELEASES[version], draft))
    return os.pathsep.join(str(jar) for jar in sorted(folder.glob("*.jar")))


def compiled_jobs(version: str) -> Path:
    """The JAR with the tests' Flink jobs, compiled for this version unless it is in the cache."""
    sources = sorted(SOURCES.rglob("*.java"))
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:16]
    folder = kept_once(f"flink-test-jobs-{version}-{digest}", lambda draft: _compile(version, sources, draft))
    return folder / "jobs.jar"


def kept_once(name: str, make: Callable[[Path], None]) -> Path:
    """A folder of the cache, made whole or not at all; two test runs at once make it once."""
    target = cache() / name
    with _locked(cache() / f"{name}.lock"):
        if not target.exists():
            with tempfile.TemporaryDirectory(dir=cache(), prefix=f".{name}-") as draft:
                made = Path(draft) / "made"
                made.mkdir()
                make(made)
                made.rename(target)
    return target


@contextmanager
def _locked(path: Path) -> Generator[None]:
    with path.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _fetch(release: Release, folder: Path) -> None:
    """The parts of the archive that a session cluster needs."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as place:
        archive = _download(release, Path(place))
        for name, content in _entries(archive):
            file = Path(name).name
            if file.startswith(_PARTS) and file.endswith(".jar"):
                with (folder / file).open("wb") as target:
                    shutil.copyfileobj(content, target, 1 << 20)
    found = {part for part in _PARTS for jar in folder.iterdir() if jar.name.startswith(part)}
    if found != set(_PARTS):
        raise RuntimeError(f"{release.version} lacks {', '.join(set(_PARTS) - found)}")


def _download(release: Release, folder: Path) -> Path:
    requirements = folder / "requirements.txt"
    requirements.write_text(f"apache-flink-libraries=={release.version} --hash=sha256:{release.sha256}\n")
    kind = "--only-binary=:all:" if release.wheel else "--no-binary=apache-flink-libraries"
    command = [
        sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "-q", "download", "--no-deps", kind,
        "--require-hashes", "-d", str(folder), "-r", str(requirements),
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=FETCH_SECONDS)
    return next(path for path in folder.iterdir() if path.name.startswith(("apache-flink", "apache_flink")))


def _entries(archive: Path) -> Generator[tuple[str, IO[bytes]]]:
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            for entry in wheel.infolist():
                with wheel.open(entry) as content:
                    yield entry.filename, content
        return
    with tarfile.open(archive) as packed:
        for member in packed:
            content = packed.extractfile(member)
            if content is not None:
                yield member.name, content


def _compile(version: str, sources: Iterable[Path], folder: Path) -> None:
    classes = folder / "classes"
    command = [
        Programs().java().path, "-jar", str(eclipse_compiler()), "-source", "17", "-target", "17", "-nowarn",
        "-proc:none", "-cp", class_path(version), "-d", str(classes), *(str(source) for source in sources),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=COMPILE_SECONDS, check=False)
    if done.returncode:
        raise RuntimeError(f"the tests' Flink jobs do not compile:\n{done.stderr[-4000:]}")
    with zipfile.ZipFile(folder / "jobs.jar", "w", zipfile.ZIP_DEFLATED) as jar:
        jar.writestr("META-INF/MANIFEST.MF", "Manifest-Version: 1.0\n\n")
        for file in sorted(classes.rglob("*.class")):
            jar.write(file, file.relative_to(classes).as_posix())
    shutil.rmtree(classes)


def eclipse_compiler() -> Path:
    """Eclipse's compiler, by the Maven resolver that fetches Kafka."""
    from jgo.maven import MavenContext, PythonResolver

    group, artifact, version = _COMPILER

    def fetch(folder: Path) -> None:
        context = MavenContext(resolver=PythonResolver(), repo_cache=folder / "m2", timeout=60)
        found = context.project(group, artifact).at_version(version).artifact(packaging="jar").resolve()
        if hashlib.sha256(found.read_bytes()).hexdigest() != _COMPILER_SHA256:
            raise RuntimeError(f"{found.name} is not the locked file: its digest differs")
        found.rename(folder / "ecj.jar")
        shutil.rmtree(folder / "m2")

    return kept_once(f"ecj-{version}", fetch) / "ecj.jar"


_COMPILER_SHA256: Final = "97c566b120009c203a2fc8b291f4a9adbc171cf1ccb70f06f6b4e1828c00ce8e"
