"""What is being fetched, in bytes: bars on a terminal, one line at the start and end of each item elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn

MEGABYTE = 1_000_000


class Meter(Protocol):
    """Told how many bytes of an item are here; may be called from any thread."""

    def __call__(self, bytes_so_far: int) -> None: ...


def megabytes(count: int) -> str:
    return f"{count / MEGABYTE:.1f} MB"


class Reporter:
    """Talks on stderr. One per run."""

    def __init__(self) -> None:
        self.console = Console(stderr=True, highlight=False, soft_wrap=True)

    def say(self, text: str) -> None:
        """One plain line (never read as markup)."""
        if self.console.is_terminal:
            self.console.print(text, markup=False)
        else:
            print(text, file=sys.stderr, flush=True)

    @contextmanager
    def item(self, what: str, total_bytes: int) -> Iterator[Meter]:
        """Show one download of about `total_bytes` while the block runs."""
        started = time.monotonic()
        if self.console.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
            with Progress(*columns, console=self.console, transient=True) as bars:
                yield _bar(bars, bars.add_task(what, total=total_bytes))
        else:
            self.say(f"fetching {what}, {megabytes(total_bytes)} ...")
            yield _silent
        self.say(f"fetched {what}, {megabytes(total_bytes)} in {time.monotonic() - started:.1f} s")


def _bar(bars: Progress, task: TaskID) -> Meter:
    def update(bytes_so_far: int) -> None:
        bars.update(task, completed=bytes_so_far)

    return update


def _silent(bytes_so_far: int) -> None:
    pass
