"""In: event_send, event_list, event_show, event_hours. Changes: nothing. Out: the events of other systems."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID, uuid4

from fastapi import Depends, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from signalbox_chassis.persistence.connection import Connection
from signalbox_chassis.persistence.database import UnitOfWork
from signalbox_contracts.definitions.trigger import pattern_matches
from signalbox_contracts.messages.triggers import TriggerEvent
from signalbox_contracts.topics import topic_of_source
from signalbox_contracts.vocabulary import Instant
from signalbox_contracts.wire import MessageTooLarge
from signalbox_gateway import webhooks
from signalbox_gateway.definitions import store
from signalbox_gateway.http.access import Principal, count_call, permission
from signalbox_gateway.http.bodies import body
from signalbox_gateway.http.cloudevents import attributes_of
from signalbox_gateway.http.dependencies import Deps
from signalbox_gateway.http.idempotency import Answer, write
from signalbox_gateway.http.prefix_router import PrefixRouter
from signalbox_gateway.http.problems import Problem, built, checked, invalid
from signalbox_gateway.http.queries import only_known_parameters
from signalbox_gateway.read_model import cursor as cursors
from signalbox_gateway.read_model import starts
from signalbox_gateway.read_model.starts import MatchFilter
from signalbox_gateway.routes.answers import AnswerModel
from signalbox_gateway.routes.event_sources import secret_keys
from signalbox_gateway.routes.params import Cursor, Limit, after, answer
from signalbox_gateway.store import event_sources as sources
from signalbox_gateway.webhooks import SignedRequest

router = PrefixRouter(prefix="/events", tags=["events"])
Reader = Depends(permission("event.read"))
Attribute = Annotated[str, Field(min_length=1, max_length=255)]
Outcome = Literal[
    "matched", "not_matched", "repeated", "debounced", "overlapped", "refused", "batched", "held", "skipped"
]  # fmt: skip
# One path of the document may have one name for a place: GET /events/{id} is an event, POST /events/{id} its source.
SourceInPath = Annotated[str, Path(alias="id", description="The source: whose events these are.")]
SourceFilter = Annotated[str | None, Query(max_length=255, description="Only events of this source.")]
TriggerFilter = Annotated[str | None, Query(max_length=128, description="Only outcomes of this trigger.")]
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
    plans: int
    """The plans they started: events of a batch share one."""


class SourceHour(AnswerModel):
    """What came from a source in one hour, and how far its last event was behind."""

    hour: Instant
    source: str
    received: int
    unclaimed: int
    """Events that no trigger looks at."""
    repeated: int
    """Events that were received before. `received` counts them too."""
    last_event_at: Instant | None
    lag_seconds: float


class HourCounts(AnswerModel):
    """Counts, the newest hour first: what triggers made of events, and what came in."""

    items: list[HourCount]
    sources: list[SourceHour]


async def _event_sender(request: Request, deps: Deps, source: SourceInPath) -> Principal:
    """Who sends an event: a token with the permission, or a signature that fits the source."""
    if "webhook-signature" not in request.headers or "authorization" in request.headers:
        return await _by_token(request, deps)
    async with deps.database.connection() as connection:
        sealed = None if "\0" in source else await sources.sealed(connection, source)
    try:
        if sealed is None:
            raise webhooks.SignatureRefused(f"no signing secret of source {source[:100]} is kept here")
        keys = webhooks.unseal(secret_keys(deps), source, sealed["key_id"], sealed["secrets"])
        request.state.signed = webhooks.verify(
            source, keys, dict(request.headers), await request.body(), now=deps.clock.now(),
            tolerance_seconds=sealed["tolerance_seconds"],
        )  # fmt: skip
    except webhooks.SignatureRefused as error:
        await count_call(request, deps, None)
        raise Problem("unauthenticated", str(error)) from None
    principal = request.state.principal = Principal(f"webhook:{source}", "webhook", frozenset({"event.send"}), None)
    await count_call(request, deps, principal.name)
    only_known_parameters(request)
    return principal


_by_token = permission("event.send")
_event_sender.permission = "event.send"  # type: ignore[attr-defined]
Sender = Annotated[Principal, Depends(_event_sender)]


@router.post(
    "/{id}", operation_id="event_send", response_model=EventAccepted, status_code=202,
    openapi_extra=body(SentEvent),
)  # fmt: skip
async def event_send(source: SourceInPath, request: Request, deps: Deps, principal: Sender) -> Response:
    """Send a CloudEvent, structured or binary, with a token or a Standard Webhooks signature.

    Sending the same (source, id) again starts nothing.
    """
    signed: SignedRequest | None = getattr(request.state, "signed", None)
    event = await _event(request, source, deps.clock.now(), signed)

    async def act(work: UnitOfWork) -> Answer:
        await _check_declared(work.connection, source)
        if signed is not None and not await sources.see(
            work.connection, source, signed.id, signed.sent_at, 2 * signed.tolerance_seconds
        ):
            raise Problem("unauthenticated", f"the signed request {signed.id} was received before: a replay")
        try:
            work.publish(event, topic=topic_of_source(source, deps.settings.sources))
        except MessageTooLarge as error:
            raise Problem("too-large", str(error)) from None
        return Answer({"id": event.id, "source": event.source, "type": event.type}, 202)

    return await write(request, deps, principal, act)


async def _event(request: Request, source: str, now: datetime, signed: SignedRequest | None) -> TriggerEvent:
    """The event in a request. Raises 415 and 422 problems."""
    if not 1 <= len(source) <= 255:
        raise invalid("source", source, "1 to 255 characters")
    given, plain = await attributes_of(request)
    if signed is not None and plain:  # Standard Webhooks' own form
        given = {name: given[name] for name in ("type", "timestamp", "data", "id", "subject") if name in given}
        given["time"] = given.pop("timestamp", None)
    if given.get("source") not in (None, source) and not _is_below(given.get("source"), source):
        raise invalid("source", given["source"], f"{source!r}, as in the path, what begins with {source}/, or nothing")
    values = checked(SentEvent, given).model_dump() if plain else given
    values |= {
        "id": values.get("id") or (signed.id if signed else str(uuid4())), "source": values.get("source") or source,
        "time": values.get("time") or now,
    }  # fmt: skip
    return built(TriggerEvent, values)


def _is_below(given: object, source: str) -> bool:
    return isinstance(given, str) and given.startswith(f"{source}/")


async def _check_declared(connection: Connection, source: str) -> None:
    """Refuse an event that no trigger would ever look at: its sender would wait in vain."""
    patterns = await store.trigger_sources(connection)
    if any(not some or any(_could_match(pattern, source) for pattern in some) for some in patterns):
        return
    if await sources.load(connection, source) is not None:
        return
    known = sorted({pattern for some in patterns for pattern in some})[:20]
    raise invalid("source", source, f"no trigger looks at it: those there are look at {', '.join(known) or 'nothing'}")


def _could_match(pattern: str, source: str) -> bool:
    return pattern_matches(pattern, source) or pattern.startswith(f"{source}/")


@router.get("", operation_id="event_list", response_model=MatchPage, dependencies=[Reader])
async def event_list(
    deps: Deps,
    source: SourceFilter = None,
    trigger: TriggerFilter = None,
    outcome: OutcomeFilter = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """Events with the outcome of each trigger, newest first: the plan of a match, or the reason."""
    start = after("matches", cursor)
    wanted = MatchFilter(source=source, trigger=trigger, outcome=outcome)
    async with deps.database.connection() as connection:
        found = await starts.matches(connection, wanted, limit=limit, before=start[0] if start else None)
    return answer({"items": found.items, "next_cursor": cursors.encode("matches", found.next_after)})


@router.get("/hours", operation_id="event_hours", response_model=HourCounts, dependencies=[Reader])
async def event_hours(
    deps: Deps, hours: Annotated[int, Query(ge=1, le=720, description="How many hours back.")] = 24
) -> Response:
    """Counts of events by hour, source and outcome: received, started plans, not matched."""
    async with deps.database.connection() as connection:
        outcomes = await starts.events_by_hour(connection, hours)
        return answer({"items": outcomes, "sources": await starts.sources_by_hour(connection, hours)})


@router.get("/{id}", operation_id="event_show", response_model=EventAnswer, dependencies=[Reader])
async def event_show(id: str, deps: Deps, source: SourceFilter = None) -> Response:
    """An event, the outcome of each trigger, and its plans. Without `source`, the newest event with this id."""
    async with deps.database.connection() as connection:
        found = await starts.matches(connection, MatchFilter(source=source, event=id), limit=200, before=None)
    if not found.items:
        raise Problem(
            "not-found", f"no trigger has looked at an event with id {id[:100]!r}: it is on its way, or its type, "
            "source and subject are those of no trigger; such events are only counted (GET /events/hours)"
        )  # fmt: skip
    newest: Any = found.items[0]["source"]
    items = [one for one in found.items if one["source"] == newest]
    return answer({"event_id": id, "source": newest, "matches": items})
