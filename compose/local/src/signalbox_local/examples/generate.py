"""generate ROWS SEED FILE: write so many sales, the same ones for the same seed."""

import csv
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

REGIONS = ("north", "east", "south", "west")


def sales(rows: int, seed: int) -> Iterator[tuple[int, str, int]]:
    """(number, region, cents) of each; a linear congruential generator (Knuth's MMIX), so anybody can check it."""
    x = seed
    for number in range(rows):
        x = (x * 6364136223846793005 + 1442695040888963407) % 2**64
        yield number, REGIONS[x >> 62], (x >> 33) % 100_000


def main() -> None:
    rows, seed, file = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    stamp("generate")
    draft = file.with_suffix(".part")
    with draft.open("w", newline="") as target:
        writer = csv.writer(target)
        writer.writerow(("number", "region", "cents"))
        writer.writerows(sales(rows, seed))
        target.flush()
        os.fsync(target.fileno())
    draft.replace(file)
    print(f"{rows} sales written to {file}, {file.stat().st_size} bytes")


def stamp(program: str) -> None:
    """One line for this start: whoever counts them sees whether a run key was ever started twice."""
    with Path("starts.log").open("a") as log:
        log.write(f"{os.environ['SIGNALBOX_RUN_KEY']} {program} {os.getpid()} {time.time():.6f}\n")


if __name__ == "__main__":
    main()
