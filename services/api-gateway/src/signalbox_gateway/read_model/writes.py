"""Writing the read model. Every statement is guarded by a version: a repeated or late fact changes nothing.

Rows go in in the order of their ids, so that two members that hold the same facts queue up instead of deadlocking.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final
from uuid import UUID

from pydantic_core import to_json

from signalbox_chassis.persistence.connection import Connection
from signalbox_contracts.messages.plans import PlanRecord
from signalbox_contracts.messages.states import EngineRecord
from signalbox_gateway.read_model.rows import (
    AnswerRow,
    ItemRow,
    PageRow,
    ParkedRow,
    PlanEventRow,
    PlanRow,
    TaskFacts,
    columns,
    plan_row,
)

_MAX_ROWS: Final = 2000
"""Rows in one statement: a larger one would come near the statement's time limit."""

# INVARIANT an older version changes nothing, and `created_at` and the trace are set once: lists are ordered by the
# first, so a later change would move a row behind the cursor of whoever reads page by page.
_PLANS: Final = """
INSERT INTO plan AS p (id, version, state, name, project, target, actor, parent, labels, created_at, ended_at, trace_id,
    record, expected)
SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
    $8::uuid[], $9::jsonb[], $10::timestamptz[], $11::timestamptz[], $12::text[], $13::text[], $14::jsonb[])
  AS n (id, version, state, name, project, target, actor, parent, labels, created_at, ended_at, trace_id, record,
    expected)
ORDER BY id
ON CONFLICT (id) DO UPDATE SET version = checked_version(p.version, excluded.version), state = excluded.state,
    name = excluded.name,
    project = excluded.project, target = excluded.target, actor = excluded.actor, parent = excluded.parent,
    labels = excluded.labels, ended_at = excluded.ended_at,
    trace_id = COALESCE(p.trace_id, excluded.trace_id), record = excluded.record, expected = excluded.expected,
    reported_at = now(), queries = 0, complete = false
WHERE p.version < excluded.version
"""
_REPORTED: Final = "UPDATE plan SET reported_at = now(), queries = 0 WHERE id = ANY($1) AND queries > 0"

# The request comes again with its idempotency key: the first row stays, and a fact that came meanwhile too.
_ACCEPT: Final = f"""
WITH accepted AS (
{_PLANS.partition("ON CONFLICT")[0]}
ON CONFLICT (id) DO NOTHING RETURNING id, version, state, created_at, actor
)
INSERT INTO plan_event (plan_id, version, state, at, actor, reason)
SELECT id, version, state, created_at, actor, $15 FROM accepted
ON CONFLICT DO NOTHING RETURNING plan_id
"""  # noqa: S608

_PLAN_EVENTS: Final = """
INSERT INTO plan_event (plan_id, version, state, at, actor, reason)
SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::timestamptz[], $5::text[], $6::text[])
  AS n (plan_id, version, state, at, actor, reason) ORDER BY plan_id, version
ON CONFLICT DO NOTHING
"""

# INVARIANT an older version changes nothing, whichever of item and task comes first.
_TASKS: Final = """
INSERT INTO task AS t (id, plan_id, item_key, version, state, engine, why, record)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::text[])
  AS n (id, plan_id, item_key, version, state, engine, why, record) ORDER BY id
ON CONFLICT (id) DO UPDATE SET version = checked_version(t.version, excluded.version), state = excluded.state,
    engine = excluded.engine,
    why = excluded.why, record = excluded.record
WHERE t.version < excluded.version
"""

_TASK_EVENTS: Final = """
INSERT INTO task_event (task_id, version, state, attempt, at, reason)
SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::int[], $5::timestamptz[], $6::text[])
  AS n (task_id, version, state, attempt, at, reason) ORDER BY task_id, version
ON CONFLICT DO NOTHING
"""

# What is known of a try only grows: its end, told by the task that queues the next, keeps what was said when it ran.
_ATTEMPTS: Final = """
INSERT INTO task_attempt AS a (task_id, attempt, version, ended, record)
SELECT * FROM unnest($1::uuid[], $2::int[], $3::bigint[], $4::bool[], $5::jsonb[])
  AS n (task_id, attempt, version, ended, record) ORDER BY task_id, attempt
ON CONFLICT (task_id, attempt) DO UPDATE SET version = greatest(a.version, excluded.version),
    ended = a.ended OR excluded.ended,
    record = CASE WHEN excluded.version > a.version THEN a.record || excluded.record
                  ELSE excluded.record || a.record END
WHERE excluded.version <> a.version
"""

# INVARIANT a page of an older round or version changes nothing; only pages returned here are written.
_PAGES: Final = """
INSERT INTO plan_page AS p (plan_id, page, round, version, pages)
SELECT * FROM unnest($1::uuid[], $2::int[], $3::int[], $4::bigint[], $5::int[])
  AS n (plan_id, page, round, version, pages) ORDER BY plan_id, page
ON CONFLICT (plan_id, page) DO UPDATE SET round = excluded.round, version = excluded.version, pages = excluded.pages
WHERE (p.round, p.version) < (excluded.round, excluded.version)
RETURNING plan_id, page, round
"""

# A newer round replaces the older one; what already runs is kept.
_FORGET: Final = "DELETE FROM task WHERE plan_id = $1 AND round < $2 AND version < 0"

_ITEMS: Final = """
INSERT INTO task AS t (id, plan_id, item_key, position, decision, round, item)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::int[], $5::text[], $6::int[], $7::text[])
  AS n (id, plan_id, item_key, position, decision, round, item) ORDER BY position
ON CONFLICT (id) DO UPDATE SET position = excluded.position, decision = excluded.decision, round = excluded.round,
    item = excluded.item
WHERE t.round IS NULL OR t.round <= excluded.round
"""

# An ended plan says how much there is to be read of it. Counting is for plans that ended and are not known complete.
_COMPLETE: Final = """
UPDATE plan p SET complete = true
WHERE p.id = ANY($1) AND NOT p.complete AND p.expected IS NOT NULL
  AND (SELECT count(*) FROM plan_page g WHERE g.plan_id = p.id) >= (p.expected ->> 'item_pages')::bigint
  AND (SELECT count(*) >= (p.expected ->> 'tasks')::bigint
              AND COALESCE(sum(t.version), 0) >= (p.expected ->> 'task_versions')::bigint
       FROM task t WHERE t.plan_id = p.id AND t.version >= 0)
RETURNING p.id
"""

_ENGINES: Final = """
INSERT INTO engine_state AS e (id, version, record)
SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[]) AS n (id, version, record) ORDER BY id
ON CONFLICT (id) DO UPDATE SET version = checked_version(e.version, excluded.version), record = excluded.record
WHERE e.version < excluded.version
"""

_ANSWERS: Final = """
INSERT INTO operation_answer (operation_id, state, answer, details, answered_at)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::timestamptz[])
  AS n (operation_id, state, answer, details, answered_at) ORDER BY operation_id
ON CONFLICT DO NOTHING
"""

# The owner's answer settles what was asked: a redrive is under way then, a drop is done.
_SETTLE_LETTERS: Final = """
UPDATE parked SET state = CASE
    WHEN n.outcome <> 'done' THEN 'PARKED' WHEN n.operation = 'dead_letter.drop' THEN 'DROPPED' ELSE 'REDRIVING' END
FROM unnest($1::uuid[], $2::text[], $3::text[]) AS n (id, operation, outcome)
WHERE parked.operation_id = n.id AND parked.state = 'REQUESTED'
"""

# The owner's own fact: handled, given up, or failed again. It may come before its answer to the operation.
_LETTER_STATES: Final = """
UPDATE parked SET state = n.state,
    record = (parked.record::jsonb || jsonb_build_object('attempts', n.attempts, 'error', coalesce(n.error,
        parked.record::jsonb ->> 'error')))::text
FROM (SELECT DISTINCT ON (id) * FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::text[])
      WITH ORDINALITY AS u (id, state, attempts, error, position) ORDER BY id, position DESC) AS n
WHERE parked.id = n.id
"""

_ASK_LETTERS: Final = """
UPDATE parked SET operation_id = $1, state = 'REQUESTED' WHERE id = ANY($2) AND state IN ('PARKED', 'REDRIVING')
RETURNING id
"""

_PARKED: Final = """
INSERT INTO parked AS p (id, service, topic, parked_at, record)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[], $5::text[])
  AS n (id, service, topic, parked_at, record) ORDER BY id
ON CONFLICT DO NOTHING
"""


async def accept_plan(connection: Connection, record: PlanRecord, *, trace_id: str | None) -> PlanRow | None:
    """Write the first row of a plan (ACCEPTED, version 0), in the transaction that sends its request.

    None if the plan is there already: the same call was answered before.
    """
    row = plan_row(record, trace_id)
    return row if await connection.fetch(_ACCEPT, *columns([row]), record.reason) else None


async def accept_plans(
    connection: Connection, records: Sequence[PlanRecord], *, reason: str, trace_id: str | None
) -> None:
    """Write the first rows of plans that one request makes."""
    for at in range(0, len(records), _MAX_ROWS):
        rows = [plan_row(record, trace_id) for record in records[at : at + _MAX_ROWS]]
        await connection.fetch(_ACCEPT, *columns(rows), reason)


async def write_plans(connection: Connection, rows: Sequence[PlanRow], events: Sequence[PlanEventRow]) -> None:
    """Each plan at most once. What is no news is the answer to a question, or came twice."""
    news: set[UUID] = set()
    for at in range(0, len(rows), _MAX_ROWS):
        written = await connection.fetch(f"{_PLANS} RETURNING id", *columns(rows[at : at + _MAX_ROWS]))
        news |= {row["id"] for row in written}
    if len(news) < len(rows):
        await connection.execute(_REPORTED, [row.id for row in rows if row.id not in news])
    await _write(connection, _PLAN_EVENTS, events)


async def write_tasks(connection: Connection, facts: TaskFacts) -> None:
    await _write(connection, _TASKS, list(facts.tasks.values()))
    await _write(connection, _TASK_EVENTS, list(facts.events.values()))
    attempts = [(*row[:-1], to_json(row.record).decode()) for row in facts.attempts.values()]
    await _write(connection, _ATTEMPTS, attempts)


async def take_pages(connection: Connection, rows: Sequence[PageRow]) -> set[tuple[UUID, int]]:
    """Which of these pages, each (plan, page) at most once, are news; what they replace is forgotten."""
    news = await connection.fetch(_PAGES, *columns(rows)) if rows else []
    for plan, round in {(row["plan_id"], row["round"]) for row in news if row["round"] and row["page"] == 1}:
        await connection.execute(_FORGET, plan, round)
    return {(row["plan_id"], row["page"]) for row in news}


async def write_items(connection: Connection, rows: Sequence[ItemRow]) -> None:
    await _write(connection, _ITEMS, rows)


async def complete_plans(connection: Connection, plans: Iterable[UUID]) -> list[UUID]:
    """Those of these plans that have ended and of which everything was read just now."""
    return [row["id"] for row in await connection.fetch(_COMPLETE, sorted(plans))]


async def write_engines(connection: Connection, records: Iterable[EngineRecord]) -> None:
    newest: dict[str, EngineRecord] = {}
    for record in records:
        seen = newest.get(record.engine_id)
        if seen is None or seen.version < record.version:
            newest[record.engine_id] = record
    await _write(connection, _ENGINES, [(one.engine_id, one.version, one.model_dump_json()) for one in newest.values()])


async def write_answers(connection: Connection, rows: Iterable[AnswerRow]) -> None:
    await _write(connection, _ANSWERS, list({row.operation_id: row for row in rows}.values()))


async def settle_letters(connection: Connection, answers: Sequence[tuple[UUID, str, str]]) -> None:
    """`answers` are operation id, operation and outcome, of operations about parked messages."""
    await _write(connection, _SETTLE_LETTERS, answers)


async def write_letter_states(connection: Connection, states: Sequence[tuple[UUID, str, int, str | None]]) -> None:
    """`states` are message id, state, attempts and error, in the order of their facts."""
    await _write(connection, _LETTER_STATES, states)


async def ask_letters(connection: Connection, operation_id: UUID, ids: Sequence[UUID]) -> list[UUID]:
    """Mark parked messages as asked for by this operation, in the transaction that sends it; returns those there."""
    return [row["id"] for row in await connection.fetch(_ASK_LETTERS, operation_id, list(ids))]


async def write_parked(connection: Connection, rows: Iterable[ParkedRow]) -> None:
    await _write(connection, _PARKED, list({row.id: row for row in rows}.values()))


async def _write(connection: Connection, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
    for at in range(0, len(rows), _MAX_ROWS):
        await connection.execute(statement, *columns(rows[at : at + _MAX_ROWS]))
