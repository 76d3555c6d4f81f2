"""In: dead_letter_redrive, dead_letter_drop. Changes: parked, operation. Out: dead_letter.redrive, dead_letter.drop."""

from typing import Annotated, Any
from uuid import UUID, uuid4

from fastapi import Depends, Request, Response
from pydantic import BaseModel, Field

from signalbox_chassis.persistence.database import UnitOfWork
from signalbox_contracts.messages.operations import DeadLetterDrop, DeadLetterRedrive
from signalbox_contracts.vocabulary import MAX_ITEMS, Text
from signalbox_gateway import operations
from signalbox_gateway.http.access import Principal, permission
from signalbox_gateway.http.bodies import body, body_of
from signalbox_gateway.http.dependencies import Dependencies, Deps
from signalbox_gateway.http.idempotency import Answer, write
from signalbox_gateway.http.prefix_router import PrefixRouter
from signalbox_gateway.http.problems import invalid
from signalbox_gateway.read_model import usage, writes
from signalbox_gateway.routes import answers

router = PrefixRouter(prefix="/dead-letters", tags=["dead letters"])
Operator = Annotated[Principal, Depends(permission("dead_letter.operate"))]


class Letters(BaseModel):
    """Which parked messages, and why."""

    ids: Annotated[list[UUID], Field(min_length=1, max_length=MAX_ITEMS)]
    reason: Text = ""


@router.post(
    "/redrive",
    operation_id="dead_letter_redrive",
    response_model=answers.DeadLetterOperations,
    status_code=202,
    openapi_extra=body(Letters),
)
async def dead_letter_redrive(request: Request, deps: Deps, principal: Operator) -> Response:
    """Give parked messages again to the handler that failed."""
    return await _ask(request, deps, principal, DeadLetterRedrive, await body_of(request, Letters))


@router.post(
    "/drop",
    operation_id="dead_letter_drop",
    response_model=answers.DeadLetterOperations,
    status_code=202,
    openapi_extra=body(Letters),
)
async def dead_letter_drop(request: Request, deps: Deps, principal: Operator) -> Response:
    """Drop parked messages, with a reason."""
    letters = await body_of(request, Letters)
    if not letters.reason.strip():
        raise invalid("reason", letters.reason, "a reason is needed to give a message up")
    return await _ask(request, deps, principal, DeadLetterDrop, letters)


async def _ask(request: Request, deps: Dependencies, principal: Principal, message: Any, letters: Letters) -> Response:
    async def act(work: UnitOfWork) -> Answer:
        services = await usage.services_of_letters(work.connection, letters.ids)
        unknown = set(letters.ids) - services.keys()
        if unknown:
            raise invalid("ids", str(min(unknown)), "is not a parked message")
        requested: list[dict[str, Any]] = []
        for service in sorted(set(services.values())):
            ids = [id for id, of in services.items() if of == service]
            operation = uuid4()
            ids = await writes.ask_letters(work.connection, operation, ids)
            if ids:
                await operations.ask(
                    work, deps, principal, message, target=f"dead_letters:{service}", reason=letters.reason,
                    id=operation, service=service, dead_letter_ids=tuple(ids),
                )  # fmt: skip
                requested.append({"operation_id": operation, "service": service, "ids": ids})
        return Answer({"operations": requested}, 202)

    return await write(request, deps, principal, act)
