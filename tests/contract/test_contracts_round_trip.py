"""Whatever a message may say arrives as it was said."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from contract.generated_events import events
from signalbox_contracts.topics import TOPICS
from signalbox_contracts.wire import Undecodable, UnknownType, decode, encode

MESSAGES = [(place, message) for place in TOPICS for message in place.messages]
NAMES = [f"{place.name}-{message.__name__}" for place, message in MESSAGES]


@pytest.mark.parametrize(("place", "message"), MESSAGES, ids=NAMES)
def test_an_event_is_the_same_after_the_wire(place: Any, message: Any) -> None:
    read = 0

    @settings(
        max_examples=12,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
    )
    @given(events(message))
    def round_trip(document: dict[str, Any]) -> None:
        nonlocal read
        try:
            event = message.model_validate_json(json.dumps(document))
        except ValidationError:
            return  # parts that do not fit together: models say more than schemas
        read += 1
        record = encode(event)
        assert decode(place, record.value, key=record.key, headers=record.headers) == event

    round_trip()
    assert read >= 4, f"only {read} generated events were read: the test shows too little"


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(TOPICS), st.binary(max_size=300) | st.text(max_size=100).map(str.encode))
def test_no_bytes_whatever_raise_anything_but_the_two_refusals(place: Any, value: bytes) -> None:
    """Anything else would end a consumer's loop, and every message behind it would wait."""
    with pytest.raises((Undecodable, UnknownType)):
        decode(place, value, headers=[("ce_specversion", b"1.0"), ("content-type", value[:10])])
