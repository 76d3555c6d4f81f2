"""Which ticks fire and which are skipped: policies, daylight saving, pauses, freezes, jitter."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalbox_contracts.definitions import cron
from signalbox_contracts.definitions.freeze import Freeze
from signalbox_contracts.definitions.schedule import Schedule
from signalbox_contracts.messages.ticks import SkipReason, TickCause
from signalbox_scheduler import calendar
from signalbox_scheduler.calendar import Decision, Fire, Skip, Window

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


def schedule(cron: str = "0 * * * *", **changes: Any) -> Schedule:
    target = {"kind": "job", "id": "daily"}
    return Schedule.model_validate({"id": "s", "name": "s", "target": target, "cron": cron, **changes})


def fired(decisions: tuple[Decision, ...]) -> list[tuple[str, str]]:
    return [(f"{one.due_at:%d %H:%M}", one.cause.value) for one in decisions if isinstance(one, Fire)]


def skipped(decisions: tuple[Decision, ...]) -> dict[SkipReason, int]:
    reasons = [one.reason for one in decisions if isinstance(one, Skip)]
    return {reason: reasons.count(reason) for reason in reasons}


@pytest.mark.parametrize(
    ("missed", "expected", "left_out"),
    [
        ({"policy": "none"}, [], {SkipReason.MISSED: 5}),
        ({"policy": "latest"}, [("01 12:00", "catch_up")], {SkipReason.TOO_MANY: 4}),
        ({"policy": "all"}, [(f"01 {hour:02}:00", "catch_up") for hour in range(8, 13)], {}),
        ({"policy": "all", "max": 2}, [("01 11:00", "catch_up"), ("01 12:00", "catch_up")], {SkipReason.TOO_MANY: 3}),
        ({"policy": "none", "grace_seconds": 4000}, [("01 12:00", "late")], {SkipReason.MISSED: 4}),
    ],
)
def test_after_five_missed_hours_each_policy_fires_its_own_set(
    missed: dict[str, Any], expected: list[tuple[str, str]], left_out: dict[SkipReason, int]
) -> None:
    due = calendar.decide(schedule(missed=missed), NOON - timedelta(hours=5), NOON + timedelta(minutes=30))
    assert fired(due.decisions) == expected
    assert skipped(due.decisions) == left_out
    assert due.next_due_at == NOON + timedelta(hours=1)


@pytest.mark.parametrize(
    ("day", "hours"), [(datetime(2026, 3, 28, 23, tzinfo=UTC), 23), (datetime(2026, 10, 24, 22, tzinfo=UTC), 25)]
)
def test_a_day_with_a_clock_change_has_its_true_number_of_hours(day: datetime, hours: int) -> None:
    every_hour = schedule(zone="Europe/Prague", missed={"policy": "all", "max": 100})
    due = calendar.decide(every_hour, day, day + timedelta(hours=hours))
    assert len(fired(due.decisions)) == hours
    daily = schedule("30 2 * * *", zone="Europe/Prague", missed={"policy": "all"})
    assert len(fired(calendar.decide(daily, day, day + timedelta(hours=hours)).decisions)) == 1


def test_an_on_time_tick_is_due_and_one_of_half_a_minute_ago_is_late() -> None:
    now = NOON + timedelta(seconds=30)
    assert fired(calendar.decide(schedule(), NOON - timedelta(minutes=1), now).decisions) == [("01 12:00", "late")]
    now = NOON + timedelta(seconds=1)
    assert fired(calendar.decide(schedule(), NOON - timedelta(minutes=1), now).decisions) == [("01 12:00", "due")]


def test_a_paused_schedule_records_each_tick_with_its_note_and_none_of_them_fires_later() -> None:
    paused = schedule(paused=True, note="until Monday", missed={"policy": "all"})
    due = calendar.decide(paused, NOON - timedelta(hours=2), NOON)
    assert [(one.reason, one.detail) for one in due.decisions if isinstance(one, Skip)] == [
        (SkipReason.PAUSED, "until Monday")
    ] * 2
    resumed = paused.model_copy(update={"paused": False})
    assert calendar.decide(resumed, due.cursor_at, NOON).decisions == ()


def test_missed_ticks_in_a_freeze_say_so() -> None:
    frozen = [Window(NOON - timedelta(hours=2), NOON - timedelta(minutes=30), "release")]
    due = calendar.decide(schedule(), NOON - timedelta(hours=3), NOON + timedelta(minutes=30), frozen)
    assert skipped(due.decisions) == {SkipReason.FROZEN: 2, SkipReason.MISSED: 1}


def test_a_schedule_that_has_ended_never_fires_again() -> None:
    ended = schedule(ends_at=NOON, starts_at=NOON - timedelta(hours=1), missed={"policy": "all"})
    due = calendar.decide(ended, NOON - timedelta(days=2), NOON + timedelta(days=1))
    assert fired(due.decisions) == [("01 11:00", "catch_up"), ("01 12:00", "catch_up")]
    assert (due.next_due_at, due.next_fire_at) == (None, None)


def test_a_jitter_delays_each_tick_within_its_bound_and_always_alike() -> None:
    spread = schedule("* * * * *", jitter_seconds=50)
    delays = {(calendar.fire_at(spread, at) - at).total_seconds() for at in (NOON, NOON + timedelta(minutes=1))}
    assert len(delays) == 2
    assert all(0 <= delay < 50 for delay in delays)
    fires = calendar.fire_at(spread, NOON)
    just_before = calendar.decide(spread, NOON - timedelta(seconds=1), fires - timedelta(milliseconds=1))
    assert (just_before.decisions, just_before.next_fire_at) == ((), fires)
    assert fired(calendar.decide(spread, NOON - timedelta(seconds=1), fires).decisions) == [("01 12:00", "due")]


def test_a_calendar_of_blackouts_opens_each_of_its_windows() -> None:
    freeze = Freeze.model_validate(
        {
            "id": "nights", "name": "nights", "reason": "quiet", "author": "user:ann",
            "calendar": [{"cron": "0 22 * * *", "duration_seconds": 3600}],
        }
    )  # fmt: skip
    found = list(calendar.windows(freeze, NOON - timedelta(days=2), NOON, None))
    assert [f"{one.from_at:%d %H}-{one.until_at:%d %H}" for one in found] == ["30 22-30 23", "31 22-31 23"]
    one_engine = freeze.model_copy(update={"engines": ("e1",)})
    assert list(calendar.windows(one_engine, NOON - timedelta(days=2), NOON, None)) == []


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["*/7 * * * *", "0 * * * *", "30 2 * * *", "*/20 * * * * *"]),
    st.sampled_from(["UTC", "Europe/Prague", "America/New_York"]),
    st.sampled_from(["none", "latest", "all"]),
    st.lists(st.integers(1, 40_000), min_size=1, max_size=8),
    st.integers(0, 600),
)
def test_passes_at_any_moments_decide_every_tick_exactly_once(
    rule: str, zone: str, policy: str, pauses: list[int], jitter: int
) -> None:
    """INVARIANT tick.once, in the rules: an outage of any length neither loses nor repeats an instant."""
    one = schedule(rule, zone=zone, missed={"policy": policy}, jitter_seconds=jitter)
    start = datetime(2026, 10, 24, 20, tzinfo=UTC)
    now, seen = start, list[datetime]()
    due = calendar.decide(one, start, now)
    for seconds in pauses:
        now += timedelta(seconds=seconds)
        while due.next_fire_at is not None and due.next_fire_at <= now:
            due = calendar.decide(one, due.cursor_at, now)
            seen += [decision.due_at for decision in due.decisions]
    expected = cron.ticks_between(rule, start, due.cursor_at, cron.zone(zone), 100_000)
    assert seen == list(expected)
    assert due.next_fire_at is not None
    assert due.next_fire_at > now


def test_a_day_of_missed_seconds_fires_the_newest_only_over_many_passes() -> None:
    every_second = schedule("* * * * * *", missed={"policy": "all", "max": 3, "grace_seconds": 0})
    cursor, end = NOON - timedelta(seconds=9000), NOON + timedelta(milliseconds=500)
    decisions: list[Decision] = []
    while cursor < NOON:
        due = calendar.decide(every_second, cursor, end)
        decisions += due.decisions
        cursor = due.cursor_at
    assert len(decisions) == 9000
    assert [one.due_at for one in decisions if isinstance(one, Fire)] == [
        NOON - timedelta(seconds=2), NOON - timedelta(seconds=1), NOON,
    ]  # fmt: skip
    assert {one.cause for one in decisions if isinstance(one, Fire)} == {TickCause.CATCH_UP}
