"""In: operation_show. Changes: nothing."""

from uuid import UUID

from fastapi import Depends, Response

from signalbox_gateway.http.access import permission
from signalbox_gateway.http.dependencies import Deps
from signalbox_gateway.http.prefix_router import PrefixRouter
from signalbox_gateway.read_model import queries
from signalbox_gateway.routes import answers
from signalbox_gateway.routes.params import Until, Wait, answer, missing, seconds

router = PrefixRouter(prefix="/operations", tags=["operations"], dependencies=[Depends(permission("operation.read"))])


@router.get("/{id}", operation_id="operation_show", response_model=answers.Operation)
async def operation_show(deps: Deps, id: UUID, wait: Wait = None, until: Until = None) -> Response:
    """An operation; with `wait` and `until=end`, as soon as it is answered."""

    async def look() -> queries.Answer | None:
        async with deps.database.connection() as connection:
            return await queries.operation(connection, id)

    def enough(seen: queries.Answer | None) -> bool:
        return seen is None or until is None or seen["state"] != "pending"

    seen = await deps.waits.until(id, look, enough, seconds=seconds(wait))
    if seen is None:
        raise missing("operation", id)
    return answer(seen)
