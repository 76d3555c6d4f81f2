"""Rows of what subscriptions with a digest collect. A digest is due when its oldest entry is."""

from collections.abc import Sequence

from signalbox_chassis.persistence.connection import Connection
from signalbox_chassis.runtime.isolation import readable
from signalbox_contracts.notifications import Message

_ADD = """
INSERT INTO digest_entry (subscription_id, event_id, message, due_at)
VALUES ($1, $2, $3, COALESCE((SELECT min(due_at) FROM digest_entry WHERE subscription_id = $1),
                             now() + make_interval(secs => $4)))
ON CONFLICT DO NOTHING
"""
# A subscription that exists and cannot be read keeps its entries.
_DUE = """
SELECT DISTINCT subscription_id FROM digest_entry e
WHERE due_at <= now() AND (subscription_id = ANY($1) OR NOT EXISTS (
    SELECT FROM definition d WHERE d.kind = 'subscription' AND d.id = e.subscription_id AND NOT d.deleted))
LIMIT 100
"""
_TAKE = "DELETE FROM digest_entry WHERE subscription_id = $1 RETURNING event_id, message, added_at"


async def add(connection: Connection, subscription_id: str, event_id: str, message: Message, seconds: float) -> None:
    """Keep a message for the next digest. The same event is kept once."""
    await connection.execute(_ADD, subscription_id, event_id, message.model_dump_json(), seconds)


async def due(connection: Connection, known: Sequence[str]) -> list[str]:
    """The subscriptions whose digest is due: of the `known` ones, which can be read, and of those that are gone."""
    return [row["subscription_id"] for row in await connection.fetch(_DUE, list(known))]


async def take(connection: Connection, subscription_id: str) -> list[tuple[str, Message]]:
    """Take everything a subscription collected, the oldest first; another process that takes it gets nothing."""
    rows = await connection.fetch(_TAKE, subscription_id)
    return readable(
        sorted(rows, key=lambda row: row["added_at"]),
        lambda row: (row["event_id"], Message.model_validate_json(row["message"])),
        part="digests", name=lambda row: row["event_id"],
    )  # fmt: skip
