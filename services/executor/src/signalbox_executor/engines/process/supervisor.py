"""Start the program of one run, and see it end. Standard library only (`crash` is): all of it is forked for each run.

`serve` is the starter's process: it reads `number folder` lines and answers each with `number code`. For each it forks
a process that forks the supervisor and waits until that says what became of the start; the supervisor lives on in a
session of its own, whatever happens to the starter and the executor.

The program starts in two steps, so that a kill at any point leaves either nothing or a recorded start: it is forked and
waits; its pid goes into the start record on disk; only then is it let go. If we die before that, it sees the pipe close
and ends without having run.
"""

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
from signalbox_executor.engines.process import records
from signalbox_executor.engines.process.output import Output
from signalbox_executor.engines.process.watch import Watch

STARTED, SEALED, FAILED, BUSY = 0, 3, 4, 5
"""Exit codes. STARTED: this key has run, runs, or its end is recorded."""
LOCK_SECONDS = 10.0
CANNOT_START = 127


def serve() -> NoReturn:
    """Answer until nobody asks any more: the pipe closes with the executor."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the processes in between
    gc.freeze()  # what is loaded is shared with every supervisor; a collection would copy it
    for line in sys.stdin:
        number, _, folder = line.rstrip("\n").partition(" ")
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _answer(number, Path(folder))
    os._exit(0)


def _answer(number: str, folder: Path) -> NoReturn:
    code = FAILED
    try:
        code = main(folder)
    finally:
        with suppress(OSError):  # the executor may be gone
            os.write(1, f"{number} {code}\n".encode())
        os._exit(0)


def main(folder: Path) -> int:
    """Fork the supervisor, and wait for what it says about the start."""
    report_from, report_to = os.pipe()
    if os.fork() == 0:
        os.close(report_from)
        os.setsid()
        _detach(folder, report_to)
    os.close(report_to)
    report = os.read(report_from, 1)
    return report[0] if report else FAILED


def _detach(folder: Path, report_to: int) -> NoReturn:
    """What the child does: its standard streams lead nowhere, and it never returns into the parent's code."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(nowhere, stream)
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
    pid, output, failed = _start(folder, spec, begun)
    if failed:
        os.waitpid(pid, 0)
        _end(folder, begun, phase="failed", cause="refused", exit_code=CANNOT_START, message=failed)
        return _report(report_to, STARTED)
    _report(report_to, STARTED)
    watch = Watch(folder, pid, output, Output(folder), spec["time_limit_seconds"], spec["stop_grace_seconds"])
    ended = watch.until_it_ended()
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


def _start(folder: Path, spec: dict[str, Any], begun: float) -> tuple[int, int, str]:
    """Pid, the reading end of its output, and why it could not be started (empty if it runs)."""
    output, written = os.pipe()
    gate, go = os.pipe()
    trouble, complain = os.pipe()
    with suppress(FileExistsError):
        os.mkfifo(folder / records.BELL, 0o600)
    pid = os.fork()
    if pid == 0:
        _become_program(spec, written, (gate, go), complain)
    for ours in (written, gate, complain):
        os.close(ours)
    started = {"pid": pid, "ticks": records.start_ticks(pid), "boot_id": records.boot_id(), "at": begun}
    records.write(folder, records.STARTED, started)
    crash_points.point("supervisor.recorded")
    os.write(go, b"!")
    os.close(go)
    report = os.read(trouble, 4096).decode(errors="replace")
    os.close(trouble)
    return pid, output, report


def _become_program(spec: dict[str, Any], written: int, gate: tuple[int, int], complain: int) -> NoReturn:
    """Wait for the go, then become the program; no end of any pipe but its output survives that."""
    try:
        os.close(gate[1])
        if not os.read(gate[0], 1):
            os._exit(CANNOT_START)  # the supervisor died before the start was recorded
        os.setsid()
        os.dup2(written, 1)
        os.dup2(written, 2)
        os.chdir(spec["working_directory"])
        for ignored in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores these, and programs would inherit that
            signal.signal(ignored, signal.SIG_DFL)
        os.execve(spec["executable"], spec["argv"], spec["environment"])
    except BaseException as error:
        os.write(complain, f"cannot be started: {error}".encode()[:2000])
    finally:
        os._exit(CANNOT_START)


def _result(folder: Path) -> dict[str, Any]:
    """What the program left as its result: at most one byte more than allowed is read, and only of a plain file."""
    try:
        descriptor = os.open(folder / records.RESULT, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError:
        return {}
    try:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode):
            return {}
        data = os.read(descriptor, records.RESULT_BYTES + 1)
    finally:
        os.close(descriptor)
    return {"result": b2a_base64(data, newline=False).decode(), "result_size": about.st_size}


def _end(folder: Path, begun: float, **how: Any) -> None:
    records.write(folder, records.END, {**how, "started_at": begun, "ended_at": time.time()})


def _report(report_to: int, code: int) -> int:
    with suppress(OSError):  # the submitter may be gone
        os.write(report_to, bytes([code]))
    os.close(report_to)
    return code
