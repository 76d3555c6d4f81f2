"""In: dead_letter_list, dead_letter_show. Changes: nothing."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Query, Response
from pydantic import Field

from signalbox_gateway.http.access import permission
from signalbox_gateway.http.dependencies import Deps
from signalbox_gateway.http.prefix_router import PrefixRouter
from signalbox_gateway.read_model import queries
from signalbox_gateway.routes import answers
from signalbox_gateway.routes.params import Cursor, Limit, Words, after, answer, missing, page

States = Annotated[
    list[Annotated[str, Field(pattern="^(PARKED|REQUESTED|REDRIVING|REDRIVEN|DROPPED)$")]],
    Query(max_length=10, description="Only these; repeat it for any of several."),
]


router = PrefixRouter(
    prefix="/dead-letters", tags=["dead letters"], dependencies=[Depends(permission("dead_letter.read"))]
)


@router.get(
    "", operation_id="dead_letter_list", response_model=answers.page_of(answers.DeadLetterEntry, "DeadLetterPage")
)
async def dead_letter_list(
    deps: Deps,
    service: Words = [],  # noqa: B006 -- FastAPI copies defaults
    topic: Words = [],  # noqa: B006
    state: States = [],  # noqa: B006
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """Parked messages of every service, newest first."""
    begin = after("dead_letters", cursor)
    async with deps.database.connection() as connection:
        found = await queries.dead_letters(
            connection, service=service, topic=topic, state=state, limit=limit, after=begin
        )
    return page("dead_letters", found)


@router.get("/{id}", operation_id="dead_letter_show", response_model=answers.DeadLetter)
async def dead_letter_show(deps: Deps, id: UUID) -> Response:
    """Where it was, why it was parked, its headers and the beginning of its value."""
    async with deps.database.connection() as connection:
        found = await queries.dead_letter(connection, id)
    if found is None:
        raise missing("parked message", id)
    return answer(found)
