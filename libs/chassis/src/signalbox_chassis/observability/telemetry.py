"""Traces: W3C context through outbox, headers and batches; spans exported by OTLP when an address is configured.

Without an address nothing is recorded, yet a caller's `traceparent` still travels on unchanged.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

_propagator = TraceContextTextMapPropagator()
TRACE_HEADERS = ("traceparent", "tracestate")


class Telemetry:
    """The tracer of one process. `recording` is False when no address was given."""

    def __init__(self, service: str, *, otlp_endpoint: str = "", ratio: float = 1.0) -> None:
        self.recording = bool(otlp_endpoint)
        self._provider = _provider(service, otlp_endpoint, ratio) if otlp_endpoint else None
        self.tracer = trace.get_tracer("signalbox", tracer_provider=self._provider or trace.NoOpTracerProvider())

    def stop(self) -> None:
        """Send what is left, waiting 5 s at most. Twice is harmless."""
        provider, self._provider = self._provider, None
        if provider:
            provider.force_flush(5_000)
            provider.shutdown()


def _provider(service: str, otlp_endpoint: str, ratio: float) -> "TracerProvider":
    # imported here: a process that records nothing starts sooner without them
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

    provider = TracerProvider(
        resource=Resource.create({"service.name": service}), sampler=ParentBased(TraceIdRatioBased(ratio))
    )
    exporter = OTLPSpanExporter(endpoint=f"{otlp_endpoint.rstrip('/')}/v1/traces", timeout=5)
    provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=20_000))
    return provider


def extract(headers: Mapping[str, str]) -> Context:
    """The context of the sender; an empty one when there is none or it is malformed."""
    return _propagator.extract(headers, context=Context())


def inject(context: Context | None = None) -> dict[str, str]:
    """`traceparent` (and `tracestate`) of a context, or of the present one."""
    carrier: dict[str, str] = {}
    _propagator.inject(carrier, context=context)
    return carrier


def headers_of(span: Span) -> dict[str, str]:
    return inject(trace.set_span_in_context(span, Context()))
