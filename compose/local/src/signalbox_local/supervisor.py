"""Keeps one service running: `python -m signalbox_local.supervisor FOLDER`.

The folder's `order.json` (0600) says what to run and with which variables. A service that ends is started again, at
once the first time and with growing pauses while it keeps ending; one that ends with 2 has wrong settings, and so does
the keeper. What it prints goes to the keeper's own output, a log that is cut when it is long. The service dies with
its keeper, however that ends, so the stack has no process that nobody watches.

A test can leave `once.json` in the folder: variables for the next start only, a crash point say.
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

from signalbox_local.process import LOG_LIMIT_BYTES, OWNED, spawn
from signalbox_local.secret import write_private

ORDER, ONCE, CHILD = "order.json", "once.json", "child.json"
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.1, 10.0
HEALTHY_SECONDS = 30.0
"""A service that ran so long may fail once more without a longer pause."""
SETTINGS_WRONG = 2
LOOK_SECONDS = 5.0
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)


@dataclass(frozen=True, slots=True)
class Order:
    """What to keep running. `environment` is all the service gets."""

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
        write_private(folder / ORDER, json.dumps(record))


def read_order(folder: Path) -> Order | None:
    """The order in a folder; None when there is none that can be read."""
    try:
        said = json.loads((folder / ORDER).read_text())
        return Order(said["name"], said["command"], said["environment"], float(said["stop_seconds"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def leave_once(folder: Path, variables: Mapping[str, str]) -> None:
    """Variables for the service's next start, and that one only."""
    write_private(folder / ONCE, json.dumps(dict(variables)))


def pause_after(failures: int) -> float:
    """Seconds to wait after so many ends in a row."""
    return min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** min(max(failures - 1, 0), 10))


class Keeper:
    """One service of one folder."""

    def __init__(self, folder: Path, order: Order, output: int) -> None:
        self.folder = folder
        self.order = order
        self.output = output
        self.starts = 0
        self.failures = 0

    def run(self) -> int:
        """Until told to stop; returns the exit code."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        while True:
            began = time.monotonic()
            child = self._start()
            status = self._watch(child)
            if status is None:
                return self._stop(child)
            self.failures = 1 if time.monotonic() - began > HEALTHY_SECONDS else self.failures + 1
            if status == SETTINGS_WRONG:
                self._say("its settings are wrong: not started again")
                return SETTINGS_WRONG
            pause = pause_after(self.failures)
            self._say(f"{self.order.name} (pid {child}) {_ended(status)}: started again in {pause:.1f} s")
            if self._told_to_stop_within(pause):
                return 0

    def _start(self) -> int:
        once = self._once()
        environment = {**self.order.environment, **once}
        child = spawn(self.order.command, life=OWNED, output=self.output, env=environment, cwd=self.folder)
        self.starts += 1
        child.returncode = 0  # reaped by `_watch`
        record = {"pid": child.pid, "starts": self.starts, "once": sorted(once)}
        write_private(self.folder / CHILD, json.dumps(record))
        return child.pid

    def _once(self) -> dict[str, str]:
        try:
            said: dict[str, str] = json.loads((self.folder / ONCE).read_text())
            (self.folder / ONCE).unlink()
        except (OSError, ValueError):
            return {}
        return said

    def _watch(self, child: int) -> int | None:
        """The exit status (negative: the signal) of the child, or None when told to stop."""
        while True:
            found = signal.sigtimedwait(_SIGNALS, LOOK_SECONDS)
            if found is not None and found.si_signo != signal.SIGCHLD:
                return None
            self._cut_log()
            pid, status = os.waitpid(child, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)

    def _told_to_stop_within(self, seconds: float) -> bool:
        return signal.sigtimedwait((signal.SIGTERM, signal.SIGINT), seconds) is not None

    def _stop(self, child: int) -> int:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGTERM)
        give_up_at = time.monotonic() + self.order.stop_seconds
        while (left := give_up_at - time.monotonic()) > 0:
            pid, _ = os.waitpid(child, os.WNOHANG)
            if pid:
                return 0
            signal.sigtimedwait((signal.SIGCHLD,), min(left, 0.5))
        self._say(f"{self.order.name} did not end within {self.order.stop_seconds:.0f} s: killed")
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return 0

    def _cut_log(self) -> None:
        """Move a long log aside and go on in the same file, which the service has open for appending."""
        log = self.folder / "server.log"
        with contextlib.suppress(OSError):
            if log.stat().st_size > LOG_LIMIT_BYTES:
                shutil.copyfile(log, log.with_suffix(".log.1"))
                os.truncate(log, 0)

    def _say(self, text: str) -> None:
        os.write(self.output, f"keeper: {text}\n".encode())


def child_of(folder: Path) -> dict[str, Any]:
    """What the keeper last started: `pid`, `starts` (so far), `once`; empty when it never did."""
    try:
        return json.loads((folder / CHILD).read_text())
    except (OSError, ValueError):
        return {}


def _ended(status: int) -> str:
    if status < 0:
        return f"was ended by {signal.Signals(-status).name}"
    return f"ended with {status}"


def main() -> int:
    folder = Path(sys.argv[1])
    order = read_order(folder)
    if order is None:
        print(f"keeper: {folder / ORDER} cannot be read", file=sys.stderr)
        return SETTINGS_WRONG
    return Keeper(folder, order, sys.stdout.fileno()).run()


if __name__ == "__main__":
    sys.exit(main())
