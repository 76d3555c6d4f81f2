"""The moves of coordinators that a plan may meet, as the planner needs them: whole, with what the caller may start."""

from collections.abc import Collection
from typing import Final

from pydantic_core import to_json

from signalbox_chassis.persistence.connection import Connection
from signalbox_contracts.definitions.move import Move
from signalbox_contracts.messages.requests import KnownMoves
from signalbox_gateway.definitions import store
from signalbox_gateway.http.access import Principal
from signalbox_gateway.http.problems import Problem
from signalbox_gateway.identity.roles import Object

MAX_MOVES: Final = 1000
MAX_BYTES: Final = 196_608
"""Of all moves of a plan's engines: they travel in one message."""


async def known_moves(
    connection: Connection, principal: Principal, permission: str, engines: Collection[str], *,
    project: str = "default", actor: str = "",
) -> tuple[KnownMoves, int]:  # fmt: skip
    """The moves from and to these engines, and the newest revision of the Airflow engines they lead to."""
    wanted = store.DefinitionFilter(engine=sorted(engines))
    saved = await store.list_definitions(connection, "move", wanted, limit=MAX_MOVES + 1)
    found = [
        one.definition.model_copy(update={"name": one.definition.id, "description": "", "labels": {}})
        for one in saved
        if isinstance(one.definition, Move)
    ]
    if len(saved) > MAX_MOVES or sum(len(to_json(move)) for move in found) > MAX_BYTES:
        words = f"the moves of {', '.join(sorted(engines))} are more than {MAX_MOVES}, or larger than {MAX_BYTES} bytes"
        raise Problem("conflict", f"{words}: delete moves that no plan needs")
    reach = principal.reach(permission)
    targets = await store.load_all(connection, "engine", sorted({move.airflow_engine for move in found}))
    denied = tuple(id for id in targets if not reach.changes(Object(project, frozenset({id}), actor)))
    return KnownMoves(moves=tuple(found), denied_engines=denied), max(
        (one.revision for one in targets.values()), default=0
    )
