"""Looks at the engines while everything is harmed: how many of its runs live, and whether two are of one task."""

import threading
import time
from collections import Counter
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from chaos.engine_runs import Journal, task_of

PER_SECOND: Final = 25


@dataclass
class Looks:
    """What was seen."""

    samples: int = 0
    peaks: Counter[str] = field(default_factory=Counter[str])
    """The most live runs at once, by engine."""
    twice: dict[str, int] = field(default_factory=dict[str, int])
    """Task → the most of its runs that lived at once, where that was more than one."""


class Looker(threading.Thread):
    """Reads the journals on, many times a second. A thread: nothing the harness does may keep it from looking."""

    def __init__(self, journals: Mapping[str, Path]) -> None:
        super().__init__(daemon=True, name="looks")
        self.looks = Looks()
        self.over = threading.Event()
        self._journals = [Journal(engine, file) for engine, file in journals.items()]
        self._live: dict[str, set[str]] = {engine: set() for engine in journals}

    def run(self) -> None:
        while not self.over.wait(1 / PER_SECOND):
            self._look()

    def _look(self) -> None:
        now = time.time()
        tasks: Counter[str] = Counter()
        for journal in self._journals:
            keys = self._live[journal.engine] | set(journal.read_on())
            live = self._live[journal.engine] = set(journal.live(keys, now))
            self.looks.peaks[journal.engine] = max(self.looks.peaks[journal.engine], len(live))
            tasks.update(str(task_of(key)) for key in live)
        for task, count in tasks.items():
            if count > 1:
                self.looks.twice[task] = max(count, self.looks.twice.get(task, 0))
        self.looks.samples += 1


@contextmanager
def looking(journals: Mapping[str, Path]) -> Generator[Looks]:
    """What is seen while the block runs."""
    looker = Looker(journals)
    looker.start()
    try:
        yield looker.looks
    finally:
        looker.over.set()
        looker.join()
