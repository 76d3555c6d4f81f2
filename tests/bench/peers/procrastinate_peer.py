"""Procrastinate on PostgreSQL: `python procrastinate_peer.py N`: N trivial tasks, batch-deferred, as JSON.

The worker runs in the same process with ten at once, as its documentation does; the tables are made anew.
"""

import asyncio
import json
import os
import sys
import time

import procrastinate
import psycopg

DSN = os.environ["PEER_POSTGRES"]
SCHEMA = "procrastinate_peer"
CONNECTED = f"{DSN}{'&' if '?' in DSN else '?'}options=-csearch_path%3D{SCHEMA}"
app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=CONNECTED, min_size=2, max_size=20))


@app.task(queue="peer")
async def trivial(number: int) -> int:
    return number + 1


async def until_succeeded(connection: psycopg.AsyncConnection, first: int, count: int) -> None:
    """Return when so many tasks numbered `first` or more are over."""
    query = "SELECT count(*) FROM procrastinate_jobs WHERE status = 'succeeded' AND (args ->> 'number')::int >= %s"
    give_up_at = time.monotonic() + 120
    while (await (await connection.execute(query, (first,))).fetchone())[0] < count:
        if time.monotonic() > give_up_at:
            sys.exit("procrastinate did not finish within 120 s")
        await asyncio.sleep(0.02)


async def main(count: int) -> None:
    async with await psycopg.AsyncConnection.connect(DSN, autocommit=True) as connection:
        await connection.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
        await connection.execute(f"CREATE SCHEMA {SCHEMA}")
    async with (
        app.open_async(),
        await psycopg.AsyncConnection.connect(CONNECTED, autocommit=True) as connection,
    ):
        await app.schema_manager.apply_schema_async()
        worker = asyncio.create_task(
            app.run_worker_async(queues=["peer"], concurrency=10, wait=True, install_signal_handlers=False)
        )
        await trivial.batch_defer_async(*[{"number": -warm} for warm in range(1, 51)])
        await until_succeeded(connection, -50, 50)
        began = time.perf_counter()
        await trivial.batch_defer_async(*[{"number": number} for number in range(count)])
        await until_succeeded(connection, 0, count)
        seconds = time.perf_counter() - began
        print(json.dumps({"peer": "procrastinate, batch_defer", "tasks": count, "seconds": round(seconds, 3)}))
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
