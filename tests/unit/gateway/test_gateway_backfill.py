"""Ranges of a backfill that leave the calendar are refused, not answered with 500."""

from datetime import UTC, datetime

import pytest

from signalbox_contracts.definitions.schedule import Schedule
from signalbox_gateway.http.problems import Problem
from signalbox_gateway.routes.schedules import BackfillRequest, ticks_for_backfill


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
