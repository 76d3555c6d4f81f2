"""Start the program of one run, and see it end. Standard library only (`crash` is): all of it is forked for each run.

`serve` is the starter's process: it reads `number folder` lines and answers each with `number code`. For each it forks
a process that forks the supervisor and waits until that says what became of the start; the supervisor lives on in a
session of its own, whatever happens to the starter and the executor. When nothing of the run is left, its key goes to
the pipe of end notices, for whoever still reads there.

The program starts in two steps, so that a kill at any point leaves either nothing or a recorded start: it is forked and
waits; its pid goes into the start record on disk; only then is it let go. If we die before that, it sees the pipe close
and ends without having run.
"""

import errno
import gc
import os
import signal
import stat
import sys
import time
from binascii import b2a_base64
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from signalbox_chassis.runtime import crash_points
from signalbox_executor.engines.process import cgroup, containment, records
from signalbox_executor.engines.process.output import Output
from signalbox_executor.engines.process.watch import Watch

STARTED, SEALED, FAILED, BUSY, NO_ROOM = 0, 3, 4, 5, 6
"""Exit codes. STARTED: this key has run, runs, or its end is recorded."""
LOCK_SECONDS = 10.0
CANNOT_START = 127
END_RETRY_SECONDS = 1.0
PASSING, LASTING = "p", "l"
"""How a failed start begins: it may work the next time, or it never will."""
_PASSING_ERRORS = (errno.ETXTBSY, errno.EAGAIN, errno.ENOMEM, errno.ENFILE, errno.EMFILE, errno.EIO)


def serve(notices: int) -> NoReturn:
    """Answer until nobody asks any more: the pipe closes with the executor. `notices` is the pipe of end notices."""
    containment.close_inherited(notices)
    containment.hide_memory()  # the secrets of runs pass through here
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the processes in between
    gc.freeze()  # what is loaded is shared with every supervisor; a collection would copy it
    for line in sys.stdin:
        number, _, folder = line.rstrip("\n").partition(" ")
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _answer(number, Path(folder), notices)
    os._exit(0)


def _answer(number: str, folder: Path, notices: int) -> NoReturn:
    code = FAILED
    try:
        code = main(folder, notices)
    finally:
        with suppress(OSError):  # the executor may be gone
            os.write(1, f"{number} {code}\n".encode())
        os._exit(0)


def main(folder: Path, notices: int) -> int:
    """Fork the keeper, which forks the supervisor, and wait for what that reports about the start."""
    report_from, report_to = os.pipe()
    if os.fork() == 0:
        os.close(report_from)
        os.setsid()
        _keep(folder, report_to, notices)
    os.close(report_to)
    report = os.read(report_from, 1)
    return report[0] if report else FAILED


def _keep(folder: Path, report_to: int, notices: int) -> NoReturn:
    """The keeper: outlives the supervisor by as long as it takes to end what that left. It never returns.

    While it lives nobody takes the run for ended: it holds a lock of its own.
    """
    try:
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in range(3):
            os.dup2(nowhere, stream)
        lock = _wait_for_keeper(folder)
        containment.adopt_orphans()
        supervisor = os.fork()
        if supervisor == 0:
            os.close(notices)  # a run has no way to the executor
            if lock is not None:
                os.close(lock)
            _supervise_and_exit(folder, report_to)
        os.close(report_to)
        os.waitpid(supervisor, 0)
        containment.end_descendants(lambda: time.sleep(0.01))
        if lock is not None:
            os.close(lock)  # first: whoever gets the notice finds the run over
        with suppress(OSError):  # the executor may be gone, or slow to read
            os.write(notices, f"{folder.name}\n".encode())
    finally:
        os._exit(0)


def _wait_for_keeper(folder: Path) -> int | None:
    """The keeper's lock; None if another copy's keeper has it: then that copy starts the run, or has started it."""
    deadline = time.monotonic() + 0.2
    while (lock := records.take_lock(folder, records.KEEPER)) is None and time.monotonic() < deadline:
        time.sleep(0.01)
    return lock


def _supervise_and_exit(folder: Path, report_to: int) -> NoReturn:
    """What the child does; it never returns into the parent's code."""
    code = FAILED
    try:
        code = supervise(folder, report_to)
    finally:
        os._exit(code)


def supervise(folder: Path, report_to: int) -> int:
    """Start the run if nobody did, say so, and stay until it ended."""
    lock, verdict = _become_supervisor(folder)
    if lock is None or verdict is not None:
        return _report(report_to, BUSY if verdict is None else verdict)
    crash_points.point("supervisor.locked")
    spec = records.read(folder, records.SPEC)
    if spec is None:
        return _report(report_to, FAILED)
    begun = time.time()
    try:
        records.reserve_end(folder)
    except OSError:
        return _report(report_to, NO_ROOM)
    containment.adopt_orphans()
    group = cgroup.make(folder.name)
    pid, output, failed = _start(folder, spec, begun, group)
    if failed:
        os.waitpid(pid, 0)
        cgroup.end(group, folder.name)
        passing, message = failed.startswith(PASSING), failed[1:]
        cause = "infrastructure" if passing else "refused"
        _end(folder, begun, phase="failed", cause=cause, exit_code=CANNOT_START, message=message)
        return _report(report_to, STARTED)
    _report(report_to, STARTED)
    watch = Watch(folder, pid, output, Output(folder), spec["time_limit_seconds"], spec["stop_grace_seconds"])
    ended = watch.until_it_ended()
    cgroup.end(group, folder.name)
    crash_points.point("supervisor.ended")
    _end(folder, begun, **ended, **_result(folder))
    return STARTED


def _become_supervisor(folder: Path) -> tuple[int | None, int | None]:
    """The lock, and why nothing is to be started (None: start it)."""
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        lock = records.take_lock(folder)
        if records.is_decided(folder):
            return lock, STARTED
        if (folder / records.SEALED).exists():
            return lock, SEALED
        if lock is not None and (folder / records.CANCEL).exists():
            _end(folder, time.time(), phase="killed", cause="cancelled", message="cancelled before it started")
            return lock, STARTED
        if lock is not None or time.monotonic() > deadline:
            return lock, None
        time.sleep(0.01)  # another copy is about to start it, or somebody looks at the folder


def _start(folder: Path, spec: dict[str, Any], begun: float, group: str | None) -> tuple[int, int, str]:
    """Pid, the reading end of its output, and why it could not be started (empty if it runs)."""
    output, written = os.pipe()
    gate, go = os.pipe()
    trouble, complain = os.pipe()
    with suppress(FileExistsError):
        os.mkfifo(folder / records.BELL, 0o600)
    pid = os.fork()
    if pid == 0:
        _become_program(spec, written, (gate, go), complain, group)
    for ours in (written, gate, complain):
        os.close(ours)
    started: dict[str, Any] = {"pid": pid, "ticks": records.start_ticks(pid), "boot_id": records.boot_id(), "at": begun}
    started["cgroup"] = group
    records.write(folder, records.STARTED, started)
    crash_points.point("supervisor.recorded")
    os.write(go, b"!")
    os.close(go)
    report = os.read(trouble, 4096).decode(errors="replace")
    os.close(trouble)
    return pid, output, report


def _become_program(
    spec: dict[str, Any], written: int, gate: tuple[int, int], complain: int, group: str | None
) -> NoReturn:
    """Wait for the go, then become the program; no end of any pipe but its output survives that."""
    try:
        os.close(gate[1])
        if not os.read(gate[0], 1):
            os._exit(CANNOT_START)  # the supervisor died before the start was recorded
        with suppress(OSError):  # without it the subreapers end what is left
            cgroup.enter(group)
        os.setsid()
        os.dup2(written, 1)
        os.dup2(written, 2)
        containment.keep_from_program()
        containment.become_user(spec["user"])
        containment.enter(spec["working_root"], spec["working_parts"])
        for ignored in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores these, and programs would inherit that
            signal.signal(ignored, signal.SIG_DFL)
        os.execve(spec["executable"], spec["argv"], spec["environment"])
    except BaseException as error:
        passing = isinstance(error, OSError) and error.errno in _PASSING_ERRORS
        os.write(complain, f"{PASSING if passing else LASTING}cannot be started: {error}".encode()[:2000])
    finally:
        os._exit(CANNOT_START)


def _result(folder: Path) -> dict[str, Any]:
    """What the program left as its result: at most one byte more than allowed is read, and only of a plain file."""
    try:
        descriptor = _open_result(folder)
    except FileNotFoundError:
        return {}
    except OSError as error:
        return {"result_error": f"the result cannot be read: {os.strerror(error.errno or 0)}; a plain file is allowed"}
    try:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode):
            return {"result_error": "the result is no plain file: a link, a pipe or a folder is not read"}
        data = os.read(descriptor, records.RESULT_BYTES + 1)
    finally:
        os.close(descriptor)
    return {"result": b2a_base64(data, newline=False).decode(), "result_size": about.st_size}


def _open_result(folder: Path) -> int:
    """Follows no link: the program may have put one in place of the file, or of its folder."""
    out = os.open(folder / records.OUT, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        return os.open(records.RESULT, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW, dir_fd=out)
    finally:
        os.close(out)


def _end(folder: Path, begun: float, **how: Any) -> None:
    """Record the end, however long that takes: a disk that fails for a while must not cost the exit code."""
    record = {**how, "started_at": begun, "ended_at": time.time()}
    while True:
        try:
            return records.write_end(folder, record)
        except OSError:
            if not folder.is_dir():
                raise
            time.sleep(END_RETRY_SECONDS)


def _report(report_to: int, code: int) -> int:
    with suppress(OSError):  # the submitter may be gone
        os.write(report_to, bytes([code]))
    os.close(report_to)
    return code
