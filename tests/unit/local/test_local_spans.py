"""The trace store is bounded, keeps a span once, and survives a restart and a damaged file."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as WireSpan

from signalbox_local import otlp_wire
from signalbox_local.spans import Span, SpanStore

ROOT = Span("a" * 32, "1" * 16, None, "root", "gateway", "server", 1000, 5000, {"n": 1}, {"code": "ok"}, [])


def span(trace: int, number: int, **changes: object) -> Span:
    return replace(ROOT, trace_id=f"{trace:032x}", span_id=f"{number:016x}", **changes)  # pyright: ignore[reportArgumentType]


def test_a_trace_is_read_back_by_start_time(tmp_path: Path) -> None:
    store = SpanStore(tmp_path / "traces.db")
    child = replace(ROOT, span_id="2" * 16, parent_span_id=ROOT.span_id, service="planner", start_ns=2000, name="child")
    store.add([child, ROOT])
    read = store.trace(ROOT.trace_id)
    assert [one["name"] for one in read] == ["root", "child"]
    assert read[1]["parent_span_id"] == ROOT.span_id
    assert read[0]["attributes"] == {"n": 1}
    assert store.latest(10) == [
        {"trace_id": ROOT.trace_id, "root": "root", "services": ["gateway", "planner"], "spans": 2, "start_ns": 1000,
         "duration_ns": 4000}
    ]  # fmt: skip
    store.close()


def test_a_span_sent_twice_is_kept_once(tmp_path: Path) -> None:
    store = SpanStore(tmp_path / "traces.db")
    store.add([ROOT])
    store.add([ROOT, ROOT])
    assert store.count() == 1
    store.close()


def test_the_oldest_traces_make_room(tmp_path: Path) -> None:
    store = SpanStore(tmp_path / "traces.db", max_spans=10)
    for trace in range(1, 8):
        store.add([span(trace, number) for number in (1, 2)])
    assert store.count() == 10
    assert store.trace(f"{1:032x}") == store.trace(f"{2:032x}") == []
    assert [one["trace_id"] for one in store.latest(2)] == [f"{7:032x}", f"{6:032x}"]
    store.close()


def test_a_trace_that_still_grows_is_not_old(tmp_path: Path) -> None:
    store = SpanStore(tmp_path / "traces.db", max_spans=3)
    store.add([span(1, 1), span(2, 1), span(3, 1)])
    store.add([span(1, 2)])
    assert [bool(store.trace(f"{trace:032x}")) for trace in (1, 2, 3)] == [True, False, True]
    store.close()


def test_more_spans_than_the_limit_in_one_request_stay_within_it(tmp_path: Path) -> None:
    store = SpanStore(tmp_path / "traces.db", max_spans=5)
    store.add([span(number, 1) for number in range(1, 50)])
    assert store.count() == 5
    store.add([span(99, number) for number in range(1, 50)])
    assert store.count() == 5
    store.close()


def test_large_attributes_count_by_their_bytes(tmp_path: Path) -> None:
    store = SpanStore(tmp_path / "traces.db", max_bytes=10_000)
    for trace in range(1, 11):
        store.add([span(trace, 1, attributes={"text": "x" * 2000})])
    assert store.count() == 4
    store.close()


def test_spans_and_limits_survive_a_restart(tmp_path: Path) -> None:
    store = SpanStore(tmp_path / "traces.db", max_spans=4)
    store.add([span(trace, 1) for trace in (1, 2, 3, 4)])
    store.close()
    again = SpanStore(tmp_path / "traces.db", max_spans=4)
    again.add([span(5, 1)])
    assert again.count() == 4
    assert again.trace(f"{1:032x}") == []
    again.close()


def test_a_damaged_file_is_put_aside_not_deleted(tmp_path: Path) -> None:
    (tmp_path / "traces.db").write_bytes(b"no database at all " * 100)
    store = SpanStore(tmp_path / "traces.db")
    store.add([ROOT])
    assert store.count() == 1
    assert (tmp_path / "traces.damaged").read_bytes().startswith(b"no database")
    store.close()


# ---------------------------------------------------------------------- the wire


def request(**fields: object) -> bytes:
    message = ExportTraceServiceRequest()
    resource = message.resource_spans.add()
    resource.resource.attributes.append(KeyValue(key="service.name", value=AnyValue(string_value="planner")))
    known = {"trace_id": b"\x01" * 16, "span_id": b"\x02" * 8, "name": "work", **fields}
    resource.scope_spans.add().spans.append(WireSpan(**known))  # pyright: ignore[reportArgumentType]
    return message.SerializeToString()


def test_a_wire_span_becomes_ours() -> None:
    (read,) = otlp_wire.parse(request(kind=WireSpan.SPAN_KIND_CONSUMER, start_time_unix_nano=5, end_time_unix_nano=9))
    assert (read.service, read.name, read.kind, read.start_ns, read.end_ns) == ("planner", "work", "consumer", 5, 9)
    assert (read.trace_id, read.span_id, read.parent_span_id) == ("01" * 16, "02" * 8, None)
    assert read.status == {"code": "unset", "message": ""}


@pytest.mark.parametrize(
    "fields", [{"trace_id": b"\x01"}, {"span_id": b""}, {"trace_id": b"\0" * 16}, {"span_id": b"\0" * 8}]
)
def test_a_span_without_proper_ids_is_refused_with_its_name(fields: dict[str, bytes]) -> None:
    with pytest.raises(ValueError, match="span 'work': a trace id has 16 bytes"):
        otlp_wire.parse(request(**fields))


def test_what_is_no_export_is_refused() -> None:
    with pytest.raises(ValueError, match="no OTLP trace export"):
        otlp_wire.parse(b"\xff\xff\xff")


def test_every_kind_of_attribute_can_be_written_as_json() -> None:
    deep = AnyValue(string_value="bottom")
    for _ in range(40):
        outer = AnyValue()
        outer.array_value.values.append(deep)
        deep = outer
    values = {
        "text": AnyValue(string_value="a"), "yes": AnyValue(bool_value=True), "whole": AnyValue(int_value=-7),
        "part": AnyValue(double_value=0.5), "nan": AnyValue(double_value=float("nan")), "none": AnyValue(),
        "bytes": AnyValue(bytes_value=b"\x00\xff"), "deep": deep,
    }  # fmt: skip
    (read,) = otlp_wire.parse(request(attributes=[KeyValue(key=key, value=value) for key, value in values.items()]))
    assert json.loads(json.dumps(read.attributes, allow_nan=False)) == read.attributes
    assert read.attributes["nan"] == "nan"
    assert read.attributes["bytes"] == "00ff"
    assert "nested too deeply" in json.dumps(read.attributes["deep"])


def test_times_beyond_what_the_file_can_hold_are_cut_not_refused() -> None:
    (read,) = otlp_wire.parse(request(start_time_unix_nano=2**64 - 1, end_time_unix_nano=2**64 - 1))
    assert read.start_ns == read.end_ns == 2**63 - 1
