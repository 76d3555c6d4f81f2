"""Parking: what is said about a message that is put aside must itself be sayable, whatever the message was."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox_chassis.messaging.dead_letters import ERROR_CHARACTERS, describe
from signalbox_chassis.messaging.notices import HEADERS, HEADERS_BYTES, parked
from signalbox_chassis.messaging.received import Received, Record, read
from signalbox_chassis.observability import logs
from signalbox_contracts.messages.dead_letters import PARKED_BYTES, DeadLetterParked
from signalbox_contracts.samples import samples
from signalbox_contracts.topics import topic, topic_of
from signalbox_contracts.wire import Undecodable, UnknownType, decode, encode

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ID = UUID(int=7)
Headers = tuple[tuple[str, bytes | None], ...]


def record(key: bytes | None = b"k", headers: Headers = (), value: bytes | None = b"{}") -> Record:
    return Record(topic("requests.v1"), 3, 9, 1_700_000_000_000, key, headers, value)


def notice_as_read(of: Record, reason: str = "why", received: Received[Any] | None = None) -> DeadLetterParked:
    """The notice as a reader of the topic gets it."""
    sent = encode(parked("planner", ID, of, received, reason, NOW))
    notice = decode(sent.topic, sent.value, key=sent.key, headers=sent.headers)
    assert isinstance(notice, DeadLetterParked)
    return notice


names = st.text(max_size=300) | st.just("\x01" * 300)
contents = st.none() | st.binary(max_size=40) | st.binary(min_size=1200, max_size=1300) | st.just(b"\x01" * 5000)


@given(
    key=st.none() | st.binary(max_size=2000),
    headers=st.lists(st.tuples(names, contents), max_size=60).map(tuple),
    value=st.none() | st.binary(max_size=100) | st.just(b"\xff" * 300_000),
    error=st.text(max_size=3000),
)
def test_whatever_was_parked_its_notice_can_be_sent_and_read(
    key: bytes | None, headers: Headers, value: bytes | None, error: str
) -> None:
    """A notice that is too large, or that holds a NUL, would itself be poison: the message could never be parked."""
    notice = notice_as_read(record(key, headers, value), describe(ValueError(error)))
    assert notice.data.value_bytes == len(value or b"")
    assert len(notice.data.headers) <= HEADERS


def test_the_largest_possible_notice_is_within_its_caps() -> None:
    worst = "\x01" * 3000
    headers: Headers = tuple((worst, worst.encode()) for _ in range(60))
    notice = notice_as_read(record(worst.encode(), headers, b"\xff" * 1_000_000), describe(ValueError(worst)))
    assert notice.data.key == worst[:1024]
    assert notice.data.value_bytes == 1_000_000
    assert len(notice.data.value_start or "") == 4 * -(-PARKED_BYTES // 3)
    first = notice.data.headers[0]
    assert (first.name, first.text) == (worst[:255], worst[:1024])
    assert sum(len(json.dumps(h.model_dump(), ensure_ascii=False)) for h in notice.data.headers) <= HEADERS_BYTES


def test_small_headers_are_all_kept_up_to_fifty_as_text_where_they_are_text() -> None:
    headers: Headers = (("text", "ä".encode()), ("none", None), ("bytes", b"\xff"), ("nul", b"a\0"), ("na\0me", b""))
    notice = notice_as_read(record(headers=headers + tuple((str(n), b"") for n in range(60))))
    assert [(h.name, h.text, h.base64) for h in notice.data.headers[:5]] == [
        ("text", "ä", None),
        ("none", None, None),
        ("bytes", None, "/w=="),
        ("nul", None, "YQA="),
        ("na\ufffdme", "", None),
    ]
    assert len(notice.data.headers) == HEADERS


def test_a_notice_tells_the_place_the_error_and_the_event_and_has_the_same_id_when_repeated() -> None:
    event = next(sample.event for sample in samples() if topic_of(type(sample.event)).name == "requests.v1")
    encoded = encode(event)
    of = record(b"\xff\0", value=encoded.value)
    one, two = (notice_as_read(of, "because", Received(read(of), of)) for _ in range(2))
    data = one.data
    assert (data.dead_letter_id, data.service, data.topic) == (ID, "planner", "requests.v1")
    assert (data.partition, data.offset, data.error) == (3, 9, "because")
    assert (data.event_id, data.event_type) == (event.id, event.type)
    assert data.key == "\ufffd\ufffd"
    assert (one.id, one.key) == (two.id, "planner")
    assert notice_as_read(record(value=None)).data.value_start is None


@pytest.mark.parametrize(
    ("error", "notice"),
    [
        (ZeroDivisionError("in a handler"), "ZeroDivisionError: in a handler"),
        (Undecodable("no JSON"), "no JSON"),
        (UnknownType("x.y"), "unknown event type x.y"),
        (ValueError("a\0b\0"), "ValueError: ab"),
        (ValueError("\ud800"), "ValueError: ?"),
        (ValueError("password=hunter2 is wrong"), "ValueError: password=*** is wrong"),
        (ValueError(), "ValueError: "),
    ],
    ids=repr,
)
def test_an_error_is_described_without_what_cannot_be_stored_or_must_not_be_seen(error: Exception, notice: str) -> None:
    """A lone surrogate made PostgreSQL refuse the row: never parked, the message came again for ever."""
    assert describe(error) == notice


@given(st.text(max_size=3000))
def test_a_description_is_bounded_and_can_be_stored(text: str) -> None:
    notice = describe(ValueError(text))
    assert len(notice) <= ERROR_CHARACTERS
    assert "\0" not in notice
    assert notice.encode().decode() == notice


def test_a_registered_secret_is_not_in_the_description(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_secrets", {"swordfish"})
    assert describe(ValueError("the swordfish is out")) == "ValueError: the *** is out"
