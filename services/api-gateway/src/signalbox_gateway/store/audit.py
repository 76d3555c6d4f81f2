"""SQL of the audit trail. A call adds its entry in its own transaction; `chain` moves entries into the hash chain."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from pydantic_core import from_json

from signalbox_chassis.persistence.connection import Connection, Row
from signalbox_chassis.persistence.database import Database
from signalbox_gateway.identity.audit_entry import AuditEntry, chained

BATCH: Final = 500
_ADD: Final = "INSERT INTO audit_pending (record) SELECT unnest($1::text[])"
# INVARIANT the head's row is locked: two gateways never give two entries the same place.
_HEAD: Final = "SELECT seq, hash, cut_seq, cut_hash FROM audit_head FOR UPDATE"
_TAKE: Final = "SELECT seq, at, record FROM audit_pending ORDER BY seq LIMIT $1 FOR UPDATE SKIP LOCKED"
_APPEND: Final = """
INSERT INTO audit (seq, at, actor, action, target, outcome, record, hash)
SELECT * FROM unnest($1::bigint[], $2::timestamptz[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
    $8::bytea[])
"""
_LIST: Final = """
SELECT seq, at, record, hash FROM audit
WHERE ($1 = '' OR actor = $1) AND ($2 = '' OR target = $2 OR starts_with(target, $2 || '/'))
  AND ($3 = '' OR action = $3) AND ($4 = '' OR outcome = $4)
  AND ($5::timestamptz IS NULL OR at >= $5) AND ($6::timestamptz IS NULL OR at < $6) AND seq < $7
ORDER BY seq DESC LIMIT $8
"""
_AFTER: Final = "SELECT seq, at, record, hash FROM audit WHERE seq > $1 ORDER BY seq LIMIT $2"
_OLD: Final = """
SELECT seq, hash FROM audit WHERE at < now() - make_interval(days => $1) AND seq < (SELECT seq FROM audit_head)
ORDER BY seq DESC LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which entries; empty is any."""

    actor: str = ""
    target: str = ""
    action: str = ""
    outcome: str = ""
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Verified:
    """What checking the chain found."""

    entries: int
    last_seq: int
    broken_at: int | None
    """The first entry that does not fit, or after which one is missing."""
    detail: str


async def add(connection: Connection, *entries: AuditEntry) -> None:
    """Add entries, in the caller's transaction if there is one."""
    await connection.execute(_ADD, [entry.record() for entry in entries])


async def chain(database: Database) -> bool:
    """Move entries that wait into the chain; whether more may wait."""
    async with database.unit_of_work() as work:
        head = await work.connection.fetchrow(_HEAD)
        rows = await work.connection.fetch(_TAKE, BATCH)
        if head is None or not rows:
            return False
        seq, before = head["seq"], head["hash"]
        columns: list[tuple[Any, ...]] = []
        for row in rows:
            seq += 1
            before = chained(before, seq, _text(row["at"]), row["record"])
            entry = from_json(row["record"])
            # a path may have been called with a zero byte, which no column takes; the record keeps it as an escape
            texts = [entry[name].replace("\0", "\ufffd") for name in ("actor", "action", "target", "outcome")]
            columns.append((seq, row["at"], *texts, row["record"], before))
        await work.connection.execute(_APPEND, *map(list, zip(*columns, strict=True)))
        await work.connection.execute("UPDATE audit_head SET seq = $1, hash = $2", seq, before)
        await work.connection.execute("DELETE FROM audit_pending WHERE seq = ANY($1)", [row["seq"] for row in rows])
    return len(rows) == BATCH


async def list_entries(connection: Connection, wanted: AuditFilter, *, before: int | None, limit: int) -> list[Row]:
    """Entries, newest first."""
    return await connection.fetch(
        _LIST, wanted.actor, wanted.target, wanted.action, wanted.outcome, wanted.since, wanted.until,
        2**62 if before is None else before, limit,
    )  # fmt: skip


async def entries(database: Database, after: int = 0) -> AsyncGenerator[Row]:
    """Every entry, the oldest first, read in batches."""
    while True:
        async with database.connection() as connection:
            rows = await connection.fetch(_AFTER, after, BATCH)
        for row in rows:
            yield row
        if len(rows) < BATCH:
            return
        after = rows[-1]["seq"]


async def verify(database: Database) -> Verified:
    """Walk the chain from where it was cut to its end."""
    async with database.connection() as connection:
        head = await connection.fetchrow("SELECT seq, hash, cut_seq, cut_hash FROM audit_head")
    if head is None:
        return Verified(0, 0, 0, "the end of the chain is missing")
    seq, before, count = head["cut_seq"], head["cut_hash"], 0
    async for row in entries(database):
        if row["seq"] > head["seq"]:
            break  # added meanwhile
        if row["seq"] != seq + 1:
            return Verified(count, seq, row["seq"], f"entries {seq + 1} to {row['seq'] - 1} are missing")
        expected = chained(before, row["seq"], _text(row["at"]), row["record"])
        if expected != row["hash"]:
            return Verified(count, seq, row["seq"], f"entry {row['seq']} was changed, or the one before it")
        seq, before, count = row["seq"], row["hash"], count + 1
    if (seq, before) != (head["seq"], head["hash"]):
        return Verified(count, seq, seq + 1, f"the end of the chain is missing: it had {head['seq']} entries")
    return Verified(count, seq, None, "every entry fits the one before")


async def prune(database: Database, days: int) -> int:
    """Delete entries that are older, and remember where the chain was cut; how many were deleted."""
    async with database.unit_of_work() as work:
        head = await work.connection.fetchrow(_HEAD)
        last = await work.connection.fetchrow(_OLD, days)
        if head is None or last is None:
            return 0
        await work.connection.execute("SELECT set_config('signalbox.audit_prune', 'on', true)")
        done = await work.connection.execute("DELETE FROM audit WHERE seq <= $1", last["seq"])
        cut = "UPDATE audit_head SET cut_seq = $1, cut_hash = $2"
        await work.connection.execute(cut, last["seq"], last["hash"])
        return int(done.rpartition(" ")[2])


def shown(row: Row) -> dict[str, Any]:
    """An entry as the API returns it."""
    return {"seq": row["seq"], "at": row["at"], **from_json(row["record"]), "hash": row["hash"].hex()}


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds")
