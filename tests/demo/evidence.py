"""What the demonstration must have seen, judged from the engine's own files. Pure but for reading them.

The answer is computed here a second time, from the seed alone and by other code than the programs use.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

_REGIONS: tuple[str, ...] = ("north", "east", "south", "west")
_MASK = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Start:
    """One start of a program, as the program itself wrote it down."""

    run_key: str
    program: str
    pid: int
    at: float


def starts(folder: Path) -> list[Start]:
    """Every start in a working folder."""
    lines = (folder / "starts.log").read_text().splitlines()
    return [Start(key, program, int(pid), float(at)) for key, program, pid, at in (line.split() for line in lines)]


def expected_answer(rows: int, seed: int, days: Sequence[date], window: Sequence[date]) -> dict[str, Any]:
    """What the table has to say when it holds these days, computed from the seed; the best region is of the window."""
    by_day = {day: _day(rows, seed, day) for day in days}
    cents = {region: sum(by_day[day][region][1] for day in window) for region in _REGIONS}
    best = min(_REGIONS, key=lambda region: (-cents[region], region))
    lines = [
        f"{day.isoformat()} {region} {sales} {amount}"
        for day in sorted(days)
        for region, (sales, amount) in sorted(by_day[day].items())
        if sales
    ]
    return {
        "best_region": best,
        "cents": cents[best],
        "days": len(by_day),
        "sales": rows * len(by_day),
        "checksum": hashlib.sha256("\n".join(lines).encode()).hexdigest(),
    }


def _day(rows: int, seed: int, day: date) -> dict[str, tuple[int, int]]:
    """Sales and cents of one day by region."""
    counted: dict[str, tuple[int, int]] = dict.fromkeys(_REGIONS, (0, 0))
    x = (seed + day.toordinal() * 11400714819323198485) & _MASK
    for _ in range(rows):
        x = (x * 6364136223846793005 + 1442695040888963407) & _MASK
        region = _REGIONS[x >> 62]
        sales, cents = counted[region]
        counted[region] = (sales + 1, cents + (x >> 33) % 100_000)
    return counted


def faults(
    *,
    begun: Sequence[Start],
    run_keys: Iterable[str],
    killed_at: float | None,
    took_over: bool,
    answer: Any,
    expected: Any,
) -> list[str]:
    """What does not hold, in words; empty when all is as promised.

    `killed_at`: when the executor was seen to die in the middle of step 2 (epoch seconds), None if it never did.
    """
    found: list[str] = []
    counted = Counter(start.run_key for start in begun)
    found += [f"run key {key} was started {n} times" for key, n in counted.items() if n != 1]
    wanted = set(run_keys)
    if set(counted) != wanted:
        found.append(f"the engine started {sorted(counted)}, the tasks are {sorted(wanted)}")
    if killed_at is None:
        found.append("the executor was never killed")
    else:
        second = [start for start in begun if start.program == "processing"][:1]
        if not all(start.at < killed_at + 1 for start in second):
            found.append("step 2 was started after the executor had died: the kill showed nothing")
    if not took_over:
        found.append("no take-over was seen")
    if answer != expected:
        found.append(f"the answer is {answer}, computed independently {expected}")
    return found
