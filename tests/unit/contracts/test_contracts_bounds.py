"""Every number of the contracts has bounds that the database, the event loop and the operating system can carry."""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from signalbox_contracts.definitions.engine import EngineLimits
from signalbox_contracts.definitions.rules import Rules, TimeLimits
from signalbox_contracts.topics import TOPICS
from signalbox_contracts.vocabulary import MAX_COUNT, MAX_SECONDS

UPPER, LOWER = ("maximum", "exclusiveMaximum"), ("minimum", "exclusiveMinimum")


def numbers(schema: Any, place: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every schema of a number, with its place."""
    if isinstance(schema, dict):
        fields = cast("dict[str, Any]", schema)
        if fields.get("type") in ("integer", "number") and "enum" not in fields and "const" not in fields:
            yield place, fields
        for name, inner in fields.items():
            yield from numbers(inner, f"{place}.{name}")
    elif isinstance(schema, list):
        for n, inner in enumerate(cast("list[Any]", schema)):
            yield from numbers(inner, f"{place}.{n}")


def test_every_number_of_every_message_is_bounded_on_both_sides() -> None:
    """One limit of 1e15 seconds in one row stops every pass that adds it to an instant."""
    unbounded: list[str] = []
    for message in {message for topic in TOPICS for message in topic.messages}:
        for place, found in numbers(TypeAdapter(message).json_schema(), message.__name__):
            high = next((found[name] for name in UPPER if name in found), None)
            low = next((found[name] for name in LOWER if name in found), None)
            if high is None or low is None or high > MAX_COUNT:
                unbounded.append(place)
    # a definition's parameters are JSON, and a template's scalars are bounded by what strict JSON takes
    assert sorted({place for place in unbounded if ".matrix." not in place}) == []


def test_every_rate_has_a_floor_that_is_a_rate() -> None:
    """With 1e-300 starts a minute nothing ever starts, and the time of the next start has no number."""
    open_ended = {
        place
        for message in {message for topic in TOPICS for message in topic.messages}
        for place, found in numbers(TypeAdapter(message).json_schema(), message.__name__)
        if re.search(r"_per_(minute|second)\b", place) and found.get("minimum", 0) < 0.001
    }
    assert open_ended == set()


@pytest.mark.parametrize("model", [EngineLimits, Rules])
@pytest.mark.parametrize("rate", [0, 1e-300, 0.0009])
def test_a_rate_below_the_floor_is_refused_with_its_field_and_what_is_allowed(
    model: type[BaseModel], rate: float
) -> None:
    with pytest.raises(ValidationError) as refused:
        model.model_validate({"starts_per_minute": rate})
    [error] = refused.value.errors()
    assert (error["loc"], error["msg"]) == (
        ("starts_per_minute",), "Input should be greater than or equal to 0.001",
    )  # fmt: skip


@pytest.mark.parametrize("seconds", [1e15, MAX_SECONDS + 1, -1, float("inf"), float("nan")])
@pytest.mark.parametrize("name", list(TimeLimits.model_fields))
def test_a_time_limit_is_at_most_a_year(name: str, seconds: float) -> None:
    with pytest.raises(ValidationError):
        TimeLimits(**{name: seconds})
    assert datetime.now(UTC) + timedelta(seconds=getattr(TimeLimits(**{name: MAX_SECONDS}), name))
