"""Which events were handled. The row is written in the transaction of the effect, so both happen or neither.

The day of a row is the event's own, never the clock's: a redelivery after midnight meets its first row.
"""

from collections.abc import Sequence
from typing import Any

from signalbox_chassis.messaging.received import Received
from signalbox_chassis.persistence.connection import Connection
from signalbox_contracts.ids import inbox_id

# INVARIANT: a row is there if and only if the event's effect is committed. Rows go in in id order, so that two members
# with the same messages queue up behind each other instead of deadlocking.
_CLAIM = """
INSERT INTO inbox (day, event_id)
SELECT day, event_id FROM unnest($1::date[], $2::bytea[]) AS e (day, event_id) ORDER BY event_id
ON CONFLICT DO NOTHING RETURNING event_id
"""


async def unhandled(connection: Connection, batch: Sequence[Received[Any]]) -> list[Received[Any]]:
    """Take the events of this batch that were never handled, in their order, each once; mark them handled."""
    by_id: dict[bytes, Received[Any]] = {}
    for received in batch:
        by_id.setdefault(inbox_id(received.event.source, received.event.id), received)
    days = [received.event.time.date() for received in by_id.values()]
    new = {row["event_id"] for row in await connection.fetch(_CLAIM, days, list(by_id))}
    return [received for event_id, received in by_id.items() if event_id in new]
