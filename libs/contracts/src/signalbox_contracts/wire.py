"""Events to Kafka records and back: structured CloudEvents JSON, with copies of the main attributes as headers.

The copies (CloudEvents Kafka binding 3.3.3 allows them) let a person sort messages whose body cannot be read.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Any, Final, Union

from pydantic import Field, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from signalbox_contracts.envelope import Event
from signalbox_contracts.external_events import Headers, read_outside
from signalbox_contracts.messages.definitions import DefinitionTombstone
from signalbox_contracts.topics import Topic, topic_of

MAX_MESSAGE_BYTES: Final = 262_144
"""Our cap on one message's value. What is larger travels by reference or in pages."""

CONTENT_TYPE: Final = "application/cloudevents+json; charset=UTF-8"

_CONTENT_TYPE: Final = CONTENT_TYPE.encode()
_REASON_CHARACTERS: Final = 2000
_NUL: Final = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


class MessageTooLarge(ValueError):
    """The event's JSON is larger than `MAX_MESSAGE_BYTES`; split it into pages."""

    def __init__(self, type: str, size: int) -> None:
        super().__init__(f"{type} takes {size} bytes: at most {MAX_MESSAGE_BYTES} are allowed")
        self.type = type
        self.size = size


class Undecodable(ValueError):
    """The record is not a message of its topic: poison, to be parked. The reason never repeats the body."""

    def __init__(self, reason: str) -> None:
        super().__init__(_cut(reason))
        self.reason = _cut(reason)


class UnknownType(ValueError):
    """The record is a CloudEvent of a type this reader does not know; `Topic.unknown` says what to do with it."""

    def __init__(self, type: str) -> None:
        super().__init__(f"unknown event type {type[:255]}")
        self.type = type[:255]


@dataclass(frozen=True, slots=True)
class Encoded:
    """What a producer sends. `value` is `None` only for a tombstone on the compacted topic."""

    topic: Topic
    key: bytes
    headers: tuple[tuple[str, bytes], ...]
    value: bytes | None


def encode(event: Event[Any], *, topic: Topic | None = None) -> Encoded:
    """The record of an event; attributes without a value are left out of the JSON.

    `topic` is only needed for a trigger on its source's own topic. Raises `MessageTooLarge`.
    """
    place = topic or topic_of(type(event))
    key = event.key.encode()
    if isinstance(event, DefinitionTombstone):
        return Encoded(place, key, _headers(event), None)
    value = event.model_dump_json(exclude_none=True, by_alias=True).encode()
    if len(value) > MAX_MESSAGE_BYTES:
        raise MessageTooLarge(event.type, len(value))
    return Encoded(place, key, _headers(event), value)


def decode(
    topic: Topic,
    value: bytes | None,
    *,
    key: bytes | None = None,
    headers: Headers = (),
    record_time: datetime | None = None,
) -> Event[Any]:
    """The event in a record; raises `Undecodable` or `UnknownType`.

    `record_time` is the record's own Kafka time. It stands in for an outside event's `time` when that has none, which
    CloudEvents allows, and is never the reader's clock, so a redelivery reads the same.
    """
    if value is None:
        return _tombstone(topic, key, record_time)
    if len(value) > MAX_MESSAGE_BYTES:
        raise Undecodable(f"the value has {len(value)} bytes: at most {MAX_MESSAGE_BYTES} are allowed")
    if b"\\u0000" in value and _NUL.search(value):
        raise Undecodable("the JSON holds a NUL character (\\u0000), which PostgreSQL cannot store")
    try:
        if topic.kind == "external":
            return read_outside(value, headers, record_time)
        return _adapter(topic.messages).validate_json(value)
    except ValidationError as error:
        raise _refusal(error) from None
    except ValueError as error:
        raise Undecodable(str(error)) from None


def _headers(event: Event[Any]) -> tuple[tuple[str, bytes], ...]:
    copies = (
        ("content-type", _CONTENT_TYPE),
        ("ce_id", event.id.encode()),
        ("ce_type", event.type.encode()),
        ("ce_source", event.source.encode()),
        ("ce_time", event.time.isoformat().encode()),
    )
    traced = (("traceparent", event.traceparent), ("tracestate", event.tracestate))
    return (*copies, *((name, text.encode()) for name, text in traced if text))


@cache
def _adapter(messages: tuple[type[Event[Any]], ...]) -> TypeAdapter[Event[Any]]:
    if len(messages) == 1:
        return TypeAdapter(messages[0])
    union: Any = Union[messages]  # noqa: UP007 - the members are a value, not an expression
    discriminated: Any = Annotated[union, Field(discriminator="type")]
    return TypeAdapter(discriminated)


def _tombstone(topic: Topic, key: bytes | None, record_time: datetime | None) -> Event[Any]:
    if not topic.compacted:
        raise Undecodable(f"{topic.name} is not compacted: a record without a value means nothing there")
    try:
        return DefinitionTombstone.from_key((key or b"").decode(), record_time or datetime.fromtimestamp(0, UTC))
    except ValueError:  # a ValidationError and a UnicodeDecodeError are both one
        raise Undecodable("the key of a tombstone must be <kind>:<id>") from None


def _refusal(error: ValidationError) -> Undecodable | UnknownType:
    problems = error.errors(include_url=False, include_input=True)
    first = problems[0]
    if first["type"] == "union_tag_invalid":
        tag = str(first.get("ctx", {}).get("tag", ""))
        if not first["loc"] and isinstance(first["input"].get("type"), str):
            return UnknownType(tag)
        if first["loc"][-2:] == ("data", "definition"):
            return UnknownType(f"definition of kind {tag}")  # a newer gateway knows kinds of things we do not
    if first["type"] == "literal_error" and first["loc"] == ("type",) and isinstance(first["input"], str):
        return UnknownType(first["input"])
    return Undecodable("; ".join(_problem(problem) for problem in problems[:10]))


def _problem(problem: ErrorDetails) -> str:
    place = ".".join(str(part) for part in problem["loc"])
    return f"{place[:200]}: {problem['msg'][:300]}" if place else problem["msg"][:300]


def _cut(reason: str) -> str:
    return reason if len(reason) <= _REASON_CHARACTERS else reason[: _REASON_CHARACTERS - 1] + "…"
