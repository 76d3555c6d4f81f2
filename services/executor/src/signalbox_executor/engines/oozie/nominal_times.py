"""When a coordinator's actions are due, pure: to name those that Oozie has not made."""

import re
from collections.abc import Generator
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from signalbox_executor.engines.oozie.answers import CoordinatorAnswer

MAX_STEPS: Final = 100_000
_OFFSET: Final = re.compile(r"GMT([+-])(\d{1,2}):?([0-5]\d)")


def nominal_times(
    coordinator: CoordinatorAnswer, from_at: datetime, until_at: datetime
) -> Generator[tuple[int, datetime]]:
    """Number and time of each action due from one instant to another, both included.

    Nothing for what cannot be computed here: cron frequencies, and units other than minutes, days and months.
    """
    start, end = coordinator.started_at, coordinator.end_at
    every = coordinator.frequency or ""
    if start is None or end is None or not (every.isascii() and every.isdigit() and int(every)):
        return
    zone = zone_of(coordinator.time_zone)
    if zone is None or coordinator.time_unit not in ("MINUTE", "DAY", "MONTH"):
        return
    for step in range(MAX_STEPS):
        at = _after(start, int(every) * step, coordinator.time_unit, zone)
        if at is None or at >= end or at > until_at:
            return
        if at >= from_at:
            yield step + 1, at


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
