"""What is left after a run, read from where it was written: schemas, journals of the engines, facts in Kafka."""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Collection, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, cast
from uuid import UUID

from aiokafka import AIOKafkaConsumer, TopicPartition
from pydantic_core import from_json, to_json

from chaos.engine_runs import Journal
from chaos.judge import Evidence, Limit, Plan, PublishedState, Step, Task
from chaos.load import Load
from chaos.plan import ChaosPipeline
from chaos.sampler import Looks
from chaos.world import ENGINES, SERVICES, World
from signalbox_chassis.messaging.consumer import Consumer
from signalbox_chassis.persistence.connection import Connection, connect
from signalbox_contracts.ids import task_id
from signalbox_contracts.messages.tasks import TasksStated
from signalbox_contracts.states import PLAN_ENDS, TASK_ENDS
from signalbox_contracts.topics import topic
from signalbox_contracts.wire import decode
from support import audit

SCHEMAS: Final = tuple(one.schema for one in SERVICES)
FACTS: Final = topic("tasks.v1")
TOPIC_PREFIX: Final = "signalbox."

# A limit counts from here on by the clock, not from the beginning of its transaction: the trigger runs while the row is
# locked, and a claim holds that lock too.
_WATCH_LIMITS: Final = """
CREATE SCHEMA chaos;
CREATE TABLE chaos.limits (at timestamptz NOT NULL DEFAULT clock_timestamp(), of text NOT NULL, most integer);
CREATE FUNCTION chaos.limit_of_plan() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $body$
BEGIN
  INSERT INTO chaos.limits (of, most) VALUES ('plan ' || NEW.plan_id, NEW.task_limit);
  RETURN NULL;
END $body$;
CREATE FUNCTION chaos.limit_of_engine() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $body$
BEGIN
  INSERT INTO chaos.limits (of, most) VALUES ('engine ' || NEW.id, NEW.concurrency);
  RETURN NULL;
END $body$;
CREATE TRIGGER chaos_limit AFTER INSERT OR UPDATE OF task_limit ON executor.plan_rules
  FOR EACH ROW EXECUTE FUNCTION chaos.limit_of_plan();
CREATE TRIGGER chaos_limit AFTER INSERT OR UPDATE OF concurrency ON executor.engine
  FOR EACH ROW EXECUTE FUNCTION chaos.limit_of_engine()
"""
_TASKS: Final = """
SELECT id, plan_id, item_key, engine_id, state, version, attempt, max_attempts, infrastructure_faults,
       cancel_requested_at IS NOT NULL OR cause = 'cancelled' AS cancelled, spec #> '{work,script}' AS script,
       coalesce(spec ->> 'step', '') AS step
FROM executor.task
"""
_SHOWN_PLANS: Final = "SELECT id, state, version FROM api_gateway.plan"
_SHOWN_TASKS: Final = "SELECT id, state, version FROM api_gateway.task WHERE version >= 0"


@asynccontextmanager
async def connected(world: World) -> AsyncGenerator[Connection]:
    """The database as its superuser sees it, not through a link."""
    connection = await connect(world.postgres.url)
    try:
        yield connection
    finally:
        await connection.close()


async def watch(world: World) -> None:
    """Have the database write down every change of a task and of a limit, from here on."""
    async with connected(world) as connection:
        await audit.install(connection, schema="executor")
        await connection.execute(_WATCH_LIMITS)


async def open_work(world: World, left: Collection[UUID]) -> dict[str, int]:
    """What is still under way, in numbers. Nothing is left to wait for when all are 0."""
    async with connected(world) as connection:
        unsent = await _unsent(connection)
        plans, tasks = await _plans(connection), await _tasks(connection)
        shown = {row["id"]: row["version"] for row in await connection.fetch(_SHOWN_TASKS)}
        shown_plans = {row["id"]: row["version"] for row in await connection.fetch(_SHOWN_PLANS)}
    ended = {plan.id for plan in plans if plan.state in PLAN_ENDS} | set(left)
    # what is to run for ever, or to wait in a paused plan, must have come so far before it is judged
    at_rest = {(plan.id, "QUEUED" if plan.held else "RUNNING") for plan in plans if plan.id in left}
    return {
        "unsent messages": sum(unsent.values()),
        "plans not ended": sum(id not in ended for id in shown_plans),
        "tasks not ended": sum(
            task.state not in TASK_ENDS and (task.plan_id, task.state) not in at_rest for task in tasks
        ),
        "tasks not shown": sum(shown.get(task.id) != task.version for task in tasks),
        "plans not shown": sum(shown_plans.get(plan.id) != plan.version for plan in plans),
    }


async def gather(world: World, load: Load, looks: Looks, pipelines: Mapping[str, ChaosPipeline]) -> Evidence:
    """All of it. Nothing is under way any more."""
    evidence = Evidence(twice_seen=looks.twice, unanswered=load.unanswered, at=time.time())
    for plan_id, story in load.accepted.items():
        items = pipelines[story.pipeline].items if story.pipeline else len(story.items) or 1
        evidence.requested[UUID(plan_id)] = items
        if story.left:
            evidence.left.add(UUID(plan_id))
    evidence.requested |= dict.fromkeys(map(UUID, load.children))
    async with connected(world) as connection:
        evidence.tasks = await _tasks(connection)
        evidence.plans = await _plans(connection)
        evidence.items = await _items(connection)
        evidence.steps = await _steps(connection)
        evidence.shown_tasks = await _states(connection, _SHOWN_TASKS)
        evidence.shown_plans = await _states(connection, _SHOWN_PLANS)
        rows = await connection.fetch("SELECT extract(epoch FROM at)::float8 AS at, of, most FROM chaos.limits")
        evidence.limits = [Limit(row["at"], row["of"], row["most"]) for row in rows]
        evidence.changes = await audit.read(connection, schema="executor")
        evidence.unsent = await _unsent(connection)
        evidence.parked = await _parked(connection)
    for engine in ENGINES:
        journal = Journal(engine, world.journal(engine))
        journal.read_on()
        evidence.runs += journal.runs()
    evidence.facts = await _facts(world)
    return evidence


async def counts(world: World) -> dict[str, int]:
    """What the run came to, for the report."""
    async with connected(world) as connection:
        found: dict[str, int] = {
            "workers taken over": await connection.fetchval("SELECT count(*) FROM executor.worker WHERE dead"),
            "tasks taken over": await connection.fetchval(
                "SELECT count(*) FROM executor.audit WHERE (before).owner <> (after).owner"
            ),
        }
    dropped = [world.engines[name].folder / "data" / "dropped" for name in ENGINES]
    return found | {"duplicates dropped at the engines": sum(_lines(file) for file in dropped)}


def _lines(file: Path) -> int:
    return len(file.read_text().splitlines()) if file.exists() else 0


async def _tasks(connection: Connection) -> list[Task]:
    return [
        Task(
            row["id"], row["plan_id"], row["item_key"], row["engine_id"], row["state"], row["version"], row["attempt"],
            row["max_attempts"], row["infrastructure_faults"], row["cancelled"], _json(row["script"]), row["step"],
        )
        for row in await connection.fetch(_TASKS)
    ]  # fmt: skip


async def _plans(connection: Connection) -> list[Plan]:
    states: defaultdict[UUID, dict[str, int]] = defaultdict(dict)
    for row in await connection.fetch("SELECT plan_id, state, count(*) AS n FROM planner.item GROUP BY 1, 2"):
        states[row["plan_id"]][row["state"] or ""] = row["n"]
    rows = await connection.fetch("SELECT id, state, version, held FROM planner.plan")
    return [Plan(row["id"], row["state"], row["version"], row["held"], states[row["id"]]) for row in rows]


async def _steps(connection: Connection) -> dict[UUID, list[Step]]:
    states: defaultdict[UUID, list[str]] = defaultdict(list)
    for row in await connection.fetch("SELECT plan_id, state FROM planner.step ORDER BY plan_id, index"):
        states[row["plan_id"]].append(row["state"])
    found: dict[UUID, list[Step]] = {}
    for row in await connection.fetch("SELECT plan_id, pipeline FROM planner.plan_pipeline"):
        steps = _json(row["pipeline"])["steps"]
        found[row["plan_id"]] = [
            Step(
                step["id"], state, tuple((one["step"], one["when"]) for one in step["depends_on"]),
                step["compensates"],
            )
            for step, state in zip(steps, states[row["plan_id"]], strict=True)
        ]  # fmt: skip
    return found


async def _items(connection: Connection) -> dict[UUID, tuple[str, int]]:
    rows = await connection.fetch("SELECT plan_id, key, state, task_version FROM planner.item")
    return {task_id(row["plan_id"], row["key"]): (row["state"], row["task_version"]) for row in rows}


async def _states(connection: Connection, query: str) -> dict[UUID, tuple[str, int]]:
    return {row["id"]: (row["state"], row["version"]) for row in await connection.fetch(query)}


async def _unsent(connection: Connection) -> dict[str, int]:
    query = "SELECT count(*) FROM {schema}.outbox WHERE sent_at IS NULL"
    return {schema: await connection.fetchval(query.replace("{schema}", schema)) for schema in SCHEMAS}


async def _parked(connection: Connection) -> list[str]:
    found: list[str] = []
    for schema in SCHEMAS:
        query = f"SELECT topic, event_type, error FROM {schema}.dead_letter"  # noqa: S608 -- our own names
        found += [
            f"{schema}: {row['event_type']} of {row['topic']}: {row['error'][:200]}"
            for row in await connection.fetch(query)
        ]
    return found


async def _facts(world: World) -> list[PublishedState]:
    """Every statement of every task, from the beginning of the topic."""
    raw: Any = AIOKafkaConsumer(bootstrap_servers=world.kafka.bootstrap, enable_auto_commit=False)
    consumer = cast("Consumer", raw)
    await consumer.start()
    try:
        partitions = [TopicPartition(FACTS.full_name(TOPIC_PREFIX), number) for number in range(FACTS.partitions)]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        ends = await consumer.end_offsets(partitions)
        found: list[PublishedState] = []
        while any([await consumer.position(one) < ends[one] for one in partitions]):
            polled = await consumer.getmany(timeout_ms=500)
            for record in (record for batch in polled.values() for record in batch):
                event = decode(FACTS, record.value, key=record.key, headers=tuple(record.headers))
                if isinstance(event, TasksStated):
                    found += [_published_state(task) for task in event.data.tasks]
            await asyncio.sleep(0)
        return found
    finally:
        await consumer.stop()


def _published_state(task: Any) -> PublishedState:
    return PublishedState(
        task.task_id, task.version, str(task.state), task.attempt, str(task.cause) if task.cause else None
    )


def _json(value: Any) -> dict[str, Any]:
    found: Any = from_json(value) if isinstance(value, str) else value
    return cast("dict[str, Any]", found or {})


def keep(evidence: Evidence, file: Path) -> None:
    """All of it as JSON, for whoever looks into a run that failed: the database is gone by then."""
    file.write_bytes(to_json(evidence, indent=1))
