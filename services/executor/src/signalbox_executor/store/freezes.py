"""Freezes as the claim reads them: windows of time, each with the engines or projects it holds."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from signalbox_chassis.persistence.connection import Connection
from signalbox_chassis.runtime.isolation import readable
from signalbox_contracts.definitions.freeze import Freeze, freeze_windows

HORIZON: Final = timedelta(days=8)
"""How far ahead the windows of a calendar are kept. A pass extends them every few minutes."""
KEEP_DAYS: Final = 30

FROZEN: Final = """frozen AS MATERIALIZED (
  SELECT freeze_id, engines, projects, until_at, reason FROM freeze_window WHERE from_at <= now() AND until_at > now()
)"""
"""A part of a statement: the windows that hold now. The table has few rows, in most installations none."""

ENGINE_OPEN: Final = (
    "NOT EXISTS (SELECT FROM frozen f WHERE f.projects = '{}' AND (f.engines = '{}' OR e.id = ANY (f.engines)))"
)
PLAN_OPEN: Final = "NOT EXISTS (SELECT FROM frozen f WHERE p.project = ANY (f.projects))"

FROZEN_TIME: Final = """coalesce((
  SELECT sum(upper(frozen) - lower(frozen)) FROM unnest((
    SELECT range_agg(tstzrange(GREATEST(f.from_at, task.created_at), LEAST(f.until_at, now()))) FROM freeze_window f
    WHERE f.from_at < now() AND f.until_at > task.created_at
      AND (f.engines = '{}' OR task.engine_id = ANY (f.engines))
      AND (f.projects = '{}' OR (SELECT p.project FROM plan_rules p WHERE p.plan_id = task.plan_id) = ANY (f.projects))
  )) AS frozen), interval '0')"""
"""A part of a statement over `task`: how long a task was frozen since it was made. Overlapping windows count once."""

# INVARIANT freeze.exact: the claim counts and claims under these row locks, in a statement that begins after it has
# them. Once this transaction commits, no claim that did not see the freeze can commit after it.
_LOCK_ENGINES: Final = "SELECT id FROM engine ORDER BY id FOR UPDATE"
_SAVE: Final = """
INSERT INTO freeze_definition AS f (id, revision, definition, lifted_at)
VALUES ($1, $2, $3, CASE WHEN $4 THEN now() END)
ON CONFLICT (id) DO UPDATE SET revision = excluded.revision, definition = excluded.definition,
    lifted_at = excluded.lifted_at
WHERE f.revision < excluded.revision RETURNING true
"""
_LIFT: Final = (
    "UPDATE freeze_definition SET revision = $2, lifted_at = now()"
    " WHERE id = $1 AND revision < $2 AND lifted_at IS NULL RETURNING true"
)
# What held until now did so; what would have opened later does not.
_CLOSE: Final = (
    "UPDATE freeze_window SET until_at = now() WHERE freeze_id = $1 AND until_at > now() AND from_at < now()"
)
_FORGET_LATER: Final = "DELETE FROM freeze_window WHERE freeze_id = $1 AND from_at >= now()"
_INSERT: Final = """
INSERT INTO freeze_window (freeze_id, from_at, until_at, engines, projects, reason)
SELECT $1, w.from_at, coalesce(w.until_at, 'infinity'), $2, $3, $4
FROM unnest($5::timestamptz[], $6::timestamptz[]) AS w (from_at, until_at)
ON CONFLICT (freeze_id, from_at) DO UPDATE SET until_at = excluded.until_at, engines = excluded.engines,
    projects = excluded.projects, reason = excluded.reason
"""
_PRUNE: Final = "DELETE FROM freeze_window WHERE until_at < now() - make_interval(days => $1)"


async def save(connection: Connection, freeze: Freeze, revision: int, *, lifted: bool) -> None:
    """Keep a freeze, or lift it. An older revision changes nothing."""
    await connection.fetch(_LOCK_ENGINES)
    if not await connection.fetchval(_SAVE, freeze.id, revision, freeze.model_dump_json(), lifted):
        return
    await _close(connection, freeze.id)
    if not lifted:
        await _extend(connection, [freeze])


async def lift(connection: Connection, freeze_id: str, revision: int) -> None:
    """The freeze is gone, and its last form is not known."""
    await connection.fetch(_LOCK_ENGINES)
    if await connection.fetchval(_LIFT, freeze_id, revision):
        await _close(connection, freeze_id)


async def extend(connection: Connection) -> None:
    """Keep the windows of calendars up to the horizon, and forget those of long ago."""
    rows = await connection.fetch("SELECT id, definition FROM freeze_definition WHERE lifted_at IS NULL")
    freezes = readable(  # one that a newer version wrote keeps the windows it has, and stops no other
        rows, lambda row: Freeze.model_validate_json(row["definition"]), part="freezes", name=lambda row: row["id"]
    )
    await _extend(connection, [freeze for freeze in freezes if freeze.calendar])
    await connection.execute(_PRUNE, KEEP_DAYS)


async def _close(connection: Connection, freeze_id: str) -> None:
    await connection.execute(_FORGET_LATER, freeze_id)
    await connection.execute(_CLOSE, freeze_id)


async def _extend(connection: Connection, freezes: Iterable[Freeze]) -> None:
    now: datetime = await connection.fetchval("SELECT now()")
    for freeze in freezes:
        found = _calendar(freeze, now) if freeze.calendar else _plain(freeze, now)
        reason = f"{freeze.reason}, by {freeze.author}"[:2000]
        await connection.execute(
            _INSERT, freeze.id, list(freeze.engines), list(freeze.projects), reason,
            [from_at for from_at, _ in found], [until_at for _, until_at in found],
        )  # fmt: skip


def _calendar(freeze: Freeze, now: datetime) -> list[tuple[datetime, datetime | None]]:
    """The windows up to the horizon; the same window opens at the same instant in every pass.

    Of windows that open together the longest stays: one statement cannot write a row twice.
    """
    found: dict[datetime, datetime | None] = {}
    for window in freeze_windows(freeze, now, now + HORIZON):
        until_at = found.setdefault(window.from_at, window.until_at)
        if until_at is not None and (window.until_at is None or window.until_at > until_at):
            found[window.from_at] = window.until_at
    return list(found.items())


def _plain(freeze: Freeze, now: datetime) -> list[tuple[datetime, datetime | None]]:
    """The one window of a freeze without a calendar, however far ahead it begins."""
    if freeze.ends_at is not None and freeze.ends_at <= now:
        return []
    return [(max(freeze.starts_at or now, now), freeze.ends_at)]
