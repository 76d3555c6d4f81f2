"""What keeps a run in its bounds on Linux: its descendants, its open files, its user. Standard library only.

A supervisor and its keeper are child subreapers (prctl(2)): whatever a program leaves behind becomes their child,
whichever session, group or environment it has, and is found by its parent.
"""

import ctypes
import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

PR_SET_DUMPABLE: Final = 4
PR_SET_CHILD_SUBREAPER: Final = 36
PR_SET_NO_NEW_PRIVS: Final = 38
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


def prctl(option: int, value: int) -> None:
    """Raises OSError."""
    if _LIBC.prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def hide_memory() -> None:
    """Keep other processes of this user from reading our memory, environment and open files."""
    prctl(PR_SET_DUMPABLE, 0)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends."""
    prctl(PR_SET_CHILD_SUBREAPER, 1)


def descendants(root: int) -> set[int]:
    """Every living process below this one."""
    parents: dict[int, int] = {}
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            fields = _stat(path)
            if fields and fields[0] not in "ZX":
                parents[int(path.name)] = int(fields[1])
    found, grew = {root}, True
    while grew:
        below = {pid for pid, parent in parents.items() if parent in found} | {root}
        grew, found = below - found != set(), found | below
    return found - {root}


def signal_descendants(root: int, number: int) -> bool:
    """Send a signal to every process below this one; whether there was any."""
    found = descendants(root)
    for pid in found:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)
    return bool(found)


def reap(wanted: int | None = None) -> int | None:
    """Collect ended children; the wait status of the wanted one, if it was among them."""
    status = None
    with suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            if ended[0] == wanted:
                status = ended[1]
    return status


def end_descendants(pause: Any) -> None:
    """Kill until nothing is below us. `pause` waits a moment: what was killed may take its time."""
    while signal_descendants(os.getpid(), signal.SIGKILL):
        reap()
        pause()
    reap()


def close_inherited(given: int) -> None:
    """Close what we were not given on purpose: all but the three standard streams and this one."""
    for name in list(Path("/proc/self/fd").iterdir()):
        if int(name.name) > 2 and int(name.name) != given:
            with suppress(OSError):
                os.close(int(name.name))


def keep_from_program() -> None:
    """No open file but the three standard streams survives the next exec."""
    for name in list(Path("/proc/self/fd").iterdir()):
        if int(name.name) > 2:
            with suppress(OSError):
                os.set_inheritable(int(name.name), False)


def enter(root: str, parts: list[str]) -> None:
    """Make a folder below `root` the working directory, without following a link on the way. Raises OSError."""
    flags = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
    current = os.open(root, flags)
    try:
        for part in parts:
            below = os.open(part, flags | os.O_NOFOLLOW, dir_fd=current)
            os.close(current)
            current = below
        os.fchdir(current)
    finally:
        os.close(current)


def become_user(user: dict[str, int] | None) -> None:
    """Give up our own user for good. None: stay who we are."""
    if user is not None:
        prctl(PR_SET_NO_NEW_PRIVS, 1)
        os.setgroups([])
        os.setresgid(user["gid"], user["gid"], user["gid"])
        os.setresuid(user["uid"], user["uid"], user["uid"])


def _stat(process: Path) -> list[str] | None:
    """Fields of /proc/PID/stat from the state on: the name before them may hold spaces and brackets (proc(5))."""
    try:
        return (process / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
