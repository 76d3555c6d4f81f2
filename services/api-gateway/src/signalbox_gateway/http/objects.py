"""Which object a route is about, found by its path."""

from dataclasses import dataclass
from typing import Any, Final, Literal
from uuid import UUID

from fastapi import Request

from signalbox_chassis.persistence.database import Database
from signalbox_gateway.definitions.kinds import KINDS
from signalbox_gateway.identity.roles import Object
from signalbox_gateway.store import objects

BASE: Final = "/api/v1"
LIST: Final = "list"
MAKES: Final = "makes"


@dataclass(frozen=True, slots=True)
class Place:
    """A kind of object, and the path parameter that has its id."""

    kind: str
    parameter: str = "id"

    @property
    def is_definition(self) -> bool:
        return self.kind in KINDS


_BY_PREFIX: Final[dict[str, Place]] = {
    "/workflows/{id}/runs/{run_id}": Place("plan", "run_id"),
    "/workflows/{id}": Place("job"),
    "/plans/{id}": Place("plan"),
    "/tasks/{id}": Place("task"),
    "/operations/{id}": Place("operation"),
    "/traces/{trace_id}": Place("trace", "trace_id"),
    **{f"/{entry.path}/{{id}}": Place(kind) for kind, entry in KINDS.items()},
}
LISTS: Final = frozenset(
    {"/plans", "/plans/counts", "/tasks", "/workflows", "/me/freezes", *(f"/{entry.path}" for entry in KINDS.values())}
)
"""Collections whose lists are filtered by what the caller may see."""
MADE: Final = frozenset(
    {
        "/plans",
        "/plans/bulk",
        "/tasks/bulk",
        "/workflows",
        "/pipelines/apply",
        *(f"/{entry.path}" for entry in KINDS.values()),
    }
)
"""Paths where POST makes an object; the route checks it."""


def place_of(request: Request) -> Place | Literal["list", "makes"] | None:
    """What a call is about; None for a route that is about no single project or engine."""
    path = request.scope["route"].path.removeprefix(BASE)
    if request.method == "GET" and path in LISTS:
        return LIST
    if request.method == "POST" and path in MADE:
        return MAKES
    return next(
        (place for prefix, place in _BY_PREFIX.items() if path == prefix or path.startswith(f"{prefix}/")), None
    )


async def find(database: Database, place: Place, parameters: dict[str, Any]) -> Object | None:
    """The object a path names; None when there is none."""
    given = str(parameters[place.parameter])
    async with database.connection() as connection:
        if place.is_definition:
            return await objects.definition(connection, place.kind, given)
        if place.kind == "trace":
            return await objects.trace(connection, given)
        try:
            id = UUID(given)
        except ValueError:
            return None
        by_id = {"plan": objects.plan, "task": objects.task, "operation": objects.operation}
        return await by_id[place.kind](connection, id)
