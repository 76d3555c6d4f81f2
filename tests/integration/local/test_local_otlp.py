"""The trace receiver as a process, spoken to by the real exporter and by clients that mean it no good."""

import gzip
import http.client
import json
import os
import socket
from collections.abc import Generator
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import pytest
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from signalbox_local.otlp import OtlpReceiver
from signalbox_local.receiver import MAX_BODY_BYTES, MAX_CONNECTIONS

PROTOBUF = {"Content-Type": "application/x-protobuf"}


@pytest.fixture
def receiver(place: Path) -> Generator[OtlpReceiver]:
    receiver = OtlpReceiver(place).start()
    yield receiver
    receiver.stop()


def call(
    receiver: OtlpReceiver, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, object]:
    connection = http.client.HTTPConnection("127.0.0.1", urlsplit(receiver.endpoint).port or 0, timeout=10)
    try:
        connection.request(method, path, body, {name.replace("_", "-"): text for name, text in headers.items()})
        answer = connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if answer.headers.get_content_type() == "application/json" else text
    finally:
        connection.close()


def rows(answer: object) -> list[dict[str, Any]]:
    assert isinstance(answer, list)
    return cast(list[dict[str, Any]], answer)


def send_trace(receiver: OtlpReceiver, compression: Compression) -> str:
    provider = TracerProvider(resource=Resource.create({"service.name": "planner"}), shutdown_on_exit=False)
    exporter = OTLPSpanExporter(f"{receiver.endpoint}/v1/traces", compression=compression)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("test")
    with tracer.start_as_current_span("plan", kind=trace.SpanKind.SERVER) as root:
        with tracer.start_as_current_span("claim", attributes={"task": "t1", "try": 2}) as child:
            child.add_event("claimed", {"worker": "w1"})
            child.set_status(trace.StatusCode.ERROR, "engine is away")
        trace_id = f"{root.get_span_context().trace_id:032x}"
    provider.shutdown()
    return trace_id


@pytest.mark.parametrize("compression", [Compression.NoCompression, Compression.Gzip])
def test_what_the_real_exporter_sends_can_be_read(receiver: OtlpReceiver, compression: Compression) -> None:
    trace_id = send_trace(receiver, compression)
    status, spans = call(receiver, "GET", f"/traces/{trace_id}")
    assert status == 200
    root, child = rows(spans)
    assert (root["name"], root["kind"], root["parent_span_id"], root["service"]) == ("plan", "server", None, "planner")
    assert child["parent_span_id"] == root["span_id"]
    assert child["attributes"] == {"task": "t1", "try": 2}
    assert child["status"] == {"code": "error", "message": "engine is away"}
    assert child["events"][0]["name"] == "claimed"
    assert root["start_ns"] <= child["start_ns"] <= child["end_ns"] <= root["end_ns"]
    status, listed = call(receiver, "GET", "/traces?limit=1")
    (newest,) = rows(listed)
    assert (newest["trace_id"], newest["root"], newest["services"]) == (trace_id, "plan", ["planner"])


def test_spans_survive_a_kill(receiver: OtlpReceiver) -> None:
    trace_id = send_trace(receiver, Compression.NoCompression)
    receiver.kill()
    receiver.start()
    status, spans = call(receiver, "GET", f"/traces/{trace_id}")
    assert (status, len(rows(spans))) == (200, 2)


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status"),
    [
        ("POST", "/v1/traces", b"\xff\xff", PROTOBUF, 400),
        ("POST", "/v1/traces", b"no gzip", {**PROTOBUF, "Content-Encoding": "gzip"}, 400),
        ("POST", "/v1/traces", gzip.compress(b"x" * 100, mtime=0)[:-9], {**PROTOBUF, "Content-Encoding": "gzip"}, 400),
        ("POST", "/v1/traces", b"{}", {"Content-Type": "application/json"}, 415),
        ("POST", "/v1/traces", b"", {**PROTOBUF, "Content-Encoding": "br"}, 415),
        ("POST", "/v1/metrics", b"", PROTOBUF, 404),
        ("GET", "/traces/" + "0" * 32, None, {}, 404),
        ("GET", "/traces?limit=0", None, {}, 400),
        ("GET", "/traces?limit=1001", None, {}, 400),
        ("GET", "/traces?limit=x", None, {}, 400),
        ("GET", "/nothing", None, {}, 404),
    ],
)
def test_a_bad_request_is_answered_with_the_reason(
    receiver: OtlpReceiver, method: str, path: str, body: bytes | None, headers: dict[str, str], status: int
) -> None:
    found, answer = call(receiver, method, path, body, **headers)
    assert found == status
    assert isinstance(answer, dict)
    assert answer["error"]
    assert receiver.healthy()


def test_what_is_too_large_is_refused_before_it_is_read(receiver: OtlpReceiver) -> None:
    with socket.create_connection(("127.0.0.1", receiver.port), 10) as client:
        client.sendall(
            b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n"
            b"Content-Length: %d\r\n\r\n" % (MAX_BODY_BYTES + 1)
        )
        assert client.recv(100).startswith(b"HTTP/1.1 413 ")


def test_a_small_body_that_unpacks_to_a_huge_one_is_refused(receiver: OtlpReceiver) -> None:
    """Without the limit while unpacking, 64 KiB could take gigabytes of memory."""
    bomb = gzip.compress(bytes(64 * 1024 * 1024))
    assert len(bomb) < 100_000
    status, _ = call(receiver, "POST", "/v1/traces", bomb, **PROTOBUF, Content_Encoding="gzip")
    assert status == 413
    peak = Path(f"/proc/{receiver.pid}/status").read_text().partition("VmHWM:")[2].split()[0]
    assert int(peak) < 120_000  # KiB


def test_more_connections_than_it_takes_are_closed_and_it_lives_on(receiver: OtlpReceiver) -> None:
    clients = [socket.create_connection(("127.0.0.1", receiver.port), 10) for _ in range(MAX_CONNECTIONS + 20)]
    try:
        closed = 0
        for client in clients[MAX_CONNECTIONS:]:
            client.settimeout(5)
            closed += client.recv(1) == b""
        assert closed == 20
        threads = len(os.listdir(f"/proc/{receiver.pid}/task"))  # noqa: PTH208
        assert threads <= MAX_CONNECTIONS + 4
    finally:
        for client in clients:
            client.close()
    receiver.wait_ready()
