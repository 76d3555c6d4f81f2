"""Day partitions of inbox and outbox: made two days ahead, dropped when nothing in them is needed any more.
Settled dead letters past retention go with them.

A row whose day has no partition goes into the default one, so a maintenance loop that stands still loses nothing.
"""

from collections.abc import Iterable
from datetime import date, timedelta

import asyncpg

from signalbox_chassis.persistence.connection import Connection
from signalbox_chassis.persistence.database import Database
from signalbox_chassis.runtime.clock import Clock

AHEAD_DAYS = 2
MAX_SETTLED = 5000
_SETTLED = """
DELETE FROM dead_letter WHERE id = ANY(ARRAY(
    SELECT id FROM dead_letter WHERE state IN ('REDRIVEN', 'DROPPED') AND settled_at < now() - make_interval(days => $1)
    LIMIT $2))
"""
# What keeps a past day: an unsent message; an event that was old when it was handled and may come again.
_NEEDED = {"outbox": "sent_at IS NULL", "inbox": "received_at > now() - interval '8 days'"}


def partition_name(table: str, day: date) -> str:
    return f"{table}_{day:%Y%m%d}"


async def maintain(
    database: Database, clock: Clock, *, inbox_days: int, outbox_days: int, retention_days: int = 90
) -> None:
    """Make what will be needed, drop what is past its days. Safe to run in every replica at once."""
    today = clock.now().date()
    async with database.connection() as connection:
        # an event may be as old as its topic's retention when it is first read
        await _make(connection, database.schema, "inbox", _days(today - timedelta(days=inbox_days), inbox_days))
        await _make(connection, database.schema, "outbox", _days(today, 0))
        await _drop(connection, database.schema, "inbox", today - timedelta(days=inbox_days))
        await _drop(connection, database.schema, "outbox", today - timedelta(days=outbox_days))
        await connection.execute(
            "DELETE FROM inbox_default WHERE received_at < now() - make_interval(days => $1)", inbox_days
        )
        await connection.execute(
            "DELETE FROM outbox_default WHERE sent_at < now() - make_interval(days => $1)", outbox_days
        )
        await connection.execute(_SETTLED, retention_days, MAX_SETTLED)


def _days(first: date, back: int) -> list[date]:
    return [first + timedelta(days=n) for n in range(back + AHEAD_DAYS + 1)]


async def _existing(connection: Connection, schema: str, table: str) -> set[str]:
    rows = await connection.fetch(
        "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
        " WHERE i.inhparent = format('%I.%I', $1::text, $2::text)::regclass",
        schema,
        table,
    )
    return {row["relname"] for row in rows}


async def _make(connection: Connection, schema: str, table: str, days: Iterable[date]) -> None:
    existing = await _existing(connection, schema, table)
    for day in days:
        name = partition_name(table, day)
        if name in existing:
            continue
        try:
            await connection.execute(
                f'CREATE TABLE IF NOT EXISTS "{name}" PARTITION OF {table}'
                f" FOR VALUES FROM ('{day}') TO ('{day + timedelta(days=1)}')"
                " WITH (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.01)"
            )
        except (asyncpg.CheckViolationError, asyncpg.DuplicateTableError, asyncpg.UniqueViolationError):
            continue  # rows of that day already lie in the default partition, or another replica was first


async def _drop(connection: Connection, schema: str, table: str, before: date) -> None:
    for name in sorted(await _existing(connection, schema, table)):
        day = name.removeprefix(f"{table}_")
        if not day.isdigit() or name >= partition_name(table, before):
            continue
        if await connection.fetchval(f'SELECT EXISTS (SELECT FROM "{name}" WHERE {_NEEDED[table]})'):  # noqa: S608 -- names from the catalogue
            continue
        await connection.execute(f'DROP TABLE IF EXISTS "{name}"')
