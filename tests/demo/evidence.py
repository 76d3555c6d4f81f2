"""What the demonstration must have seen, judged from the engine's own files. Pure but for reading them.

The answer is computed here a second time, from the seed alone and by other code than the programs use.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
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


def expected_answer(rows: int, seed: int) -> dict[str, Any]:
    """What the query has to find, computed from the seed."""
    cents = dict.fromkeys(_REGIONS, 0)
    sales = dict.fromkeys(_REGIONS, 0)
    x = seed
    for _ in range(rows):
        x = (x * 6364136223846793005 + 1442695040888963407) & _MASK
        region = _REGIONS[x >> 62]
        sales[region] += 1
        cents[region] += (x >> 33) % 100_000
    best = min((region for region in _REGIONS), key=lambda region: (-cents[region], region))
    lines = [f"{region} {sales[region]} {cents[region]}" for region in sorted(_REGIONS) if sales[region]]
    return {
        "best_region": best,
        "cents": cents[best],
        "sales": rows,
        "checksum": hashlib.sha256("\n".join(lines).encode()).hexdigest(),
    }


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
        second = [start for start in begun if start.program == "aggregate"]
        if not all(start.at < killed_at + 1 for start in second):
            found.append("step 2 was started after the executor had died: the kill showed nothing")
    if not took_over:
        found.append("no take-over was seen")
    if answer != expected:
        found.append(f"the answer is {answer}, computed independently {expected}")
    return found
