"""The envelope of every message on Kafka: a CloudEvents 1.0 event in structured JSON.

A message is a subclass of `Event` with its own `type` and `data`. Events are frozen values; `of` builds one, deriving
the id of a fact from its aggregate and version. There is no clock and no randomness here: the caller brings `time`,
and an `id` where none can be derived.
"""

from datetime import datetime
from functools import cache
from typing import Annotated, Any, Generic, Literal, Self

from pydantic import BaseModel, Field, field_validator
from typing_extensions import TypeVar

from signalbox_contracts.ids import fact_id
from signalbox_contracts.trace import is_traceparent
from signalbox_contracts.vocabulary import Instant, Name, Version

D = TypeVar("D", default=Any)

Attribute = Annotated[str, Field(min_length=1, max_length=512, pattern=r"^[^\x00-\x1f\x7f]+$")]
"""A CloudEvents string attribute: not empty, no control characters (CloudEvents 1.0, Type System)."""


class IdMissing(ValueError):
    """An event was built with neither an id nor a version to derive one from."""


class Event(BaseModel, Generic[D], frozen=True, extra="ignore"):
    """CloudEvents 1.0 context attributes, our extensions, and the data.

    `subject` is the aggregate's id and, unless a message says otherwise, the partition key. Extension attributes are
    lower-case letters and digits, as CloudEvents demands. `traceparent` is dropped, not refused, when it is not valid:
    a broken trace must never stop work.
    """

    specversion: Literal["1.0"] = "1.0"
    id: Attribute
    source: Attribute
    type: str
    subject: Attribute
    time: Instant
    datacontenttype: str = "application/json"
    dataschema: str | None = None
    aggregateversion: Version | None = None
    causationid: Attribute | None = None
    correlationid: Attribute | None = None
    traceparent: str | None = None
    tracestate: Annotated[str, Field(max_length=512)] | None = None
    project: Name | None = None
    data: D

    @field_validator("traceparent", mode="after")
    @classmethod
    def _only_valid_traces(cls, traceparent: str | None) -> str | None:
        return traceparent if traceparent is not None and is_traceparent(traceparent) else None

    @property
    def key(self) -> str:
        """The partition key: all messages with one key are read in the order they were written."""
        return self.subject

    @classmethod
    def type_name(cls) -> str:
        """The message's `type`, such as `signalbox.plan.state.v1`."""
        return _type_name(cls)

    @classmethod
    def derive_id(cls, data: D, subject: str, version: int) -> str:
        """The deterministic id of this fact; messages that come in pages or carry many items override it."""
        return fact_id(cls.type_name(), subject, version)

    @classmethod
    def of(
        cls,
        data: D,
        *,
        subject: object,
        source: str,
        time: datetime,
        id: object = None,
        aggregateversion: int | None = None,
        cause: "Event | None" = None,
        correlationid: str | None = None,
        traceparent: str | None = None,
        tracestate: str | None = None,
        project: str | None = None,
    ) -> Self:
        """Build an event.

        Without `id` it is derived from type, subject and `aggregateversion`; with neither, `IdMissing` is raised.
        `cause` hands on what belongs to the whole chain: correlation, trace and project, unless given here.
        """
        name = str(subject)
        if id is None and aggregateversion is None:
            raise IdMissing(f"{cls.type_name()} about {name} needs an id, or an aggregateversion to derive one")
        inherited = _inherited(cause)
        given = {"correlationid": correlationid, "project": project}
        trace = {"traceparent": traceparent, "tracestate": tracestate} if traceparent else {}
        return cls.model_validate(
            {
                **inherited,
                **{attribute: value for attribute, value in given.items() if value is not None},
                **trace,
                "id": str(id) if id is not None else cls.derive_id(data, name, aggregateversion or 0),
                "source": source,
                "type": cls.type_name(),
                "subject": name,
                "time": time,
                "aggregateversion": aggregateversion,
                "data": data,
            }
        )


@cache
def _type_name(message: type[Event[Any]]) -> str:
    return str(message.model_fields["type"].default)


def _inherited(cause: Event | None) -> dict[str, str | None]:
    if cause is None:
        return {}
    return {
        "causationid": cause.id,
        "correlationid": cause.correlationid or cause.id,
        "traceparent": cause.traceparent,
        "tracestate": cause.tracestate,
        "project": cause.project,
    }
