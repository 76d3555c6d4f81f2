"""The one table of topics: what each carries, by which key, for how long. The chassis creates them from it.

Partition counts are fixed for life: adding one later would break the order per key.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cache
from types import MappingProxyType
from typing import Any, Final, Literal

from signalbox_contracts.envelope import Event
from signalbox_contracts.messages import (
    dead_letters,
    definitions,
    deliveries,
    operations,
    plans,
    requests,
    states,
    task_commands,
    tasks,
    ticks,
    triggers,
)

BROKER_MESSAGE_BYTES: Final = 1_048_576
"""`max.message.bytes` of every topic; our own cap on a message is `wire.MAX_MESSAGE_BYTES`."""

_DAY: Final = 86_400
_TRIGGERS: Final = "triggers.v1"

Kind = Literal["control", "facts", "definitions", "external", "notice"]
Unknown = Literal["skip", "park"]


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic.

    `kind` says how it is read: *control* (commands, ticks) apart from *facts*, so that a cancel never waits behind a
    million facts; *definitions* to its end before anything else; *external* is the only kind others may write to;
    *notice* informs people. `unknown` says what a reader does with a type it does not know: facts and definitions of a
    newer writer are counted and skipped; a command nobody understood is parked, because somebody waits for it.
    """

    name: str
    key: str
    kind: Kind
    messages: tuple[type[Event[Any]], ...]
    partitions: int = 6
    retention_seconds: int = 7 * _DAY
    compacted: bool = False
    unknown: Unknown = "skip"

    def full_name(self, prefix: str = "signalbox.") -> str:
        """The name on the broker."""
        return f"{prefix}{self.name}"

    def config(self, **overrides: str) -> dict[str, str]:
        """The Kafka topic configuration; overrides are named with underscores (`retention_ms="1000"`).

        A compacted topic keeps the newest snapshot of each key for ever; `retention_seconds` is then how long a reader
        that was away still sees a tombstone.
        """
        kept = str(self.retention_seconds * 1000)
        if self.compacted:
            policy = {"cleanup.policy": "compact", "delete.retention.ms": kept, "segment.ms": str(_DAY * 1000)}
        else:
            policy = {"cleanup.policy": "delete", "retention.ms": kept}
        given = {name.replace("_", "."): value for name, value in overrides.items()}
        return {**policy, "max.message.bytes": str(BROKER_MESSAGE_BYTES), "compression.type": "producer", **given}


TOPICS: Final = (
    Topic("requests.v1", "plan id", "control", requests.MESSAGES, unknown="park"),
    Topic("operations.v1", "target", "control", operations.MESSAGES, unknown="park"),
    Topic("ticks.v1", "schedule id", "control", ticks.MESSAGES, unknown="park"),
    Topic(_TRIGGERS, "event source", "external", triggers.MESSAGES),
    Topic("plans.v1", "plan id", "facts", plans.MESSAGES),
    Topic("task-commands.v1", "plan id", "control", task_commands.MESSAGES, unknown="park"),
    Topic("tasks.v1", "plan id", "facts", tasks.MESSAGES),
    Topic("states.v1", "kind:id", "facts", states.MESSAGES),
    Topic("definitions.v1", "kind:id", "definitions", definitions.MESSAGES, 1, 30 * _DAY, compacted=True),
    Topic("deliveries.v1", "channel id", "facts", deliveries.MESSAGES, 3),
    Topic("dead-letters.v1", "service", "notice", dead_letters.MESSAGES, 1, 30 * _DAY),
)

_BY_NAME: Final[Mapping[str, Topic]] = MappingProxyType({topic.name: topic for topic in TOPICS})
_BY_MESSAGE: Final[Mapping[type[Event[Any]], Topic]] = MappingProxyType(
    {message: topic for topic in TOPICS for message in topic.messages} | {definitions.DefinitionTombstone: TOPICS[8]}
)


class UnknownTopic(LookupError):
    """No topic has this name, or no topic carries this message."""


def topic(name: str) -> Topic:
    """The topic of this name, without prefix. `triggers.v1.<source>` is a source's own trigger topic."""
    known = _BY_NAME.get(name)
    if known is not None:
        return known
    if name.startswith(f"{_TRIGGERS}."):
        return source_topic(name.removeprefix(f"{_TRIGGERS}."))
    raise UnknownTopic(f"{name[:100]} is not a topic of Signalbox: {', '.join(_BY_NAME)} or {_TRIGGERS}.<source>")


@cache
def source_topic(source: str) -> Topic:
    """A source's own trigger topic: the broker's access list says who may write to it, so its events are authentic."""
    allowed = source.replace("-", "").replace("_", "").replace(".", "")
    if not (allowed.isascii() and allowed.isalnum()) or len(source) > 128:
        raise UnknownTopic(f"{source[:100]!r} cannot name a topic: 1 to 128 letters, digits, '.', '_' or '-'")
    return replace(_BY_NAME[_TRIGGERS], name=f"{_TRIGGERS}.{source}")


def topic_of_source(source: str, own: Collection[str]) -> Topic:
    """Where events of this source belong; `own` are the sources with a topic of their own.

    A source may have parts below it: `lake/eu` belongs to `lake`.
    """
    name = source.split("/", 1)[0]
    return source_topic(name) if name in own else _BY_NAME[_TRIGGERS]


def topic_of(message: type[Event[Any]]) -> Topic:
    """The topic that carries this message."""
    try:
        return _BY_MESSAGE[message]
    except KeyError:
        raise UnknownTopic(f"{message.__name__} is on no topic") from None
