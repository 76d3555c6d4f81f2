"""Schedules: when a job or pipeline starts by itself."""

from datetime import date, datetime, timedelta
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from signalbox_contracts.definitions import cron
from signalbox_contracts.definitions.definition import Definition, Params, ShortText, Target
from signalbox_contracts.vocabulary import Instant, Seconds, Value

Overlap = Literal["allow", "skip", "queue", "cancel_previous"]


def _cron(expression: str) -> str:
    cron.fields(expression)
    return expression


def _zone(name: str) -> str:
    return cron.zone(name).key


Cron = Annotated[str, AfterValidator(_cron), Field(max_length=255)]
Zone = Annotated[str, AfterValidator(_zone), Field(max_length=64)]


class Missed(Value):
    """What to do about ticks that passed while nobody could act: none, the latest one, or all up to `max`.

    A tick not older than `grace_seconds` is late, not missed, and always fires.
    """

    policy: Literal["none", "latest", "all"] = "none"
    max: Annotated[int, Field(ge=1, le=1000)] = 24
    grace_seconds: Annotated[Seconds, Field(le=86_400)] = 60


class EventDate(Value):
    """Which day's data a tick means: the intended instant's date in `zone`, moved by `offset_days`."""

    offset_days: Annotated[int, Field(ge=-3660, le=3660)] = -1
    zone: Zone = "UTC"

    def of(self, intended_at: datetime) -> date:
        """The event date of a tick; retries and late ticks keep it, because it follows the intended instant."""
        return intended_at.astimezone(cron.zone(self.zone)).date() + timedelta(days=self.offset_days)


class Schedule(Definition):
    """A cron rule in a time zone, and what it starts."""

    kind: Literal["schedule"] = "schedule"
    target: Target
    cron: Cron
    zone: Zone = "UTC"
    params: Params = Field(default_factory=dict)
    missed: Missed = Missed()
    overlap: Overlap = "skip"
    event_date: EventDate = EventDate()
    starts_at: Instant | None = None
    ends_at: Instant | None = None
    jitter_seconds: Annotated[Seconds, Field(le=3600)] = 0
    """Spread of the start: a tick fires up to so long after its due instant, always the same for the same tick."""
    paused: bool = False
    note: ShortText = ""

    @model_validator(mode="after")
    def _ends_after_it_starts(self) -> Self:
        if self.starts_at and self.ends_at and self.ends_at <= self.starts_at:
            raise ValueError(f"ends_at {self.ends_at.isoformat()} must be after starts_at {self.starts_at.isoformat()}")
        return self
