"""Every number of the contracts has bounds that the database, the event loop and the operating system can carry."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from pydantic import TypeAdapter, ValidationError

from signalbox_contracts.definitions.rules import TimeLimits
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


@pytest.mark.parametrize("seconds", [1e15, MAX_SECONDS + 1, -1, float("inf"), float("nan")])
@pytest.mark.parametrize("name", list(TimeLimits.model_fields))
def test_a_time_limit_is_at_most_a_year(name: str, seconds: float) -> None:
    with pytest.raises(ValidationError):
        TimeLimits(**{name: seconds})
    assert datetime.now(UTC) + timedelta(seconds=getattr(TimeLimits(**{name: MAX_SECONDS}), name))
