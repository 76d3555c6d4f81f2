"""In: operation_show. Changes: nothing."""

from uuid import UUID

from fastapi import APIRouter, Response

from signalbox_gateway.projection import reading
from signalbox_gateway.routes.needs import Needs, NotThere, Until, Wait, answer, seconds


def routes(needs: Needs) -> APIRouter:
    """What was asked, and what was answered."""
    router = APIRouter(prefix="/operations", tags=["operations"], dependencies=[needs.permission("operation.read")])

    @router.get("/{id}", operation_id="operation_show")
    async def operation_show(id: UUID, wait: Wait = None, until: Until = None) -> Response:
        """An operation; with `wait` and `until=end`, as soon as it is answered."""

        async def look() -> reading.Answer | None:
            async with needs.database.connection() as (connection, _):
                return await reading.operation(connection, id)

        def enough(seen: reading.Answer | None) -> bool:
            return seen is None or until is None or seen["state"] != "pending"

        seen = await needs.waits.until(id, look, enough, seconds=seconds(wait))
        if seen is None:
            raise NotThere("operation", id)
        return answer(seen)

    return router
