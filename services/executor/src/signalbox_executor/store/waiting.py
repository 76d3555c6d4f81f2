"""What blocks the queued tasks of each plan on each engine, written into their rows."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from signalbox_chassis.persistence.connection import Connection, Row
from signalbox_contracts.messages.plans import Waiting
from signalbox_executor.lifecycle import Queue
from signalbox_executor.store.freezes import FROZEN
from signalbox_executor.store.rows import COLUMNS, UNPUBLISHED, Task, tasks_of, with_states

HEADS: Final = 1000
"""Tasks of one plan on one engine that say why they wait; those behind them wait for these."""

STALE_SECONDS: Final = 5
"""A time that passed so long ago is written again: the breaker's next probe, the next start."""
RESTART_SECONDS: Final = 10
"""An executor that is away for so long may come back before anybody need know."""

# One replica at a time is enough; nobody waits for the lock.
_ALONE: Final = "SELECT pg_try_advisory_xact_lock(hashtextextended(current_schema() || '/waiting', 0))"

_QUEUES: Final = with_states(
    """
WITH {frozen}, queued AS MATERIALIZED (
  SELECT plan_id, engine_id, task_group, min(definitions_revision) AS definitions_revision,
    max(priority) AS task_priority, max(group_limit) AS group_limit
  FROM task WHERE state = 'QUEUED' AND queued_at <= now() - $1 * interval '1 second' GROUP BY 1, 2, 3 LIMIT 1000
), active AS MATERIALIZED (
  SELECT plan_id, engine_id, count(*)::int AS n FROM task
  WHERE state IN {active} GROUP BY 1, 2
), in_group AS MATERIALIZED (
  SELECT plan_id, task_group, count(*)::int AS n FROM task
  WHERE state IN {active} AND task_group IS NOT NULL GROUP BY 1, 2
), ended AS MATERIALIZED (
  SELECT t.plan_id, count(*)::int AS n FROM task t JOIN plan_rules r USING (plan_id)
  WHERE r.canary_first IS NOT NULL AND t.plan_id IN (SELECT plan_id FROM queued)
    AND t.state IN {tried} GROUP BY 1
)
SELECT q.plan_id, q.engine_id, q.task_group AS "group", q.group_limit, COALESCE(g.n, 0) AS group_active,
  q.definitions_revision, q.task_priority,
  z.freeze_id AS frozen_by, z.reason AS frozen_reason, nullif(z.until_at, 'infinity') AS frozen_until_at,
  (SELECT revision FROM seen) AS seen_revision,
  e.id IS NOT NULL AND NOT e.deleted AS engine_known, COALESCE(e.intake, 'open') AS intake,
  EXISTS (SELECT FROM worker w WHERE NOT w.dead AND w.lease_until > now() AND q.engine_id = ANY (w.reaches)) AS reached,
  e.breaker_since AS breaker_since_at, e.probe_at, COALESCE(e.concurrency, 0) AS engine_limit,
  COALESCE((SELECT sum(n) FROM active a WHERE a.engine_id = q.engine_id), 0)::int AS engine_active,
  e.starts_per_minute AS engine_rate, CASE WHEN e.starts_per_minute IS NULL THEN 1.0
    ELSE e.tokens + e.starts_per_minute / 60 * extract(epoch FROM now() - e.tokens_at) END::float8 AS engine_tokens,
  r.plan_id IS NOT NULL AS rules_known, COALESCE(r.held, false) AS held, COALESCE(r.held_reason, '') AS held_reason,
  r.task_limit AS plan_limit, COALESCE(r.priority, 50) AS plan_priority,
  COALESCE((SELECT sum(n) FROM active a WHERE a.plan_id = q.plan_id), 0)::int AS plan_active,
  r.starts_per_minute AS plan_rate, CASE WHEN r.starts_per_minute IS NULL THEN 1.0
    ELSE r.tokens + r.starts_per_minute / 60 * extract(epoch FROM now() - r.tokens_at) END::float8 AS plan_tokens,
  r.canary_first, COALESCE(d.n, 0) AS plan_ended,
  COALESCE(d.n, 0) + COALESCE((SELECT sum(n) FROM active a WHERE a.plan_id = q.plan_id), 0)::int AS plan_started
FROM queued q LEFT JOIN engine e ON e.id = q.engine_id LEFT JOIN plan_rules r ON r.plan_id = q.plan_id
LEFT JOIN ended d ON d.plan_id = q.plan_id
LEFT JOIN in_group g ON g.plan_id = q.plan_id AND g.task_group = q.task_group
LEFT JOIN LATERAL (
  SELECT f.freeze_id, f.reason, f.until_at FROM frozen f
  WHERE (f.engines = '{}' OR q.engine_id = ANY (f.engines)) AND (f.projects = '{}' OR r.project = ANY (f.projects))
  ORDER BY f.until_at DESC, f.freeze_id LIMIT 1) z ON true
""".replace("{frozen}", FROZEN)
)

# INVARIANT state = QUEUED in the row: a task that was just claimed does not wait. Only what is new is written, so that
# a long queue that stands still costs nothing: another reason, holder or words (a limit that was changed, say), or a
# time to come that has long come. It waits since the reason and its holder are these.
_SAVE_REASONS: Final = (
    """
WITH o AS MATERIALIZED (
  SELECT * FROM unnest($1::uuid[], $2::text[], $3::jsonb[], $5::text[]) AS o (plan_id, engine_id, waiting, task_group)
), heads AS MATERIALIZED (
  SELECT h.id, CASE WHEN h.waiting ->> 'why' = o.waiting ->> 'why' AND h.waiting ->> 'holder' = o.waiting ->> 'holder'
    THEN o.waiting || jsonb_build_object('since_at', h.waiting -> 'since_at') ELSE o.waiting END AS waiting
  FROM o CROSS JOIN LATERAL (
    SELECT t.id, t.waiting FROM task t
    WHERE t.plan_id = o.plan_id AND t.engine_id = o.engine_id AND t.state = 'QUEUED' AND t.not_before <= now()
      AND t.task_group IS NOT DISTINCT FROM o.task_group
    ORDER BY t.priority DESC, t.position LIMIT $4) h
  WHERE h.waiting - '{since_at,until_at}'::text[] IS DISTINCT FROM o.waiting - '{since_at,until_at}'::text[]
    OR (h.waiting ->> 'until_at')::timestamptz < now() - interval '{stale} seconds'
), locked AS MATERIALIZED (
  SELECT t.id FROM task t WHERE t.id IN (SELECT id FROM heads) AND t.state = 'QUEUED' ORDER BY t.id
  FOR UPDATE SKIP LOCKED
)
UPDATE task t SET waiting = heads.waiting, version = t.version + 1,
       pending_transitions = {unpublished}, published = true
FROM locked JOIN heads USING (id) WHERE t.id = locked.id AND t.state = 'QUEUED'
RETURNING {columns}
""".replace("{columns}", COLUMNS)
    .replace("{unpublished}", UNPUBLISHED)
    .replace("{stale}", str(STALE_SECONDS))
)

# INVARIANT state = SUBMITTING or RUNNING in the row. Every executor that reached the engine is gone, perhaps with its
# host: nobody sends the task or sees what it does, and nobody else would write so. An executor that restarts does not
# count. Written once; its record, its end, or the next observation of what runs clears it.
_OUT_OF_REACH: Final = """
SELECT e.id FROM engine e WHERE NOT EXISTS (
  SELECT FROM worker w WHERE w.lease_until > now() - interval '{restart} seconds' AND e.id = ANY (w.reaches))
""".replace("{restart}", str(RESTART_SECONDS))
_STRANDED: Final = with_states("""
SELECT t.id FROM task t WHERE t.engine_id = ANY ($1) AND t.state IN {sent} AND t.waiting IS NULL
ORDER BY t.id LIMIT 1000
""")
_SAVE_STRANDED: Final = with_states(
    """
WITH locked AS MATERIALIZED (
  SELECT id FROM task WHERE id = ANY ($1) AND state IN {sent} AND waiting IS NULL ORDER BY id
  FOR UPDATE SKIP LOCKED
)
UPDATE task t SET version = t.version + 1, pending_transitions = {unpublished}, published = true,
  waiting = jsonb_build_object('why', 'engine_unreachable', 'holder', 'engine:' || t.engine_id, 'since_at', now(),
                               'detail', left($2 || t.engine_id, 2000))
FROM locked WHERE t.id = locked.id AND t.state IN {sent} AND t.waiting IS NULL
RETURNING {columns}
""".replace("{columns}", COLUMNS).replace("{unpublished}", UNPUBLISHED)
)

# INVARIANT state = RUNNING in the row, and no other reason: a run that ended a moment ago does not wait. Only other
# words are written; a change of the run's phase, or its end, clears them.
_WRITE_PENDING: Final = """
WITH o AS MATERIALIZED (
  SELECT * FROM unnest($1::uuid[], $2::text[]) AS o (id, detail)
), locked AS MATERIALIZED (
  SELECT t.id, o.detail FROM task t JOIN o USING (id)
  WHERE t.state = 'RUNNING' AND COALESCE(t.waiting ->> 'why', 'engine_pending') = 'engine_pending'
    AND t.waiting ->> 'detail' IS DISTINCT FROM o.detail
  ORDER BY t.id FOR UPDATE OF t SKIP LOCKED
)
UPDATE task t SET version = t.version + 1, pending_transitions = {unpublished}, published = true,
  waiting = jsonb_build_object('why', 'engine_pending', 'holder', 'engine:' || t.engine_id,
    'since_at', COALESCE(t.waiting -> 'since_at', to_jsonb(now())), 'detail', locked.detail)
FROM locked WHERE t.id = locked.id AND t.state = 'RUNNING'
RETURNING {columns}
""".replace("{columns}", COLUMNS).replace("{unpublished}", UNPUBLISHED)

_FIELDS: Final = tuple(Queue.__dataclass_fields__)


async def queues(connection: Connection, *, after_seconds: float) -> tuple[list[Queue], datetime]:
    """What stands before tasks that are queued for so long, by plan, engine and limited step, and the database's time.

    Nothing if another replica looks.
    """
    if not await connection.fetchval(_ALONE):
        return [], datetime.now(UTC)
    found = [_queue(row) for row in await connection.fetch(_QUEUES, after_seconds)]
    return found, await connection.fetchval("SELECT now()")


async def save_reasons(connection: Connection, why: Sequence[tuple[Queue, Waiting]]) -> list[Task]:
    """Write why the first tasks of these queues wait; returns those for which that is news."""
    plans, ids = [queue.plan_id for queue, _ in why], [queue.engine_id for queue, _ in why]
    reasons = [waiting.model_dump_json(exclude_none=True) for _, waiting in why]
    groups = [queue.group for queue, _ in why]
    return tasks_of(await connection.fetch(_SAVE_REASONS, plans, ids, reasons, HEADS, groups))


async def stranded(connection: Connection) -> list[UUID]:
    """Tasks that are being submitted to, or run on, an engine that no executor reaches, and do not say so."""
    engines = [row["id"] for row in await connection.fetch(_OUT_OF_REACH)]
    return [row["id"] for row in await connection.fetch(_STRANDED, engines)] if engines else []


async def running_on(connection: Connection, engine_id: str) -> list[UUID]:
    """Tasks that are being submitted to, or run on, this engine and give no reason to wait."""
    return [row["id"] for row in await connection.fetch(_STRANDED, [engine_id])]


async def save_stranded(
    connection: Connection, ids: Sequence[UUID], why: str = "no executor that runs can reach "
) -> list[Task]:
    """Write that; returns those for which it is news. The engine's id follows `why`."""
    return tasks_of(await connection.fetch(_SAVE_STRANDED, list(ids), why))


async def write_pending(connection: Connection, reasons: Mapping[UUID, str]) -> list[Task]:
    """Write why the engine has not begun these runs; returns those for which that is news."""
    return tasks_of(await connection.fetch(_WRITE_PENDING, list(reasons), list(reasons.values())))


def _queue(row: Row) -> Queue:
    return Queue(**{name: row[name] for name in _FIELDS})
