"""A run's folder: the records in it, who may write which, and the lock that says whether its supervisor lives.

Standard library only: the supervisor must start in milliseconds. The folder's name is the run key, so `mkdir` decides
who is first. In the order they appear:

* `spec.json`: what to run. Written by the submitter, the same by every copy.
* `cancel`, `sealed`: a wish to stop; a refusal to ever start.
* `lock`: held (flock) by the supervisor for its whole life, by others for a moment.
* `started.json`: the start record, written under the lock before the program can run. From here on the key is used up.
* `output.*`: the log. `out/result`: where the program leaves its result.
* `end.json`: how it ended. Written once, under the lock, by the supervisor or by whoever finds it gone.
"""

import fcntl
import json
import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, cast

LOCK: Final = "lock"
KEEPER: Final = "keeper"
"""The lock of the run's keeper: held until nothing of the run is left."""
SPEC: Final = "spec.json"
STARTED: Final = "started.json"
END: Final = "end.json"
CANCEL: Final = "cancel"
SEALED: Final = "sealed"
OUT: Final = "out"
"""The folder a program may write its result into; with `work` the only one that belongs to it."""
RESULT: Final = "result"
WORK: Final = "work"
"""Where a program works that was given no folder of its own."""
BELL: Final = "bell"
"""A FIFO the supervisor reads: a byte in it means "look at your folder". Unlike a signal it cannot hit a stranger that
got the supervisor's pid."""

RESULT_BYTES: Final = 16_384
END_BYTES: Final = 48 * 1024
"""Room that is kept for the end record before the program starts: it is written on a full disk too."""
_RESERVED: Final = ".end.reserved"

Record = dict[str, Any]


def write(folder: Path, name: str, record: Record) -> None:
    """Write a record whole and durably, or not at all."""
    temporary = folder / f".{name}.{os.urandom(6).hex()}"
    descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(record, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(folder / name)
    sync_folder(folder)


def reserve_end(folder: Path) -> None:
    """Take the room of the end record from the disk now. Raises OSError if there is none."""
    descriptor = os.open(folder / _RESERVED, os.O_CREAT | os.O_WRONLY, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, END_BYTES)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    sync_folder(folder)


def write_end(folder: Path, record: Record) -> None:
    """Write the end record, into the room that was kept for it. Raises OSError."""
    data = json.dumps(record).encode()
    try:
        descriptor = os.open(folder / _RESERVED, os.O_WRONLY)
    except FileNotFoundError:
        write(folder, END, record)
        return
    try:
        written = 0
        while written < len(data):
            written += os.pwrite(descriptor, data[written:], written)
        os.ftruncate(descriptor, len(data))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    (folder / _RESERVED).rename(folder / END)
    sync_folder(folder)


def read(folder: Path, name: str) -> Record | None:
    """The record, or None if there is none."""
    try:
        return cast("Record", json.loads((folder / name).read_bytes()))
    except FileNotFoundError:
        return None


def mark(folder: Path, name: str) -> None:
    """Create an empty file durably; it may be there already."""
    os.close(os.open(folder / name, os.O_CREAT | os.O_WRONLY, 0o600))
    sync_folder(folder)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def take_lock(folder: Path, name: str = LOCK) -> int | None:
    """The lock's descriptor, to be closed to let go; None while another holds it. Raises FileNotFoundError."""
    descriptor = os.open(folder / name, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


@contextmanager
def locked(folder: Path, name: str = LOCK) -> Generator[bool]:
    """Whether we hold the run's lock inside; if not, its supervisor lives or somebody else looks at it right now."""
    descriptor = take_lock(folder, name)
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            os.close(descriptor)


def ring(folder: Path) -> None:
    """Make the supervisor look at its folder now; nothing happens if there is none."""
    with suppress(OSError):  # no FIFO yet, no reader, or full of earlier rings
        descriptor = os.open(folder / BELL, os.O_WRONLY | os.O_NONBLOCK)
        try:
            os.write(descriptor, b"!")
        finally:
            os.close(descriptor)


def boot_id() -> str:
    """Differs after every start of the host: processes of another boot are surely gone."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def start_ticks(pid: int) -> int | None:
    """When the process began, in clock ticks since boot: with the pid it names one process. None if it is gone."""
    fields = _stat(pid)
    return None if fields is None or fields[0] == "Z" else int(fields[19])


def carriers(run_key: str) -> list[int]:
    """Every living process that was started with this run key in its environment, in whatever group it is now."""
    wanted = f"SIGNALBOX_RUN_KEY={run_key}".encode()
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit() and _carries(path, wanted)]


def is_decided(folder: Path) -> bool:
    """Whether this key has run or runs, or ended without."""
    return any((folder / name).exists() for name in (STARTED, END))


def _carries(process: Path, wanted: bytes) -> bool:
    try:
        return wanted in (process / "environ").read_bytes().split(b"\0")
    except OSError:  # gone meanwhile, or not ours to read
        return False


def _stat(pid: int) -> list[str] | None:
    """Fields of /proc/PID/stat from the state on: the name before them may hold spaces and brackets (proc(5))."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
