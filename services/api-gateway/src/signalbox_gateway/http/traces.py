"""The trace of a request: the caller's own goes on, else one begins; every answer names it."""

from collections.abc import MutableMapping
from contextvars import ContextVar
from typing import Any, Final

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, TraceFlags, Tracer

from signalbox_chassis.observability import telemetry
from signalbox_contracts.trace import is_traceparent

_ids = RandomIdGenerator()
_current: ContextVar[str] = ContextVar("trace_id", default="0" * 32)
_UNTRACED: Final = frozenset({"/healthz"})
Scope = MutableMapping[str, Any]


def current_trace_id() -> str:
    """The id of the trace of the request being answered."""
    return _current.get()


class Traced:
    """ASGI middleware: one server span a request, its context the one messages are sent with."""

    def __init__(self, app: Any, tracer: Tracer) -> None:
        self.app = app
        self.tracer = tracer

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["path"] in _UNTRACED:
            await self.app(scope, receive, send)
            return
        span = self.tracer.start_span(
            f"{scope['method']} {scope['path']}", context=_caller(scope), kind=SpanKind.SERVER,
            attributes={"http.request.method": scope["method"], "url.path": scope["path"]},
        )  # fmt: skip
        if not span.get_span_context().is_valid:
            span = _unrecorded(scope)
        trace_id = trace.format_trace_id(span.get_span_context().trace_id)

        async def answer(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                headers = message.setdefault("headers", [])
                headers.append((b"x-trace-id", trace_id.encode()))
                span.set_attribute("http.response.status_code", message["status"])
                route = scope.get("route")
                if route is not None:
                    span.update_name(f"{scope['method']} {route.path}")
            await send(message)

        token = otel_context.attach(trace.set_span_in_context(span, otel_context.Context()))
        before = _current.set(trace_id)
        try:
            await self.app(scope, receive, answer)
        finally:
            _current.reset(before)
            otel_context.detach(token)
            span.end()


def _caller(scope: Scope) -> Any:
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    parent = headers.get("traceparent", "")
    if not is_traceparent(parent):
        return otel_context.Context()
    return telemetry.extract({name: headers[name] for name in telemetry.TRACE_HEADERS if name in headers})


def _unrecorded(scope: Scope) -> NonRecordingSpan:
    """Without an exporter a trace still has an id, which travels on: the caller's, or a fresh one."""
    given = trace.get_current_span(_caller(scope)).get_span_context()
    if given.is_valid:
        return NonRecordingSpan(given)
    context = SpanContext(_ids.generate_trace_id(), _ids.generate_span_id(), False, TraceFlags(TraceFlags.DEFAULT))
    return NonRecordingSpan(context)
