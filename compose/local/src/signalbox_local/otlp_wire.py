"""OTLP's protobuf messages as our spans."""

import math
from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as WireSpan
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from signalbox_local.spans import Span

PROTOBUF = "application/x-protobuf"
ACCEPTED = ExportTraceServiceResponse().SerializeToString()
MAX_DEPTH = 16
MAX_INTEGER = 2**63 - 1


def parse(body: bytes) -> list[Span]:
    """The spans of an export request. Raises ValueError with the reason when it is not one."""
    request = ExportTraceServiceRequest()
    try:
        request.ParseFromString(body)
    except (DecodeError, RecursionError) as error:
        raise ValueError(f"the body is no OTLP trace export: {error}") from error
    spans: list[Span] = []
    for resource in request.resource_spans:
        service = str(attributes(resource.resource.attributes).get("service.name", "unknown"))
        for scope in resource.scope_spans:
            spans += [_span(span, service) for span in scope.spans]
    return spans


def _span(span: WireSpan, service: str) -> Span:
    if len(span.trace_id) != 16 or len(span.span_id) != 8 or not any(span.trace_id) or not any(span.span_id):
        raise ValueError(
            f"span {span.name!r}: a trace id has 16 bytes and a span id 8, not all zero; "
            f"these have {len(span.trace_id)} and {len(span.span_id)}"
        )
    return Span(
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_span_id=span.parent_span_id.hex() or None,
        name=span.name,
        service=service,
        kind=_name(WireSpan.SpanKind.Name, span.kind, "SPAN_KIND_"),
        start_ns=min(span.start_time_unix_nano, MAX_INTEGER),  # unsigned on the wire, signed in SQLite
        end_ns=min(span.end_time_unix_nano, MAX_INTEGER),
        attributes=attributes(span.attributes),
        status={
            "code": _name(Status.StatusCode.Name, span.status.code, "STATUS_CODE_"),
            "message": span.status.message,
        },
        events=[
            {"name": event.name, "time_ns": event.time_unix_nano, "attributes": attributes(event.attributes)}
            for event in span.events
        ],
    )


def _name(name_of: Any, number: int, prefix: str) -> str:
    """An enum's word in lower case, or its number when it is newer than we are."""
    try:
        return str(name_of(number)).removeprefix(prefix).lower()
    except ValueError:
        return str(number)


def attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: _value(pair.value, 0) for pair in pairs if isinstance(pair, KeyValue)}


def _value(value: AnyValue, depth: int) -> Any:
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    if depth >= MAX_DEPTH:
        return "(nested too deeply)"
    if kind == "array_value":
        return [_value(one, depth + 1) for one in value.array_value.values]
    if kind == "kvlist_value":
        return {pair.key: _value(pair.value, depth + 1) for pair in value.kvlist_value.values}
    if kind == "bytes_value":
        return value.bytes_value.hex()
    if kind == "double_value" and not math.isfinite(value.double_value):
        return str(value.double_value)  # JSON has no word for it
    return getattr(value, kind)
