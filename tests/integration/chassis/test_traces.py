"""One trace from a person's click to the last service, across processes, outbox, Kafka and batches."""

import json
import urllib.request
from typing import Any, cast
from urllib.error import HTTPError

from opentelemetry.trace import format_trace_id

from signalbox_chassis.messaging.outbox import unpack_headers
from signalbox_chassis.observability.telemetry import Telemetry
from signalbox_local.otlp import OtlpReceiver
from support.service_fixture import Stand, commands, until


def spans_of(otlp: OtlpReceiver, trace_id: str) -> list[dict[str, Any]]:
    try:
        with urllib.request.urlopen(f"{otlp.endpoint}/traces/{trace_id}", timeout=5) as answer:
            body = json.load(answer)
    except HTTPError as none_yet:
        if none_yet.code == 404:
            return []
        raise
    return cast("list[dict[str, Any]]", body)


async def test_a_trace_stays_one_through_outbox_kafka_batch_handler_outbox_and_kafka(
    stand: Stand, otlp: OtlpReceiver
) -> None:
    """The begin is this process, relay and handler are another; the last hop is the facts subscriber."""
    click = Telemetry("click", otlp_endpoint=otlp.endpoint)
    stand.otlp_endpoint = otlp.endpoint
    stand.spawn()
    with click.tracer.start_as_current_span("click") as root:
        await stand.accept(commands(3, 1))
    click.stop()
    trace_id = format_trace_id(root.get_span_context().trace_id)
    await stand.publish(commands(2, 30, first=100))  # the batch holds other messages as well, of no trace

    async def complete() -> bool:
        return len(spans_of(otlp, trace_id)) >= 13

    await until(complete, seconds=30, why="13 spans")
    spans = spans_of(otlp, trace_id)
    by_id = {span["span_id"]: span for span in spans}
    chains = sorted(chain(by_id, span) for span in spans if span["name"] == "process signalbox.counter.state.v1")
    assert (
        chains
        == [
            [
                ("click", "click"),
                ("send counter-commands.v1", "example"),
                ("process signalbox.counter.add.v1", "example"),
                ("send counters.v1", "example"),
                ("process signalbox.counter.state.v1", "example"),
            ]
        ]
        * 3
    )
    assert len(spans) == 13, "one root, and four spans for each of the three commands: nothing else, nothing twice"


def chain(by_id: dict[str, dict[str, Any]], span: dict[str, Any]) -> list[tuple[str, str]]:
    """(name, service) from the root down to this span."""
    parent = by_id.get(span["parent_span_id"] or "")
    return [*(chain(by_id, parent) if parent else []), (span["name"], span["service"])]


async def test_without_a_receiver_a_callers_trace_still_travels_on_unchanged(stand: Stand) -> None:
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    event = commands(1, 1)[0].model_copy(update={"traceparent": traceparent})
    async with stand.running():
        await stand.publish([event])
        await stand.until_entries(1)
        await stand.until_sent()
    rows = await stand.rows("SELECT headers FROM outbox")
    assert ("traceparent", traceparent.encode()) in unpack_headers(rows[0]["headers"])
