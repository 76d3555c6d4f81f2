"""In: channel_test. Changes: operation. Out: channel.test."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from signalbox_chassis.persistence.database import UnitOfWork
from signalbox_contracts.definitions.channel import Channel, LiveDestination
from signalbox_contracts.messages.operations import ChannelTest
from signalbox_gateway import operations
from signalbox_gateway.definitions.kinds import KINDS
from signalbox_gateway.http.access import Principal, permission
from signalbox_gateway.http.bodies import body, body_of
from signalbox_gateway.http.dependencies import Deps
from signalbox_gateway.http.idempotency import Answer, write
from signalbox_gateway.http.problems import Problem
from signalbox_gateway.routes import answers
from signalbox_gateway.routes.definitions import load
from signalbox_gateway.routes.engines import Why, operation_answer

router = APIRouter(prefix="/channels", tags=["channels"])
Operator = Annotated[Principal, Depends(permission("channel.operate"))]


@router.post(
    "/{id}/test", operation_id="channel_test", response_model=answers.Operation, status_code=202,
    openapi_extra=body(Why),
)  # fmt: skip
async def channel_test(request: Request, deps: Deps, principal: Operator, id: str) -> Response:
    """Send a test message. The operation is answered with what the receiver answered."""
    given = await body_of(request, Why)

    async def act(work: UnitOfWork) -> Answer:
        saved = await load(work.connection, KINDS["channel"], id)
        if isinstance(saved.definition, Channel) and isinstance(saved.definition.destination, LiveDestination):
            raise Problem("conflict", f"channel {id} is the live feed: nothing is sent to it")
        operation = await operations.ask(
            work, deps, principal, ChannelTest, target=f"channel:{id}", reason=given.reason, channel_id=id,
            definitions_revision=saved.revision,
        )  # fmt: skip
        return await operation_answer(work, operation)

    return await write(request, deps, principal, act)
