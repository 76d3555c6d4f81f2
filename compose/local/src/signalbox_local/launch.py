"""Turns itself into a server: writes the pid file, drops privileges, ties its life to its parent's, execs.

Run as a script with one JSON argument, by `process.ServerProcess` only; it imports nothing of the package so that it
starts in milliseconds. Why a process of our own and not `preexec_fn`: that one is unsafe beside threads and warned
about from Python 3.12 on. Why it writes the pid file *itself*: were the parent killed between fork and write, the
server would run unknown to everybody.
"""

import ctypes
import json
import os
import signal
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1


def start_ticks(pid: int) -> int:
    """When a process started, in clock ticks since boot; together with the boot id it tells a recycled pid."""
    stat = Path(f"/proc/{pid}/stat").read_text()
    return int(stat.rpartition(")")[2].split()[19])


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def write_pid_file(file: Path, order: dict[str, object]) -> None:
    pid = os.getpid()
    record = {"pid": pid, "start_ticks": start_ticks(pid), "boot_id": boot_id(), **order}
    draft = file.with_name(f"{file.name}.{pid}")
    draft.write_text(json.dumps(record))
    draft.replace(file)


def die_with(parent: int) -> None:
    """Be killed when the thread that started us ends; at once when it already has."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    order = json.loads(sys.argv[1])
    report = int(order["report_fd"])
    try:
        signal.pthread_sigmask(signal.SIG_SETMASK, ())  # a supervisor blocks signals that its service needs
        for fd in (report, *order["keep_fds"]):
            os.set_inheritable(fd, False)  # closed by exec: until then the parent waits and the lock is held
        if order["pid_file"]:
            write_pid_file(Path(order["pid_file"]), order["record"])
        if order["account"]:
            uid, gid = order["account"]
            os.setgroups([])
            os.setgid(gid)
            os.setuid(uid)
        if order["parent"]:
            die_with(order["parent"])  # after setuid, which clears it
        os.execve(order["command"][0], order["command"], dict(os.environ))
    except OSError as error:
        os.write(report, str(error).encode())
        os._exit(127)


if __name__ == "__main__":
    main()
