"""What is being fetched, in bytes: bars on a terminal, one line at the start and end of each item elsewhere."""

import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Protocol

MEGABYTE = 1_000_000


class Meter(Protocol):
    """Takes how many bytes of an item have arrived. Any thread may call it."""

    def __call__(self, bytes_so_far: int) -> None: ...


def megabytes(count: int) -> str:
    return f"{count / MEGABYTE:.1f} MB"


class Reporter:
    """Reports progress on stderr. One per run."""

    def report(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    @contextmanager
    def item(self, what: str, total_bytes: int) -> Generator[Meter]:
        """Show one download of about `total_bytes` while the block runs."""
        started = time.monotonic()
        if sys.stderr.isatty():
            with _bar(what, total_bytes) as meter:
                yield meter
        else:
            self.report(f"fetching {what}, {megabytes(total_bytes)} ...")
            yield _silent
        self.report(f"fetched {what}, {megabytes(total_bytes)} in {time.monotonic() - started:.1f} s")


@contextmanager
def _bar(what: str, total_bytes: int) -> Generator[Meter]:
    # imported here: it costs every `status` a tenth of a second
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task(what, total=total_bytes)
        yield lambda bytes_so_far: bars.update(task, completed=bytes_so_far)


def _silent(bytes_so_far: int) -> None:
    pass
