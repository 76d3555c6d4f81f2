"""Signing secrets of event sources, encrypted again with the newest key."""

from signalbox_chassis.persistence.connection import Connection
from signalbox_chassis.security.vault import Keys
from signalbox_gateway import webhooks
from signalbox_gateway.store import event_sources


async def rewrap_sources(connection: Connection, keys_text: str) -> int:
    """Encrypt every source's secrets with the newest key; how many sources had an older one.

    All or none: raises `SecretUnreadable` when a key is missing that one of them needs.
    """
    if not keys_text:
        return 0
    keys = Keys(keys_text)
    async with connection.transaction():
        rows = await event_sources.encrypted_with_others(connection, keys.newest)
        for row in rows:
            sealed = webhooks.seal_again(keys, row["name"], row["key_id"], row["secrets"])
            await event_sources.encrypt_again(connection, row["name"], keys.newest, sealed)
    return len(rows)
