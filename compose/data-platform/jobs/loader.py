"""Load the recommendations of EVENT_DATE from the lake into PostgreSQL (DATABASE_URL), all of them or none."""

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit
from urllib.request import urlopen

import asyncpg
from days import event_date, lake, mode, report

TABLE = """
CREATE TABLE IF NOT EXISTS recommendation (
    user_id text NOT NULL, rank integer NOT NULL, item_id text NOT NULL, score bigint NOT NULL, day date NOT NULL,
    PRIMARY KEY (user_id, rank))
"""
SECONDS = 60


def lines(folder: str) -> Iterator[str]:
    """Every line of the JSON files in a folder of the lake."""
    address = urlsplit(folder)
    if address.scheme == "file":
        for file in sorted(Path(address.path).glob("part-*.json")):
            yield from file.read_text().splitlines()
        return
    # WebHDFS of the NameNode, whose page is on port 9870
    base = f"http://{address.hostname}:{os.environ.get('NAMENODE_HTTP_PORT', '9870')}/webhdfs/v1"
    with urlopen(f"{base}{quote(address.path)}?op=LISTSTATUS", timeout=SECONDS) as answer:
        names = [one["pathSuffix"] for one in json.load(answer)["FileStatuses"]["FileStatus"]]
    for name in sorted(name for name in names if name.startswith("part-")):
        with urlopen(f"{base}{quote(f'{address.path}/{name}')}?op=OPEN", timeout=SECONDS) as answer:
            yield from answer.read().decode().splitlines()


async def load() -> int:
    mode()
    day = event_date()
    rows = [json.loads(line) for line in lines(f"{lake()}/recommendations/day={day}")]
    connection = await asyncpg.connect(os.environ["DATABASE_URL"], timeout=SECONDS)
    try:
        async with connection.transaction():
            await connection.execute(TABLE)
            await connection.execute("DELETE FROM recommendation")
            await connection.copy_records_to_table(
                "recommendation",
                columns=("user_id", "rank", "item_id", "score", "day"),
                records=[(row["user"], row["rank"], row["item"], row["score"], day) for row in rows],
            )
    finally:
        await connection.close()
    report(day=str(day), loaded=len(rows))
    return len(rows)


if __name__ == "__main__":
    asyncio.run(load())
