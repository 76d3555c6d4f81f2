"""Look-ups on engines: claimed by one worker under a lease and a fence, found page by page, answered whole."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from pydantic import TypeAdapter

from signalbox_chassis.persistence.connection import Connection, Row
from signalbox_chassis.runtime.isolation import describe_fault, note_fault
from signalbox_contracts.definitions.selection import LookUp
from signalbox_contracts.messages.task_commands import SelectionResolveData
from signalbox_contracts.messages.tasks import ResolvedItem

_SELECTION: Final[TypeAdapter[LookUp]] = TypeAdapter(LookUp)
_ITEMS: Final[TypeAdapter[tuple[ResolvedItem, ...]]] = TypeAdapter(tuple[ResolvedItem, ...])

_KEEP: Final = """
INSERT INTO selection (id, plan_id, round, engine_id, definitions_revision, selection, traceparent)
VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (id) DO NOTHING RETURNING id
"""

_ENDED: Final = "SELECT * FROM selection WHERE id = $1 AND state IN ('RESOLVED', 'REFUSED')"

# INVARIANT a selection has one owner at a time: whoever claims it after the lease raises the fence, and every later
# write compares it. Resolving changes nothing on the engine, so a second worker costs reads and nothing else.
_CLAIM: Final = """
UPDATE selection SET state = 'CLAIMED', owner = $1, fence = fence + 1, lease_until = now() + $3 * interval '1 second'
WHERE id IN (
  SELECT s.id FROM selection s
  WHERE ((s.state = 'QUEUED' AND s.not_before <= now()) OR (s.state = 'CLAIMED' AND s.lease_until < now()))
    AND s.definitions_revision <= (SELECT revision FROM seen)
    AND (s.engine_id = ANY ($2) OR NOT EXISTS (SELECT FROM engine e WHERE e.id = s.engine_id AND NOT e.deleted))
  ORDER BY s.created_at LIMIT $4 FOR UPDATE SKIP LOCKED)
RETURNING *
"""

_PAGE: Final = """
WITH mine AS (
  UPDATE selection SET next_page = $5, pages = $3, items = items + $6, failures = 0,
    lease_until = now() + $7 * interval '1 second'
  WHERE id = $1 AND state = 'CLAIMED' AND fence = $2 RETURNING id
)
INSERT INTO selection_page (selection_id, page, items) SELECT id, $3, $4 FROM mine
ON CONFLICT (selection_id, page) DO UPDATE SET items = excluded.items RETURNING selection_id
"""

_FINISH: Final = """
UPDATE selection SET state = $3, error = $4, owner = NULL, lease_until = NULL, ended_at = now()
WHERE id = $1 AND state = 'CLAIMED' AND fence = $2 RETURNING *
"""

_AGAIN: Final = """
UPDATE selection SET state = 'QUEUED', owner = NULL, lease_until = NULL, failures = failures + 1, error = $3,
  not_before = now() + LEAST(30, 0.5 * 2 ^ LEAST(failures, 10)) * interval '1 second'
WHERE id = $1 AND state = 'CLAIMED' AND fence = $2
"""

_FORGET: Final = "DELETE FROM selection WHERE ended_at < now() - $1 * interval '1 day'"


@dataclass(frozen=True, slots=True)
class Lookup:
    """A selection as its row has it."""

    id: UUID
    plan_id: UUID
    round: int
    engine_id: str
    selection: LookUp | None
    """None if it cannot be read: `fault` has the reason, and the look-up is refused."""
    traceparent: str | None
    fence: int
    failures: int
    next_page: str | None
    pages: int
    items: int
    error: str | None
    fault: str


async def keep(connection: Connection, data: SelectionResolveData, traceparent: str | None) -> bool:
    """Keep a request; False if it is here already."""
    return (
        await connection.fetchval(
            _KEEP, data.selection_id, data.plan_id, data.round, data.engine, data.definitions_revision,
            data.selection.model_dump_json(), traceparent,
        )
        is not None
    )  # fmt: skip


async def ended(connection: Connection, id: UUID) -> Lookup | None:
    """A selection that has its answer, None while it has none."""
    row = await connection.fetchrow(_ENDED, id)
    return _lookup(row) if row else None


async def claim(
    connection: Connection, worker: UUID, reachable: Sequence[str], *, lease_seconds: float, limit: int
) -> list[Lookup]:
    """Claim what this worker can resolve, and what nobody can because there is no such engine."""
    return [_lookup(row) for row in await connection.fetch(_CLAIM, worker, list(reachable), lease_seconds, limit)]


async def keep_page(
    connection: Connection,
    lookup: Lookup,
    page: int,
    items: Sequence[ResolvedItem],
    next_page: str | None,
    *,
    lease_seconds: float,
) -> bool:
    """Keep a page and renew the lease; False if the selection is another worker's by now."""
    body = _ITEMS.dump_json(tuple(items)).decode()
    kept = await connection.fetchval(_PAGE, lookup.id, lookup.fence, page, body, next_page, len(items), lease_seconds)
    return kept is not None


async def finish(connection: Connection, lookup: Lookup, *, error: str | None = None) -> Lookup | None:
    """The answer is whole, or there is none because of `error`; None if it is another worker's by now."""
    state = "RESOLVED" if error is None else "REFUSED"
    row = await connection.fetchrow(_FINISH, lookup.id, lookup.fence, state, error and error[:2000])
    return _lookup(row) if row else None


async def again(connection: Connection, lookup: Lookup, reason: str) -> None:
    """The engine gave no answer: try again later, from the page it stopped at."""
    await connection.execute(_AGAIN, lookup.id, lookup.fence, reason[:2000])


async def pages(connection: Connection, id: UUID) -> list[tuple[ResolvedItem, ...]]:
    """All pages of a selection, in order."""
    rows = await connection.fetch("SELECT items FROM selection_page WHERE selection_id = $1 ORDER BY page", id)
    return [_ITEMS.validate_python(row["items"]) for row in rows]


async def forget(connection: Connection, *, days: float) -> None:
    """Remove answers of long ago."""
    await connection.execute(_FORGET, days)


def _lookup(row: Row) -> Lookup:
    """A look-up. One whose selection cannot be read has a `fault`: the others of its batch are resolved."""
    selection, fault = None, ""
    try:
        selection = _SELECTION.validate_python(row["selection"])
    except ValueError as error:
        note_fault("selections", error)
        fault = describe_fault(error)
    return Lookup(
        row["id"], row["plan_id"], row["round"], row["engine_id"], selection, row["traceparent"], row["fence"],
        row["failures"], row["next_page"], row["pages"], row["items"], row["error"], fault,
    )  # fmt: skip
