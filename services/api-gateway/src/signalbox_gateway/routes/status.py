"""In: status_show. Each part is asked by itself, in bounded time: one that does not answer says so, the rest stands."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from fastapi import Depends, Response

from signalbox_chassis.persistence.database import Database
from signalbox_gateway.http.access import permission
from signalbox_gateway.http.dependencies import Dependencies, Deps
from signalbox_gateway.http.prefix_router import PrefixRouter
from signalbox_gateway.read_model import status as status_queries
from signalbox_gateway.routes import answers
from signalbox_gateway.routes.params import answer

PART_SECONDS: Final = 3.0
"""How long one part may take."""

Part = Callable[[], Awaitable[dict[str, Any]]]


router = PrefixRouter(tags=["status"], dependencies=[Depends(permission("status.read"))])


@router.get("/status", operation_id="status_show", response_model=answers.Status)
async def status_show(deps: Deps) -> Response:
    """The gateway's database and outbox, Kafka and its groups, engines, plans, tasks, parked messages, freezes, what
    keeps failing in any process, definitions that cannot be read."""
    parts: list[Part] = [
        lambda: _database(deps.database),
        lambda: _kafka(deps),
        lambda: _outbox(deps.database),
        lambda: _read_model(deps.database),
        lambda: _unreadable(deps),
    ]
    model = ("engines", "plans", "tasks", "parked", "freezes", "troubles", "restated")
    names = (("database",), ("kafka", "groups"), ("outbox",), model, ("unreadable",))
    shown: dict[str, Any] = {}
    for keys, found in zip(names, await asyncio.gather(*map(_bounded, parts)), strict=True):
        shown |= {key: found.get(key) for key in keys}
        if "problem" in found:
            shown[keys[0]] = {"ok": False, "problem": found["problem"]}
    return answer(shown)


async def _bounded(part: Part) -> dict[str, Any]:
    try:
        async with asyncio.timeout(PART_SECONDS):
            return await part()
    except TimeoutError:
        return {"problem": f"no answer within {PART_SECONDS:g} s"}
    except Exception as error:  # whatever is wrong with it is what this route is asked for
        return {"problem": f"{type(error).__name__}: {error}"[:300]}


async def _database(database: Database) -> dict[str, Any]:
    await database.ping()
    return {"database": {"ok": True}}


async def _kafka(deps: Dependencies) -> dict[str, Any]:
    return {"kafka": {"ok": True}, "groups": [], **await deps.broker()}


async def _outbox(database: Database) -> dict[str, Any]:
    async with database.connection() as connection:
        return {"outbox": {"ok": True, "oldest_unsent_seconds": await status_queries.oldest_unsent_seconds(connection)}}


async def _read_model(database: Database) -> dict[str, Any]:
    async with database.connection() as connection:
        return await status_queries.counts(connection)


async def _unreadable(deps: Dependencies) -> dict[str, Any]:
    return {"unreadable": await deps.unreadable.check(deps.database)}
