"""A message as a handler sees it: the event, where it came from, and the span of its handling."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Generic, NamedTuple, TypeVar

from signalbox_contracts.envelope import Event
from signalbox_contracts.topics import Topic
from signalbox_contracts.wire import decode

_LAST_MS = 253_402_300_799_000  # the end of the year 9999
E = TypeVar("E", bound=Event[Any], covariant=True)


class Record(NamedTuple):
    """One Kafka record, unread. Headers may be null or no text; `value` is None for a tombstone."""

    topic: Topic
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    value: bytes | None


def written_at(record: Record) -> datetime:
    """The record's own time. Anybody may have set it: it is held inside the calendar."""
    return datetime.fromtimestamp(min(max(record.timestamp_ms, 0), _LAST_MS) / 1000, UTC)


def read(record: Record) -> Event[Any]:
    """The event in a record; raises `Undecodable` or `UnknownType`."""
    at = None
    if record.value is None or record.topic.kind == "external":
        at = written_at(record)
    return decode(record.topic, record.value, key=record.key, headers=record.headers, record_time=at)


@dataclass(slots=True)
class Received(Generic[E]):
    """An event taken from a record. `trace` holds the `traceparent` that what follows from it must carry."""

    event: E
    record: Record
    trace: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def id(self) -> str:
        return self.event.id
