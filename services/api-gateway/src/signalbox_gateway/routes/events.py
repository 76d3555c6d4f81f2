"""In: event_send, event_list, event_show, event_hours. Changes: nothing. Out: the events of other systems."""

from typing import Annotated, Any, Literal
from uuid import UUID, uuid4

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from signalbox_chassis.persistence.database import UnitOfWork
from signalbox_contracts.messages.triggers import TriggerEvent
from signalbox_contracts.topics import topic
from signalbox_contracts.vocabulary import Instant
from signalbox_contracts.wire import MessageTooLarge
from signalbox_gateway.http.access import Principal, permission
from signalbox_gateway.http.bodies import body, body_of
from signalbox_gateway.http.dependencies import Deps
from signalbox_gateway.http.idempotency import Answer, write
from signalbox_gateway.http.problems import Problem, built, invalid
from signalbox_gateway.read_model import cursor as cursors
from signalbox_gateway.read_model import starts
from signalbox_gateway.read_model.starts import MatchFilter
from signalbox_gateway.routes.answers import AnswerModel
from signalbox_gateway.routes.params import Cursor, Limit, after, answer, missing

router = APIRouter(prefix="/events", tags=["events"])
Sender = Annotated[Principal, Depends(permission("event.send"))]
Reader = Depends(permission("event.read"))
Attribute = Annotated[str, Field(min_length=1, max_length=255)]
Outcome = Literal["matched", "not_matched", "repeated", "debounced", "overlapped", "refused"]
SourceFilter = Annotated[str | None, Query(max_length=255, description="Only events of this source.")]
TriggerFilter = Annotated[str | None, Query(max_length=128, description="Only what this trigger made of them.")]
OutcomeFilter = Annotated[Outcome | None, Query(description="Only events with this outcome.")]


class SentEvent(BaseModel):
    """A CloudEvent. `source` is the one of the path; `id` and `time` are made when they are missing."""

    model_config = ConfigDict(extra="forbid")

    specversion: Literal["1.0"] = "1.0"
    id: Attribute | None = None
    source: Attribute | None = None
    type: Attribute
    subject: Annotated[str, Field(max_length=512)] = ""
    time: Instant | None = None
    datacontenttype: Annotated[str, Field(max_length=255)] = "application/json"
    data: JsonValue = None


class EventAccepted(AnswerModel):
    """The event is on its way to the triggers."""

    id: str
    source: str
    type: str


class MatchAnswer(AnswerModel):
    """What one trigger made of one event, and why."""

    trigger_id: str
    source: str
    event_id: str
    event_type: str
    outcome: str
    why: str
    plan_id: UUID | None
    plan_state: str | None
    at: Instant


class MatchPage(AnswerModel):
    """Outcomes, the newest first."""

    items: list[MatchAnswer]
    next_cursor: str | None


class EventAnswer(AnswerModel):
    """One event: what every trigger that looked at it made of it."""

    event_id: str
    source: str
    matches: list[MatchAnswer]


class HourCount(AnswerModel):
    """How many events of a source had an outcome in one hour."""

    hour: Instant
    source: str
    outcome: str
    events: int


class HourCounts(AnswerModel):
    """Counts, the newest hour first."""

    items: list[HourCount]


@router.post(
    "/{source}", operation_id="event_send", response_model=EventAccepted, status_code=202,
    openapi_extra=body(SentEvent),
)  # fmt: skip
async def event_send(source: str, request: Request, deps: Deps, principal: Sender) -> Response:
    """Send a CloudEvent. The same (source, id) again starts nothing more."""
    sent = await body_of(request, SentEvent)
    if sent.source is not None and sent.source != source:
        raise invalid("source", sent.source, f"{source!r}, as in the path, or nothing")
    if not 1 <= len(source) <= 255:
        raise invalid("source", source, "1 to 255 characters")
    now = deps.clock.now()
    values = {**sent.model_dump(), "id": sent.id or str(uuid4()), "source": source, "time": sent.time or now}
    event = built(TriggerEvent, values)

    async def act(work: UnitOfWork) -> Answer:
        try:
            work.publish(event, topic=topic("triggers.v1"))
        except MessageTooLarge as error:
            raise Problem("too-large", str(error)) from None
        return Answer({"id": event.id, "source": event.source, "type": event.type}, 202)

    return await write(request, deps, principal, act)


@router.get("", operation_id="event_list", response_model=MatchPage, dependencies=[Reader])
async def event_list(
    deps: Deps,
    source: SourceFilter = None,
    trigger: TriggerFilter = None,
    outcome: OutcomeFilter = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """What triggers made of events, the newest first: matched and its plan, or why not."""
    start = after("matches", cursor)
    wanted = MatchFilter(source=source, trigger=trigger, outcome=outcome)
    async with deps.database.connection() as connection:
        found = await starts.matches(connection, wanted, limit=limit, before=start[0] if start else None)
    return answer({"items": found.items, "next_cursor": cursors.encode("matches", found.next_after)})


@router.get("/hours", operation_id="event_hours", response_model=HourCounts, dependencies=[Reader])
async def event_hours(
    deps: Deps, hours: Annotated[int, Query(ge=1, le=720, description="How many hours back.")] = 24
) -> Response:
    """Events by hour, source and outcome: what came in, what it started, what did not match."""
    async with deps.database.connection() as connection:
        return answer({"items": await starts.events_by_hour(connection, hours)})


@router.get("/{id}", operation_id="event_show", response_model=EventAnswer, dependencies=[Reader])
async def event_show(id: str, deps: Deps, source: SourceFilter = None) -> Response:
    """From an event to its plans. Without `source`, the newest event with this id."""
    async with deps.database.connection() as connection:
        found = await starts.matches(connection, MatchFilter(source=source, event=id), limit=200, before=None)
    if not found.items:
        raise missing("event that a trigger looked at with id", id)
    newest: Any = found.items[0]["source"]
    items = [one for one in found.items if one["source"] == newest]
    return answer({"event_id": id, "source": newest, "matches": items})
