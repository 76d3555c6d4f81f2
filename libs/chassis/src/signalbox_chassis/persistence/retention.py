"""Retention: a service deletes what ended long ago, batch by batch; and the command that does it at once.

A service gives its SQL as a `Retention`. A loop calls `prune` until it deletes nothing; `python -m PACKAGE admin prune`
does the same by hand, and `--dry-run` only counts.
"""

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import asyncpg

from signalbox_chassis.persistence.connection import Connection, connect, connect_arguments
from signalbox_chassis.persistence.database import Database
from signalbox_chassis.settings import USAGE, ServiceSettings

MAX_DAYS: Final = 36_500

Counts = Mapping[str, int]
"""How many rows of each kind."""


@dataclass(frozen=True, slots=True)
class Retention:
    """What one service deletes when it is older than so many days."""

    count: Callable[[Connection, int], Awaitable[Counts]]
    """(connection, days): what would be deleted."""
    prune: Callable[[Connection, int, int], Awaitable[Counts]]
    """(connection, days, batch): delete about `batch` rows in short transactions. All zero when nothing is left."""

    async def one_pass(self, database: Database, settings: ServiceSettings) -> bool:
        """One batch of the loop; True when there may be more."""
        async with database.connection() as connection:
            return any((await self.prune(connection, settings.retention_days, settings.prune_batch)).values())


def prune_command(
    words: Sequence[str], name: str, package: str, settings: ServiceSettings, retention: Retention
) -> int:
    """Carry out `admin prune [--days N] [--dry-run]`; the exit code: 0, 1 (the database) or 2 (wrong words)."""
    parser = argparse.ArgumentParser(prog=f"python -m {package} admin", description="work on this service's database")
    one = parser.add_subparsers(dest="command", required=True).add_parser("prune", help="delete what is past retention")
    add_prune_options(one, settings)
    try:
        arguments = parser.parse_args(words)
    except SystemExit as wrong:
        return USAGE if wrong.code else 0
    try:
        asyncio.run(_run(name, settings, retention, arguments.days, dry_run=arguments.dry_run))
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        print(f"admin: the database: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


def add_prune_options(parser: argparse.ArgumentParser, settings: ServiceSettings | None = None) -> None:
    """`--days` and `--dry-run`. Without `settings` the caller fills in the days."""
    lowest = settings.inbox_days + 1 if settings else 1

    def days(text: str) -> int:
        if not text.isdigit() or not lowest <= int(text) <= MAX_DAYS:
            raise argparse.ArgumentTypeError(f"{text} is not allowed: {lowest} to {MAX_DAYS} days")
        return int(text)

    default = settings.retention_days if settings else None
    parser.add_argument("--days", type=days, default=default, help="how long things stay (SIGNALBOX_RETENTION_DAYS)")
    parser.add_argument("--dry-run", action="store_true", help="count, and delete nothing")


async def prune_all(connection: Connection, retention: Retention, days: int, batch: int, *, dry_run: bool) -> str:
    """Delete everything older than `days`, batch by batch, or only count it; a line that says what was done."""
    total = await retention.count(connection, days)
    while not dry_run and any((await retention.prune(connection, days, batch)).values()):
        pass
    counted = ", ".join(f"{number} {kind}" for kind, number in total.items())
    return f"{'would delete' if dry_run else 'deleted'} what is older than {days} days: {counted}"


async def _run(name: str, settings: ServiceSettings, retention: Retention, days: int, *, dry_run: bool) -> None:
    schema = settings.database_schema or name.replace("-", "_")
    connection = await connect(settings.database_url.get_secret_value(), **connect_arguments(schema, "admin"))
    try:
        await connection.execute("SET statement_timeout = '60s'")
        print(await prune_all(connection, retention, days, settings.prune_batch, dry_run=dry_run))
    finally:
        await connection.close()
