"""Which ticks of a schedule are due, and what becomes of each. Pure: no clock, no database.

A tick is due at an instant of the schedule's rule. It fires at that instant plus its jitter. A tick noticed within
`grace_seconds` fires. An older one is *missed*, and the policy of the schedule decides: `none` skips it, `latest` fires
the newest missed one, `all` fires the newest `max` of them, oldest first.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Final

from signalbox_contracts.definitions import cron
from signalbox_contracts.definitions.freeze import Freeze, freeze_windows
from signalbox_contracts.definitions.schedule import Schedule
from signalbox_contracts.messages.ticks import SkipReason, TickCause

MAX_TICKS_PER_PASS: Final = 2000
"""Ticks of one schedule that one pass decides. More wait for the next pass, a moment later."""
ON_TIME: Final = timedelta(seconds=10)
"""A tick that fires later than this after its due instant is `late`."""


@dataclass(frozen=True, slots=True)
class Fire:
    """This tick starts a plan."""

    due_at: datetime
    cause: TickCause


@dataclass(frozen=True, slots=True)
class Skip:
    """This tick starts nothing."""

    due_at: datetime
    reason: SkipReason
    detail: str


Decision = Fire | Skip


@dataclass(frozen=True, slots=True)
class Window:
    """A time during which a freeze held ticks, of all projects or of some."""

    from_at: datetime
    until_at: datetime
    name: str
    projects: tuple[str, ...] = ()
    """Empty means all."""

    def holds(self, project: str, instant: datetime) -> bool:
        return self.from_at <= instant < self.until_at and (not self.projects or project in self.projects)


@dataclass(frozen=True, slots=True)
class Due:
    """What one pass decided about one schedule."""

    decisions: tuple[Decision, ...]
    cursor_at: datetime
    """Every tick due at or before this is decided now."""
    next_due_at: datetime | None
    next_fire_at: datetime | None
    """When to look again; None for never."""


def decide(schedule: Schedule, cursor_at: datetime, now: datetime, frozen: Iterable[Window] = ()) -> Due:
    """Decide every tick after `cursor_at` whose time to fire has come, at most `MAX_TICKS_PER_PASS` of them.

    `frozen` is iterated for ticks that are left out alone, once for each.
    """
    grace = timedelta(seconds=schedule.missed.grace_seconds)
    lookahead = MAX_TICKS_PER_PASS + schedule.missed.max
    ripe: list[datetime] = []
    unripe: datetime | None = None
    for unripe in islice(_ticks(schedule, cursor_at), lookahead + 1):
        if len(ripe) == lookahead or fire_at(schedule, unripe) > now:
            break
        ripe.append(unripe)
    else:
        unripe = None
    full = len(ripe) == lookahead
    chosen = ripe[:MAX_TICKS_PER_PASS] if full else ripe
    missed = [due for due in ripe if now - fire_at(schedule, due) > grace]
    kept: set[datetime] = set() if schedule.paused else _kept(schedule, missed)
    late = set(missed)
    decisions = tuple(_decision(schedule, due, now, due in late, due in kept, frozen) for due in chosen)
    cursor = max([cursor_at, *chosen])
    next_due = ripe[len(chosen)] if len(chosen) < len(ripe) else unripe
    return Due(decisions, cursor, next_due, None if next_due is None else fire_at(schedule, next_due))


def fire_at(schedule: Schedule, due_at: datetime) -> datetime:
    """When a tick fires: its due instant plus a jitter that follows from schedule and instant."""
    if not schedule.jitter_seconds:
        return due_at
    digest = hashlib.sha256(f"{schedule.id}:{due_at.astimezone(UTC).isoformat()}".encode()).digest()
    share = int.from_bytes(digest[:8], "big") / 2**64
    return due_at + timedelta(milliseconds=int(share * schedule.jitter_seconds * 1000))


def on_time(schedule: Schedule) -> timedelta:
    """How long after its time to fire a tick of this schedule, if it is not paused, is `due` in any case."""
    return min(ON_TIME, timedelta(seconds=schedule.missed.grace_seconds))


def next_ticks(schedule: Schedule, after: datetime, count: int) -> tuple[datetime, ...]:
    """The next `count` due instants after `after`, within the schedule's start and end."""
    return tuple(islice(_ticks(schedule, after), count))


def windows(freeze: Freeze, since: datetime, until: datetime, lifted_at: datetime | None) -> Iterator[Window]:
    """The times in [since, until] during which this freeze held ticks; none for a freeze of single engines."""
    if not freeze.holds_starts:
        return
    end = min(until, lifted_at) if lifted_at is not None else until
    for window in freeze_windows(freeze, since, end):
        closes = end if window.until_at is None else min(window.until_at, end)
        if window.from_at < closes:
            yield Window(window.from_at, closes, freeze.id, freeze.projects)


def frozen_projects(frozen: Sequence[Window], now: datetime) -> list[str] | None:
    """The projects whose ticks are held now; None for all."""
    held = [window.projects for window in frozen if window.from_at <= now < window.until_at]
    return None if () in held else sorted({project for some in held for project in some})


def _kept(schedule: Schedule, missed: Sequence[datetime]) -> set[datetime]:
    """The missed ticks that fire all the same."""
    match schedule.missed.policy:
        case "none":
            return set()
        case "latest":
            return set(missed[-1:])
        case "all":
            return set(missed[-schedule.missed.max :])


def _decision(
    schedule: Schedule, due: datetime, now: datetime, missed: bool, kept: bool, frozen: Iterable[Window]
) -> Decision:
    if schedule.paused:
        return Skip(due, SkipReason.PAUSED, schedule.note or "the schedule is paused")
    if not missed:
        return Fire(due, TickCause.DUE if now - fire_at(schedule, due) <= ON_TIME else TickCause.LATE)
    if kept:
        return Fire(due, TickCause.CATCH_UP)
    for window in frozen:
        if window.holds(schedule.project, due):
            return Skip(due, SkipReason.FROZEN, f"freeze {window.name}; missed-tick policy {schedule.missed.policy}")
    if schedule.missed.policy == "none":
        return Skip(due, SkipReason.MISSED, f"older than {schedule.missed.grace_seconds:g} s when noticed")
    fires = 1 if schedule.missed.policy == "latest" else schedule.missed.max
    return Skip(due, SkipReason.TOO_MANY, f"policy {schedule.missed.policy} fires the newest {fires} missed ticks")


def _ticks(schedule: Schedule, after: datetime) -> Iterator[datetime]:
    start = after
    if schedule.starts_at is not None:  # the instant itself is allowed
        start = max(start, schedule.starts_at - timedelta(microseconds=1))
    for due in cron.ticks(schedule.cron, start, cron.zone(schedule.zone)):
        if schedule.ends_at is not None and due > schedule.ends_at:
            return
        yield due
