"""What the scripted engines did, from their own journals: written and synced before anybody was told."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, cast
from uuid import UUID

from pydantic_core import from_json

from signalbox_executor.engines.scripted.journal import Entry
from signalbox_executor.engines.scripted.ledger import Ledger

KEY_PREFIX: Final = "sb-"
UUID_LENGTH: Final = 36


@dataclass(frozen=True, slots=True)
class Run:
    """One start that an engine accepted. Instants are seconds of the wall clock; an endless run ends at infinity."""

    engine: str
    run_key: str
    task_id: UUID
    began: float
    ends: float


def task_of(run_key: str) -> UUID:
    """The task a run key says it belongs to, whatever follows."""
    return UUID(run_key.removeprefix(KEY_PREFIX)[:UUID_LENGTH])


@dataclass
class Journal:
    """One engine's journal, read as far as it is written."""

    engine: str
    file: Path
    ledger: Ledger = field(default_factory=Ledger)
    _at: int = 0

    def read_on(self) -> list[str]:
        """Read what is new; the run keys of new starts. A line that is not whole yet is left for the next time."""
        try:
            with self.file.open("rb") as file:
                file.seek(self._at)
                data = file.read()
        except FileNotFoundError:
            return []
        complete = data[: data.rfind(b"\n") + 1]
        self._at += len(complete)
        started: list[str] = []
        for line in complete.splitlines():
            entry = cast("Entry", from_json(line))
            self.ledger.apply(entry)
            if entry["is"] == "start":
                started.append(entry["run_key"])
        return started

    def live(self, keys: Iterable[str], now: float) -> Iterator[str]:
        """Those of these runs that are live now."""
        return (key for key in keys if now < self.ledger.runs[key].ends_at())

    def runs(self) -> list[Run]:
        """Every start, a second one of the same key too."""
        return [
            Run(self.engine, key, task_of(key), stamp["at"], self.ledger.runs[key].ends_at())
            for key, stamps in self.ledger.starts.items()
            for stamp in stamps
        ]
