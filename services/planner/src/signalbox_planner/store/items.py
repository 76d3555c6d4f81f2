"""Rows of items: stored by COPY, sent in order of position, updated by facts of their tasks."""

import json
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, cast
from uuid import UUID

import asyncpg

from signalbox_chassis.persistence.connection import Connection, Row
from signalbox_chassis.persistence.state_list import state_list
from signalbox_contracts.states import STEP_ENDS, TaskState
from signalbox_planner.plan import Item, StateChange, Stop


class TaskFact(NamedTuple):
    """The state of one task at one version."""

    plan_id: UUID
    key: str
    version: int
    state: str
    result: str | None = None
    """Its result as JSON, where a later step may use it."""
    error: str | None = None
    """Why it failed, where a step shows it."""


class DuplicateKey(ValueError):
    """Two items of a plan have the same key; the text names it."""


_TAKE_PAGES: Final = """
INSERT INTO request_page SELECT $1, unnest($2::int[]) ON CONFLICT DO NOTHING RETURNING page
"""
_STORED: Final = ("plan_id", "position", "key", "engine", "work", "state", "step", "combination", "reason")
_STORE_ONE: Final = """
INSERT INTO item (plan_id, position, key, engine, work, state, step, combination, reason)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT DO NOTHING RETURNING position
"""

# INVARIANT an older fact never changes an item: the version decides, whatever order facts arrive in.
# INVARIANT counts change by rows that really changed: `old` is the row before this statement.
_APPLY_FACTS: Final = """
WITH fact AS (
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[])
        AS f (plan_id, key, version, state, result, error)
),
changed AS (
    UPDATE item i SET state = fact.state, task_version = checked_version(old.task_version, fact.version),
        result = coalesce(fact.result, i.result)
    FROM fact JOIN item old ON old.plan_id = fact.plan_id AND old.key = fact.key
    WHERE i.plan_id = old.plan_id AND i.position = old.position AND old.task_version < fact.version
    RETURNING i.plan_id, i.step, old.state AS before, i.state AS after, i.task_version - old.task_version AS versions,
        i.position, fact.error
)
SELECT plan_id, step, before, after, count(*) AS items, sum(versions)::bigint AS versions,
    (array_agg(error ORDER BY position) FILTER (WHERE error IS NOT NULL))[1] AS error FROM changed
GROUP BY plan_id, step, before, after
"""
_COLUMNS: Final = "plan_id, position, key, engine, work, state, step, combination"
_UNSENT: Final = f"""
SELECT {_COLUMNS} FROM item
WHERE plan_id = $1 AND position >= $2 AND position < $3 ORDER BY position {{direction}} LIMIT $4
"""  # noqa: S608
_OLDEST: Final = _UNSENT.replace("{direction}", "ASC")
_NEWEST: Final = _UNSENT.replace("{direction}", "DESC")
_LIVE: Final = f"""
SELECT plan_id, position, key, engine, work, state, step, combination, stopping, task_version FROM item
WHERE plan_id = $1 AND NOT EXISTS (
    SELECT FROM unnest($2::int[], $3::int[]) AS u (first, past) WHERE position >= u.first AND position < u.past)
  AND (state IS NULL OR state NOT IN {state_list(STEP_ENDS)})
ORDER BY position
"""  # noqa: S608
_CANCEL_UNSENT: Final = """
WITH cancelled AS (
    UPDATE item SET state = 'CANCELLED' WHERE plan_id = $1 AND position >= $2 AND position < $3 AND state IS NULL
    RETURNING 1
) SELECT count(*) FROM cancelled
"""
_BY_KEY: Final = f"SELECT {_COLUMNS} FROM item WHERE plan_id = $1 AND key = ANY($2)"  # noqa: S608
_CANCEL_BY_KEY: Final = """
WITH cancelled AS (
    UPDATE item SET state = 'CANCELLED'
    WHERE plan_id = $1 AND key = ANY($2) AND state IS NULL AND EXISTS (
        SELECT FROM unnest($3::int[], $4::int[]) AS u (first, past) WHERE position >= u.first AND position < u.past)
    RETURNING step
) SELECT step, count(*) AS items FROM cancelled GROUP BY step
"""
# a kill stays a kill when a later cancel has none
_KEEP_STOP: Final = """
UPDATE item SET stopping = $4 WHERE plan_id = $1 AND position = ANY($2)
  AND (stopping IS NULL OR ($3 AND NOT (stopping::json->>0)::boolean))
"""
# INVARIANT a lost task begins again at version 1: its facts would be older than the version that is kept here
_FORGET_VERSIONS: Final = """
WITH lost AS (
    UPDATE item i SET task_version = 0 FROM item old
    WHERE i.plan_id = $1 AND i.position = ANY($2) AND old.plan_id = i.plan_id AND old.position = i.position
    RETURNING old.task_version AS version
) SELECT coalesce(sum(version), 0)::bigint FROM lost
"""
_FAILURES: Final = """
SELECT position, key, engine, work FROM item
WHERE plan_id = $1 AND position >= $2 AND state IN ('FAILED', 'CANCELLED')
ORDER BY position LIMIT $3
"""
_PAGE: Final = """
SELECT plan_id, position, key, engine, work, state, step, combination, reason, task_version FROM item
WHERE plan_id = $1 AND position >= $2 AND position < $3 ORDER BY position
"""


_END_UNSENT: Final = """
UPDATE item SET state = $4, reason = $5 WHERE plan_id = $1 AND position >= $2 AND position < $3 AND state IS NULL
"""
_STORE_WORK: Final = """
UPDATE item i SET work = w.work FROM unnest($2::int[], $3::text[]) AS w (position, work)
WHERE i.plan_id = $1 AND i.position = w.position
"""
_RESULT_BYTES: Final = """
SELECT step, coalesce(sum(octet_length(result)), 0)::bigint AS bytes FROM item
WHERE plan_id = $1 AND step = ANY($2) GROUP BY step
"""
_RESULTS: Final = "SELECT step, result FROM item WHERE plan_id = $1 AND step = ANY($2) ORDER BY position"
_COPY_RESULTS: Final = """
UPDATE item c SET result = p.result FROM item p
WHERE c.plan_id = $1 AND c.position = ANY($3) AND p.plan_id = $2 AND p.key = c.key
"""


async def take_pages(connection: Connection, plan_id: UUID, pages: Sequence[int]) -> set[int]:
    """Record these pages of a request; returns those that are new."""
    rows = await connection.fetch(_TAKE_PAGES, plan_id, list(pages))
    return {row["page"] for row in rows}


async def store(connection: Connection, items: Sequence[Item]) -> None:
    """Add items: many by one binary COPY, one by one INSERT. Raises `DuplicateKey`, and then has added none of them."""
    if not items:
        return
    if len(items) == 1:
        [one] = items
        if await connection.fetchval(_STORE_ONE, *one[: len(_STORED)]) is None:
            raise DuplicateKey(f"key {one.key[:200]!r} is used twice: each item needs its own")
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
        raise DuplicateKey(f"key {key[:200]!r} is used twice: each item needs its own") from None


async def apply_facts(connection: Connection, facts: Iterable[TaskFact]) -> dict[UUID, list[StateChange]]:
    """Apply the newest fact of each task; returns the state changes of items by plan."""
    newest: dict[tuple[UUID, str], TaskFact] = {}
    for fact in facts:
        known = newest.get((fact.plan_id, fact.key))
        if known is None or known.version < fact.version:
            newest[fact.plan_id, fact.key] = fact
    columns = [list(column) for column in zip(*newest.values(), strict=True)]
    changes: dict[UUID, list[StateChange]] = {}
    for row in await connection.fetch(_APPLY_FACTS, *columns) if columns else ():
        before = TaskState(row["before"]) if row["before"] else None
        after, items = TaskState(row["after"]), row["items"]
        change = StateChange(before, after, items, row["versions"], row["step"], row["error"] or "")
        changes.setdefault(row["plan_id"], []).append(change)
    return changes


async def unsent(
    connection: Connection, plan_id: UUID, first: int, end: int, *, max_items: int, newest: bool
) -> list[Item]:  # fmt: skip
    """The next items in [first, end), the last ones first when the newest are sent first."""
    return _items(await connection.fetch(_NEWEST if newest else _OLDEST, plan_id, first, end, max_items))


async def live(connection: Connection, plan_id: UUID, unsent_ranges: Sequence[tuple[int, int]]) -> list[Item]:
    """Items that were sent and have not ended."""
    return [Item(**dict(row)) for row in await connection.fetch(_LIVE, plan_id, *_bounds(unsent_ranges))]


async def keep_stop(connection: Connection, plan_id: UUID, positions: Sequence[int], stop: Stop) -> None:
    """Keep the cancel of these items, which were sent, to repeat it."""
    await connection.execute(_KEEP_STOP, plan_id, list(positions), stop.kill, json.dumps(stop))


def stopping(items: Iterable[Item]) -> dict[Stop, list[Item]]:
    """Those of these items that were cancelled alone, by their cancel."""
    by_stop: dict[Stop, list[Item]] = {}
    for item in items:
        if item.stopping is not None:
            by_stop.setdefault(Stop(*json.loads(item.stopping)), []).append(item)
    return by_stop


async def forget_versions(connection: Connection, plan_id: UUID, positions: Sequence[int]) -> int:
    """The executor lost these tasks: their next fact has version 1. Returns the sum of their versions."""
    return await connection.fetchval(_FORGET_VERSIONS, plan_id, list(positions))


async def page(connection: Connection, plan_id: UUID, first: int, end: int) -> list[Item]:
    """Items with positions in [first, end), to be republished."""
    return [Item(**dict(row)) for row in await connection.fetch(_PAGE, plan_id, first, end)]


async def by_key(connection: Connection, plan_id: UUID, keys: Sequence[str]) -> list[Item]:
    """Items with these keys."""
    return _items(await connection.fetch(_BY_KEY, plan_id, list(keys)))


async def cancel_unsent(connection: Connection, plan_id: UUID, first: int, end: int) -> int:
    """End items in [first, end) that were never sent; how many."""
    return await connection.fetchval(_CANCEL_UNSENT, plan_id, first, end)


async def cancel_by_key(
    connection: Connection, plan_id: UUID, keys: Sequence[str], unsent_ranges: Sequence[tuple[int, int]]
) -> list[StateChange]:  # fmt: skip
    """End those of these items that were never sent."""
    rows = await connection.fetch(_CANCEL_BY_KEY, plan_id, list(keys), *_bounds(unsent_ranges))
    return [StateChange(None, TaskState.CANCELLED, row["items"], 0, row["step"]) for row in rows]


async def end_unsent(
    connection: Connection, plan_id: UUID, first: int, end: int, state: str, reason: str
) -> None:  # fmt: skip
    """Items in [first, end) without a task end in this state."""
    await connection.execute(_END_UNSENT, plan_id, first, end, state, reason)


async def store_work(connection: Connection, plan_id: UUID, items: Sequence[Item]) -> None:
    """Keep the work of these items, rendered when they are sent."""
    positions, works = [item.position for item in items], [item.work for item in items]
    await connection.execute(_STORE_WORK, plan_id, positions, works)


async def results(
    connection: Connection, plan_id: UUID, steps: Sequence[int], *, max_bytes: int
) -> dict[int, list[str | None] | int]:
    """The results of each of these steps in the order of its items, or their size when that is over the limit."""
    sizes = {row["step"]: row["bytes"] for row in await connection.fetch(_RESULT_BYTES, plan_id, list(steps))}
    small = [step for step, size in sizes.items() if size <= max_bytes]
    by_step: dict[int, list[str | None] | int] = {step: size for step, size in sizes.items() if size > max_bytes}
    for row in await connection.fetch(_RESULTS, plan_id, small) if small else ():
        found = by_step.setdefault(row["step"], [])
        assert isinstance(found, list)
        found.append(row["result"])
    return by_step


async def copy_results(connection: Connection, plan_id: UUID, parent: UUID, positions: Sequence[int]) -> None:
    """Take over the results of reused items from the plan that is run again."""
    await connection.execute(_COPY_RESULTS, plan_id, parent, list(positions))


async def of_plan(connection: Connection, plan_id: UUID) -> list[Item]:
    """Every item of a pipeline's plan: at most 10,000."""
    return [Item(**dict(row)) for row in await connection.fetch(_PAGE, plan_id, 0, 2_147_483_647)]


async def failures(
    connection: Connection, parent: UUID, position: int, max_items: int, keys: Sequence[str] = ()
) -> list[Item]:
    """Failed and cancelled items of a plan, from this position on; of these keys only, where some are given."""
    if keys:
        rows = [item for item in await by_key(connection, parent, keys) if item.state in ("FAILED", "CANCELLED")]
        return sorted(rows, key=lambda item: item.position)
    return [
        Item(parent, row["position"], row["key"], row["engine"], row["work"])
        for row in await connection.fetch(_FAILURES, parent, position, max_items)
    ]


async def count_failures(connection: Connection, parent: UUID) -> int:
    """How many items of a plan failed or were cancelled."""
    return await connection.fetchval(
        "SELECT count(*) FROM item WHERE plan_id = $1 AND state IN ('FAILED', 'CANCELLED')", parent
    )


def _items(rows: Sequence[Row]) -> list[Item]:
    return [Item(*row) for row in rows]  # pyright: ignore[reportArgumentType]


def _bounds(ranges: Sequence[tuple[int, int]]) -> tuple[list[int], list[int]]:
    return [first for first, _ in ranges], [end for _, end in ranges]
