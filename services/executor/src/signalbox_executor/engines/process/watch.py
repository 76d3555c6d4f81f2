"""Watching one program until it and its group are gone: output, the wish to stop, the time limit.

Standard library only. A stop is TERM to the group and every descendant, then KILL after a grace. What is left when the
program itself has ended is killed too, so an end means that nothing of it runs.
"""

import os
import selectors
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from signalbox_executor.engines.process import containment, records
from signalbox_executor.engines.process.output import Output

MAX_WAIT_SECONDS: Final = 3600.0
"""Longest single wait: epoll takes no more than 24.8 days, and a time limit may be longer."""
DRAIN_SECONDS: Final = 1.0
"""How long output is still read after the end: a process that left the group may hold the pipe open for ever."""
_STOP_MESSAGES: Final = {
    "cancelled": "stopped because it was cancelled",
    "timed_out": "stopped because its time limit passed",
    "infrastructure": "stopped because its supervisor was told to end",
}


class Watch:
    """The life of one program, from its start to the moment nothing of it is left."""

    def __init__(
        self, folder: Path, pid: int, output: int, log: Output, limit_seconds: float | None, grace_seconds: float
    ) -> None:
        self._folder = folder
        self._pid = pid
        self._output = output
        self._log = log
        self._limit = None if limit_seconds is None else time.monotonic() + limit_seconds
        self._grace_seconds = grace_seconds
        self._stopped_for: str | None = None
        self._kill_at: float | None = None
        self._waited: int | None = None
        self._must_end = False
        self._selector = selectors.DefaultSelector()
        self._bell = os.open(folder / records.BELL, os.O_RDWR | os.O_NONBLOCK)  # read-write: it never sees an end
        self._wakeup = self._wake_on_signals()
        os.set_blocking(output, False)
        for descriptor in (output, self._bell, self._wakeup):
            self._selector.register(descriptor, selectors.EVENT_READ)

    def until_it_ended(self) -> dict[str, Any]:
        """Block until nothing of the run is left; say how it ended."""
        self._reap()  # it may have ended, and the wish may have come, before anything could wake us
        self._heed_wishes()
        while self._waited is None:
            self._turn(self._seconds_left())
        self._see_off_the_group()
        self._drain()
        self._log.close()
        return self._end_record(self._waited)

    def _turn(self, timeout: float | None) -> bool:
        """Handle what comes within `timeout` seconds; whether there was any output."""
        read = False
        for key, _ in self._selector.select(None if timeout is None else min(timeout, MAX_WAIT_SECONDS)):
            if key.fd == self._output:
                read = self._copy() or read
            else:
                with suppress(BlockingIOError):
                    os.read(key.fd, 4096)
        self._reap()
        self._heed_wishes()
        return read

    def _heed_wishes(self) -> None:
        now = time.monotonic()
        if self._stopped_for is None:
            if (self._folder / records.CANCEL).exists():
                self._stop("cancelled")
            elif self._must_end:
                self._stop("infrastructure")
            elif self._limit is not None and now >= self._limit:
                self._stop("timed_out")
        elif self._kill_at is not None and now >= self._kill_at:
            self._signal_group(signal.SIGKILL)
            self._kill_at = None

    def _stop(self, cause: str) -> None:
        self._reap()
        if self._waited is None:  # else it ended by itself just before
            self._stopped_for = cause
            self._kill_at = time.monotonic() + self._grace_seconds
            self._signal_group(signal.SIGTERM)

    def _signal_group(self, number: int) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._pid, number)
        containment.signal_descendants(os.getpid(), number)  # those that left the group too

    def _reap(self) -> None:
        status = containment.reap(self._pid)
        if self._waited is None:
            self._waited = status

    def _see_off_the_group(self) -> None:
        """After a stop the rest of the group has what is left of the grace; after an end of its own, none."""
        while self._kill_at is not None and time.monotonic() < self._kill_at and containment.descendants(os.getpid()):
            self._turn(0.05)
        containment.end_descendants(lambda: self._turn(0.01))

    def _drain(self) -> None:
        deadline = time.monotonic() + DRAIN_SECONDS
        while self._output in self._selector.get_map() and time.monotonic() < deadline:
            self._turn(deadline - time.monotonic())

    def _copy(self) -> bool:
        try:
            data = os.read(self._output, 65_536)
        except BlockingIOError:
            return False
        if not data:
            self._selector.unregister(self._output)
            os.close(self._output)
            return False
        self._log.write(data)
        return True

    def _seconds_left(self) -> float | None:
        ends = [end for end in (self._limit if self._stopped_for is None else None, self._kill_at) if end is not None]
        return max(0.0, min(ends) - time.monotonic()) if ends else None

    def _wake_on_signals(self) -> int:
        """A descriptor that becomes readable when the program ends or we are told to."""
        wakeup, woken = os.pipe()
        os.set_blocking(wakeup, False)
        os.set_blocking(woken, False)
        signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, self._note)
        signal.signal(signal.SIGTERM, self._note)
        return wakeup

    def _note(self, number: int, _frame: object) -> None:
        self._must_end = self._must_end or number == signal.SIGTERM

    def _end_record(self, status: int) -> dict[str, Any]:
        number = os.waitstatus_to_exitcode(status)
        exit_code = number if number >= 0 else 128 - number  # as a shell says it
        how = f"exit code {number}" if number >= 0 else f"signal {-number} ({signal.strsignal(-number)})"
        if self._stopped_for is not None:
            phase = "killed" if self._stopped_for == "cancelled" else "failed"
            message = f"{_STOP_MESSAGES[self._stopped_for]} (told to stop, ended with {how})"
            return {"phase": phase, "cause": self._stopped_for, "exit_code": exit_code, "message": message}
        if number == 0:
            return {"phase": "succeeded", "cause": "completed", "exit_code": 0, "message": ""}
        return {"phase": "failed", "cause": "failed", "exit_code": exit_code, "message": f"ended with {how}"}
