"""A server process that is known by its pid file, found again after any crash, and never mistaken for another."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from signalbox_local import launch
from signalbox_local.errors import CannotContinue, ServerNotReady
from signalbox_local.secret import append_private

LOG_LIMIT_BYTES = 16 * 1024 * 1024
POLL_SECONDS = 0.02
STAND_SECONDS = 2.0

# The kernel ties "die with your parent" to the *thread* that forked. This one lives as long as the process, so a server
# may be started from any short-lived thread.
_forker = ThreadPoolExecutor(1, thread_name_prefix="signalbox-forker")


@dataclass(frozen=True, slots=True)
class Account:
    """An existing system user to run a server as."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Lifetime:
    """How long a server lives: as long as the process that starts it (`owned`), or until `down` (detached)."""

    owned: bool
    keep_fds: tuple[int, ...] = ()
    """Held open until the server runs: the lock of the stack, so that `down` cannot overtake a start."""


OWNED = Lifetime(owned=True)


@dataclass(frozen=True, slots=True)
class Running:
    """What the pid file says about a process that is verified to run."""

    pid: int
    name: str
    stop_signal: int
    stop_seconds: float


class ServerProcess:
    """One server's process. Safe to make again on the same `folder`: all it knows lies in the pid file there."""

    def __init__(self, folder: Path, name: str, *, stop_signal: signal.Signals, stop_seconds: float) -> None:
        self.folder = folder
        self.name = name
        self.pid_file = folder / "server.pid"
        self.log = folder / "server.log"
        self.stop_signal = stop_signal
        self.stop_seconds = stop_seconds
        self._log_start = 0
        self._start_again: Callable[[], None] | None = None
        """Starts what `start` found running: that may have been about to end."""

    # ------------------------------------------------------------------ what is

    def running(self) -> Running | None:
        """The process, when the one that the pid file names is alive; None also for a recycled pid or a zombie."""
        return read_pid_file(self.pid_file)

    @property
    def pid(self) -> int | None:
        found = self.running()
        return found.pid if found else None

    def log_tail(self, lines: int = 12) -> str:
        """The last lines of the log that came since we started the server."""
        try:
            with self.log.open("rb") as log:
                log.seek(max(self._log_start, self.log.stat().st_size - 8192))
                text = log.read().decode(errors="replace")
        except OSError:
            return "(no log)"
        return "\n".join(f"  | {line}" for line in text.splitlines()[-lines:]) or "  | (empty)"

    # ------------------------------------------------------------------ starting

    def start(
        self,
        command: Sequence[str],
        *,
        life: Lifetime,
        env: Mapping[str, str] | None = None,
        account: Account | None = None,
    ) -> None:
        """Start `command` (its first word an absolute path) unless it runs. Returns once it is executing.

        Raises ServerNotReady when it cannot even be executed.
        """
        if self.running():
            self._start_again = partial(self.start, command, life=life, env=env, account=account)
            return
        self._start_again = None
        self._trim_log()
        record = {"name": self.name, "stop_signal": int(self.stop_signal), "stop_seconds": self.stop_seconds}
        with append_private(self.log) as log:
            self._log_start = log.tell()
            child = spawn(
                command, pid_file=self.pid_file, record=record, life=life, output=log.fileno(), env=env,
                account=account, cwd=self.folder,
            )  # fmt: skip
        # from here on the pid file is the truth, whichever handle reads it: Python need not warn that we did not wait
        child.returncode = 0

    def wait_ready(self, answers: Callable[[], bool], *, seconds: float) -> None:
        """Wait until `answers()`. Raises ServerNotReady, with the log's tail, when the process ends or time is up.

        A process that ran before `start` and ends now, such as one just killed, is started once.
        """
        deadline = time.monotonic() + seconds
        while True:
            alive = self.running()
            if alive and answers():
                return
            if not alive:
                if self._start_again is None:
                    raise self._not_ready("ended while starting")
                self._start_again()
                self._start_again = None
                continue
            if time.monotonic() > deadline:
                raise self._not_ready(f"(pid {alive.pid}) did not answer within {seconds:.0f} s")
            time.sleep(POLL_SECONDS)

    def _not_ready(self, fact: str) -> CannotContinue:
        tail = self.log_tail()
        advice = f"read {self.log}; `make down` and `make up` start it anew on the same data"
        if "No space left on device" in tail:
            advice = f"free at least 1 GiB on the disk with {self.folder}, then start again: its data was not touched"
        return ServerNotReady(f"{self.name} {fact}; the end of its log {self.log}:\n{tail}", advice)

    def _trim_log(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            if self.log.stat().st_size > LOG_LIMIT_BYTES:
                self.log.replace(self.log.with_suffix(".log.1"))

    # ------------------------------------------------------------------ stopping

    def stop(self, *, stop_signal: signal.Signals | None = None) -> None:
        """Ask it to end, wait `stop_seconds`, then kill it. Nothing happens when it does not run."""
        found = self.running()
        if found is None:
            return self._forget()
        self.thaw()  # a stopped process does not act on the signal
        send(found, stop_signal or found.stop_signal)
        if not self._gone_within(found.stop_seconds):
            self.kill()
        return self._forget()

    def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        found = self.running()
        if found:
            frozen = _descendants(found.pid)
            send(found, signal.SIGKILL)
            for pid in frozen:  # they end by themselves, unless `freeze` stopped them
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
            if not self._gone_within(10):
                raise ServerNotReady(
                    f"{self.name} (pid {found.pid}) does not die even by SIGKILL",
                    "it hangs in the kernel, often on a dead disk or network mount: look at `dmesg`",
                )
        self._forget()

    def freeze(self) -> None:
        """Stop the process and all that it started in the middle of what they do (SIGSTOP); returns when they stand."""
        family = self._family()
        for pid in family:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        give_up_at = time.monotonic() + STAND_SECONDS
        while any(_moves(pid) for pid in family) and time.monotonic() < give_up_at:
            time.sleep(POLL_SECONDS)

    def thaw(self) -> None:
        """Undo `freeze`."""
        for pid in reversed(self._family()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def _family(self) -> list[int]:
        found = self.running()
        return [found.pid, *_descendants(found.pid)] if found else []

    def _gone_within(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while self.running():
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_SECONDS)
        return True

    def _forget(self) -> None:
        self.pid_file.unlink(missing_ok=True)


def spawn(
    command: Sequence[str],
    *,
    life: Lifetime,
    output: int,
    pid_file: Path | None = None,
    record: Mapping[str, object] | None = None,
    env: Mapping[str, str] | None = None,
    account: Account | None = None,
    cwd: Path | None = None,
) -> subprocess.Popen[bytes]:
    """Start `command` in a session of its own, by `launch.py`; returns once it executes. Raises ServerNotReady."""
    read_fd, write_fd = os.pipe()
    order: dict[str, object] = {
        "command": list(command),
        "report_fd": write_fd,
        "keep_fds": list(life.keep_fds),
        "pid_file": str(pid_file) if pid_file else None,
        "record": dict(record or {}),
        "account": [account.uid, account.gid] if account else None,
        "parent": os.getpid() if life.owned else None,
    }
    launcher = [sys.executable, "-I", "-S", launch.__file__, json.dumps(order)]

    def fork() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            launcher, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=None if env is None else dict(env),
            cwd=cwd, start_new_session=True, pass_fds=(write_fd, *life.keep_fds),
        )  # fmt: skip

    try:
        # the main thread lives as long as the process too, and then the child shows as its own in /proc
        on_main = threading.current_thread() is threading.main_thread()
        child = fork() if on_main else _forker.submit(fork).result()
    finally:
        os.close(write_fd)
    with os.fdopen(read_fd, "rb") as report:
        failure = report.read().decode()
    if failure:
        child.wait()
        raise ServerNotReady(
            f"{command[0]} cannot be run{f' as {account.name}' if account else ''}: {failure}",
            "check that the program and its folders are readable for that user; in a container without that user, "
            "run as an ordinary user",
        )
    return child


def run(command: Sequence[str], *, account: Account | None = None, env: Mapping[str, str] | None = None, log: Path,
        seconds: float) -> int:  # fmt: skip
    """Run a helper program to its end, its output appended to `log`; it dies with us. Returns its exit code.

    Raises ServerNotReady when it takes longer than `seconds`.
    """
    with append_private(log) as output:
        child = spawn(command, life=OWNED, output=output.fileno(), env=env, account=account)
    try:
        return child.wait(seconds)
    except subprocess.TimeoutExpired:
        raise ServerNotReady(
            f"{Path(command[0]).name} did not end within {seconds:.0f} s (log: {log})",
            "try again when the machine is less busy",
        ) from None
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()


def send(process: Running, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, number)


def read_pid_file(file: Path) -> Running | None:
    """The process a pid file names, when it is alive and the same one that wrote it."""
    try:
        record = json.loads(file.read_text())
        found = Running(int(record["pid"]), record["name"], int(record["stop_signal"]), float(record["stop_seconds"]))
        same = (launch.start_ticks(found.pid), launch.boot_id()) == (record["start_ticks"], record["boot_id"])
        return found if same and not _ended(found.pid) else None
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return None


def _ended(pid: int) -> bool:
    """Whether only an entry in the process table is left, which is reaped when it is our child's.

    A killed process with threads shows as a zombie before the last of them has closed its ports: not ended yet.
    """
    with contextlib.suppress(ChildProcessError):
        if os.waitpid(pid, os.WNOHANG)[0] == pid:
            return True
    return is_zombie(pid)


def is_zombie(pid: int) -> bool:
    """Whether a process has ended, to the last thread, and only waits to be reaped by its parent."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state in "ZX" and len(list(Path(f"/proc/{pid}/task").iterdir())) <= 1
    except OSError:
        return False


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                found += [int(child), *_descendants(int(child))]
    return found


def _moves(pid: int) -> bool:
    """Whether a thread of it has not been stopped yet: each stops when it next leaves the kernel."""
    try:
        return any(
            task.read_text().rpartition(")")[2].split()[0] not in "TtZX"
            for task in Path(f"/proc/{pid}/task").glob("*/stat")
        )
    except (FileNotFoundError, ProcessLookupError):
        return False
