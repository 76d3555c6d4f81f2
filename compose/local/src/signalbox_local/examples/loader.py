"""loader TOTALS DATASET: replace the days of the file in the table `sales_by_day`, in one transaction.

`DATABASE_URL` says where. The result is what the table then says: which region sold most in the window, and a checksum
over all days.
"""

import asyncio
import hashlib
import json
import os
import sys
import time
from datetime import date, timedelta
from pathlib import Path
from typing import Any, cast

import asyncpg

TABLE = """
CREATE TABLE IF NOT EXISTS sales_by_day (
    dataset text NOT NULL, day date NOT NULL, region text NOT NULL, sales bigint NOT NULL, cents bigint NOT NULL,
    PRIMARY KEY (dataset, day, region))
"""
BEST = """
SELECT region, sum(cents)::bigint AS cents FROM sales_by_day WHERE dataset = $1 AND day > $2 AND day <= $3
GROUP BY region ORDER BY 2 DESC, 1 LIMIT 1
"""


async def load(file: Path, dataset: str) -> dict[str, object]:
    """Replace the days, and ask."""
    totals = json.loads(file.read_text())
    last, window = date.fromisoformat(os.environ["EVENT_DATE"]), int(os.environ["PROCESSING_WINDOW_DAYS"])
    address = os.environ["DATABASE_URL"]
    connection = await cast("Any", asyncpg).connect(address, timeout=30)
    try:
        async with connection.transaction():
            await connection.execute(TABLE)
            days = [date.fromisoformat(day) for day in totals]
            await connection.execute(
                "DELETE FROM sales_by_day WHERE dataset = $1 AND day = ANY ($2::date[])", dataset, days
            )
            await connection.copy_records_to_table(
                "sales_by_day",
                records=[
                    (dataset, date.fromisoformat(day), region, total["sales"], total["cents"])
                    for day, regions in totals.items()
                    for region, total in regions.items()
                ],
            )
        best = await connection.fetchrow(BEST, dataset, last - timedelta(window), last)
        rows = await connection.fetch("SELECT * FROM sales_by_day WHERE dataset = $1 ORDER BY day, region", dataset)
    finally:
        await connection.close()
    lines = [f"{row['day']} {row['region']} {row['sales']} {row['cents']}" for row in rows]
    return {
        "best_region": best["region"] if best else None,
        "cents": best["cents"] if best else 0,
        "days": len({row["day"] for row in rows}),
        "sales": sum(row["sales"] for row in rows),
        "checksum": hashlib.sha256("\n".join(lines).encode()).hexdigest(),
    }


def main() -> None:
    stamp("loader")
    answer = asyncio.run(load(Path(sys.argv[1]), sys.argv[2]))
    Path(os.environ["SIGNALBOX_RESULT"]).write_text(json.dumps(answer))
    print(f"{answer['best_region']} sold most; {answer['days']} days in the table")


def stamp(program: str) -> None:
    """As in `ingestion`."""
    with Path("starts.log").open("a") as log:
        log.write(f"{os.environ['SIGNALBOX_RUN_KEY']} {program} {os.getpid()} {time.time():.6f}\n")


if __name__ == "__main__":
    main()
