"""When a coordinator's actions are due, pure: to name those that Oozie has not made."""

import re
from collections.abc import Generator
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from signalbox_executor.engines.oozie.answers import CoordinatorAnswer

MAX_STEPS: Final = 100_000
_LONGEST: Final = {"MINUTE": 60, "DAY": 25 * 3600, "MONTH": 31 * 86_400 + 3600}
"""The most seconds a unit may have: so many steps before an instant are skipped safely."""
_OFFSET: Final = re.compile(r"GMT([+-])(\d{1,2}):?([0-5]\d)")


def nominal_times(
    coordinator: CoordinatorAnswer, from_at: datetime, until_at: datetime
) -> Generator[tuple[int, datetime]]:
    """Number and time of each action due from one instant to another, both included, before the coordinator's end.

    Nothing for what cannot be computed here: see `why_unknown`.
    """
    end = coordinator.end_at
    if end is not None:
        yield from ((number, at) for number, at in times_beyond_end(coordinator, from_at, until_at) if at < end)


def times_beyond_end(
    coordinator: CoordinatorAnswer, from_at: datetime, until_at: datetime
) -> Generator[tuple[int, datetime]]:
    """As `nominal_times`, as if the coordinator had no end: a coordinator that moved elsewhere ends when it moves."""
    start, unit, zone = coordinator.started_at, coordinator.time_unit, zone_of(coordinator.time_zone)
    if start is None or unit is None or zone is None or why_unknown(coordinator):
        return
    every = int(coordinator.frequency or 0)
    before = max(0, int((from_at - start).total_seconds() // (_LONGEST[unit] * every)) - 1)
    for step in range(before, before + MAX_STEPS):
        at = _after(start, every * step, unit, zone)
        if at is None or at > until_at:
            return
        if at >= from_at:
            yield step + 1, at


def why_unknown(coordinator: CoordinatorAnswer) -> str:
    """Why the times of a coordinator cannot be computed here; empty if they can."""
    every, unit = coordinator.frequency or "", coordinator.time_unit
    if not (every.isascii() and every.isdigit() and int(every)) or unit not in _LONGEST:
        return f"its frequency {every!r} in {unit or 'no unit'}: minutes, days and months are computed here"
    if zone_of(coordinator.time_zone) is None:
        return f"its time zone {coordinator.time_zone!r} is not known"
    return "" if coordinator.started_at else "it has no start"


def _after(start: datetime, units: int, unit: str, zone: tzinfo) -> datetime | None:
    """Days and months are those of the coordinator's zone: a day may have 23 or 25 hours."""
    try:
        if unit == "MINUTE":
            return start + timedelta(minutes=units)
        local = start.astimezone(zone).replace(tzinfo=None)
        if unit == "DAY":
            local += timedelta(days=units)
        else:
            month = local.month - 1 + units
            local = local.replace(year=local.year + month // 12, month=month % 12 + 1)
        return local.replace(tzinfo=zone).astimezone(UTC)
    except (ValueError, OverflowError):  # the 31st of a month without one, or past the calendar
        return None


def zone_of(name: str | None) -> tzinfo | None:
    """A zone as Oozie writes it: a name, or an offset such as `GMT+05:30`. None for one that is not known here."""
    offset = _OFFSET.fullmatch(name or "")
    if offset:
        sign, hours, minutes = offset.groups()
        length = timedelta(hours=int(hours), minutes=int(minutes))
        return timezone(length if sign == "+" else -length)
    try:
        return ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None
