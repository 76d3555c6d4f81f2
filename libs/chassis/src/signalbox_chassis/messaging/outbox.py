"""Messages leave through a table: rows written in the transaction of their cause, sent by the relay afterwards."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import prometheus_client

from signalbox_chassis.messaging.received import Received
from signalbox_chassis.observability import telemetry
from signalbox_chassis.persistence.connection import Connection
from signalbox_contracts.envelope import Event
from signalbox_contracts.topics import Topic
from signalbox_contracts.wire import encode

_WRITTEN = prometheus_client.Counter("signalbox_outbox_written_total", "Messages written to the outbox", ["topic"])


class OutboxRow(NamedTuple):
    """One message to send. `topic` is without the prefix; `headers` as `pack_headers` makes them."""

    topic: str
    key: bytes
    headers: bytes
    value: bytes | None


def outbox_row(event: Event[Any], cause: Received[Any] | None, topic: Topic | None = None) -> OutboxRow:
    """Encode now, so that a message that is too large fails in the handler that made it.

    The trace context is the cause's, else the present one: the relay has neither.
    """
    encoded = encode(event, topic=topic)
    trace = cause.trace if cause else telemetry.inject()
    headers = [pair for pair in encoded.headers if pair[0] not in telemetry.TRACE_HEADERS]
    headers += [(name, value.encode()) for name, value in trace.items()]
    return OutboxRow(encoded.topic.name, encoded.key, pack_headers(headers), encoded.value)


def pack_headers(headers: Iterable[tuple[str, bytes]]) -> bytes:
    """Names and values, parted by NUL, which neither may hold."""
    parts: list[bytes] = []
    for name, value in headers:
        parts += (name.encode(), value)
    return b"\0".join(parts)


def unpack_headers(packed: bytes) -> list[tuple[str, bytes]]:
    parts = packed.split(b"\0")
    return list(zip(map(bytes.decode, parts[::2]), parts[1::2], strict=False))


_FEW: Final = 20
"""A COPY takes two round trips, an INSERT one: that is what counts for few rows."""
_INSERT: Final = """
INSERT INTO outbox (topic, key, headers, value)
SELECT topic, key, headers, value
FROM unnest($1::text[], $2::bytea[], $3::bytea[], $4::bytea[]) WITH ORDINALITY AS r (topic, key, headers, value, nth)
ORDER BY nth
"""


async def write(connection: Connection, rows: Sequence[OutboxRow]) -> None:
    """Add rows in one statement, in order."""
    if not rows:
        return
    if len(rows) <= _FEW:
        await connection.execute(_INSERT, *map(list, zip(*rows, strict=True)))
    else:
        await connection.copy_records_to_table("outbox", records=rows, columns=OutboxRow._fields)
    for topic, count in Counter(row.topic for row in rows).items():
        _WRITTEN.labels(topic).inc(count)
