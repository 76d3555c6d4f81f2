"""Records and events: what is encoded, what is refused, and that a refusal never repeats a body."""

import base64
import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from signalbox_contracts.messages.definitions import DefinitionTombstone
from signalbox_contracts.messages.requests import PlanOperationData, PlanPause
from signalbox_contracts.messages.states import OperationResult, OperationResultData, Outcome
from signalbox_contracts.messages.triggers import TriggerEvent
from signalbox_contracts.samples import samples
from signalbox_contracts.states import PlanState
from signalbox_contracts.topics import TOPICS, topic, topic_of
from signalbox_contracts.wire import MAX_MESSAGE_BYTES, MessageTooLarge, Undecodable, UnknownType, decode, encode

PLAN = UUID("0195e1a0-7c00-7000-8000-000000000001")
NOW = datetime(2026, 3, 29, 0, 0, 7, tzinfo=UTC)
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
PAUSE = PlanPause.of(
    PlanOperationData(plan_id=PLAN, operation_id=PLAN, actor="user:ann"),
    subject=PLAN,
    source="signalbox/api-gateway",
    time=NOW,
    id="1",
    traceparent=TRACE,
)
REQUESTS = topic("requests.v1")
TRIGGERS = topic("triggers.v1")
MINIMAL = {"specversion": "1.0", "id": "1", "source": "/s", "type": "any.type", "time": "2026-03-29T00:00:07Z"}


def as_bytes(**changes: Any) -> bytes:
    document = json.loads(encode(PAUSE).value or b"")
    return json.dumps({**document, **changes}).encode()


def test_a_record_has_the_key_the_headers_and_no_empty_attributes() -> None:
    record = encode(PAUSE)
    assert record.topic is REQUESTS
    assert record.key == str(PLAN).encode()
    assert dict(record.headers) == {
        "content-type": b"application/cloudevents+json; charset=UTF-8",
        "ce_id": b"1",
        "ce_type": b"signalbox.plan.pause.v1",
        "ce_source": b"signalbox/api-gateway",
        "ce_time": b"2026-03-29T00:00:07+00:00",
        "traceparent": TRACE.encode(),
    }
    assert record.value is not None
    assert b"null" not in record.value


@pytest.mark.parametrize("sample", samples(), ids=lambda sample: f"{sample.event.type}-{sample.case}")
def test_every_sample_is_read_as_it_was_written(sample: Any) -> None:
    record = encode(sample.event)
    assert decode(record.topic, record.value, key=record.key, headers=record.headers) == sample.event


def test_a_message_over_the_cap_is_refused_before_it_is_sent() -> None:
    data = OperationResultData(
        operation_id=PLAN, target="a:b", operation="x", outcome=Outcome.DONE, details="x" * MAX_MESSAGE_BYTES
    )
    event = OperationResult.of(data, subject="a:b", source="s", time=NOW, id="1")
    with pytest.raises(MessageTooLarge, match=str(MAX_MESSAGE_BYTES)):
        encode(event)
    with pytest.raises(Undecodable, match="at most"):
        decode(topic("states.v1"), event.model_dump_json().encode())


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", "Invalid JSON"),
        (b"{", "Invalid JSON"),
        (b"\xff\xfe", "Invalid JSON"),
        (b"[" * 100_000, "recursion"),
        (b"[]", "object"),
        (b"null", "object"),
        (b"{}", "type"),
        (as_bytes(type=7), "type"),
        (as_bytes(specversion="2.0"), "specversion"),
        (as_bytes(time="yesterday"), "time"),
        (as_bytes(time="2026-03-29T00:00:07"), "timezone"),
        (as_bytes(subject=None), "subject"),
        (as_bytes(data={}), "data.plan_id"),
        (as_bytes(data="text"), "data"),
        (as_bytes(id="a\x00b"), "NUL"),
        (None, "not compacted"),
    ],
)
def test_what_is_not_a_message_is_undecodable_with_the_reason(value: bytes | None, reason: str) -> None:
    with pytest.raises(Undecodable, match=reason):
        decode(REQUESTS, value)


def test_a_backslash_before_u0000_is_text_and_not_a_nul() -> None:
    """PostgreSQL cannot store NUL, but a Windows path or a regular expression in a reason is fine."""
    value = as_bytes(tracestate="C:\\u0000")
    assert b"\\\\u0000" in value
    assert decode(REQUESTS, value).tracestate == "C:\\u0000"


def test_a_refusal_is_short_and_never_repeats_the_body() -> None:
    secret = "hunter2" * 10_000
    for value in (as_bytes(data={"actor": secret, "plan_id": secret}), as_bytes(time=secret), secret.encode()):
        with pytest.raises(Undecodable) as refused:
            decode(REQUESTS, value)
        assert len(str(refused.value)) <= 2000
        assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("place", [place for place in TOPICS if place.kind != "external"], ids=lambda place: place.name)
def test_an_unknown_type_is_distinguished_from_poison_on_every_topic(place: Any) -> None:
    with pytest.raises(UnknownType) as unknown:
        decode(place, as_bytes(type="signalbox.from.the_future.v1"))
    assert unknown.value.type == "signalbox.from.the_future.v1"


def test_a_message_on_the_wrong_topic_is_an_unknown_type_there() -> None:
    with pytest.raises(UnknownType):
        decode(topic("plans.v1"), as_bytes())


def test_fields_of_a_newer_writer_are_skipped() -> None:
    document = json.loads(as_bytes(newattribute="x"))
    document["data"]["new_field"] = {"a": 1}
    assert decode(REQUESTS, json.dumps(document).encode()) == PAUSE


def test_an_unknown_state_of_a_newer_writer_is_read_as_other() -> None:
    plan = next(sample.event for sample in samples() if sample.event.type == "signalbox.plan.state.v1")
    value = (encode(plan).value or b"").replace(b'"RUNNING"', b'"LEVITATING"')
    assert decode(topic("plans.v1"), value).data.state is PlanState.OTHER


def test_a_definition_of_a_kind_we_do_not_know_is_skipped_and_not_poison() -> None:
    snapshot = next(sample.event for sample in samples() if sample.event.type == "signalbox.definition.snapshot.v1")
    value = (encode(snapshot).value or b"").replace(b'"kind":"engine"', b'"kind":"teapot"')
    with pytest.raises(UnknownType, match="teapot"):
        decode(topic("definitions.v1"), value)


def test_no_value_on_the_compacted_topic_is_a_tombstone_with_a_stable_id() -> None:
    definitions = topic("definitions.v1")
    gone = decode(definitions, None, key=b"engine:oozie-prod", record_time=NOW)
    assert isinstance(gone, DefinitionTombstone)
    assert (gone.data.kind, gone.data.id, gone.time) == ("engine", "oozie-prod", NOW)
    assert gone == decode(definitions, None, key=b"engine:oozie-prod", record_time=NOW)
    record = encode(gone)
    assert (record.key, record.value, record.topic) == (b"engine:oozie-prod", None, definitions)


@pytest.mark.parametrize("key", [None, b"", b"engine", b":x", b"engine:", b"\xff:x", b"a b:c"])
def test_a_tombstone_needs_a_key_of_kind_and_id(key: bytes | None) -> None:
    with pytest.raises(Undecodable, match="tombstone"):
        decode(topic("definitions.v1"), None, key=key)


def read_outside(value: bytes, *headers: tuple[str, bytes | None], record_time: datetime | None = None) -> TriggerEvent:
    event = decode(TRIGGERS, value, headers=headers, record_time=record_time)
    assert isinstance(event, TriggerEvent)
    return event


def test_an_outside_event_in_structured_mode_may_have_any_type_and_data() -> None:
    problem = {**MINIMAL, "data": [1, None, {"a": "b"}], "vendorextension": "x"}
    event = read_outside(json.dumps(problem).encode(), ("content-type", b"application/cloudevents+json"))
    assert (event.type, event.data, event.key, event.subject) == ("any.type", [1, None, {"a": "b"}], "/s", "")


def test_an_outside_event_without_headers_is_read_as_structured_so_that_kcat_works() -> None:
    assert read_outside(json.dumps(MINIMAL).encode()).id == "1"


BINARY = tuple((f"ce_{name}", value.encode()) for name, value in MINIMAL.items())


@pytest.mark.parametrize(
    ("content_type", "value", "data", "data_base64"),
    [
        (b"application/json", b'{"a":1}', {"a": 1}, None),
        (b"application/vnd.x+json; charset=utf-8", b"[1]", [1], None),
        (None, b'"x"', "x", None),
        (b"text/plain", "grüß".encode(), "grüß", None),
        (b"application/avro", b"\x00\xff", None, base64.b64encode(b"\x00\xff").decode()),
        (b"application/json", b"", None, None),
    ],
)
def test_an_outside_event_in_binary_mode(
    content_type: bytes | None, value: bytes, data: object, data_base64: str | None
) -> None:
    headers = BINARY if content_type is None else (*BINARY, ("Content-Type", content_type))
    event = read_outside(value, *headers)
    assert (event.id, event.source, event.data, event.data_base64) == ("1", "/s", data, data_base64)


def test_an_event_without_a_time_takes_the_records_own_so_that_a_redelivery_reads_the_same() -> None:
    timeless = json.dumps({name: value for name, value in MINIMAL.items() if name != "time"}).encode()
    assert read_outside(timeless, record_time=NOW).time == NOW
    with pytest.raises(Undecodable, match="time"):
        read_outside(timeless)


@pytest.mark.parametrize(
    ("value", "headers"),
    [
        (b"{}", ()),
        (b"[1]", ()),
        (b"not json", BINARY),
        (b"\xff", (("ce_specversion", b"1.0"), ("content-type", b"text/plain"))),
        (b"{}", (("ce_specversion", b"\xff"),)),
        (json.dumps({**MINIMAL, "id": ""}).encode(), ()),
        (json.dumps({**MINIMAL, "source": None}).encode(), ()),
        (json.dumps({**MINIMAL, "specversion": "0.3"}).encode(), ()),
        (b'{"id": NaN}', ()),
        (json.dumps(MINIMAL).replace("}", ', "data": {"a": [1e400]}}').encode(), ()),
        (b"[-1e999]", BINARY),
        (b"zero\0", (*BINARY, ("content-type", b"text/plain"))),
        (b"{}", (*BINARY, ("ce_subject", b"zero\0"))),
    ],
)
def test_what_is_not_a_cloudevent_is_undecodable(value: bytes, headers: tuple[tuple[str, bytes], ...]) -> None:
    with pytest.raises(Undecodable):
        read_outside(value, *headers, record_time=NOW)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"\x00\x00\x00\x01", None])
def test_headers_of_a_producers_own_libraries_are_not_looked_at(content: bytes | None) -> None:
    """Retries, traces and schemas are counted in bytes there: such an event was parked."""
    own = ("kafka_deliveryAttempt", content)
    assert read_outside(json.dumps(MINIMAL).encode(), own).id == "1"
    assert read_outside(b"{}", *BINARY, own).id == "1"


def test_a_source_may_have_a_topic_of_its_own() -> None:
    own = topic("triggers.v1.stores-eu")
    event = decode(own, json.dumps(MINIMAL).encode())
    assert encode(event, topic=own).topic.full_name() == "signalbox.triggers.v1.stores-eu"
    assert encode(event).topic is topic_of(TriggerEvent)
