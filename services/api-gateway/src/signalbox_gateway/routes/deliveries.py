"""In: delivery_list, delivery_show, delivery_resend. Changes: operation. Out: delivery.resend."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Query, Request, Response
from pydantic import BaseModel, Field

from signalbox_chassis.persistence.database import UnitOfWork
from signalbox_contracts.messages.operations import DeliveryResend
from signalbox_contracts.vocabulary import MAX_ITEMS, Text
from signalbox_gateway import operations
from signalbox_gateway.definitions import store
from signalbox_gateway.http.access import Principal, permission
from signalbox_gateway.http.bodies import body, body_of
from signalbox_gateway.http.dependencies import Deps
from signalbox_gateway.http.idempotency import Answer, write
from signalbox_gateway.http.prefix_router import PrefixRouter
from signalbox_gateway.http.problems import Problem, invalid
from signalbox_gateway.read_model import notifications
from signalbox_gateway.read_model.notifications import ENDED_DELIVERIES, DeliveryFilter
from signalbox_gateway.routes import answers
from signalbox_gateway.routes.params import Cursor, Ids, Limit, Words, after, answer, missing, page

router = PrefixRouter(prefix="/deliveries", tags=["deliveries"])
Reader = Depends(permission("delivery.read"))
Operator = Annotated[Principal, Depends(permission("delivery.operate"))]
States = Annotated[
    list[Annotated[str, Field(pattern="^(pending|sending|sent|retrying|dead|dropped)$")]],
    Query(max_length=10, description="Only these; repeat it for any of several."),
]


class Resend(BaseModel):
    """Which deliveries, and why."""

    ids: Annotated[list[UUID], Field(min_length=1, max_length=MAX_ITEMS)]
    reason: Text = ""


@router.get(
    "", operation_id="delivery_list", dependencies=[Reader],
    response_model=answers.page_of(answers.Delivery, "DeliveryPage"),
)  # fmt: skip
async def delivery_list(
    deps: Deps,
    channel: Words = [],  # noqa: B006 -- FastAPI copies defaults
    state: States = [],  # noqa: B006
    event_type: Words = [],  # noqa: B006
    plan: Ids = [],  # noqa: B006
    incident: Ids = [],  # noqa: B006
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """Deliveries with every try, newest first. `state=dead` are those that were given up."""
    begin = after("deliveries", cursor)
    wanted = DeliveryFilter(channel=channel, state=state, event_type=event_type, plan=plan, incident=incident)
    async with deps.database.connection() as connection:
        found = await notifications.deliveries(connection, wanted, limit=limit, after=begin)
    return page("deliveries", found)


@router.get("/{id}", operation_id="delivery_show", response_model=answers.Delivery, dependencies=[Reader])
async def delivery_show(deps: Deps, id: UUID) -> Response:
    """One message to a channel, with every try and the receiver's answer."""
    async with deps.database.connection() as connection:
        found = await notifications.delivery(connection, id)
    if found is None:
        raise missing("delivery", id)
    return answer(found)


@router.post(
    "/resend", operation_id="delivery_resend", response_model=answers.DeliveryOperations, status_code=202,
    openapi_extra=body(Resend),
)  # fmt: skip
async def delivery_resend(request: Request, deps: Deps, principal: Operator) -> Response:
    """Send ended deliveries again, with the same ids."""
    given = await body_of(request, Resend)

    async def act(work: UnitOfWork) -> Answer:
        channels = await _channels(work, given.ids)
        begun: list[dict[str, Any]] = []
        for channel_id, ids in sorted(channels.items()):
            operation = await operations.ask(
                work, deps, principal, DeliveryResend, target=f"channel:{channel_id}", reason=given.reason,
                channel_id=channel_id, delivery_ids=tuple(ids),
            )  # fmt: skip
            begun.append({"operation_id": operation, "channel_id": channel_id, "ids": ids})
        return Answer({"operations": begun}, 202)

    return await write(request, deps, principal, act)


async def _channels(work: UnitOfWork, ids: list[UUID]) -> dict[str, list[UUID]]:
    """The deliveries by channel. Raises a problem when one is unknown, under way, or of a deleted channel."""
    known = await notifications.delivery_channels(work.connection, ids)
    channels: dict[str, list[UUID]] = {}
    for number, id in enumerate(ids):
        if id not in known:
            raise invalid(f"ids.{number}", str(id), "is not a delivery")
        channel_id, state = known[id]
        if state not in ENDED_DELIVERIES:
            raise Problem("conflict", f"delivery {id} is {state}: only one that has ended is sent again")
        channels.setdefault(channel_id, []).append(id)
    stored = await store.find_all(work.connection, "channel", sorted(channels))
    if deleted := sorted(channels.keys() - stored.keys()):
        raise Problem("conflict", f"channel {deleted[0]} is deleted: nothing can be sent there")
    return channels
