"""Cron: what is due, when clocks jump, and what is refused."""

import re
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import given, settings
from hypothesis import strategies as st

from signalbox_contracts.definitions import cron

ZONES = (
    "UTC",
    "Europe/Prague",
    "America/New_York",
    "Australia/Lord_Howe",  # half an hour of daylight saving
    "Europe/Dublin",  # negative daylight saving: winter is the exception
    "America/Sao_Paulo",  # jumped at midnight
    "Asia/Kathmandu",
    "Pacific/Chatham",
)


def first(expression: str, after: str, zone: str, count: int) -> list[str]:
    found = islice(cron.ticks(expression, datetime.fromisoformat(after).astimezone(UTC), ZoneInfo(zone)), count)
    return [instant.strftime("%m-%dT%H:%M:%S") for instant in found]


@pytest.mark.parametrize("expression", ["30 2 * * *", "0 30 2 * * *"])
def test_a_time_swallowed_by_the_spring_gap_fires_once_right_after_it(expression: str) -> None:
    described = first(expression, "2026-03-27T12:00+00:00", "Europe/Prague", 3)
    assert described == ["03-28T01:30:00", "03-29T01:00:00", "03-30T00:30:00"]


@pytest.mark.parametrize("expression", ["30 2 * * *", "0 30 2 * * *"])
def test_a_time_that_happens_twice_in_autumn_fires_at_the_first(expression: str) -> None:
    described = first(expression, "2026-10-24T12:00+00:00", "Europe/Prague", 2)
    assert described == ["10-25T00:30:00", "10-26T01:30:00"]


@pytest.mark.parametrize("expression", ["0 * * * *", "0 0 * * * *"])
def test_an_hourly_rule_neither_loses_nor_doubles_an_hour(expression: str) -> None:
    for day in ("2026-03-28T22:30+00:00", "2026-10-24T22:30+00:00"):
        start = datetime.fromisoformat(day).astimezone(UTC)
        found = list(islice(cron.ticks(expression, start, ZoneInfo("Europe/Prague")), 6))
        assert {after - before for before, after in pairwise(found)} == {timedelta(hours=1)}


def test_six_fields_start_with_seconds() -> None:
    assert first("15 * * * * *", "2026-01-01T00:00:20+00:00", "UTC", 2) == ["01-01T00:01:15", "01-01T00:02:15"]


def test_day_of_month_and_day_of_week_are_alternatives_as_in_cron() -> None:
    described = first("0 0 13 * 5", "2026-02-10T00:00+00:00", "UTC", 3)
    assert described == ["02-13T00:00:00", "02-20T00:00:00", "02-27T00:00:00"]


@pytest.mark.parametrize(("alias", "expression"), cron.ALIASES.items())
def test_an_alias_means_its_expression(alias: str, expression: str) -> None:
    start = "2026-01-15T10:10+00:00"
    assert first(alias, start, "UTC", 3) == first(expression, start, "UTC", 3)


@pytest.mark.parametrize(
    "expression", ["", "* * * *", "* * * * * * *", "61 * * * *", "@often", "0 0 30 2 *", "x" * 300, "0 0 * * mon-xyz"]
)
def test_what_is_not_cron_is_refused_with_the_expression(expression: str) -> None:
    with pytest.raises(cron.InvalidCron) as refused:
        cron.fields(expression)
    assert repr(expression[:100]) in str(refused.value)


@pytest.mark.parametrize(
    "name", ["", "Mars/Olympus", "../etc/passwd", "/etc/localtime", "localtime", "Factory", "a\x00b"]
)
def test_what_is_not_a_zone_is_refused(name: str) -> None:
    with pytest.raises(cron.InvalidZone, match="IANA"):
        cron.zone(name)


def test_a_range_of_ticks_ends_at_its_end_and_at_its_most() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    assert len(cron.ticks_between("* * * * *", start, start + timedelta(minutes=5), ZoneInfo("UTC"), 100)) == 5
    assert len(cron.ticks_between("* * * * *", start, start + timedelta(hours=5), ZoneInfo("UTC"), 7)) == 7


moments = st.datetimes(datetime(2015, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
fixed = st.builds(
    "{} {} {} * *".format, st.integers(0, 59), st.integers(0, 23), st.sampled_from(["*", "1", "13", "28"])
)
interval = st.sampled_from(["* * * * *", "*/7 * * * *", "0 */2 * * *", "*/15 1-3 * * *", "5 * * * 0", "* 2 * * *"])


@settings(max_examples=150, deadline=None)
@given(st.one_of(fixed, interval), moments, st.sampled_from(ZONES))
def test_our_walk_agrees_with_debian_cron_as_cronsim_knows_it(expression: str, after: datetime, name: str) -> None:
    """cronsim applies Debian's rules to five fields; ours must say the same, with five and with six."""
    zone = ZoneInfo(name)
    theirs = (moment.astimezone(UTC) for moment in CronSim(expression, after.astimezone(zone).replace(microsecond=0)))
    expected: list[datetime] = []
    for instant in islice(theirs, 8):
        if instant > after and instant not in expected:
            expected.append(instant)
    assert list(islice(cron.ticks(expression, after, zone), len(expected))) == expected
    assert list(islice(cron.ticks(f"0 {expression}", after, zone), len(expected))) == expected


@settings(max_examples=100, deadline=None)
@given(st.one_of(fixed, interval), st.integers(0, 59), moments, st.sampled_from(ZONES))
def test_ticks_only_go_forwards(expression: str, second: int, after: datetime, name: str) -> None:
    found = list(islice(cron.ticks(f"{second} {expression}", after, ZoneInfo(name)), 10))
    assert all(before < later for before, later in pairwise([after, *found]))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 59), st.integers(0, 23), st.integers(2016, 2029), st.sampled_from(ZONES))
def test_a_daily_rule_fires_once_on_every_day_of_a_year(minute: int, hour: int, year: int, name: str) -> None:
    """A daily job that runs twice in autumn, or not at all in spring, is a wrong number in somebody's report."""
    zone = ZoneInfo(name)
    start = datetime(year, 1, 1, tzinfo=zone).astimezone(UTC) - timedelta(seconds=1)
    end = datetime(year + 1, 1, 1, tzinfo=zone).astimezone(UTC) - timedelta(seconds=1)
    found = cron.ticks_between(f"0 {minute} {hour} * * *", start, end, zone, 400)
    days = [instant.astimezone(zone).date() for instant in found]
    assert len(days) == len(set(days)) == (end - start + timedelta(hours=2)).days


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("0 0 30 2 *", "it never fires, no month 2 has a day 30"),
        ("0 0 31 4,6,9,11 *", "it never fires"),
        ("* 0 2 * * *", "fires at every second of its minutes"),
        ("0 0 2 * * 2026", "day-of-week '2026'"),
        ("0 24 * * *", "hour '24': allowed are 0-23"),
        ("*/0 * * * *", "minute '*/0': allowed are 0-59"),
        ("every day at 02:00", "allowed are 5 fields"),
        ("0 0 2 * * * 2026", "allowed are 5 fields"),
        ("0 2 * * *" + " " * 300, "allowed are 5 fields"),
    ],
)
def test_a_rule_that_nobody_meant_is_refused_with_what_is_allowed(expression: str, words: str) -> None:
    with pytest.raises(cron.InvalidCron, match=re.escape(words)):
        cron.fields(expression)


def test_words_of_a_rule_are_short() -> None:
    assert cron.describe("*/10 * * * * *") == "Every 10 seconds, UTC"
    assert cron.describe("0 2 * * *", "Europe/Prague") == "At 02:00, every day, Europe/Prague"
