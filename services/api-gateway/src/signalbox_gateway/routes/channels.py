"""In: channel_test, channel_preview. Changes: operation. Out: channel.test; what a message would look like."""

from typing import Annotated, Any, Literal

from fastapi import Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from signalbox_chassis.persistence.database import UnitOfWork
from signalbox_contracts.definitions.channel import EVENT_TYPES, Channel, event_type
from signalbox_contracts.messages.operations import ChannelTest
from signalbox_contracts.notifications import payload_for, sample_message, with_templates
from signalbox_gateway import operations
from signalbox_gateway.definitions.kinds import KINDS
from signalbox_gateway.http.access import Principal, permission
from signalbox_gateway.http.bodies import body, body_of
from signalbox_gateway.http.dependencies import Dependencies, Deps
from signalbox_gateway.http.idempotency import Answer, write
from signalbox_gateway.http.prefix_router import PrefixRouter
from signalbox_gateway.http.problems import Problem, checked, invalid
from signalbox_gateway.routes import answers
from signalbox_gateway.routes.answers import AnswerModel
from signalbox_gateway.routes.definitions import load
from signalbox_gateway.routes.engines import Why, operation_answer
from signalbox_gateway.routes.params import answer

router = PrefixRouter(prefix="/channels", tags=["channels"])
Operator = Annotated[Principal, Depends(permission("channel.operate"))]
Reader = Annotated[Principal, Depends(permission("channel.preview"))]


class ChannelPreview(BaseModel):
    """Which channel: a saved one, or one that is not saved yet. And which event the message is about."""

    model_config = ConfigDict(extra="forbid")

    id: Annotated[str, Field(max_length=128)] | None = None
    channel: dict[str, JsonValue] | None = None
    """The definition, as `POST /channels` takes it."""
    event_type: Annotated[str, Field(min_length=1, max_length=512)] = "workflow.failed"
    """`workflow_failed` means `workflow.failed`."""


class ChannelPreviewAnswer(AnswerModel):
    """A sample message as the channel would get it. Nothing was sent."""

    kind: Literal["slack", "webhook", "email", "websocket"]
    title: str
    text: str
    payload: dict[str, JsonValue]
    """The body of the request, the parts of the mail, or the event of the live feed."""
    problem: str
    """What is wrong with a template that cannot be used: the usual words stand in its place. Empty for nothing."""
    variables: dict[str, JsonValue]
    """What templates may use, with the values of this sample."""


@router.post(
    "/{id}/test", operation_id="channel_test", response_model=answers.Operation, status_code=202,
    openapi_extra=body(Why),
)  # fmt: skip
async def channel_test(request: Request, deps: Deps, principal: Operator, id: str) -> Response:
    """Send a test message. The operation's result is the receiver's answer."""
    given = await body_of(request, Why)

    async def act(work: UnitOfWork) -> Answer:
        saved = await load(work.connection, KINDS["channel"], id)
        operation = await operations.ask(
            work, deps, principal, ChannelTest, target=f"channel:{id}", reason=given.reason, channel_id=id,
            definitions_revision=saved.revision,
        )  # fmt: skip
        return await operation_answer(work, operation)

    return await write(request, deps, principal, act)


@router.post(
    "/preview", operation_id="channel_preview", response_model=ChannelPreviewAnswer, openapi_extra=body(ChannelPreview)
)  # fmt: skip
async def channel_preview(request: Request, deps: Deps, _: Reader) -> Response:
    """Show a sample message as a channel would get it, saved or not. Nothing is sent, and nothing is kept."""
    wanted = await body_of(request, ChannelPreview)
    kind = event_type(wanted.event_type)
    if kind not in EVENT_TYPES:
        raise invalid("event_type", wanted.event_type, f"is no event type: allowed are {', '.join(EVENT_TYPES)}")
    channel = await _channel(deps, wanted)
    sample = sample_message(kind, deps.clock.now())
    message, problem = with_templates(sample, channel.templates)
    shown: dict[str, Any] = {
        "kind": channel.destination.kind, "title": message.title, "text": message.text,
        "payload": payload_for(channel, message), "problem": problem, "variables": sample.model_dump(mode="json"),
    }  # fmt: skip
    return answer(shown)


async def _channel(deps: Dependencies, wanted: ChannelPreview) -> Channel:
    if (wanted.id is None) == (wanted.channel is None):
        raise invalid("id", wanted.id, "give either id, of a saved channel, or channel, a definition")
    if wanted.channel is not None:
        return checked(Channel, wanted.channel, place="channel.")
    async with deps.database.connection() as connection:
        try:
            saved = (await load(connection, KINDS["channel"], wanted.id or "")).definition
        except Problem:
            raise invalid("id", wanted.id, "there is no such channel") from None
    assert isinstance(saved, Channel)
    return saved
