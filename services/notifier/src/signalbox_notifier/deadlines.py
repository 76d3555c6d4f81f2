"""When a plan has to have started or ended, by the deadline of a subscription. Pure."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from signalbox_contracts.definitions.channel import Deadline
from signalbox_contracts.messages.plans import PlanRecord


def deadlines(rule: Deadline, record: PlanRecord) -> Iterator[tuple[str, datetime]]:
    """Each deadline of a plan that has not ended, as (rule, instant).

    None beyond the calendar: a plan was created when its event says, which may be in the year 1 or 9999.
    """
    try:
        yield from _deadlines(rule, record)
    except OverflowError:
        return


def _deadlines(rule: Deadline, record: PlanRecord) -> Iterator[tuple[str, datetime]]:
    if record.ended_at is not None:
        return
    if rule.start_by and record.started_at is None:
        yield "start_by", _next(rule.start_by, rule.zone, record.created_at)
    if rule.end_by:
        yield "end_by", _next(rule.end_by, rule.zone, record.created_at)
    if rule.longer_than_seconds is not None and record.started_at is not None:
        yield "longer_than", record.started_at + timedelta(seconds=rule.longer_than_seconds)


def _next(clock: str, zone: str, after: datetime) -> datetime:
    """The first instant after `after` at which clocks in the zone show this time."""
    local = after.astimezone(ZoneInfo(zone))
    hour, minute = map(int, clock.split(":"))
    at = local.replace(hour=hour, minute=minute, second=0, microsecond=0)
    return at if at > local else at + timedelta(days=1)
