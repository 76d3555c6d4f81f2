"""Logs of a reprocessing job's workers: the last lines of each, or of all in the order of their times. Pure.

A worker begins each of its lines with a time in UTC (RFC 3339). A line without one, such as those of a traceback,
belongs to the line before it.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

MAX_LINE: Final = 10_000
"""Characters of a line that are shown."""
_BADGE: Final = re.compile(rb"\[(\d{1,5})(?:/[^\]]*)?\] ?")
_STAMP: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z) ?")


@dataclass(frozen=True, slots=True)
class WorkerLine:
    """One line of one worker. `timestamp` is empty where nothing before it has one."""

    worker_index: int
    timestamp: str
    message: str

    @property
    def text(self) -> str:
        """The line as it was written, with its time."""
        return f"{self.timestamp} {self.message}" if self.timestamp else self.message


def lines_of(worker_index: int, log: bytes) -> list[WorkerLine]:
    """The lines of a log. Bytes that are no UTF-8 are shown as U+FFFD, zero bytes too."""
    found: list[WorkerLine] = []
    timestamp = ""
    for line in log.decode(errors="replace").replace("\0", "�").splitlines():
        stamp = _STAMP.match(line)
        if stamp is not None and _instant(stamp[1]) is not None:
            timestamp, line = stamp[1], line[stamp.end() :]
        found.append(WorkerLine(worker_index, timestamp, line[:MAX_LINE]))
    return found


def lines_of_pods(log: bytes, workers: int) -> dict[int, list[WorkerLine]]:
    """The lines of an Indexed Job's log by worker: each begins with its index, `[3] `, where there are several."""
    by_worker: dict[int, list[bytes]] = {index: [] for index in range(workers)}
    for line in log.splitlines(keepends=True):
        badge = _BADGE.match(line)
        index = int(badge[1]) if badge is not None and workers > 1 else 0
        by_worker.setdefault(index, []).append(line[badge.end() :] if badge is not None and workers > 1 else line)
    return {index: lines_of(index, b"".join(lines)) for index, lines in sorted(by_worker.items())}


def newest(lines: Sequence[WorkerLine], *, tail: int, since: datetime | None) -> list[WorkerLine]:
    """The last lines, and of those what is not older than `since`."""
    chosen = lines[-tail:] if tail else ()
    return [line for line in chosen if since is None or ((at := _instant(line.timestamp)) is not None and at >= since)]


def merged(workers: Iterable[Sequence[WorkerLine]]) -> list[WorkerLine]:
    """The lines of all in the order of their times; those of one worker keep theirs."""
    every = [line for lines in workers for line in lines]
    return sorted(every, key=lambda line: line.timestamp.removesuffix("Z"))  # else 00.5Z would come before 00Z


def _instant(timestamp: str) -> datetime | None:
    try:
        return datetime.fromisoformat(timestamp)
    except ValueError:
        return None
