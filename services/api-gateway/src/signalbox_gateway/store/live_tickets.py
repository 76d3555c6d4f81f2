"""SQL of tickets. The table holds a hash, and the caller's credential under a key that only the ticket gives."""

from dataclasses import dataclass
from datetime import datetime

from signalbox_chassis.persistence.connection import Connection

_SAVE = """
INSERT INTO live_ticket (hash, origin, credential, expires_at) VALUES ($1, $2, $3, now() + make_interval(secs => $4))
RETURNING expires_at
"""
# INVARIANT a ticket is good once, at whichever gateway: deleting the row is taking it.
_TAKE = "DELETE FROM live_ticket WHERE hash = $1 RETURNING origin, credential, expires_at > now() AS good"


@dataclass(frozen=True, slots=True)
class TakenTicket:
    """What a ticket stood for."""

    origin: str
    credential: bytes


async def save(connection: Connection, hash: bytes, origin: str, credential: bytes, seconds: float) -> datetime:
    """Keep a ticket; when it ends. Forgets those that were never used."""
    await connection.execute("DELETE FROM live_ticket WHERE expires_at < now()")
    return await connection.fetchval(_SAVE, hash, origin, credential, seconds)


async def take(connection: Connection, hash: bytes) -> TakenTicket | None:
    """Use a ticket up; None when it is unknown, used or too old."""
    row = await connection.fetchrow(_TAKE, hash)
    return TakenTicket(row["origin"], row["credential"]) if row is not None and row["good"] else None
