"""Messages leave through a table: rows written in the transaction of their cause, sent by the relay afterwards."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from prometheus_client import Counter

from signalbox_chassis import telemetry
from signalbox_chassis.connection import Connection
from signalbox_chassis.received import Received
from signalbox_contracts.envelope import Event
from signalbox_contracts.topics import Topic
from signalbox_contracts.wire import encode

_WRITTEN = Counter("signalbox_outbox_written_total", "Messages written to the outbox", ["topic"])
_COLUMNS = ("topic", "key", "headers", "value")


@dataclass(frozen=True)
class OutboxRow:
    """One message to send. `topic` is without the prefix; `headers` are text."""

    topic: str
    key: bytes
    headers: tuple[tuple[str, str], ...]
    value: bytes | None


def outbox_row(event: Event[Any], cause: Received[Any] | None, topic: Topic | None = None) -> OutboxRow:
    """Encode now, so that a message that is too large fails in the handler that made it.

    The trace context is the cause's, else the present one: the relay has neither.
    """
    encoded = encode(event, topic=topic)
    trace = dict(cause.trace) if cause else telemetry.inject()
    headers = [(name, value.decode()) for name, value in encoded.headers if name not in telemetry.TRACE_HEADERS]
    return OutboxRow(encoded.topic.name, encoded.key, (*headers, *trace.items()), encoded.value)


async def write(connection: Connection, rows: Sequence[OutboxRow]) -> None:
    """Add rows in one statement (binary COPY), in order."""
    if not rows:
        return
    records = [(row.topic, row.key, json.dumps(row.headers), row.value) for row in rows]
    await connection.copy_records_to_table("outbox", records=records, columns=_COLUMNS)
    for row in rows:
        _WRITTEN.labels(row.topic).inc()
