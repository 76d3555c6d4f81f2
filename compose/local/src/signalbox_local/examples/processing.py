"""processing [SECONDS]: sum up the sales of each day of the window by region into `totals.json`; takes so long."""

import csv
import json
import os
import sys
import time
from datetime import date, timedelta
from pathlib import Path


def main() -> None:
    end_at = time.monotonic() + (float(sys.argv[1]) if len(sys.argv) > 1 else 0.0)
    stamp("processing")
    last, window = date.fromisoformat(os.environ["EVENT_DATE"]), int(os.environ["PROCESSING_WINDOW_DAYS"])
    totals = {str(day): summed(day) for day in (last - timedelta(n) for n in range(window))}
    while (left := end_at - time.monotonic()) > 0:
        print(f"still at it, {left:.1f} s to go", flush=True)
        time.sleep(min(left, 1.0))
    draft = Path("totals.part")
    with draft.open("w") as target:
        json.dump(totals, target, sort_keys=True)
        target.flush()
        os.fsync(target.fileno())
    draft.replace("totals.json")
    Path(os.environ["SIGNALBOX_RESULT"]).write_text(json.dumps({"days": len(totals), "file": "totals.json"}))
    print(f"{len(totals)} days summed up")


def summed(day: date) -> dict[str, dict[str, int]]:
    """The sales and cents of one day by region."""
    regions: dict[str, dict[str, int]] = {}
    with (Path("raw") / f"{day}.csv").open(newline="") as sales:
        for sale in csv.DictReader(sales):
            region = regions.setdefault(sale["region"], {"sales": 0, "cents": 0})
            region["sales"] += 1
            region["cents"] += int(sale["cents"])
    return regions


def stamp(program: str) -> None:
    """As in `ingestion`."""
    with Path("starts.log").open("a") as log:
        log.write(f"{os.environ['SIGNALBOX_RUN_KEY']} {program} {os.getpid()} {time.time():.6f}\n")


if __name__ == "__main__":
    main()
