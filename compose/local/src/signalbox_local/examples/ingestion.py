"""ingestion ROWS SEED [SECONDS]: write the sales of each day to `raw/DAY.csv`, the same ones for the same seed.

MODE initial_load: every day of the window that ends at EVENT_DATE. MODE incremental: EVENT_DATE alone.
"""

import csv
import json
import os
import sys
import time
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

REGIONS = ("north", "east", "south", "west")


def sales(rows: int, seed: int, day: date) -> Iterator[tuple[int, str, int]]:
    """(number, region, cents) of each; a linear congruential generator (Knuth's MMIX), so anybody can check it."""
    x = (seed + day.toordinal() * 0x9E3779B97F4A7C15) % 2**64
    for number in range(rows):
        x = (x * 6364136223846793005 + 1442695040888963407) % 2**64
        yield number, REGIONS[x >> 62], (x >> 33) % 100_000


def days() -> list[date]:
    """The days this run is about."""
    last, window = date.fromisoformat(os.environ["EVENT_DATE"]), int(os.environ["PROCESSING_WINDOW_DAYS"])
    return [last - timedelta(n) for n in range(window if os.environ["MODE"] == "initial_load" else 1)]


def write(rows: int, seed: int, day: date) -> int:
    """Write one day; returns the size of its file."""
    file = Path("raw") / f"{day}.csv"
    draft = file.with_suffix(".part")
    with draft.open("w", newline="") as target:
        writer = csv.writer(target)
        writer.writerow(("number", "region", "cents"))
        writer.writerows(sales(rows, seed, day))
        target.flush()
        os.fsync(target.fileno())
    draft.replace(file)
    return file.stat().st_size


def main() -> None:
    rows, seed = int(sys.argv[1]), int(sys.argv[2])
    end_at = time.monotonic() + (float(sys.argv[3]) if len(sys.argv) > 3 else 0.0)
    stamp("ingestion")
    Path("raw").mkdir(exist_ok=True)
    wanted = sorted(days())
    for day in wanted:
        print(f"{day}: {rows} sales, {write(rows, seed, day)} bytes", flush=True)
    time.sleep(max(0.0, end_at - time.monotonic()))
    result = {"first": str(wanted[0]), "last": str(wanted[-1]), "rows": rows * len(wanted)}
    Path(os.environ["SIGNALBOX_RESULT"]).write_text(json.dumps(result))


def stamp(program: str) -> None:
    """One line for this start: whoever counts them sees whether a run key was ever started twice."""
    with Path("starts.log").open("a") as log:
        log.write(f"{os.environ['SIGNALBOX_RUN_KEY']} {program} {os.getpid()} {time.time():.6f}\n")


if __name__ == "__main__":
    main()
