"""Ranges of a backfill and next ticks that leave the calendar are refused or cut, not answered with 500."""

from datetime import UTC, datetime

import pytest

from signalbox_contracts.definitions.schedule import Schedule
from signalbox_gateway.http.problems import Problem
from signalbox_gateway.routes.schedules import BackfillRequest, next_ticks, ticks_for_backfill


@pytest.mark.parametrize("year", [1, 5])
def test_a_range_before_the_calendar_is_refused_with_its_field(year: int) -> None:
    schedule = Schedule.model_validate(
        {
            "id": "s", "name": "S", "target": {"kind": "job", "id": "j"}, "cron": "0 0 1 1 *",
            "event_date": {"offset_days": -3660},
        }
    )  # fmt: skip
    wanted = BackfillRequest(from_at=datetime(year, 1, 1, tzinfo=UTC), until_at=datetime(9, 1, 1, tzinfo=UTC))
    with pytest.raises(Problem) as refused:
        ticks_for_backfill(schedule, wanted, datetime(2026, 1, 1, tzinfo=UTC))
    assert [one.field for one in refused.value.errors] == ["from_at"]


@pytest.mark.parametrize(("starts_at", "count"), [("0001-01-01T00:00:00Z", 5), ("9999-12-30T00:00:00Z", 2)])
def test_the_next_ticks_are_those_the_calendar_has(starts_at: str, count: int) -> None:
    schedule = Schedule.model_validate(
        {
            "id": "s", "name": "S", "target": {"kind": "job", "id": "j"}, "cron": "0 0 * * *", "starts_at": starts_at,
        }
    )  # fmt: skip
    assert len(next_ticks(schedule, datetime(2026, 1, 1, tzinfo=UTC), 5)) == count
