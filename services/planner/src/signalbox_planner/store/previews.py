"""Rows of previews: selections asked for, pages found, items decided, objects that live plans occupy."""

from collections.abc import Collection, Iterable, Sequence
from typing import Final, NamedTuple
from uuid import UUID

from pydantic import TypeAdapter

from signalbox_chassis.persistence.connection import Connection
from signalbox_chassis.persistence.state_list import state_list
from signalbox_contracts.definitions.selection import LookUp
from signalbox_contracts.messages.tasks import ResolvedItem, SelectionResolvedData
from signalbox_contracts.states import PLAN_ENDS
from signalbox_contracts.vocabulary import Name, Value
from signalbox_planner.rerun_decisions import DecidedItem

_ITEMS: Final[TypeAdapter[tuple[ResolvedItem, ...]]] = TypeAdapter(tuple[ResolvedItem, ...])
_DECIDED: Final[TypeAdapter[DecidedItem]] = TypeAdapter(DecidedItem)
_ENDS: Final = state_list(PLAN_ENDS)
FIRST_FOLLOWING: Final = 1000
"""Selections of a request have lower numbers."""

_ASK: Final = """
INSERT INTO plan_selection AS s (plan_id, part, engine, selection, selection_id, round) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (plan_id, part) DO UPDATE SET selection_id = excluded.selection_id, round = excluded.round, pages = NULL,
    error = NULL, requested_at = now()
"""

_OF_PLAN: Final = """
SELECT s.part, s.selection, s.selection_id, s.round, s.pages, s.error,
       (SELECT count(*) FROM resolved_page r WHERE r.selection_id = s.selection_id) AS found
FROM plan_selection s WHERE s.plan_id = $1 ORDER BY s.part
"""

# INVARIANT only pages of the round that is asked for now are kept: an older answer changes nothing.
_KEEP_PAGE: Final = """
WITH mine AS (
    UPDATE plan_selection SET pages = $4, error = coalesce($5, error) WHERE selection_id = $2 AND plan_id = $1
    RETURNING plan_id
)
INSERT INTO resolved_page (plan_id, selection_id, page, items) SELECT plan_id, $2, $3, $6 FROM mine
ON CONFLICT (selection_id, page) DO UPDATE SET items = excluded.items RETURNING page
"""

_OWNERS: Final = f"""
SELECT o.object, o.plan_id FROM occupied_object o JOIN plan p ON p.id = o.plan_id
WHERE o.engine = $1 AND o.object = ANY($2) AND o.plan_id <> $3 AND p.state NOT IN {_ENDS}
"""  # noqa: S608

# INVARIANT an object has one live plan: whoever comes second waits for the first one's commit and then gets no row.
_OCCUPY: Final = f"""
INSERT INTO occupied_object AS o (engine, object, plan_id)
SELECT n.engine, n.object, $3 FROM unnest($1::text[], $2::text[]) AS n (engine, object) ORDER BY 1, 2
ON CONFLICT (engine, object) DO UPDATE SET plan_id = excluded.plan_id
WHERE o.plan_id = excluded.plan_id OR NOT EXISTS (SELECT FROM plan p WHERE p.id = o.plan_id AND p.state NOT IN {_ENDS})
RETURNING object
"""  # noqa: S608

_SILENT: Final = """
SELECT p.id FROM plan p WHERE p.state = 'RESOLVING' AND EXISTS (
    SELECT FROM plan_selection s WHERE s.plan_id = p.id AND s.requested_at < now() - $1 * interval '1 second')
ORDER BY p.created_at LIMIT 50
"""

_FREE: Final = f"""
DELETE FROM occupied_object o USING plan p
WHERE p.id = o.plan_id AND p.state IN {_ENDS} AND p.ended_at < now() - interval '1 hour'
"""  # noqa: S608


class EngineLookUp(Value):
    """What is looked up on one engine."""

    engine: Name
    selection: LookUp


_SELECTION: Final[TypeAdapter[EngineLookUp]] = TypeAdapter(EngineLookUp)


class Part(NamedTuple):
    """One look-up of a plan, and how much of its answer is here."""

    number: int
    selection: EngineLookUp
    selection_id: UUID
    round: int
    pages: int | None
    error: str | None
    found: int

    @property
    def follows(self) -> bool:
        """Whether it was asked for because of what the selections found."""
        return self.number >= FIRST_FOLLOWING

    @property
    def complete(self) -> bool:
        return self.error is not None or (self.pages is not None and self.found >= self.pages)


async def ask(
    connection: Connection, plan_id: UUID, number: int, selection: EngineLookUp, selection_id: UUID, round: int
) -> None:
    """Keep that this selection is asked for in this round."""
    await connection.execute(_ASK, plan_id, number, selection.engine, selection.model_dump_json(), selection_id, round)


async def forget_following(connection: Connection, plan_id: UUID) -> None:
    """What follows from the selections follows from their next answers."""
    await connection.execute("DELETE FROM plan_selection WHERE plan_id = $1 AND part >= $2", plan_id, FIRST_FOLLOWING)


async def count_query(connection: Connection, plan_id: UUID) -> None:
    await connection.execute("UPDATE plan_selection SET requested_at = now() WHERE plan_id = $1", plan_id)


async def parts(connection: Connection, plan_id: UUID) -> list[Part]:
    """The selections of a plan."""
    return [
        Part(
            row["part"], _SELECTION.validate_json(row["selection"]), row["selection_id"], row["round"], row["pages"],
            row["error"], row["found"],
        )
        for row in await connection.fetch(_OF_PLAN, plan_id)
    ]  # fmt: skip


async def keep_page(connection: Connection, data: SelectionResolvedData) -> bool:
    """Keep a page of an answer; False if it is of another round or of no selection of ours."""
    body = _ITEMS.dump_json(data.items).decode()
    kept = await connection.fetchval(
        _KEEP_PAGE, data.plan_id, data.selection_id, data.page, data.pages, data.error, body
    )
    return kept is not None


async def found(connection: Connection, part: Part) -> list[ResolvedItem]:
    """What a selection found, in order."""
    rows = await connection.fetch(
        "SELECT items FROM resolved_page WHERE selection_id = $1 ORDER BY page", part.selection_id
    )
    return [item for row in rows for item in _ITEMS.validate_json(row["items"])]


async def forget_pages(connection: Connection, plan_id: UUID) -> None:
    """What was found is decided: the pages are not needed any more."""
    await connection.execute("DELETE FROM resolved_page WHERE plan_id = $1", plan_id)


async def store_decided(connection: Connection, plan_id: UUID, items: Sequence[DecidedItem]) -> None:
    """Keep the items of a preview, to compare with them when it is applied."""
    await connection.copy_records_to_table(
        "decided_item",
        records=[(plan_id, position, _DECIDED.dump_json(item).decode()) for position, item in enumerate(items)],
        columns=("plan_id", "position", "body"),
    )


async def decided(connection: Connection, plan_id: UUID) -> list[DecidedItem]:
    """The items of a preview, in order."""
    rows = await connection.fetch("SELECT body FROM decided_item WHERE plan_id = $1 ORDER BY position", plan_id)
    return [_DECIDED.validate_json(row["body"]) for row in rows]


async def owners(connection: Connection, engine: str, objects: Collection[str], plan_id: UUID) -> dict[str, UUID]:
    """The other live plans that occupy these objects of an engine."""
    rows = await connection.fetch(_OWNERS, engine, sorted(objects), plan_id)
    return {row["object"]: row["plan_id"] for row in rows}


async def occupy(connection: Connection, plan_id: UUID, objects: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Occupy these objects (engine, object); returns those that another live plan has."""
    wanted = sorted(set(objects))
    if not wanted:
        return []
    rows = await connection.fetch(_OCCUPY, [engine for engine, _ in wanted], [name for _, name in wanted], plan_id)
    got = {row["object"] for row in rows}
    return [(engine, name) for engine, name in wanted if name not in got]


async def silent(connection: Connection, *, seconds: float) -> list[UUID]:
    """Plans that wait for an answer for too long."""
    return [row["id"] for row in await connection.fetch(_SILENT, seconds)]


async def free(connection: Connection) -> None:
    """Forget the objects of plans that ended long ago; an ended plan occupies nothing anyway."""
    await connection.execute(_FREE)
