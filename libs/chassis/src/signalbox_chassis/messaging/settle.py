"""Settles each message: done, retried, parked, or not for this service.

A batch is one transaction. If it fails for a reason that does not pass by itself, its messages are handled one by one,
so that only the one at fault is parked. Passing faults are waited out in place; after `retry_seconds` the batch is
given back to Kafka (`RetryLater`) and fetched again.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any

import prometheus_client
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, StatusCode
from prometheus_client import Histogram

from signalbox_chassis.messaging import inbox
from signalbox_chassis.messaging.dead_letters import DeadLetters
from signalbox_chassis.messaging.received import Received, Record, read
from signalbox_chassis.messaging.router import Router
from signalbox_chassis.messaging.transient import Failure, classify
from signalbox_chassis.observability import telemetry
from signalbox_chassis.observability.logs import log_context
from signalbox_chassis.observability.telemetry import Telemetry
from signalbox_chassis.persistence.database import Database, UnitOfWork
from signalbox_chassis.runtime import crash_points
from signalbox_chassis.runtime.backoff import backoff
from signalbox_contracts.trace import is_traceparent
from signalbox_contracts.wire import UnknownType

log = logging.getLogger(__name__)
_SETTLED = prometheus_client.Counter("signalbox_messages_total", "Messages settled", ["topic", "end"])
_BATCH = Histogram("signalbox_batch_messages", "Messages per transaction", buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500))
_SECONDS = Histogram("signalbox_batch_seconds", "Duration of a handled batch")
_WAITING = prometheus_client.Counter("signalbox_batch_waits_total", "Waits for a passing fault", ["failure"])


LARGE_BYTES = 16_384


class RetryLater(Exception):
    """The fault did not pass in time: nothing was committed, fetch these messages again."""


class StrayCancel(Exception):
    """A handler raised CancelledError although nobody cancelled it."""


class Settler:
    """Settles what one subscriber reads."""

    def __init__(
        self,
        database: Database,
        router: Router,
        dead_letters: DeadLetters,
        tracing: Telemetry,
        *,
        retry_seconds: float = 30.0,
        handler_timeout_seconds: float = 30.0,
        use_inbox: bool = True,
    ) -> None:
        self._database = database
        self._router = router
        self._dead_letters = dead_letters
        self._tracing = tracing
        self._retry_seconds = retry_seconds
        self._handler_timeout_seconds = handler_timeout_seconds
        self._use_inbox = use_inbox
        self.settling = False
        """Whether a batch is being settled now: then "nothing left to fetch" does not mean idle."""
        self.progress_at = time.monotonic()
        """When something last moved or was knowingly waited for, on the monotonic clock; the watchdog reads it."""

    async def settle(self, records: Sequence[Record]) -> None:
        """Bring every record to one of its ends; raises `RetryLater` when a fault lasts."""
        self.settling = True
        try:
            known = await self._read(records)
            if known:
                with self._spans(known):
                    await self._settle_known(known)
        finally:
            self.settling = False
        self.progress_at = time.monotonic()

    async def _read(self, records: Sequence[Record]) -> list[Received[Any]]:
        """Decode; park what cannot be read, count what is not for us."""
        known: list[Received[Any]] = []
        for record in records:
            if len(record.value or b"") > LARGE_BYTES:
                await asyncio.sleep(0)  # a batch of large pages takes seconds to decode: others get their turn between
            try:
                event = read(record)
                is_handled = self._router.handles(event)
            except Exception as unreadable:  # whatever reading raises is the record's own fault
                if isinstance(unreadable, UnknownType) and record.topic.unknown == "skip":
                    _SETTLED.labels(record.topic.name, "unknown").inc()
                    continue
                fault = unreadable
                await self._with_retries(lambda record=record, error=fault: self._park(record, None, error))
            else:
                if is_handled:
                    known.append(Received(event, record, trace_of(record, event.traceparent, event.tracestate)))
                else:
                    _SETTLED.labels(record.topic.name, "not_for_us").inc()
        return known

    async def _settle_known(self, batch: list[Received[Any]]) -> None:
        try:
            await self._with_retries(lambda: self._apply(batch), slow_is_passing=len(batch) == 1)
        except RetryLater:
            raise
        except Exception as error:
            if len(batch) == 1:
                fault = error
                await self._with_retries(lambda: self._park(batch[0].record, batch[0], fault))
                return
            log.warning("batch of %d failed, handling one by one: %r", len(batch), error)
            for received in batch:
                await self._settle_known([received])

    async def _apply(self, batch: list[Received[Any]]) -> None:
        """One transaction: inbox rows, effects, outbox rows."""
        started = time.monotonic()
        ids = {"event_id": batch[0].id, "event_type": batch[0].event.type} if len(batch) == 1 else {}
        async with asyncio.timeout(self._handler_timeout_seconds):
            with log_context(**ids):
                async with self._database.unit_of_work() as work:
                    new = await inbox.unhandled(work.connection, batch) if self._use_inbox else batch
                    if new:
                        await self._handle(work, new)
                    if len(new) < len(batch):
                        first = {id(received) for received in new}
                        await self._router.handle_repeated(work, [one for one in batch if id(one) not in first])
        crash_points.point("settle.applied")
        _BATCH.observe(len(batch))
        _SECONDS.observe(time.monotonic() - started)
        for topic, count in Counter(received.record.topic.name for received in batch).items():
            _SETTLED.labels(topic, "done").inc(count)
        if len(new) < len(batch):
            _SETTLED.labels(batch[0].record.topic.name, "repeated").inc(len(batch) - len(new))

    async def _handle(self, work: UnitOfWork, batch: Sequence[Received[Any]]) -> None:
        try:
            await self._router.handle(work, batch)
        except asyncio.CancelledError as stray:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            # nobody cancelled us: FastStream would end its loop for good and say nothing
            raise StrayCancel("a handler let a cancellation of something else escape") from stray

    async def _park(self, record: Record, received: Received[Any] | None, error: BaseException) -> None:
        async with self._database.unit_of_work() as work:
            await self._dead_letters.park(work, record, received, error)
        _SETTLED.labels(record.topic.name, "parked").inc()

    async def _with_retries(self, attempt: Callable[[], Awaitable[None]], *, slow_is_passing: bool = True) -> None:
        """Repeat while the fault is a passing one; raise `RetryLater` when it lasts, or the lasting error itself.

        A time limit (`Failure.SLOW`) that keeps striking although PostgreSQL answers is the message's own fault.
        """
        give_up_at, failures = time.monotonic() + self._retry_seconds, 0
        while True:
            try:
                await attempt()
                # after each attempt, not each batch: a long batch settled one by one must not look like standing still
                self.progress_at = time.monotonic()
                return
            except Exception as error:
                failure = classify(error)
                if failure is Failure.LASTING:
                    raise
                healthy = failure is Failure.SLOW and await self._database_answers()
                if healthy and not slow_is_passing:
                    raise
                if time.monotonic() > give_up_at:
                    if healthy:
                        raise
                    raise RetryLater(repr(error)) from error
                _WAITING.labels(failure.name).inc()
                log.warning("waiting for a passing fault: %r", error)
                self.progress_at = time.monotonic()
                await asyncio.sleep(backoff(failures, first_seconds=0.05, max_seconds=5.0))
                failures += 1

    async def _database_answers(self) -> bool:
        try:
            async with asyncio.timeout(3):
                await self._database.ping()
        except Exception:
            return False
        return True

    @contextmanager
    def _spans(self, batch: Sequence[Received[Any]]) -> Generator[None]:
        """A `process` span for each message, child of its sender's; the first is current while the batch runs."""
        if not self._tracing.recording:
            yield
            return
        spans = [self._start_span(received) for received in batch]
        token = otel_context.attach(trace.set_span_in_context(spans[0]))
        try:
            yield
        except BaseException as error:
            for span in spans:
                span.set_status(StatusCode.ERROR, type(error).__name__)
            raise
        finally:
            otel_context.detach(token)
            for span in spans:
                span.end()

    def _start_span(self, received: Received[Any]) -> Span:
        span = self._tracing.tracer.start_span(
            f"process {received.event.type}",
            context=telemetry.extract(received.trace),
            kind=SpanKind.CONSUMER,
            attributes={
                "messaging.destination.name": received.record.topic.name,
                "messaging.kafka.offset": received.record.offset,
                "cloudevents.event_id": received.id,
                "cloudevents.event_subject": received.event.subject,
            },
        )
        received.trace = telemetry.headers_of(span)
        return span


def trace_of(record: Record, traceparent: str | None, tracestate: str | None) -> dict[str, str]:
    """The sender's trace context: the hop's own (headers) before the event's origin (body)."""
    hop = {n: v.decode("ascii", "replace") for n, v in record.headers if n in telemetry.TRACE_HEADERS and v}
    if not is_traceparent(hop.get("traceparent", "")):
        if not traceparent:
            return {}
        hop = {"traceparent": traceparent, "tracestate": tracestate or ""}
    # anybody may have written these: what is passed on is bounded (512: W3C trace context, section 3.3.1.5) and text
    sizes = {"traceparent": 128, "tracestate": 512}
    trace = {name: text for name, text in hop.items() if 0 < len(text) <= sizes[name] and text.isprintable()}
    return trace if "traceparent" in trace else {}
