"""Rows of items: stored by COPY, sent in order of position, moved by what the executor says."""

import json
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, cast
from uuid import UUID

import asyncpg

from signalbox_chassis.persistence.connection import Connection, Row
from signalbox_contracts.states import TaskState
from signalbox_planner.lifecycle import Moved


class Item(NamedTuple):
    """One piece of work. `work` is its JSON, as it came."""

    plan_id: UUID
    position: int
    key: str
    engine: str
    work: str
    state: str | None = None
    stopping: str | None = None
    """How it was cancelled alone, as `Stopping` in JSON; what was sent is asked to end until it has."""
    task_version: int = 0
    """The newest that was heard of its task; 0 where there is none yet."""


class Stopping(NamedTuple):
    """A cancel of single items."""

    kill: bool
    actor: str
    reason: str


class Said(NamedTuple):
    """The newest that was said of one task."""

    plan_id: UUID
    key: str
    version: int
    state: str


class KeyTwice(ValueError):
    """Two items of a plan have the same key; the text names it."""


_STORED: Final = ("plan_id", "position", "key", "engine", "work", "state")
_STORE_ONE: Final = """
INSERT INTO item (plan_id, position, key, engine, work, state) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT DO NOTHING RETURNING position
"""

# INVARIANT an older fact never moves an item back: the version decides, whatever order facts arrive in.
# INVARIANT counts are moved by what rows really moved: `old` is the row as this statement found it.
_MOVE: Final = """
WITH said AS (
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::text[]) AS s (plan_id, key, version, state)
),
moved AS (
    UPDATE item i SET state = said.state, task_version = said.version
    FROM said JOIN item old ON old.plan_id = said.plan_id AND old.key = said.key
    WHERE i.plan_id = old.plan_id AND i.position = old.position AND old.task_version < said.version
    RETURNING i.plan_id, old.state AS before, i.state AS after, i.task_version - old.task_version AS versions
)
SELECT plan_id, before, after, count(*) AS items, sum(versions)::bigint AS versions FROM moved
GROUP BY plan_id, before, after
"""
_UNSENT: Final = """
SELECT plan_id, position, key, engine, work, state FROM item
WHERE plan_id = $1 AND position >= $2 AND position < $3 ORDER BY position {direction} LIMIT $4
"""
_OLDEST: Final = _UNSENT.replace("{direction}", "ASC")
_NEWEST: Final = _UNSENT.replace("{direction}", "DESC")
_LIVE: Final = """
SELECT plan_id, position, key, engine, work, state, stopping FROM item
WHERE plan_id = $1 AND (position < $2 OR position >= $3)
  AND (state IS NULL OR state NOT IN ('SUCCEEDED', 'FAILED', 'CANCELLED'))
ORDER BY position
"""
_CANCEL_UNSENT: Final = """
WITH gone AS (
    UPDATE item SET state = 'CANCELLED' WHERE plan_id = $1 AND position >= $2 AND position < $3 AND state IS NULL
    RETURNING 1
) SELECT count(*) FROM gone
"""
_BY_KEY: Final = "SELECT plan_id, position, key, engine, work, state FROM item WHERE plan_id = $1 AND key = ANY($2)"
_CANCEL_THESE: Final = """
WITH gone AS (
    UPDATE item SET state = 'CANCELLED'
    WHERE plan_id = $1 AND key = ANY($2) AND position >= $3 AND position < $4 AND state IS NULL
    RETURNING 1
) SELECT count(*) FROM gone
"""
# a kill stays one, whoever cancels again
_STOP_THESE: Final = """
UPDATE item SET stopping = $4 WHERE plan_id = $1 AND position = ANY($2)
  AND (stopping IS NULL OR ($3 AND NOT (stopping::json->>0)::boolean))
"""
# INVARIANT what was lost begins anew at version 1: with the old version here, its facts would be taken for old ones
_FORGET: Final = """
WITH lost AS (
    UPDATE item i SET task_version = 0 FROM item old
    WHERE i.plan_id = $1 AND i.position = ANY($2) AND old.plan_id = i.plan_id AND old.position = i.position
    RETURNING old.task_version AS version
) SELECT coalesce(sum(version), 0)::bigint FROM lost
"""
# the failures of a parent become the items of its child, densely numbered from where the last step ended
_FAILURES: Final = """
SELECT position, key, engine, work FROM item
WHERE plan_id = $1 AND position >= $2 AND state IN ('FAILED', 'CANCELLED')
ORDER BY position LIMIT $3
"""
_PAGE: Final = """
SELECT plan_id, position, key, engine, work, state, task_version FROM item
WHERE plan_id = $1 AND position >= $2 AND position < $3 ORDER BY position
"""


async def seen_pages(connection: Connection, plan_id: UUID, pages: Sequence[int]) -> set[int]:
    """Which of these pages are new; from now on they are not."""
    rows = await connection.fetch(
        "INSERT INTO page SELECT $1, unnest($2::int[]) ON CONFLICT DO NOTHING RETURNING page", plan_id, list(pages)
    )
    return {row["page"] for row in rows}


async def store(connection: Connection, items: Sequence[Item]) -> None:
    """Add items: many by one binary COPY, one by one INSERT. Raises `KeyTwice`, and then has added none of them."""
    if not items:
        return
    if len(items) == 1:
        [one] = items
        if await connection.fetchval(_STORE_ONE, *one[: len(_STORED)]) is None:
            raise KeyTwice(f"key {one.key[:200]!r} is used twice: each item needs its own")
        return
    try:
        await connection.execute("SAVEPOINT store")
        await connection.copy_records_to_table(
            "item", records=[item[: len(_STORED)] for item in items], columns=_STORED
        )
        await connection.execute("RELEASE store")
    except asyncpg.UniqueViolationError as error:
        await connection.execute("ROLLBACK TO store")
        detail = cast("str | None", getattr(error, "detail", None)) or ""
        key = detail.partition("=(")[2].partition(", ")[2].partition(") already")[0]
        raise KeyTwice(f"key {key[:200]!r} is used twice: each item needs its own") from None


async def move(connection: Connection, said: Iterable[Said]) -> dict[UUID, list[Moved]]:
    """Apply the newest of what was said; how many items moved from where to where, by plan."""
    newest: dict[tuple[UUID, str], Said] = {}
    for one in said:
        known = newest.get((one.plan_id, one.key))
        if known is None or known.version < one.version:
            newest[one.plan_id, one.key] = one
    columns = [list(column) for column in zip(*newest.values(), strict=True)]
    found: dict[UUID, list[Moved]] = {}
    for row in await connection.fetch(_MOVE, *columns) if columns else ():
        before = TaskState(row["before"]) if row["before"] else None
        moved = Moved(before, TaskState(row["after"]), row["items"], row["versions"])
        found.setdefault(row["plan_id"], []).append(moved)
    return found


async def unsent(connection: Connection, plan_id: UUID, first: int, end: int, *, most: int, newest: bool) -> list[Item]:
    """The next items in [first, end), from the end of it on if the newest go first."""
    return _items(await connection.fetch(_NEWEST if newest else _OLDEST, plan_id, first, end, most))


async def live(connection: Connection, plan_id: UUID, first_unsent: int, unsent_end: int) -> list[Item]:
    """Items that were sent and have not ended."""
    return [Item(**dict(row)) for row in await connection.fetch(_LIVE, plan_id, first_unsent, unsent_end)]


async def stop_these(connection: Connection, plan_id: UUID, positions: Sequence[int], how: Stopping) -> None:
    """Remember that these items, which were sent, shall end."""
    await connection.execute(_STOP_THESE, plan_id, list(positions), how.kill, json.dumps(how))


def stopping(items: Iterable[Item]) -> dict[Stopping, list[Item]]:
    """Those of these items that shall end, by how they were cancelled."""
    found: dict[Stopping, list[Item]] = {}
    for item in items:
        if item.stopping is not None:
            found.setdefault(Stopping(*json.loads(item.stopping)), []).append(item)
    return found


async def forget(connection: Connection, plan_id: UUID, positions: Sequence[int]) -> int:
    """The executor lost these tasks: whatever it says of them next is news. The sum of the versions they had."""
    return await connection.fetchval(_FORGET, plan_id, list(positions))


async def page(connection: Connection, plan_id: UUID, first: int, end: int) -> list[Item]:
    """Items with positions in [first, end), as they are told again."""
    return [Item(**dict(row)) for row in await connection.fetch(_PAGE, plan_id, first, end)]


async def by_key(connection: Connection, plan_id: UUID, keys: Sequence[str]) -> list[Item]:
    """Items with these keys."""
    return _items(await connection.fetch(_BY_KEY, plan_id, list(keys)))


async def cancel_unsent(connection: Connection, plan_id: UUID, first: int, end: int) -> int:
    """End items in [first, end) that were never sent; how many."""
    return await connection.fetchval(_CANCEL_UNSENT, plan_id, first, end)


async def cancel_these(
    connection: Connection, plan_id: UUID, keys: Sequence[str], first_unsent: int, unsent_end: int
) -> int:
    """End those of these items that were never sent; how many."""
    return await connection.fetchval(_CANCEL_THESE, plan_id, list(keys), first_unsent, unsent_end)


async def failures(
    connection: Connection, parent: UUID, position: int, most: int, keys: Sequence[str] = ()
) -> list[Item]:
    """Failed and cancelled items of a plan, from this position on; of these keys only, where some are given."""
    if keys:
        rows = [item for item in await by_key(connection, parent, keys) if item.state in ("FAILED", "CANCELLED")]
        return sorted(rows, key=lambda item: item.position)
    return [
        Item(parent, row["position"], row["key"], row["engine"], row["work"])
        for row in await connection.fetch(_FAILURES, parent, position, most)
    ]


async def count_failures(connection: Connection, parent: UUID) -> int:
    """How many items of a plan failed or were cancelled."""
    return await connection.fetchval(
        "SELECT count(*) FROM item WHERE plan_id = $1 AND state IN ('FAILED', 'CANCELLED')", parent
    )


def _items(rows: Sequence[Row]) -> list[Item]:
    return [Item(row["plan_id"], row["position"], row["key"], row["engine"], row["work"], row["state"]) for row in rows]
