"""Engines as the executor has them: a copy of the definition, start tokens, and whether they answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from signalbox_chassis.persistence.connection import Connection, Row
from signalbox_chassis.runtime.isolation import readable
from signalbox_contracts.definitions.engine import Engine as EngineDefinition

# INVARIANT only a newer revision replaces an older one: the topic is read from its start by every process.
_DEFINE: Final = """
INSERT INTO engine AS e (id, revision, deleted, definition, engine_group, intake, concurrency, starts_per_minute,
                         starts_at_once, tokens, breaker_failures, breaker_seconds)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9::int, $10, $11)
ON CONFLICT (id) DO UPDATE SET
    revision = checked_version(e.revision, excluded.revision), deleted = excluded.deleted,
    definition = excluded.definition,
    engine_group = excluded.engine_group, intake = excluded.intake, concurrency = excluded.concurrency,
    starts_per_minute = excluded.starts_per_minute, starts_at_once = excluded.starts_at_once,
    breaker_failures = excluded.breaker_failures, breaker_seconds = excluded.breaker_seconds, version = e.version + 1
WHERE e.revision < excluded.revision
"""

_DELETE: Final = (
    "UPDATE engine SET deleted = true, revision = checked_version(revision, $2) WHERE id = $1 AND revision <= $2"
)

_LIST: Final = """
SELECT id, revision, definition::text AS definition, deleted, breaker = 'closed' OR probe_at <= now() AS may_ask
FROM engine
WHERE COALESCE(definition -> 'connection' ->> 'host_id', $1) = $1
ORDER BY id
"""

# Opens after so many connection failures in a row; while open, one start or one look goes through when it is time.
_FAILED: Final = """
UPDATE engine SET failures = failures + 1, last_error = $2, version = version + 1,
  breaker = CASE WHEN failures + 1 >= breaker_failures THEN 'open' ELSE breaker END,
  breaker_since = CASE WHEN failures + 1 >= breaker_failures THEN COALESCE(breaker_since, now()) END,
  probe_at = CASE WHEN failures + 1 >= breaker_failures THEN now() + breaker_seconds * interval '1 second' END
WHERE id = $1
RETURNING breaker = 'open' AS open
"""

_ANSWERED: Final = """
UPDATE engine SET failures = 0, breaker = 'closed', breaker_since = NULL, probe_at = NULL, last_error = NULL,
  last_answer_at = now(), version = version + 1
WHERE id = ANY ($1) AND (failures > 0 OR breaker = 'open' OR last_answer_at IS NULL
  OR last_answer_at < now() - interval '1 second')
"""


# Open breakers whose time to probe is past: no task waits for these engines. The replica that moves the time probes.
_PROBE_IDLE: Final = """
UPDATE engine SET probe_at = now() + breaker_seconds * interval '1 second'
WHERE id IN (
    SELECT id FROM engine
    WHERE breaker = 'open' AND NOT deleted AND id = ANY ($1) AND probe_at < now() - $2 * interval '1 second'
    FOR UPDATE SKIP LOCKED)
RETURNING id
"""

# INVARIANT raised only, in the transaction that keeps the definitions up to it: a task waits until then.
_SAW: Final = "UPDATE seen SET revision = checked_version(revision, $1) WHERE revision < $1"


@dataclass(frozen=True, slots=True)
class Registered:
    """An engine as defined, and whether it may be asked now."""

    id: str
    revision: int
    definition: EngineDefinition
    may_ask: bool
    deleted: bool = False

    @property
    def takes_work(self) -> bool:
        """Whether anything may be started there, as of the last look; the claim looks again under its locks."""
        return self.may_ask and not self.deleted and self.definition.intake == "open"


async def define(connection: Connection, revision: int, engine: EngineDefinition, *, deleted: bool) -> None:
    """Keep a definition if it is newer than what is here."""
    limits, breaker = engine.limits, engine.breaker
    await connection.execute(
        _DEFINE,
        engine.id,
        revision,
        deleted,
        engine.model_dump_json(),
        engine.group,
        engine.intake,
        limits.concurrency,
        limits.starts_per_minute,
        limits.starts_at_once,
        breaker.failures,
        breaker.open_seconds,
    )


async def saw(connection: Connection, revision: int) -> None:
    """Every definition up to this revision is kept here."""
    await connection.execute(_SAW, revision)


async def delete(connection: Connection, engine_id: str, revision: int) -> None:
    """The engine is gone: nothing new starts there; what runs is watched to its end."""
    await connection.execute(_DELETE, engine_id, revision)


async def listed(connection: Connection, host_id: str) -> Sequence[Registered]:
    """Every engine this host may reach, deleted ones too: something may still run there."""
    rows = await connection.fetch(_LIST, host_id)
    return readable(rows, _registered, part="engine definitions", name=lambda row: row["id"])


def _registered(row: Row) -> Registered:
    definition = EngineDefinition.model_validate_json(row["definition"])
    return Registered(row["id"], row["revision"], definition, row["may_ask"], row["deleted"])


async def failed(connection: Connection, engine_id: str, reason: str) -> bool:
    """Count a connection failure; True if the engine is not asked for a while."""
    return bool(await connection.fetchval(_FAILED, engine_id, reason[:2000]))


async def note_error(connection: Connection, engine_id: str, reason: str) -> None:
    """Show an error that is not the engine's silence: its breaker stays as it is."""
    await connection.execute(
        "UPDATE engine SET last_error = $2, version = version + 1 WHERE id = $1 AND last_error IS DISTINCT FROM $2",
        engine_id, reason[:2000],
    )  # fmt: skip


async def take_idle_probes(connection: Connection, reachable: Sequence[str], *, idle_seconds: float) -> list[str]:
    """Engines whose probe is overdue by so much, because no start and no poll made it: this process probes them now."""
    return [row["id"] for row in await connection.fetch(_PROBE_IDLE, list(reachable), idle_seconds)]


async def answered(connection: Connection, engine_ids: Sequence[str]) -> None:
    """These engines answer: their failures are forgotten."""
    await connection.execute(_ANSWERED, sorted(set(engine_ids)))
