"""When a plan will end, by what its items took and by what limits them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from signalbox_gateway.forecast import Durations, Work, durations_of, forecast
from signalbox_gateway.routes.plans_export import COLUMNS, _csv_line, _json_line  # pyright: ignore[reportPrivateUsage]

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TEN = Durations(8, 10, 15, 40)


def test_the_limit_decides_and_doubling_it_is_named_as_the_change() -> None:
    found = forecast(Work(waiting=100, limit=5, engine_limit=50), TEN, NOW)
    assert (found.fast_seconds, found.seconds, found.slow_seconds) == (160, 200, 300)
    assert (found.ends_at, found.bound_by) == (NOW + timedelta(seconds=200), "limit")
    assert [(change.what, change.seconds) for change in found.changes] == [("limit 10 instead of 5", 100)]


def test_the_capacity_of_the_engine_decides_where_it_is_smaller() -> None:
    found = forecast(Work(waiting=100, limit=50, engine_limit=10), TEN, NOW)
    assert (found.seconds, found.bound_by) == (100, "engine")
    assert [change.what for change in found.changes] == ["room for 20 runs on its engines instead of 10"]


def test_a_start_rate_decides_where_slots_are_plenty() -> None:
    found = forecast(Work(waiting=61, limit=100, starts_per_minute=6), TEN, NOW)
    assert (found.seconds, found.bound_by) == (610, "starts_per_minute")
    assert found.changes[0].what == "starts_per_minute 12 instead of 6"


def test_one_item_takes_as_long_as_one_item_and_nothing_changes_that() -> None:
    found = forecast(Work(waiting=1, limit=5, engine_limit=5), TEN, NOW)
    assert (found.seconds, found.bound_by, found.changes) == (10, "items", ())


def test_what_runs_already_is_taken_as_half_done() -> None:
    before = forecast(Work(waiting=10, limit=5), TEN, NOW)
    during = forecast(Work(waiting=5, running=5, limit=5), TEN, NOW)
    assert during.seconds <= before.seconds
    assert forecast(Work(waiting=0, running=5, limit=5), TEN, NOW).seconds == 10


def test_the_plans_own_durations_count_once_three_items_have_ended() -> None:
    assert durations_of([], []) is None
    assert durations_of([1, 1], [100, 100, 100]) == Durations(1, 100, 100, 5)
    assert durations_of([1, 2, 3], [100]) == Durations(1, 2, 3, 3)


def test_a_line_of_the_export_has_every_column_and_no_formula() -> None:
    item: dict[str, Any] = {
        "position": 3,
        "key": "=HYPERLINK(1)",
        "expected": {"run": 2},
        "deletes": [],
        "error": 'say "no"\nnow',
    }
    line = _csv_line(item)
    assert line.startswith("3,'=HYPERLINK(1),")
    assert line.count(",") >= len(COLUMNS) - 1
    assert '"say ""no""\nnow"' in line
    assert _json_line(item).count("\n") == 1


@pytest.mark.parametrize("rate", [1e-5, 1e-300])
def test_a_plan_that_would_end_after_the_calendar_has_a_forecast(rate: float) -> None:
    found = forecast(
        Work(waiting=100_000, starts_per_minute=rate), Durations(1, 1, 1, 3), datetime(2026, 1, 1, tzinfo=UTC)
    )
    assert found.ends_at.year == 3025
