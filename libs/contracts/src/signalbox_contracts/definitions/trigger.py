"""Triggers: rules that turn a matching event from outside into a request."""

import re
from functools import lru_cache
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from signalbox_contracts.definitions.condition import compile_condition
from signalbox_contracts.definitions.definition import Definition, ParamName, ShortText, Target
from signalbox_contracts.definitions.schedule import Missed, Overlap
from signalbox_contracts.vocabulary import PerMinute, Seconds, Value

Pattern = Annotated[str, Field(min_length=1, max_length=512)]
"""An attribute's value, where `*` stands for any characters."""


def _compiles(text: str) -> str:
    compile_condition(text)
    return text


Condition = Annotated[str, AfterValidator(_compiles)]
"""CEL over the variables `event` and `data`, at most 1 KiB (`definitions.condition`). It is kept as text."""

Pointer = Annotated[str, Field(pattern=r"^(/([^~/]|~[01])*)+$", max_length=512)]
"""A JSON Pointer (RFC 6901) into the event: `/data/path`, `/subject`."""


class Match(Value):
    """Which events: an attribute matches when any of its patterns does; an empty list matches all."""

    types: Annotated[tuple[Pattern, ...], Field(max_length=50)] = ()
    sources: Annotated[tuple[Pattern, ...], Field(max_length=50)] = ()
    subjects: Annotated[tuple[Pattern, ...], Field(max_length=50)] = ()
    condition: Condition | None = None

    def attributes_match(self, *, type: str, source: str, subject: str) -> bool:
        """Whether the attributes match; the condition is not looked at."""
        tested = ((self.types, type), (self.sources, source), (self.subjects, subject))
        return all(
            not patterns or any(_regex(pattern).fullmatch(value) for pattern in patterns) for patterns, value in tested
        )


_MISSED_EVENTS: Final = Missed(policy="all", max=1000)


class Batch(Value):
    """One plan for several events: when `max_events` are there, or `max_seconds` after the first, or at 128 KiB.

    Each parameter of the plan is then the list of the values of its events, in the order they came.
    """

    max_events: Annotated[int, Field(ge=1, le=1000)] = 100
    max_seconds: Annotated[Seconds, Field(gt=0, le=86_400)] = 60
    by: Pointer | None = None
    """Events with the same value there share a batch."""


class Trigger(Definition):
    """When an event matches, start the target with parameters taken from the event.

    Every event starts at most one plan per trigger, by (source, id). With `debounce_seconds`, of several events with
    the same `debounce_by` only the last of a quiet spell starts one. With `batch`, several events start one plan.
    """

    kind: Literal["trigger"] = "trigger"
    match: Match
    target: Target
    mapping: Annotated[dict[ParamName, Pointer], Field(max_length=200)] = Field(default_factory=dict)
    event_date_from: Pointer | None = None
    """Where the event says its date; otherwise yesterday in UTC from the event's time."""
    debounce_seconds: Annotated[Seconds, Field(le=86_400)] = 0
    debounce_by: Pointer | None = None
    dedupe_seconds: Annotated[Seconds, Field(ge=60, le=30 * 86_400)] = 7 * 86_400
    batch: Batch | None = None
    starts_per_minute: Annotated[PerMinute, Field(le=6000)] | None = None
    """Evenly spread: a start that comes too early waits. At most 1,000 wait, further ones are refused."""
    missed: Missed = _MISSED_EVENTS
    """What becomes of events that came during a freeze, when it ends."""
    overlap: Overlap = "allow"
    paused: bool = False
    note: ShortText = ""

    @model_validator(mode="after")
    def _debounces_or_batches(self) -> Self:
        if self.batch is not None and self.debounce_seconds:
            raise ValueError("a trigger has debounce_seconds or batch, not both")
        return self


def pattern_matches(pattern: str, value: str) -> bool:
    """Whether a pattern, where `*` stands for any characters, matches the complete value."""
    return _regex(pattern).fullmatch(value) is not None


@lru_cache(maxsize=4096)  # who subscribes to the live feed chooses patterns too, as many as they like
def _regex(pattern: str) -> re.Pattern[str]:
    """Each part is taken where it comes first and never again: else some stars over a long subject take for ever."""
    first, *others = (re.escape(part) for part in re.split(r"\*+", pattern))
    middle = "".join(f"(?>.*?{part})" for part in others[:-1])
    return re.compile(first + middle + (f".*{others[-1]}" if others else ""), re.DOTALL)
