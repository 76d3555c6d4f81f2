"""Keeps one service running: `python -m signalbox_local.supervisor FOLDER`.

The folder's `process.json` (0600) names the command and its variables. A service that ends is started again: at once
the first time, then with growing pauses while it keeps ending. A service that ends with 2 has wrong settings, and then
the supervisor ends with 2 as well. The service's output goes to the supervisor's own output, a log that is cut when it
is long. The service dies with its supervisor, so the stack has no process that nobody watches.

A test can leave `once.json` in the folder: variables for the next start only, for example a crash point.
"""

import contextlib
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from signalbox_local.errors import CannotContinue
from signalbox_local.process import LOG_LIMIT_BYTES, OWNED, spawn
from signalbox_local.secret import write_private

SPEC_FILE, ONCE_FILE, CHILD_FILE = "process.json", "once.json", "child.json"
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.1, 10.0
HEALTHY_SECONDS = 30.0
"""A service that ran so long may fail once more without a longer pause."""
SETTINGS_WRONG = 2
WAKE_SECONDS = 5.0
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """The process to keep running. `environment` is all the service gets."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    stop_seconds: float

    def write(self, folder: Path) -> None:
        record = {
            "name": self.name,
            "command": list(self.command),
            "environment": dict(self.environment),
            "stop_seconds": self.stop_seconds,
        }
        write_private(folder / SPEC_FILE, json.dumps(record))


def read_spec(folder: Path) -> ProcessSpec | None:
    """The specification in a folder; None when there is none that can be read."""
    try:
        record = json.loads((folder / SPEC_FILE).read_text())
        return ProcessSpec(record["name"], record["command"], record["environment"], float(record["stop_seconds"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def set_next_start_variables(folder: Path, variables: Mapping[str, str]) -> None:
    """Variables for the service's next start, and that one only."""
    write_private(folder / ONCE_FILE, json.dumps(dict(variables)))


def pause_after(failures: int) -> float:
    """Seconds to wait after so many ends in a row."""
    return min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** min(max(failures - 1, 0), 10))


class Supervisor:
    """One service of one folder."""

    def __init__(self, folder: Path, spec: ProcessSpec, output: int) -> None:
        self.folder = folder
        self.spec = spec
        self.output = output
        self.starts = 0
        self.failures = 0

    def run(self) -> int:
        """Run until a signal asks to stop. Returns the exit code."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        while True:
            began = time.monotonic()
            try:
                child = self._start()
            except (CannotContinue, OSError) as error:
                if not self.starts:
                    raise
                fact = f"cannot be started now ({error})"  # short of memory, or replaced at this moment
            else:
                status = self._wait_for_end(child)
                if status is None:
                    return self._stop(child)
                if status == SETTINGS_WRONG:
                    self._log("its settings are wrong: not started again")
                    return SETTINGS_WRONG
                fact = f"(pid {child}) {_ended(status)}"
            self.failures = 1 if time.monotonic() - began > HEALTHY_SECONDS else self.failures + 1
            pause = pause_after(self.failures)
            self._log(f"{self.spec.name} {fact}: started again in {pause:.1f} s")
            if self._stop_requested_within(pause):
                return 0

    def _start(self) -> int:
        once = self._once()
        environment = {**self.spec.environment, **once}
        child = spawn(self.spec.command, life=OWNED, output=self.output, env=environment, cwd=self.folder)
        self.starts += 1
        child.returncode = 0  # reaped by `_wait_for_end`
        record = {"pid": child.pid, "starts": self.starts, "once": sorted(once)}
        write_private(self.folder / CHILD_FILE, json.dumps(record))
        return child.pid

    def _once(self) -> dict[str, str]:
        try:
            record: dict[str, str] = json.loads((self.folder / ONCE_FILE).read_text())
            (self.folder / ONCE_FILE).unlink()
        except (OSError, ValueError):
            return {}
        return record

    def _wait_for_end(self, child: int) -> int | None:
        """The exit status of the child (negative: the signal), or None when a signal asks to stop."""
        while True:
            found = signal.sigtimedwait(_SIGNALS, WAKE_SECONDS)
            if found is not None and found.si_signo != signal.SIGCHLD:
                return None
            self._cut_log()
            pid, status = os.waitpid(child, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)

    def _stop_requested_within(self, seconds: float) -> bool:
        return signal.sigtimedwait((signal.SIGTERM, signal.SIGINT), seconds) is not None

    def _stop(self, child: int) -> int:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGTERM)
        give_up_at = time.monotonic() + self.spec.stop_seconds
        while (left := give_up_at - time.monotonic()) > 0:
            pid, _ = os.waitpid(child, os.WNOHANG)
            if pid:
                return 0
            signal.sigtimedwait((signal.SIGCHLD,), min(left, 0.5))
        self._log(f"{self.spec.name} did not end within {self.spec.stop_seconds:.0f} s: killed")
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return 0

    def _cut_log(self) -> None:
        """Copy a long log aside and empty the file, which the service has open for appending."""
        log = self.folder / "server.log"
        with contextlib.suppress(OSError):
            if log.stat().st_size > LOG_LIMIT_BYTES:
                shutil.copy(log, log.with_suffix(".log.1"))
                os.truncate(log, 0)

    def _log(self, text: str) -> None:
        os.write(self.output, f"supervisor: {text}\n".encode())


def child_of(folder: Path) -> dict[str, Any]:
    """What the supervisor last started: `pid`, `starts` (so far), `once`; empty when it never did."""
    try:
        return json.loads((folder / CHILD_FILE).read_text())
    except (OSError, ValueError):
        return {}


def _ended(status: int) -> str:
    if status < 0:
        names = {one.value: one.name for one in signal.Signals}  # most of those for real time have none
        return f"was ended by {names.get(-status, f'signal {-status}')}"
    return f"ended with {status}"


def main() -> int:
    folder = Path(sys.argv[1])
    spec = read_spec(folder)
    if spec is None:
        print(f"supervisor: {folder / SPEC_FILE} cannot be read", file=sys.stderr)
        return SETTINGS_WRONG
    return Supervisor(folder, spec, sys.stdout.fileno()).run()


if __name__ == "__main__":
    sys.exit(main())
