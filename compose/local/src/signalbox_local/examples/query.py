"""query TOTALS: which region sold most? The answer and a checksum over all totals become the result."""

import hashlib
import json
import os
import sys
import time
from pathlib import Path


def main() -> None:
    stamp("query")
    totals = json.loads(Path(sys.argv[1]).read_text())
    best = max(sorted(totals), key=lambda region: totals[region]["cents"])
    lines = [f"{region} {total['sales']} {total['cents']}" for region, total in sorted(totals.items())]
    cents, sales = totals[best]["cents"], sum(total["sales"] for total in totals.values())
    answer = {
        "best_region": best,
        "cents": cents,
        "sales": sales,
        "checksum": hashlib.sha256("\n".join(lines).encode()).hexdigest(),
    }
    Path(os.environ["SIGNALBOX_RESULT"]).write_text(json.dumps(answer))
    print(f"{best} sold most: {cents / 100:,.2f} of {sales:,} sales in all")


def stamp(program: str) -> None:
    """As in `generate`."""
    with Path("starts.log").open("a") as log:
        log.write(f"{os.environ['SIGNALBOX_RUN_KEY']} {program} {os.getpid()} {time.time():.6f}\n")


if __name__ == "__main__":
    main()
