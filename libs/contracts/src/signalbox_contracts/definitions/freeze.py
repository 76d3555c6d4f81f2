"""Freezes: nothing new starts, everywhere, in some projects or on some engines, until it is lifted or it ends."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from signalbox_contracts.definitions import cron
from signalbox_contracts.definitions.definition import Definition
from signalbox_contracts.definitions.schedule import Cron, Zone
from signalbox_contracts.vocabulary import Instant, Name, Person, Seconds, Text, Value

MAX_WINDOWS: Final = 10_000
"""Windows of one blackout that are looked at, at most."""


class Blackout(Value):
    """A window that returns: it opens by cron and stays for a while."""

    cron: Cron
    zone: Zone = "UTC"
    duration_seconds: Annotated[Seconds, Field(gt=0, le=31 * 86_400)]


class Freeze(Definition):
    """Who stopped what, why, and until when. Lifting it changes nothing else, so the former state is exactly there.

    Without engines and projects it holds everything. A freeze of projects holds their ticks and events too; one of
    engines holds tasks alone.
    """

    kind: Literal["freeze"] = "freeze"
    engines: Annotated[tuple[Name, ...], Field(max_length=500)] = ()
    """Empty means all."""
    projects: Annotated[tuple[Name, ...], Field(max_length=500)] = ()
    """Empty means all."""
    mode: Literal["hold", "drain"] = "hold"
    """*hold*: nothing new is claimed; *drain*: likewise, and the freeze says when the last running task has ended."""
    reason: Text
    author: Person
    starts_at: Instant | None = None
    ends_at: Instant | None = None
    calendar: Annotated[tuple[Blackout, ...], Field(max_length=50)] = ()
    """With windows, it holds only during them."""

    @model_validator(mode="after")
    def _ends_after_it_starts(self) -> Self:
        if self.starts_at and self.ends_at and self.ends_at <= self.starts_at:
            raise ValueError(f"ends_at {self.ends_at.isoformat()} must be after starts_at {self.starts_at.isoformat()}")
        return self

    @model_validator(mode="after")
    def _names_engines_or_projects(self) -> Self:
        if self.engines and self.projects:
            raise ValueError("a freeze names engines or projects, not both: make two freezes")
        return self

    @property
    def holds_starts(self) -> bool:
        """Whether it holds ticks and events too; a freeze of engines holds tasks alone."""
        return not self.engines

    def covers(self, project: str) -> bool:
        """Whether it holds ticks and events of this project."""
        return self.holds_starts and (not self.projects or project in self.projects)


@dataclass(frozen=True, slots=True)
class FreezeWindow:
    """A time during which a freeze holds. `until_at` is None while nobody knows when it ends."""

    from_at: datetime
    until_at: datetime | None

    def contains(self, instant: datetime) -> bool:
        return self.from_at <= instant and (self.until_at is None or instant < self.until_at)


def freeze_windows(freeze: Freeze, since: datetime, until: datetime) -> Iterator[FreezeWindow]:
    """The windows of a freeze that touch [since, until), in the order they open for each blackout."""
    starts = freeze.starts_at or since
    if not freeze.calendar:
        if starts < until and (freeze.ends_at is None or freeze.ends_at > since):
            yield FreezeWindow(max(starts, since), freeze.ends_at)
        return
    end = until if freeze.ends_at is None else min(until, freeze.ends_at)
    for blackout in freeze.calendar:
        lasts = timedelta(seconds=blackout.duration_seconds)
        for opens in islice(cron.ticks(blackout.cron, since - lasts, cron.zone(blackout.zone)), MAX_WINDOWS):
            if opens >= end:
                break
            closes = opens + lasts if freeze.ends_at is None else min(opens + lasts, freeze.ends_at)
            if closes > max(since, starts):
                yield FreezeWindow(max(opens, starts), closes)


def window_at(freeze: Freeze, now: datetime) -> FreezeWindow | None:
    """The window that holds now, the one that ends last; None when the freeze holds nothing now."""
    found = [one for one in freeze_windows(freeze, now, now + timedelta(microseconds=1)) if one.contains(now)]
    for one in found:
        if one.until_at is None:
            return one
    return max(found, key=lambda one: one.until_at or now, default=None)


def freeze_of(freezes: Iterable[Freeze], project: str, now: datetime) -> Freeze | None:
    """The first freeze that holds ticks and events of a project now."""
    for freeze in freezes:
        if freeze.covers(project) and window_at(freeze, now) is not None:
            return freeze
    return None
