"""Freezes: nothing new starts, everywhere or on some engines, until somebody lifts it or it ends."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from signalbox_contracts.definitions.definition import Definition
from signalbox_contracts.definitions.schedule import Cron, Zone
from signalbox_contracts.vocabulary import Instant, Name, Person, Seconds, Text, Value


class Blackout(Value):
    """A window that returns: it opens by cron and stays for a while."""

    cron: Cron
    zone: Zone = "UTC"
    duration_seconds: Annotated[Seconds, Field(gt=0, le=31 * 86_400)]


class Freeze(Definition):
    """Who stopped what, why, and until when. Lifting it changes nothing else, so the former state is exactly there."""

    kind: Literal["freeze"] = "freeze"
    engines: Annotated[tuple[Name, ...], Field(max_length=500)] = ()
    """Empty means all."""
    mode: Literal["hold", "drain"] = "hold"
    """*hold*: nothing new is claimed; *drain*: likewise, and the freeze says when the last running task has ended."""
    reason: Text
    author: Person
    starts_at: Instant | None = None
    ends_at: Instant | None = None
    calendar: Annotated[tuple[Blackout, ...], Field(max_length=50)] = ()

    @model_validator(mode="after")
    def _ends_after_it_starts(self) -> Self:
        if self.starts_at and self.ends_at and self.ends_at <= self.starts_at:
            raise ValueError(f"ends_at {self.ends_at.isoformat()} must be after starts_at {self.starts_at.isoformat()}")
        return self
