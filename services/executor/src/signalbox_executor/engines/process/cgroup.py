"""A control group (cgroup v2) of its own for each run, where this process may make one. Standard library only.

The kernel knows who belongs to it, whatever the processes do: sessions, groups, double forks and empty environments
change nothing, and `cgroup.kill` ends all of them at once (cgroup-v2.rst, "cgroup.kill", Linux 5.14 or newer).
"""

import time
from contextlib import suppress
from pathlib import Path
from typing import Final

PREFIX: Final = "signalbox-"
END_SECONDS: Final = 5.0


def make(run_key: str) -> str | None:
    """The folder of a new group for this run; None where none can be made, or not one that can be killed."""
    base = _own_group()
    if base is None:
        return None
    folder = base / f"{PREFIX}{run_key}"
    try:
        folder.mkdir(exist_ok=True)
    except OSError:
        return None
    if (folder / "cgroup.kill").exists():
        return str(folder)
    remove(str(folder))
    return None


def enter(folder: str | None) -> None:
    """Move this process into the group. Raises OSError."""
    if folder is not None:
        (Path(folder) / "cgroup.procs").write_text("0")


def end(folder: str | None, run_key: str) -> bool:
    """Kill everything in the group of this run, and remove it; whether nothing of it is left.

    `folder` may come from a record that somebody wrote: no other group is touched.
    """
    if folder is None:
        return True
    group = Path(folder)
    if group.name != f"{PREFIX}{run_key}" or not (group / "cgroup.kill").exists():
        return not group.exists()
    deadline = time.monotonic() + END_SECONDS
    while _is_populated(group):
        with suppress(OSError):
            (group / "cgroup.kill").write_text("1")
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    remove(folder)
    return True


def remove(folder: str) -> None:
    """Remove a group that has no process any more; nothing happens if it has."""
    with suppress(OSError):
        Path(folder).rmdir()


def _is_populated(group: Path) -> bool:
    try:
        return "populated 1" in (group / "cgroup.events").read_text().splitlines()
    except OSError:
        return False


def _own_group() -> Path | None:
    """The group this process is in."""
    try:
        mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
        mount = next((fields[1] for fields in mounts if fields[2] == "cgroup2"), None)
        lines = Path("/proc/self/cgroup").read_text().splitlines()
        path = next((line[3:] for line in lines if line.startswith("0::")), None)
    except (OSError, IndexError):
        return None
    return None if mount is None or path is None else Path(mount + path)
