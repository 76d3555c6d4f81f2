"""Channels and subscriptions as the notifier has them, and channels a receiver has closed."""

from dataclasses import dataclass

from signalbox_chassis.persistence.connection import Connection
from signalbox_chassis.runtime.isolation import readable
from signalbox_contracts.definitions.channel import Channel, Subscription
from signalbox_contracts.messages.definitions import DefinitionSnapshotData

_DEFINE = """
INSERT INTO definition AS d (kind, id, revision, definition, deleted) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (kind, id) DO UPDATE SET revision = excluded.revision, deleted = excluded.deleted,
    definition = CASE WHEN excluded.deleted THEN d.definition ELSE excluded.definition END
WHERE d.revision < excluded.revision
"""
_CHANNEL = """
SELECT d.definition, d.revision, d.deleted, s.reason FROM definition d
LEFT JOIN channel_state s ON s.id = d.id AND s.disabled_at IS NOT NULL AND s.revision = d.revision
WHERE d.kind = 'channel' AND d.id = $1
"""
_DISABLE = """
INSERT INTO channel_state (id, disabled_at, reason, revision) VALUES ($1, now(), left($2, 2000), $3)
ON CONFLICT (id) DO UPDATE SET disabled_at = now(), reason = excluded.reason, revision = excluded.revision
"""


@dataclass(frozen=True, slots=True)
class KnownChannel:
    """A channel, and why nothing is sent there; empty when it takes messages."""

    channel: Channel
    revision: int
    closed: str


async def define(connection: Connection, data: DefinitionSnapshotData) -> None:
    """Keep a snapshot of a channel or subscription. An older revision changes nothing."""
    text = data.definition.model_dump_json() if data.definition is not None else ""
    await connection.execute(_DEFINE, data.kind, data.id, data.revision, text, data.deleted)


async def subscriptions(connection: Connection) -> list[Subscription]:
    """Every subscription that can be read."""
    rows = await connection.fetch(
        "SELECT id, definition FROM definition WHERE kind = 'subscription' AND NOT deleted ORDER BY id"
    )
    return readable(
        rows, lambda row: Subscription.model_validate_json(row["definition"]), part="subscriptions",
        name=lambda row: row["id"],
    )  # fmt: skip


async def channel(connection: Connection, channel_id: str) -> KnownChannel | None:
    """The channel; None when there never was one."""
    row = await connection.fetchrow(_CHANNEL, channel_id)
    if row is None or not row["definition"]:
        return None
    found = Channel.model_validate_json(row["definition"])
    closed = row["reason"] or ""
    if row["deleted"]:
        closed = "the channel is deleted"
    elif not found.enabled:
        closed = "the channel is switched off"
    return KnownChannel(found, row["revision"], closed)


async def disable(connection: Connection, channel_id: str, reason: str, revision: int) -> None:
    """Send nothing more to a channel whose receiver is gone, until its definition changes."""
    await connection.execute(_DISABLE, channel_id, reason, revision)
