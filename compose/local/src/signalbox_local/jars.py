"""Kafka's jars: by a pure Python Maven resolver, or by `mvn` where only it knows the mirror; digests decide."""

import hashlib
import os
import shutil
import threading
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from signalbox_local.errors import CannotContinue, FetchFailed, disk_full
from signalbox_local.process import run
from signalbox_local.progress import Meter, Reporter

KAFKA = "4.4.0"
TOTAL_BYTES = 44_700_000
ATTEMPTS = 3
_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"  # explicit: a bare name floats


@dataclass(frozen=True, slots=True)
class Jar:
    sha256: str
    group: str
    artifact: str
    version: str

    @property
    def file(self) -> str:
        return f"{self.artifact}-{self.version}.jar"


def parse_lock(text: str) -> list[Jar]:
    """The jars of a lock: lines of `sha256  repository/path`, `#` comments. Raises ValueError naming a bad line."""
    jars: list[Jar] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        sha256, _, path = line.partition("  ")
        parts = path.strip().split("/")
        jar = Jar(sha256, ".".join(parts[:-3]), *parts[-3:-1]) if len(parts) > 3 else None
        if jar is None or jar.file != parts[-1] or len(sha256) != 64:
            raise ValueError(f"line {number} of the jar lock is not `sha256  group/artifact/version/file`: {line!r}")
        jars.append(jar)
    return jars


def locked() -> list[Jar]:
    return parse_lock(lock_text())


def lock_text() -> str:
    return Path(__file__).with_name("kafka-jars.lock").read_text()


def good(file: Path, jar: Jar) -> bool:
    return file.is_file() and hashlib.sha256(file.read_bytes()).hexdigest() == jar.sha256


def class_path(libs: Path) -> str:
    """Explicit and sorted: a class archive is only valid for the very same string."""
    return os.pathsep.join(sorted(str(libs / jar.file) for jar in locked()))


def install(parent: Path, reporter: Reporter) -> Path:
    """Bring all locked jars to `parent`/libs and return that folder. Raises FetchFailed; safe to be killed."""
    libs = parent / "libs"
    libs.mkdir(parents=True, exist_ok=True)
    missing = [jar for jar in locked() if not good(libs / jar.file, jar)]
    if not missing:
        return libs
    damaged = [jar.file for jar in missing if (libs / jar.file).exists()]
    if damaged:
        reporter.report(f"{', '.join(damaged)}: half-downloaded or damaged, fetching again")
    draft = parent / f".jars-{os.getpid()}"
    for leftover in parent.glob(".jars-*"):
        shutil.rmtree(leftover)
    draft.mkdir()
    share = TOTAL_BYTES * len(missing) // len(locked())
    try:
        with reporter.item(f"Kafka {KAFKA} ({len(missing)} jars)", share) as meter:
            failure = _by_resolver(missing, draft, libs, meter)
            if failure:
                _by_maven(missing, draft, libs, failure, reporter)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return libs


def _by_resolver(missing: list[Jar], draft: Path, libs: Path, meter: Meter) -> str | None:
    """Four at a time. Returns why it failed, or None."""
    with ThreadPoolExecutor(4, thread_name_prefix="signalbox-jars") as pool:
        count = _counter(meter)
        running = [pool.submit(_resolve, jar, draft, libs, count) for jar in missing]
    return next((failure for one in running if (failure := one.result())), None)


def _resolve(jar: Jar, draft: Path, libs: Path, count: Callable[[int], None]) -> str | None:
    """Fetch one jar, in a few attempts. Returns why it failed, or None. Raises DiskFull."""
    # imported here: it costs every `status` half a second
    from jgo.maven import MavenContext, PythonResolver

    failure = ""
    for attempt in range(ATTEMPTS):
        cache = draft / f"{jar.artifact}-{attempt}"  # fresh: the resolver believes any file that it finds in its cache
        resolver = PythonResolver(progress_callback=_callback(count))
        context = MavenContext(resolver=resolver, repo_cache=cache, timeout=30)
        try:
            found = context.project(jar.group, jar.artifact).at_version(jar.version).artifact(packaging="jar").resolve()
        except (RuntimeError, AssertionError, OSError) as error:  # what requests raises is an OSError
            if isinstance(error, OSError) and (full := disk_full(error, libs)):
                raise full from error
            # its own text holds addresses, which may hold credentials
            failure = f"{jar.file} did not come from the repository ({type(error).__name__})"
            continue
        if good(found, jar):
            found.replace(libs / jar.file)
            return None
        failure = f"{jar.file} is not the locked file (its digest differs)"
    return failure


def _counter(meter: Meter) -> Callable[[int], None]:
    lock, total = threading.Lock(), 0

    def count(more: int) -> None:
        nonlocal total
        with lock:
            total += more
            meter(total)

    return count


def _callback(count: Callable[[int], None]) -> Callable[[str, int], AbstractContextManager[Callable[[int], None]]]:
    @contextmanager
    def follow(_name: str, _size: int) -> Generator[Callable[[int], None]]:
        yield count

    return follow


def _by_maven(missing: list[Jar], draft: Path, libs: Path, failure: str, reporter: Reporter) -> None:
    """`mvn` honours the user's settings.xml: mirrors, proxies, credentials, which we never read ourselves."""
    advice = "check the network and proxy variables, then again; behind a mirror, put `mvn` with its settings on PATH"
    mvn = shutil.which("mvn")
    if mvn is None:
        raise FetchFailed(f"Kafka's jars could not be fetched: {failure}", advice)
    reporter.report(f"Kafka's jars: {failure}; trying mvn")
    copied, log = draft / "copied", draft / "mvn.log"
    pom = Path(__file__).with_name("kafka-pom.xml")
    command = [mvn, "-B", "-q", "-f", str(pom), _COPY, "-DincludeScope=runtime", f"-DoutputDirectory={copied}"]
    try:
        code = run(command, log=log, seconds=600)
    except CannotContinue as error:
        raise FetchFailed(f"Kafka's jars could not be fetched: {error.what}", advice) from error
    wrong = [jar.file for jar in missing if not good(copied / jar.file, jar)]
    if code != 0 or wrong:
        detail = f"mvn ended with {code}" if code else f"mvn brought other files than locked: {', '.join(wrong[:3])}"
        raise FetchFailed(f"Kafka's jars could not be fetched: {failure}; {detail}", advice)
    for jar in missing:
        (copied / jar.file).replace(libs / jar.file)
