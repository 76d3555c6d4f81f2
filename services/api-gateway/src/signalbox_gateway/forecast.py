"""When a plan will end: from how long its items took before, and from what limits how many run at once. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from statistics import median
from typing import Final

FAST, SLOW = 0.25, 0.75
"""The shares of the durations below which a fast and a slow course are expected."""
MAX_SECONDS: Final = 1000 * 31_536_000.0
"""A thousand years: what ends later, by a very low rate of starts, would lie outside the calendar."""
MIN_SAMPLES: Final = 3
"""So many items of the plan itself must have ended before its own durations count instead of those of before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What is left of a plan, and what limits it."""

    waiting: int
    running: int = 0
    limit: int | None = None
    """The plan's own limit."""
    engine_limit: int | None = None
    """How many the engines take at once, altogether."""
    starts_per_minute: float | None = None


@dataclass(frozen=True, slots=True)
class Durations:
    """Seconds of one item: a fast one, the one in the middle, a slow one. `samples` says of how many."""

    fast: float
    middle: float
    slow: float
    samples: int


@dataclass(frozen=True, slots=True)
class Change:
    """What would end the plan sooner."""

    what: str
    seconds: float
    """How long it would take then, in the middle."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """How long the rest takes, from fast to slow, and when it ends. `bound_by` says what holds it back."""

    durations: Durations
    fast_seconds: float
    seconds: float
    slow_seconds: float
    ends_at: datetime
    earliest_end_at: datetime
    latest_end_at: datetime
    bound_by: str
    changes: tuple[Change, ...]


def durations_of(own: Sequence[float], before: Sequence[float]) -> Durations | None:
    """The durations to reckon with: the plan's own items once enough have ended, else those of earlier runs."""
    values = sorted(own if len(own) >= MIN_SAMPLES else (*own, *before))
    if not values:
        return None
    last = len(values) - 1
    return Durations(values[int(FAST * last)], median(values), values[-(-int(SLOW * 100 * last) // 100)], len(values))


def forecast(work: Work, durations: Durations, now: datetime) -> Forecast:
    """The forecast of a plan of which something is left."""
    each = (durations.fast, durations.middle, durations.slow)
    fast, middle, slow = (min(_seconds(work, value), MAX_SECONDS) for value in each)
    ends = [now + timedelta(seconds=seconds) for seconds in (middle, fast, slow)]
    return Forecast(
        durations, fast, middle, slow, *ends, bound_by=_bound_by(work, durations.middle),
        changes=_changes(work, durations.middle, middle),
    )  # fmt: skip


def _at_once(work: Work) -> int:
    limits = [limit for limit in (work.limit, work.engine_limit) if limit is not None]
    return max(1, min([*limits, work.waiting + work.running]))


def _seconds(work: Work, each: float) -> float:
    """The rest runs in rounds of so many at once, and no faster than starts are allowed. Half of what runs is done."""
    rounds = -(-(work.waiting + work.running / 2) // _at_once(work))
    by_slots = max(1.0, rounds) * each
    if work.starts_per_minute is None or not work.waiting:
        return by_slots
    return max(by_slots, (work.waiting - 1) * 60 / work.starts_per_minute + each)


def _bound_by(work: Work, each: float) -> str:
    if work.starts_per_minute is not None and _seconds(work, each) > _seconds(
        replace(work, starts_per_minute=None), each
    ):
        return "starts_per_minute"
    at_once = _at_once(work)
    if at_once == work.limit and at_once < work.waiting + work.running:
        return "limit"
    return "engine" if at_once == work.engine_limit and at_once < work.waiting + work.running else "items"


def _changes(work: Work, each: float, present: float) -> tuple[Change, ...]:
    """What would end it sooner, the most effective first."""
    options = [
        Change(f"limit {2 * work.limit} instead of {work.limit}", _seconds(replace(work, limit=2 * work.limit), each))
        if work.limit else None,
        Change(
            f"room for {2 * work.engine_limit} runs on its engines instead of {work.engine_limit}",
            _seconds(replace(work, engine_limit=2 * work.engine_limit), each),
        ) if work.engine_limit else None,
        Change(
            f"starts_per_minute {2 * work.starts_per_minute:g} instead of {work.starts_per_minute:g}",
            _seconds(replace(work, starts_per_minute=2 * work.starts_per_minute), each),
        ) if work.starts_per_minute else None,
    ]  # fmt: skip
    useful = [change for change in options if change is not None and change.seconds < present]
    return tuple(sorted(useful, key=lambda change: change.seconds))
