"""Claiming: the locks in a statement of their own, then the counts, so that limits are exact.

In READ COMMITTED a statement's snapshot is taken when it starts: counts taken in the statement that takes the lock
would be those from before the lock.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from signalbox_chassis.persistence.connection import Connection, Row
from signalbox_chassis.persistence.restore_detection import REPLAY_COMPLETE
from signalbox_chassis.runtime import crash_points
from signalbox_chassis.runtime.isolation import describe_fault, note_fault
from signalbox_contracts.definitions.rules import Retries
from signalbox_contracts.definitions.work import ScriptedWork
from signalbox_contracts.messages.task_commands import TaskSpec
from signalbox_executor.store.freezes import ENGINE_OPEN, FROZEN, PLAN_OPEN
from signalbox_executor.store.rows import ACTIVE, COLUMNS, Task, move, task_of, with_states

MAX_PLANS: Final = 100
"""Plans looked at in one claim; saturated ones are left out before, so they hide nobody."""
STARVED_SECONDS: Final = 30.0
"""A plan that may start something, and sees others start on its engine for so long, starts one task before them."""
STARTS_BETWEEN_BOOSTS: Final = 4
"""Starts in priority order between two anti-starvation starts: where all wait for long, priorities still decide."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A task in our hands, with the fence under which it is."""

    task: Task
    spec: TaskSpec
    traceparent: str | None
    fault: str = ""
    """Why its work cannot be read: it is refused."""


_UNREADABLE: Final = TaskSpec.model_construct(work=ScriptedWork(), retries=Retries(infrastructure_attempts=0))

BEGIN: Final = "BEGIN; SET LOCAL plan_cache_mode = force_generic_plan"
"""To plan the claim takes longer than to run it: its transaction uses the plan its connection made first."""

# All locks in one statement, in this order: the group, the worker, the engines, the plans. A row lock reads its row
# anew once it has it, so what is asked of locked rows holds; the counts in `eligible` are of the moment before and
# only leave plans out.
# INVARIANT claims of one group are serialised over all replicas. A database may hold two schemas of ours.
# INVARIANT this worker lives, and is kept so: without the lock a worker that is just declared dead could claim
# afterwards, and nobody would sweep it again.
# INVARIANT nothing starts from rows that were restored before what came since is read again: a cancel, perhaps.
# INVARIANT an engine's limits cannot change between the counts and the claim.
# INVARIANT a plan's limit holds over engine groups too: its row is locked before its tasks are counted; in id order, so
# that two groups do not deadlock. Saturated plans are left out first, so that they never hide the others; a tenth more
# are those that wait longest, so that urgent ones never hide them.
_LOCK: Final = f"""
WITH {FROZEN}, alone AS MATERIALIZED (
  SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || '/claim/' || $1, 0))::text AS lock
), me AS MATERIALIZED (
  SELECT w.id FROM alone, LATERAL (
    SELECT id FROM worker WHERE id = $2 AND lock IS NOT NULL AND NOT dead AND lease_until > clock_timestamp() FOR SHARE
  ) AS w WHERE {REPLAY_COMPLETE}
), engines AS MATERIALIZED (
  SELECT e.id FROM me, LATERAL (
    SELECT id FROM engine e
    WHERE engine_group = $1 AND intake = 'open' AND NOT deleted AND (breaker = 'closed' OR probe_at <= now())
      AND id = ANY ($3) AND me.id IS NOT NULL AND {ENGINE_OPEN}
    ORDER BY id FOR UPDATE
  ) AS e
), ours AS MATERIALIZED (SELECT array_agg(id) AS ids FROM engines
), active AS MATERIALIZED (
  SELECT plan_id, count(*)::int AS n FROM task
  WHERE state IN {ACTIVE} GROUP BY plan_id
), eligible AS MATERIALIZED (
  SELECT p.plan_id,
         row_number() OVER (ORDER BY p.priority DESC, head.priority DESC, COALESCE(a.n, 0), head.queued_at) AS urgent,
         row_number() OVER (ORDER BY p.starved_since, head.queued_at) AS patient
  FROM plan_rules p LEFT JOIN active a USING (plan_id)
  CROSS JOIN LATERAL (
    SELECT max(first.priority) AS priority, min(first.queued_at) AS queued_at
    FROM engines AS e CROSS JOIN LATERAL (
      SELECT t.priority, t.queued_at FROM task t
      WHERE t.plan_id = p.plan_id AND t.engine_id = e.id AND t.state = 'QUEUED' AND t.not_before <= now()
        AND t.definitions_revision <= (SELECT revision FROM seen)
      ORDER BY t.priority DESC, t.position LIMIT 1) AS first) AS head
  WHERE NOT p.held AND NOT p.closed AND head.priority IS NOT NULL AND {PLAN_OPEN}
    AND COALESCE(a.n, 0) < COALESCE(p.task_limit, 2147483647)
), plans AS MATERIALIZED (
  SELECT p.plan_id FROM plan_rules p
  WHERE p.plan_id IN (SELECT plan_id FROM eligible WHERE urgent <= $4 OR patient <= $4 / 10)
    AND NOT p.held AND NOT p.closed
  ORDER BY p.plan_id FOR UPDATE
)
SELECT (SELECT ids FROM ours) AS engines, (SELECT array_agg(plan_id) FROM plans) AS plans
"""  # noqa: S608

# INVARIANT state = QUEUED in the claimed row; CLAIMED, SUBMITTING, RUNNING *and UNKNOWN* count against every limit:
# each may have work on the engine. Start tokens are spent by the statement that claims. INVARIANT priority decides who
# goes first, not who waits for ever: `boosted` is one task of the plan that starves longest.
# INVARIANT freeze.exact: freezes are read again here, under the locks of the engines (`store/freezes.py`).
_CLAIM: Final = with_states(
    """
WITH {frozen}, active AS MATERIALIZED (
  SELECT plan_id, engine_id, task_group, count(*)::int AS n,
         count(*) FILTER (WHERE state IN {owned})::int AS starting
  FROM task WHERE state IN {active} GROUP BY 1, 2, 3
), on_engine AS MATERIALIZED (
  SELECT engine_id, sum(n)::int AS n, sum(starting)::int AS starting FROM active GROUP BY 1
), in_plan AS MATERIALIZED (SELECT plan_id, sum(n)::int AS n FROM active GROUP BY 1
), in_group AS MATERIALIZED (
  SELECT plan_id, task_group, sum(n)::int AS n FROM active WHERE task_group IS NOT NULL GROUP BY 1, 2
), engines AS MATERIALIZED (
  SELECT e.id, r.tokens, e.starts_since_boost,
         LEAST(e.concurrency - COALESCE(a.n, 0),
               CASE WHEN e.starts_per_minute IS NOT NULL THEN floor(r.tokens)::int END,
               CASE WHEN e.breaker = 'open' THEN 1 - COALESCE(a.starting, 0) END) AS free
  FROM engine e LEFT JOIN on_engine a ON a.engine_id = e.id
  CROSS JOIN LATERAL (SELECT LEAST(e.starts_at_once, e.tokens + COALESCE(e.starts_per_minute, 0) / 60
      * GREATEST(0, extract(epoch FROM now() - e.tokens_at)))::float8 AS tokens) r
  WHERE e.id = ANY($3) AND {engine_open}
), ended AS MATERIALIZED (
  SELECT t.plan_id, count(*)::int AS n, count(*) FILTER (WHERE t.state = 'FAILED')::int AS failed
  FROM task t JOIN plan_rules p USING (plan_id)
  WHERE p.plan_id = ANY($4) AND (p.canary_first IS NOT NULL OR p.brake_ratio IS NOT NULL)
    AND t.state IN {tried} GROUP BY 1
), plans AS MATERIALIZED (
  SELECT p.plan_id, p.priority, p.newest_first, COALESCE(a.n, 0) AS active, r.tokens,
         CASE WHEN p.starved_since < now() - $5 * interval '1 second' THEN p.starved_since END AS starved_since,
         LEAST(COALESCE(p.task_limit, 2147483647) - COALESCE(a.n, 0),
               CASE WHEN p.starts_per_minute IS NOT NULL THEN floor(r.tokens)::int END,
               CASE WHEN COALESCE(d.n, 0) < p.canary_first THEN p.canary_first - COALESCE(a.n, 0) - COALESCE(d.n, 0)
                    WHEN d.failed > p.canary_failures AND d.n <= p.canary_first THEN 0 END,
               CASE WHEN d.n >= p.brake_after AND d.failed >= p.brake_ratio * d.n THEN 0 END) AS free
  FROM plan_rules p LEFT JOIN in_plan a USING (plan_id) LEFT JOIN ended d USING (plan_id)
  CROSS JOIN LATERAL (SELECT LEAST(GREATEST(1, p.starts_per_minute / 6), p.tokens + COALESCE(p.starts_per_minute, 0)
      / 60 * GREATEST(0, extract(epoch FROM now() - p.tokens_at)))::float8 AS tokens) r
  WHERE p.plan_id = ANY($4) AND {plan_open}
), candidates AS (
  SELECT c.*, p.priority AS plan_priority, p.active AS plan_active, p.free AS plan_free, e.free AS engine_free,
         p.starved_since, e.starts_since_boost, COALESCE(g.n, 0) AS group_active,
         row_number() OVER (PARTITION BY c.plan_id ORDER BY c.priority DESC, c.place, c.id) AS plan_nth,
         row_number() OVER (PARTITION BY c.plan_id, c.task_group ORDER BY c.priority DESC, c.place, c.id) AS group_nth
  FROM plans p CROSS JOIN engines e CROSS JOIN LATERAL (
    (SELECT t.id, t.plan_id, t.engine_id, t.task_group, t.group_limit, t.priority, t.queued_at, t.position AS place
     FROM task t WHERE NOT p.newest_first AND {may_start}
     ORDER BY t.priority DESC, t.position LIMIT LEAST($2, p.free, e.free))
    UNION ALL
    (SELECT t.id, t.plan_id, t.engine_id, t.task_group, t.group_limit, t.priority, t.queued_at, -t.position
     FROM task t WHERE p.newest_first AND {may_start}
     ORDER BY t.priority DESC, t.position DESC LIMIT LEAST($2, p.free, e.free))) c
  LEFT JOIN in_group g ON g.plan_id = c.plan_id AND g.task_group = c.task_group
  WHERE p.free > 0 AND e.free > 0
), first AS (
  SELECT DISTINCT ON (engine_id) engine_id, plan_priority, priority FROM candidates
  ORDER BY engine_id, plan_priority DESC, priority DESC
), boosted AS MATERIALIZED (
  SELECT DISTINCT ON (c.engine_id) c.id FROM candidates c JOIN first f USING (engine_id)
  WHERE c.starved_since IS NOT NULL AND c.plan_nth = 1 AND c.starts_since_boost >= $6
    AND (c.plan_priority, c.priority) < (f.plan_priority, f.priority)
  ORDER BY c.engine_id, c.starved_since, c.id
), fitting AS MATERIALIZED (
  SELECT c.*, plan_nth + plan_active AS plan_slot, boosted.id IS NOT NULL AS is_boosted,
         row_number() OVER (PARTITION BY engine_id ORDER BY boosted.id IS NULL, plan_priority DESC, priority DESC,
                            plan_nth + plan_active, queued_at, c.id) AS engine_nth
  FROM candidates c LEFT JOIN boosted ON boosted.id = c.id
  WHERE plan_nth <= plan_free AND (task_group IS NULL OR group_nth + group_active <= COALESCE(group_limit, 2147483647))
), picked AS (
  SELECT id FROM fitting WHERE engine_nth <= engine_free
  ORDER BY is_boosted DESC, plan_priority DESC, priority DESC, plan_slot, queued_at, id LIMIT $2
), locked AS MATERIALIZED (
  SELECT t.id FROM task t WHERE t.id IN (SELECT id FROM picked) AND t.state = 'QUEUED' ORDER BY t.id
  FOR UPDATE SKIP LOCKED
), claimed AS (
  UPDATE task t SET state = 'CLAIMED', owner = $1, fence = t.fence + 1, sends = 0, version = t.version + 1,
         state_at = now(), waiting = NULL, reason = '', pending_transitions = {move}, published = false
  FROM locked WHERE t.id = locked.id AND t.state = 'QUEUED'
  RETURNING {columns}, t.spec::text AS spec
), engines_spent AS (
  UPDATE engine e SET tokens_at = GREATEST(e.tokens_at, now()),
    tokens = CASE WHEN e.starts_per_minute IS NULL THEN e.tokens ELSE s.tokens - n.n END,
    starts_since_boost = CASE WHEN n.boosted THEN 0 ELSE LEAST(e.starts_since_boost + n.n, $6) END
  FROM engines s JOIN (SELECT engine_id, count(*)::int AS n, bool_or(id IN (SELECT id FROM boosted)) AS boosted
                       FROM claimed GROUP BY 1) n ON n.engine_id = s.id
  WHERE e.id = s.id AND (e.starts_per_minute IS NOT NULL OR n.boosted OR e.starts_since_boost < $6)
), plans_spent AS (
  UPDATE plan_rules p SET
    tokens = CASE WHEN p.starts_per_minute IS NULL THEN p.tokens ELSE s.tokens - n.n END,
    tokens_at = GREATEST(p.tokens_at, now()), starved_since = NULL
  FROM plans s JOIN (SELECT plan_id, count(*) AS n FROM claimed GROUP BY 1) n USING (plan_id)
  WHERE p.plan_id = s.plan_id AND (p.starts_per_minute IS NOT NULL OR p.starved_since IS NOT NULL)
), starved AS (
  UPDATE plan_rules p SET starved_since = now()
  WHERE p.starved_since IS NULL AND p.plan_id NOT IN (SELECT plan_id FROM claimed)
    AND p.plan_id IN (SELECT f.plan_id FROM fitting f WHERE f.engine_id IN (SELECT engine_id FROM claimed))
)
SELECT * FROM claimed
""".replace("{columns}", COLUMNS)
    .replace("{frozen}", FROZEN)
    .replace("{engine_open}", ENGINE_OPEN)
    .replace("{plan_open}", PLAN_OPEN)
    .replace("{move}", move("'CLAIMED'"))
    .replace(
        "{may_start}",
        """t.plan_id = p.plan_id AND t.engine_id = e.id AND t.state = 'QUEUED' AND t.not_before <= now()
       AND t.definitions_revision <= (SELECT revision FROM seen)
       AND NOT EXISTS (SELECT FROM in_group g WHERE g.plan_id = t.plan_id AND g.task_group = t.task_group
                       AND g.n >= t.group_limit)""",
    )
)


# INVARIANT state, owner and fence: only what was never sent, and only its owner, goes back.
_GIVE_BACK: Final = """
UPDATE task t SET state = 'QUEUED', owner = NULL, version = t.version + 1, state_at = now(), reason = $4,
       pending_transitions = {move}, published = false
FROM unnest($1::uuid[], $2::bigint[]) AS o (id, fence)
WHERE t.id = o.id AND t.state = 'CLAIMED' AND t.owner = $3 AND t.fence = o.fence
RETURNING {columns}
""".replace("{columns}", COLUMNS).replace("{move}", move("'QUEUED'", reason="$4::text"))


async def claim(
    connection: Connection, worker: UUID, *, group: str, reachable: Sequence[str], limit: int
) -> list[Claim]:
    """Claim up to `most` tasks for the engines this process can reach; nothing if this worker is not live.

    Inside the caller's transaction, which began with `BEGIN`.
    """
    locked = await connection.fetchrow(_LOCK, group, worker, list(reachable), MAX_PLANS)
    if locked is None or not locked["plans"]:
        return []
    engines, plans = locked["engines"], locked["plans"]
    rows = await connection.fetch(_CLAIM, worker, limit, engines, plans, STARVED_SECONDS, STARTS_BETWEEN_BOOSTS)
    crash_points.point("executor.claiming")
    return [claim_of(row) for row in rows]


def claim_of(row: Row) -> Claim:
    """A claim. One whose work cannot be read has a `fault`: it is refused, and the others of its batch are sent."""
    task = task_of(row)
    try:
        return Claim(task, TaskSpec.model_validate_json(row["spec"]), task.traceparent)
    except ValueError as error:
        note_fault("claims", error)
        return Claim(task, _UNREADABLE, task.traceparent, fault=describe_fault(error))


async def give_back(connection: Connection, worker: UUID, claims: Sequence[Claim], reason: str) -> list[Task]:
    """Put claims that were never sent back into the queue."""
    ids, fences = [claim.task.id for claim in claims], [claim.task.fence for claim in claims]
    return [task_of(row) for row in await connection.fetch(_GIVE_BACK, ids, fences, worker, reason)]
