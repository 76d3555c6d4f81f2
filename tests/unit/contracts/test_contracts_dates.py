"""Dates and instants have one written form each: no number is read as seconds since 1970."""

from datetime import UTC, date, datetime
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from signalbox_contracts.vocabulary import Date, Instant

DATES: TypeAdapter[date] = TypeAdapter(Date)
INSTANTS: TypeAdapter[datetime] = TypeAdapter(Instant)


@pytest.mark.parametrize("value", ["20260331", 20260331, 86400, "86400", "2026-W14-2", "2026-03-31T00:00:00Z"])
def test_another_form_of_a_date_is_refused_with_the_form(value: Any) -> None:
    with pytest.raises(ValidationError) as refused:
        DATES.validate_python(value)
    assert "a date of the form 2026-03-31 is needed" in str(refused.value)


@pytest.mark.parametrize("value", ["20260331", 20260331, "86400", "1774915200.5"])
def test_a_number_is_refused_as_an_instant_with_the_form(value: Any) -> None:
    """Without it `--from 20260331` begins in 1970."""
    with pytest.raises(ValidationError) as refused:
        INSTANTS.validate_python(value)
    assert "an instant of the form 2026-03-31T00:00:00Z is needed" in str(refused.value)


def test_the_written_forms_and_python_values_are_taken() -> None:
    day, instant = date(2026, 3, 31), datetime(2026, 3, 31, tzinfo=UTC)
    assert [DATES.validate_python(value) for value in ("2026-03-31", day)] == [day, day]
    assert [INSTANTS.validate_python(value) for value in ("2026-03-31T02:00:00+02:00", instant)] == [instant, instant]
    assert DATES.json_schema() == TypeAdapter(date).json_schema()


def test_the_written_forms_are_taken_from_strict_json_as_the_gateway_reads_it() -> None:
    instant = INSTANTS.validate_json('"2026-03-31T02:00:00+02:00"', strict=True)
    assert (instant, instant.tzinfo) == (datetime(2026, 3, 31, tzinfo=UTC), UTC)
    assert DATES.validate_json('"2026-03-31"', strict=True) == date(2026, 3, 31)
    with pytest.raises(ValidationError, match="month value is outside expected range"):
        INSTANTS.validate_json('"2026-99-31T00:00:00Z"', strict=True)
