"""The files of a real Oozie 5.2.1 server, kept in the user's cache: pinned Maven Central jars and one test action."""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

SERVER_FILES: Final = Path(__file__).with_name("server")
JAVA_LOWEST, JAVA_HIGHEST = 17, 24
"""Java 25 starts the server, but every submit ends in 500: `getSubject is not supported`."""
FETCH_SECONDS: Final = 540


def java_home() -> Path | None:
    """A JDK that runs Oozie 5.2.1: JAVA_HOME, or the `java` on the PATH. None if there is none."""
    found = shutil.which("java")
    homes = [Path(os.environ["JAVA_HOME"])] if os.environ.get("JAVA_HOME") else []
    homes += [Path(found).resolve().parents[1]] if found else []
    return next((home for home in homes if JAVA_LOWEST <= _version(home) <= JAVA_HIGHEST), None)


def why_not() -> str:
    """Why the server cannot be made here; empty if it can."""
    if java_home() is None:
        return f"no JDK of version {JAVA_LOWEST} to {JAVA_HIGHEST} (java and javac), by JAVA_HOME or on the PATH"
    if shutil.which("mvn") is None:
        return "no mvn on the PATH to fetch the server's jars"
    return ""


def assemble() -> Path:
    """The folder with `lib` and `classes`, made once and kept: about 50 MB, half a minute on a first run."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "signalbox"
    target = cache / f"oozie-5.2.1-{_digest()}"
    if target.is_dir():
        return target
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "oozie.lock").open("w") as lock:  # several test runs may begin at once
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.is_dir():
            draft = cache / f".oozie-{os.getpid()}"
            shutil.rmtree(draft, ignore_errors=True)
            _fill(draft)
            draft.rename(target)
    return target


def _fill(folder: Path) -> None:
    home = java_home()
    assert home is not None, why_not()
    (folder / "classes" / "webapp").mkdir(parents=True)  # the server looks this resource up, and dies without it
    pom = SERVER_FILES / "pom.xml"
    _run("mvn", "-B", "-q", "-f", str(pom), "dependency:copy", f"-DoutputDirectory={folder / 'lib'}")
    sources = [str(file) for file in (SERVER_FILES / "hold-action").rglob("*.java")]
    _run(
        str(home / "bin" / "javac"), "-proc:none", "-nowarn", "-cp", f"{folder / 'lib'}/*",
        "-d", str(folder / "classes"), *sources,
    )  # fmt: skip
    for schema in (SERVER_FILES / "hold-action").glob("*.xsd"):
        shutil.copy(schema, folder / "classes")


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=FETCH_SECONDS, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: {(done.stderr + done.stdout)[-2000:]}")


def _digest() -> str:
    files = [SERVER_FILES / "pom.xml", *sorted((SERVER_FILES / "hold-action").rglob("*.*"))]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files if file.is_file())).hexdigest()[:12]


def _version(home: Path) -> int:
    if not (home / "bin" / "javac").exists():
        return 0
    try:
        words = subprocess.run(
            [home / "bin" / "java", "-version"], capture_output=True, text=True, timeout=30, check=False
        )
    except OSError:
        return 0
    found = re.search(r'version "(\d+)', words.stderr + words.stdout)
    return int(found[1]) if found else 0
