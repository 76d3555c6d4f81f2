"""Cron expressions: five fields (minute first) or six (second first), in a time zone, with daylight saving done right.

Parsing and walking are cronsim's, which knows Debian cron's rules for five fields but, by design, gives six-field
expressions no daylight-saving treatment. The rules here hold for both:

* A rule at fixed times of day (neither minute nor hour starts with `*`) fires once per matching wall time. A wall
  time that the spring gap swallows fires at the first real minute after the gap; one that happens twice in autumn
  fires at the first of the two.
* Any other rule is an interval: it fires at every real instant that matches, so an hourly rule neither loses nor
  doubles an hour.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cron_descriptor import Options, get_description
from cronsim import CronSim, CronSimError

ALIASES: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}

_ALLOWED: Final = {
    "second": (0, "0-59"),
    "minute": (1, "0-59"),
    "hour": (2, "0-23"),
    "day-of-month": (3, "1-31, L for the last day, LW for the last weekday"),
    "month": (4, "1-12 or JAN-DEC"),
    "day-of-week": (5, "0-7 or SUN-SAT, with #1-#5 for the n-th of a month, L for the last"),
}
"""The parser's name of each field: its position of six, and what may stand there beside `*`, lists and steps."""
_WORDS: Final = Options()
_WORDS.use_24hour_time_format = True
_VERBOSE: Final = Options()
_VERBOSE.use_24hour_time_format = True
_VERBOSE.verbose = True
_LONGEST_GAP: Final = timedelta(hours=26)  # Samoa skipped a whole day in 2011
_REMEMBERED_STEPS: Final = 2
_ANY_MOMENT: Final = datetime(2024, 1, 1)  # noqa: DTZ001 - cronsim walks naive wall time here


class InvalidCron(ValueError):
    """The expression is not cron; the text says what is allowed."""


class InvalidZone(ValueError):
    """The name is not an IANA time zone."""


_NO_ZONES = frozenset({"localtime", "posixrules", "Factory"})


@lru_cache(maxsize=20_000)
def fields(expression: str) -> tuple[str, ...]:
    """The six fields, seconds first; raises `InvalidCron`.

    An expression that can never fire, such as the 30th of February, is refused too.
    """
    text = ALIASES.get(expression.strip().lower(), expression)
    parts = tuple(text.split())
    if len(parts) not in (5, 6) or len(expression) > 255:
        raise InvalidCron(
            f"{expression[:100]!r} is not a cron expression: allowed are 5 fields (minute hour day month weekday), "
            f"6 with seconds first, or {', '.join(ALIASES)}"
        )
    six = parts if len(parts) == 6 else ("0", *parts)
    _check_seconds(expression, six)
    try:
        next(CronSim(" ".join(six), _ANY_MOMENT))
    except CronSimError as error:
        raise InvalidCron(f"{expression[:100]!r} is not a cron expression: {_reason(str(error), six)}") from None
    except StopIteration:
        raise InvalidCron(f"{expression[:100]!r} never fires: no such date within 50 years") from None
    return six


def _check_seconds(expression: str, six: tuple[str, ...]) -> None:
    """Refuse `* 0 2 * * *`: it fires sixty times, and its author meant a minute by the first field."""
    if six[0] == "*" and not six[1].startswith("*"):
        raise InvalidCron(
            f"{expression[:100]!r} fires at every second of its minutes: the first of 6 fields is the second. "
            f"Write `{' '.join(six[1:])}` for once a minute that matches, or `*/1` for every second"
        )


def _reason(error: str, six: tuple[str, ...]) -> str:
    """The parser's words for a field, with what is allowed there."""
    name = error.removeprefix("Bad ")
    if name not in _ALLOWED:
        return error
    position, allowed = _ALLOWED[name]
    days = six[3].split(",")
    if name == "day-of-month" and all(day.isdigit() and 1 <= int(day[:3]) <= 31 for day in days):
        return f"it never fires, no month {six[4]} has a day {six[3]}"
    return f"{name} {six[position]!r}: allowed are {allowed}"


def zone(name: str) -> ZoneInfo:
    """The time zone of this IANA name; raises `InvalidZone`.

    Files of the system that name no zone are refused: on another host they are another zone.
    """
    try:
        if name not in _NO_ZONES:
            return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        pass
    raise InvalidZone(f"{name[:100]!r} is not a time zone: allowed are IANA names such as UTC, Europe/Prague")


def is_fixed(expression: str) -> bool:
    """Whether the rule names times of day, rather than an interval."""
    six = fields(expression)
    return not six[1].startswith("*") and not six[2].startswith("*")


def ticks(expression: str, after: datetime, zone: ZoneInfo) -> Iterator[datetime]:
    """The instants, in UTC, strictly after `after` at which the rule is due; endless for practical purposes."""
    last = after
    for _ in range(_REMEMBERED_STEPS):  # most walks end here, and schedules that share a rule share the answer
        found = _next(expression, last, zone)
        if found is None:
            return
        last = found
        yield last
    for instant in _walk(expression, last, zone):
        if instant > last:
            last = instant
            yield instant


@lru_cache(maxsize=20_000)
def _next(expression: str, after: datetime, zone: ZoneInfo) -> datetime | None:
    """The first instant strictly after `after`."""
    return next((instant for instant in _walk(expression, after, zone) if instant > after), None)


def _walk(expression: str, after: datetime, zone: ZoneInfo) -> Iterator[datetime]:
    """Instants in order from about `after` on; some may be before it, or come twice."""
    six = " ".join(fields(expression))
    return _fixed(six, after, zone) if is_fixed(expression) else _interval(six, after, zone)


def ticks_between(
    expression: str, after: datetime, until: datetime, zone: ZoneInfo, limit: int
) -> tuple[datetime, ...]:
    """The first `limit` instants in (after, until]."""
    found: list[datetime] = []
    for instant in islice(ticks(expression, after, zone), limit):
        if instant > until:
            break
        found.append(instant)
    return tuple(found)


def _interval(six: str, after: datetime, zone: ZoneInfo) -> Iterator[datetime]:
    start = after.astimezone(zone).replace(microsecond=0)
    for moment in CronSim(six, start):
        yield moment.astimezone(UTC)


def _fixed(six: str, after: datetime, zone: ZoneInfo) -> Iterator[datetime]:
    start = after.astimezone(zone).replace(tzinfo=None, microsecond=0)
    if after.astimezone(zone).utcoffset() != (after - _LONGEST_GAP).astimezone(zone).utcoffset():
        start -= _LONGEST_GAP  # early enough that a wall time moved out of a gap is met again
    for wall in CronSim(six, start):
        yield _first_real(wall, zone)


def _first_real(wall: datetime, zone: ZoneInfo) -> datetime:
    """The first instant at which clocks show `wall`, or the first real minute after the gap that swallows it."""
    shown = wall
    while True:
        instant = shown.replace(tzinfo=zone, fold=0).astimezone(UTC)
        if instant.astimezone(zone).replace(tzinfo=None) == shown:
            return instant
        shown = (shown + timedelta(minutes=1)).replace(second=0)


def describe(expression: str, zone_name: str = "UTC") -> str:
    """The rule in words: `At 02:00, every day, Europe/Prague`, `Every 5 minutes, UTC`. Raises `InvalidCron`."""
    six = fields(ALIASES.get(expression.strip().lower(), expression))
    text = " ".join(six[1:] if six[0] == "0" else six)
    try:
        words = str(get_description(text, _VERBOSE if is_fixed(expression) else _WORDS))
    except Exception as error:  # the library knows fewer forms than cronsim
        words = f"cron {expression} ({type(error).__name__})"
    return f"{words}, {zone_name}"
