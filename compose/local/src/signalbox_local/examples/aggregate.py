"""aggregate SALES TOTALS [SECONDS]: sum the sales up by region; takes at least so long."""

import csv
import json
import os
import sys
import time
from pathlib import Path


def main() -> None:
    source, file = Path(sys.argv[1]), Path(sys.argv[2])
    seconds = float(sys.argv[3]) if len(sys.argv) > 3 else 0.0
    stamp("aggregate")
    end_at = time.monotonic() + seconds
    totals: dict[str, dict[str, int]] = {}
    with source.open(newline="") as sales:
        for sale in csv.DictReader(sales):
            region = totals.setdefault(sale["region"], {"sales": 0, "cents": 0})
            region["sales"] += 1
            region["cents"] += int(sale["cents"])
    while (left := end_at - time.monotonic()) > 0:
        print(f"still at it, {left:.1f} s to go", flush=True)
        time.sleep(min(left, 1.0))
    draft = file.with_suffix(".part")
    with draft.open("w") as target:
        json.dump(totals, target, sort_keys=True)
        target.flush()
        os.fsync(target.fileno())
    draft.replace(file)
    for name, total in sorted(totals.items()):
        print(f"{name:>6}: {total['sales']:>8,} sales, {total['cents'] / 100:>16,.2f}")


def stamp(program: str) -> None:
    """As in `generate`."""
    with Path("starts.log").open("a") as log:
        log.write(f"{os.environ['SIGNALBOX_RUN_KEY']} {program} {os.getpid()} {time.time():.6f}\n")


if __name__ == "__main__":
    main()
