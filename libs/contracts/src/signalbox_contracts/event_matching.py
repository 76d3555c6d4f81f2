"""What a trigger makes of one event. Pure: the planner decides with it, the gateway tries a trigger with it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, cast

from pydantic import JsonValue

from signalbox_contracts.definitions.condition import ConditionFailed, InvalidCondition, compile_condition
from signalbox_contracts.definitions.trigger import Trigger
from signalbox_contracts.messages.states import MatchOutcome
from signalbox_contracts.messages.triggers import TriggerEvent
from signalbox_contracts.vocabulary import parse_date


@dataclass(frozen=True, slots=True)
class Match:
    """What a trigger makes of one event. `params` and `event_date` are for the plan, when it matched."""

    outcome: MatchOutcome
    why: str = ""
    params: Mapping[str, JsonValue] | None = None
    event_date: date | None = None


def match(trigger: Trigger, event: TriggerEvent) -> Match | None:
    """Judge one event; None when its attributes are not those the trigger looks at."""
    if not trigger.match.attributes_match(type=event.type, source=event.source, subject=event.subject):
        return None
    if trigger.paused:
        return Match(MatchOutcome.SKIPPED, f"the trigger is paused: {trigger.note}".removesuffix(": "))
    document = _document(event)
    if trigger.match.condition is not None:
        try:
            if not compile_condition(trigger.match.condition).holds(document):
                return Match(MatchOutcome.NOT_MATCHED, "the condition is false")
        except (ConditionFailed, InvalidCondition) as error:
            return Match(MatchOutcome.NOT_MATCHED, f"the condition: {error}")
    params: dict[str, JsonValue] = {}
    for name, pointer in trigger.mapping.items():
        try:
            params[name] = _at(document, pointer)
        except LookupError:
            return Match(MatchOutcome.REFUSED, f"mapping.{name}: the event has nothing at {pointer}")
    if trigger.event_date_from is None:
        try:
            yesterday = (event.time - timedelta(days=1)).date()
        except OverflowError:  # Go writes 0001-01-01T00:00:00Z for "no time"
            return Match(MatchOutcome.REFUSED, f"time: there is no day before {event.time.isoformat()}")
        return Match(MatchOutcome.MATCHED, params=params, event_date=yesterday)
    try:
        day = _date(_at(document, trigger.event_date_from))
    except (LookupError, ValueError):
        return Match(
            MatchOutcome.REFUSED,
            f"event_date_from: there is no date of the form 2026-03-31 at {trigger.event_date_from}",
        )
    return Match(MatchOutcome.MATCHED, params=params, event_date=day)


def together(trigger: Trigger, matches: Sequence[Match]) -> Match:
    """The matches of one batch as one: each parameter is the list of its values, the date is the last one's."""
    params: dict[str, JsonValue] = {
        name: [dict(one.params or {}).get(name) for one in matches] for name in trigger.mapping
    }
    return Match(MatchOutcome.MATCHED, params=params, event_date=matches[-1].event_date)


def debounce_key(trigger: Trigger, event: TriggerEvent) -> str:
    """Events of one trigger with the same key are debounced together."""
    return _key(trigger.debounce_by, event)


def batch_key(trigger: Trigger, event: TriggerEvent) -> str:
    """Events of one trigger with the same key share a batch."""
    return _key(trigger.batch.by if trigger.batch is not None else None, event)


def _key(pointer: str | None, event: TriggerEvent) -> str:
    if pointer is None:
        return ""
    try:
        return str(_at(_document(event), pointer))[:512]
    except LookupError:
        return ""


def _document(event: TriggerEvent) -> dict[str, Any]:
    return {
        "id": event.id, "source": event.source, "type": event.type, "subject": event.subject,
        "time": event.time.isoformat(), "data": event.data,
    }  # fmt: skip


def _at(document: object, pointer: str) -> Any:
    """The value at a JSON Pointer (RFC 6901). Raises `LookupError`."""
    value = document
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict):
            value = cast("dict[str, object]", value)[key]
        elif isinstance(value, list) and key.isascii() and key.isdigit() and len(key) < 10:
            value = cast("list[object]", value)[int(key)]
        else:
            raise LookupError(pointer)
    return value


def _date(value: object) -> date:
    """A date, or the date of an instant as it is written. Raises `ValueError`."""
    if not isinstance(value, str):
        raise ValueError("not a text")
    day = parse_date(value[:10])
    if len(value) > 10:
        datetime.fromisoformat(value)
    return day
