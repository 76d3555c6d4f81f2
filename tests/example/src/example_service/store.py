"""All SQL of the example service."""

from collections.abc import Sequence

from signalbox_chassis.persistence.database import UnitOfWork

Entry = tuple[str, int]
_LOCK = "SELECT id, total, version FROM counter WHERE id = ANY($1) ORDER BY id FOR UPDATE"


async def lock(work: UnitOfWork, counters: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Lock these counters in id order, making those that are new; returns id to (total, version)."""
    locked = await work.connection.fetch(_LOCK, counters)
    if len(locked) < len(counters):
        await work.connection.execute(
            "INSERT INTO counter (id) SELECT unnest($1::text[]) AS id ORDER BY id ON CONFLICT DO NOTHING", counters
        )
        locked = await work.connection.fetch(_LOCK, counters)
    return {row["id"]: (row["total"], row["version"]) for row in locked}


async def save(work: UnitOfWork, counters: dict[str, tuple[int, int]], entries: Sequence[Entry]) -> None:
    ids = list(counters)
    await work.connection.execute(
        "WITH written AS (INSERT INTO entry (counter, number) SELECT * FROM unnest($4::text[], $5::bigint[]))"
        " UPDATE counter c SET total = n.total, version = n.version"
        " FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS n (id, total, version) WHERE c.id = n.id",
        ids,
        [counters[id][0] for id in ids],
        [counters[id][1] for id in ids],
        [counter for counter, _ in entries],
        [number for _, number in entries],
    )


async def mirror(work: UnitOfWork, states: Sequence[tuple[str, int, int]]) -> None:
    """Keep the newest state of each counter; what is older than the stored version is ignored."""
    newest = {id: (total, version) for id, total, version in sorted(states, key=lambda state: state[2])}
    ids = sorted(newest)
    await work.connection.execute(
        "INSERT INTO mirror (id, total, version) SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[])"
        " ON CONFLICT (id) DO UPDATE SET total = excluded.total, version = excluded.version"
        " WHERE mirror.version < excluded.version",
        ids,
        [newest[id][0] for id in ids],
        [newest[id][1] for id in ids],
    )


async def define(work: UnitOfWork, kind: str, id: str, revision: int) -> None:
    await work.connection.execute(
        "INSERT INTO definition (kind, id, revision) VALUES ($1, $2, $3)"
        " ON CONFLICT (kind, id) DO UPDATE SET revision = excluded.revision"
        " WHERE definition.revision < excluded.revision",
        kind,
        id,
        revision,
    )


async def counters_to_republish(work: UnitOfWork) -> list[tuple[str, int, int]]:
    rows = await work.connection.fetch(
        "UPDATE counter SET restate = false WHERE id IN"
        " (SELECT id FROM counter WHERE restate ORDER BY id LIMIT 100 FOR UPDATE) RETURNING id, total, version"
    )
    return [(row["id"], row["total"], row["version"]) for row in rows]
