"""In: trigger_dry_run. Changes: nothing. Out: what a trigger would make of the newest events."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from datetime import date
from typing import Annotated, Any, Final

from aiokafka.errors import KafkaError
from fastapi import Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from signalbox_contracts.definitions.trigger import Trigger
from signalbox_contracts.event_matching import match
from signalbox_contracts.vocabulary import Instant
from signalbox_gateway.definitions.kinds import KINDS
from signalbox_gateway.http.access import Principal, permission
from signalbox_gateway.http.bodies import body, body_of
from signalbox_gateway.http.dependencies import Dependencies, Deps
from signalbox_gateway.http.prefix_router import PrefixRouter
from signalbox_gateway.http.problems import Problem, checked, invalid
from signalbox_gateway.recent_events import MAX_EVENTS, RecentEvents, recent_events
from signalbox_gateway.routes.answers import AnswerModel
from signalbox_gateway.routes.definitions import load
from signalbox_gateway.routes.params import answer

router = PrefixRouter(prefix="/triggers", tags=["triggers"])
Reader = Annotated[Principal, Depends(permission("event.preview"))]
JUDGE_SECONDS: Final = 5.0


class TriggerDryRun(BaseModel):
    """Which trigger is tried: a saved one, or one that is not saved yet."""

    model_config = ConfigDict(extra="forbid")

    id: Annotated[str, Field(max_length=128)] | None = None
    trigger: dict[str, JsonValue] | None = None
    """The definition, as `POST /triggers` takes it."""
    events: Annotated[int, Field(ge=1, le=MAX_EVENTS)] = 100
    """How many of the newest events are judged."""


class JudgedEvent(AnswerModel):
    """What the trigger would make of one event, if it came now and for the first time."""

    event_id: str
    source: str
    event_type: str
    time: Instant
    outcome: str
    why: str
    params: dict[str, JsonValue] | None
    """The parameters of the plan, when it matched."""
    event_date: date | None


class TriggerDryRunAnswer(AnswerModel):
    """Nothing was started. `events` are those the trigger looks at, the newest first."""

    read: int
    """Events that were judged: the newest on all trigger topics."""
    not_looked_at: int
    """Events whose type, source or subject the trigger leaves alone."""
    unreadable: int
    complete: bool
    """False when reading or judging took too long, and older events were left out."""
    outcomes: dict[str, int]
    events: list[JudgedEvent]


@router.post(
    "/dry-run", operation_id="trigger_dry_run", response_model=TriggerDryRunAnswer, openapi_extra=body(TriggerDryRun)
)  # fmt: skip
async def trigger_dry_run(request: Request, deps: Deps, _: Reader) -> Response:
    """Match the newest events with a trigger, saved or not. Nothing starts, and nothing is stored."""
    wanted = await body_of(request, TriggerDryRun)
    trigger = await _trigger(deps, wanted)
    try:
        found = await recent_events(
            deps.settings.kafka, deps.settings.topic_prefix, deps.settings.sources, wanted.events
        )
    except (KafkaError, TimeoutError, OSError) as error:
        raise Problem("unavailable", f"Kafka does not answer: {type(error).__name__}") from None
    return answer(await asyncio.to_thread(_judge, trigger, found))


async def _trigger(deps: Dependencies, wanted: TriggerDryRun) -> Trigger:
    if (wanted.id is None) == (wanted.trigger is None):
        raise invalid("id", wanted.id, "give either id, of a saved trigger, or trigger, a definition")
    if wanted.trigger is not None:
        return checked(Trigger, wanted.trigger, place="trigger.")
    async with deps.database.connection() as connection:
        try:
            saved = (await load(connection, KINDS["trigger"], wanted.id or "")).definition
        except Problem:
            raise invalid("id", wanted.id, "there is no such trigger") from None
    assert isinstance(saved, Trigger)
    return saved


def _judge(trigger: Trigger, found: RecentEvents) -> dict[str, Any]:
    """Judge until the time is over. A condition is bounded, so one event takes about 10 ms at most."""
    tried, until = trigger.model_copy(update={"paused": False}), time.monotonic() + JUDGE_SECONDS
    judged: list[dict[str, Any]] = []
    read = 0
    for event in found.events:
        if time.monotonic() > until:
            break
        read += 1
        result = match(tried, event)
        if result is not None:
            judged.append(
                {
                    "event_id": event.id, "source": event.source, "event_type": event.type, "time": event.time,
                    "outcome": result.outcome.value, "why": result.why, "params": result.params,
                    "event_date": result.event_date,
                }
            )  # fmt: skip
    _mark_repeated(judged)
    return {
        "read": read, "not_looked_at": read - len(judged), "unreadable": found.unreadable,
        "complete": found.complete and read == len(found.events),
        "outcomes": dict(Counter(one["outcome"] for one in judged)), "events": judged,
    }  # fmt: skip


def _mark_repeated(judged: Sequence[dict[str, Any]]) -> None:
    """Of events with one (source, id) only the first starts a plan."""
    seen: set[tuple[str, str]] = set()
    for one in reversed(judged):
        key = one["source"], one["event_id"]
        if one["outcome"] == "matched" and key in seen:
            one.update(outcome="repeated", why="an earlier one of these events has the same source and id", params=None)
        elif one["outcome"] == "matched":
            seen.add(key)
