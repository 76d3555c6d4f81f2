"""Every statement of the claim protocol by name, and scenes in which each of them finds its row.

A scene is one task (two for a plan on two engine groups), its plan and two workers; nothing else is in the schema,
because some statements take every row they find.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal
from uuid import UUID, uuid4

from signalbox_chassis.persistence.connection import Connection
from signalbox_contracts.definitions.rules import Retries, Rules, TimeLimits
from signalbox_contracts.messages.operations import TaskResolveData
from signalbox_contracts.messages.plans import Waiting, WaitReason
from signalbox_contracts.messages.task_commands import PlanRulesData, TasksEnsureData, TaskSpec
from signalbox_contracts.messages.tasks import EndCause, Phase
from signalbox_executor.lifecycle import Budget, Outcome, Queue, Verdict
from signalbox_executor.store import (
    accept,
    claim,
    engines,
    finish,
    observe,
    resolve,
    rules,
    stop,
    submit,
    waiting,
    workers,
)
from signalbox_executor.store.rows import COLUMNS
from support.executor import engine, spec

ENGINE, ELSEWHERE = "here", "elsewhere"
"""Two engines, each in the group of its name."""
LIMITS: Final = TimeLimits(queued_seconds=0, running_seconds=1, cancelling_seconds=1)
"""Passed by every row that was made an hour ago: what ends late rows finds it."""
HANDLE: Final = "run-1"


@dataclass
class Scene:
    """What the statements act on."""

    plan: UUID
    me: UUID
    other: UUID
    task: UUID
    fence: int = 1
    lease_fence: int = 1

    def ending(self, outcome: Outcome, **fields: Any) -> finish.AttemptResult:
        """What was seen of the first attempt, by the worker that claimed it."""
        facts: dict[str, Any] = {"phase": Phase.FAILED, **fields}
        verdict = Verdict(outcome=outcome, **facts)
        return finish.AttemptResult(task_id=self.task, attempt=1, fence=self.fence, verdict=verdict)


Statement = Callable[[Scene, Connection], Awaitable[int]]
"""Runs inside the caller's transaction; how many rows it changed."""


async def accepts(scene: Scene, connection: Connection) -> int:
    return len(await accept.accept(connection, _ensured(scene, [_spec(scene, 0, ENGINE)]), None))


def claims(group: str, *, by_other: bool = False) -> Statement:
    async def statement(scene: Scene, connection: Connection) -> int:
        worker = scene.other if by_other else scene.me
        return len(await claim.claim(connection, worker, group=group, reachable=[ENGINE, ELSEWHERE], limit=10))

    return statement


def cancels(*, kill: bool) -> Statement:
    async def statement(scene: Scene, connection: Connection) -> int:
        return len(await stop.cancel(connection, scene.plan, [], kill=kill, reason="no more"))

    return statement


async def expires(scene: Scene, connection: Connection) -> int:
    return len(await stop.expire(connection, limit=10))


async def explains(scene: Scene, connection: Connection) -> int:
    why = Waiting(why=WaitReason.ENGINE_LIMIT, since_at=datetime.now(UTC))
    queue = Queue(plan_id=scene.plan, engine_id=ENGINE, engine_known=True, definitions_revision=1)
    return len(await waiting.save_reasons(connection, [(queue, why)]))


async def publishes(scene: Scene, connection: Connection) -> int:
    return len(await accept.take_unpublished(connection, seconds=0, limit=10))


async def intends(scene: Scene, connection: Connection) -> int:
    return len(await submit.intend(connection, [(scene.task, scene.fence)]))


async def gives_back(scene: Scene, connection: Connection) -> int:
    [row] = await connection.fetch(f"SELECT {COLUMNS}, spec::text AS spec FROM task t")  # noqa: S608
    mine = claim.claim_of(row)
    mine = claim.Claim(mine.task._replace(fence=scene.fence), mine.spec, None)
    return len(await claim.give_back(connection, scene.me, [mine], "stopping"))


async def takes_over(scene: Scene, connection: Connection) -> int:
    return len(await workers.take_over(connection, scene.other, scene.me) or ())


async def sweeps(scene: Scene, connection: Connection) -> int:
    """Reads its own rows, then states the intent under the fences it read."""
    found = [claim.claim_of(row) for row in await workers.own_rows(connection, scene.me, submitting=[], limit=10)]
    return len(await submit.intend(connection, [(one.task.id, one.task.fence) for one in found]))


async def records(scene: Scene, connection: Connection) -> int:
    return len(await submit.record(connection, [(scene.task, scene.fence, HANDLE)]))


async def raises_sends(scene: Scene, connection: Connection) -> int:
    return int(await submit.raise_sends(connection, scene.task, scene.fence) is not None)


async def publishes_unreachable(scene: Scene, connection: Connection) -> int:
    return len(
        await submit.write_reason(connection, scene.task, scene.fence, WaitReason.ENGINE_UNREACHABLE, "no answer")
    )


async def is_refused(scene: Scene, connection: Connection) -> int:
    ending = scene.ending(Outcome.OVER, phase=Phase.LOST, cause=EndCause.REFUSED)
    return len(await finish.write_rejected(connection, ending))


async def is_sealed(scene: Scene, connection: Connection) -> int:
    ending = scene.ending(Outcome.OVER, phase=Phase.LOST, cause=EndCause.CANCELLED)
    return len(await finish.write_settled(connection, ending))


async def is_unclear(scene: Scene, connection: Connection) -> int:
    return len(await finish.write_settled(connection, scene.ending(Outcome.UNKNOWN, phase=Phase.LOST)))


def sees(outcome: Outcome, **fields: Any) -> Statement:
    async def statement(scene: Scene, connection: Connection) -> int:
        return len(await finish.write_observed(connection, [scene.ending(outcome, **fields)]))

    return statement


succeeds: Final = sees(Outcome.SUCCEEDED, phase=Phase.SUCCEEDED, cause=EndCause.COMPLETED)


async def intends_stop(scene: Scene, connection: Connection) -> int:
    return len(await stop.intend_stops(connection, ENGINE, limit=10))


async def gives_up_stopping(scene: Scene, connection: Connection) -> int:
    return len(await stop.give_up_stopping(connection, ENGINE))


def resolves(decision: Literal["adopt", "retry"]) -> Statement:
    async def statement(scene: Scene, connection: Connection) -> int:
        resolution = TaskResolveData(
            operation_id=UUID(int=3), actor="user:ann", reason="seen", plan_id=scene.plan, task_id=scene.task,
            attempt=1, decision=decision, handle="found" if decision == "adopt" else None,
        )  # fmt: skip
        return int(await resolve.resolve(connection, resolution, "a person says so") is not None)

    return statement


async def renews(scene: Scene, connection: Connection) -> int:
    return int(await workers.renew(connection, scene.me, lease_seconds=600))


async def retires(scene: Scene, connection: Connection) -> int:
    await workers.retire(connection, scene.me)
    return int(await connection.fetchval("SELECT lease_until <= clock_timestamp() FROM worker WHERE id = $1", scene.me))


async def takes_over_an_expired_one(scene: Scene, connection: Connection) -> int:
    taken = await workers.take_over(connection, scene.me, scene.other)
    return int(taken is not None)


def saves_rules(version: int, *, limit: int | None, held: bool = False) -> Statement:
    async def statement(scene: Scene, connection: Connection) -> int:
        resolution = PlanRulesData(plan_id=scene.plan, version=version, rules=Rules(limit=limit), held=held)
        await rules.save_rules(connection, resolution)
        return int(await connection.fetchval("SELECT xmin = pg_current_xact_id()::xid FROM plan_rules"))

    return statement


def acquires(*, by_other: bool) -> Statement:
    async def statement(scene: Scene, connection: Connection) -> int:
        worker = scene.other if by_other else scene.me
        return int(await observe.acquire(connection, ENGINE, worker, lease_seconds=60) is not None)

    return statement


async def sees_under_its_lease(scene: Scene, connection: Connection) -> int:
    """What an observer's pass writes: nothing once the engine is another's."""
    if not await observe.holds(connection, ENGINE, scene.me, scene.lease_fence):
        return 0
    return await succeeds(scene, connection)


STATEMENTS: Final[dict[str, Statement]] = {
    "accept": accepts,
    "claim": claims(ENGINE),
    "claim-there": claims(ELSEWHERE, by_other=True),
    "cancel": cancels(kill=True),
    "let-end": cancels(kill=False),
    "expire": expires,
    "explain": explains,
    "say": publishes,
    "intent": intends,
    "give-back": gives_back,
    "take-over": takes_over,
    "sweep": sweeps,
    "record": records,
    "sends": raises_sends,
    "no-answer": publishes_unreachable,
    "refused": is_refused,
    "sealed": is_sealed,
    "unclear": is_unclear,
    "succeeded": succeeds,
    "failed": sees(Outcome.OVER, cause=EndCause.FAILED, budget=Budget.ATTEMPT),
    "not-found": sees(Outcome.UNKNOWN, phase=Phase.LOST),
    "runs": sees(Outcome.RUNNING, phase=Phase.RUNNING),
    "stop": intends_stop,
    "give-up": gives_up_stopping,
    "adopt": resolves("adopt"),
    "again": resolves("retry"),
    "renew": renews,
    "retire": retires,
    "take": takes_over_an_expired_one,
    "lower": saves_rules(2, limit=0),
    "hold": saves_rules(3, limit=1, held=True),
    "lease": acquires(by_other=True),
    "own-lease": acquires(by_other=False),
    "pass": sees_under_its_lease,
}


def _spec(scene: Scene, number: int, on: str) -> TaskSpec:
    often = Retries(max_attempts=3, delay_seconds=0, max_delay_seconds=0)
    return spec(scene.plan, number, on, retries=often, time_limits=LIMITS)


def _ensured(scene: Scene, specs: list[TaskSpec]) -> TasksEnsureData:
    return TasksEnsureData(plan_id=scene.plan, definitions_revision=1, rules_version=1, tasks=tuple(specs))


_EMPTY: Final = (
    "DELETE FROM task; DELETE FROM attempt; DELETE FROM plan_rules; DELETE FROM worker; DELETE FROM engine;"
    " DELETE FROM engine_lease"
)
# `now()` is the transaction's: a scene is made in one, so what was made in it is as old as it is.
_AN_HOUR_AGO: Final = (
    "UPDATE task SET created_at = created_at - interval '1 hour', queued_at = queued_at - interval '1 hour',"
    " not_before = not_before - interval '1 hour', submitted_at = submitted_at - interval '1 hour',"
    " started_at = now() - interval '1 hour',"
    " stop_intent_at = stop_intent_at - interval '1 hour'"
)
_EXPIRE: Final = "UPDATE worker SET lease_until = now() - interval '1 second' WHERE id = $1"


async def nothing(connection: Connection) -> Scene:
    """Engines, a plan with limit 1 and two live workers; no task yet."""
    await connection.execute(_EMPTY)
    plan = uuid4()
    scene = Scene(plan, UUID(int=1), UUID(int=2), spec(plan, 0).task_id)
    for id in (ENGINE, ELSEWHERE):
        await engines.define(connection, 1, engine(id, group=id), deleted=False)
    await engines.saw(connection, 1)
    for worker in (scene.me, scene.other):
        await workers.register(connection, worker, host_id="here", lease_seconds=60)
    await rules.save_rules(connection, PlanRulesData(plan_id=plan, version=1, rules=Rules(limit=1)))
    return scene


async def queued(connection: Connection) -> Scene:
    """Queued for longer than it may be."""
    scene = await nothing(connection)
    assert await accepts(scene, connection) == 1
    await connection.execute(_AN_HOUR_AGO)
    return scene


async def spread(connection: Connection) -> Scene:
    """A plan with limit 1 and a queued task in each of two engine groups."""
    scene = await nothing(connection)
    both = [_spec(scene, 0, ENGINE), _spec(scene, 1, ELSEWHERE)]
    assert len(await accept.accept(connection, _ensured(scene, both), None)) == 2
    return scene


async def deserted(connection: Connection) -> Scene:
    """Queued, and the other worker's lease has run out."""
    scene = await queued(connection)
    await connection.execute(_EXPIRE, scene.other)
    return scene


async def claimed(connection: Connection) -> Scene:
    """Claimed by a worker whose lease has run out without its knowing."""
    scene = await queued(connection)
    assert await STATEMENTS["claim"](scene, connection) == 1
    await connection.execute(_EXPIRE, scene.me)
    return scene


async def submitting(connection: Connection) -> Scene:
    scene = await claimed(connection)
    assert await intends(scene, connection) == 1
    return scene


async def running(connection: Connection) -> Scene:
    """Running for longer than it may."""
    scene = await submitting(connection)
    assert await records(scene, connection) == 1
    await connection.execute(_AN_HOUR_AGO)
    return scene


async def stopping(connection: Connection) -> Scene:
    """Operation to stop longer ago than that may take."""
    scene = await running(connection)
    assert await intends_stop(scene, connection) == 1
    await connection.execute(_AN_HOUR_AGO)
    return scene


async def unknown(connection: Connection) -> Scene:
    scene = await running(connection)
    assert await STATEMENTS["not-found"](scene, connection) == 1
    return scene


async def watched(connection: Connection) -> Scene:
    """Running on an engine whose observer lives, but has lost its lease of the engine without knowing it."""
    scene = await running(connection)
    await connection.execute("UPDATE worker SET lease_until = now() + interval '1 minute'")
    assert await acquires(by_other=False)(scene, connection) == 1
    await connection.execute("UPDATE engine_lease SET lease_until = now() - interval '1 second'")
    return scene


SCENES: Final = {
    "nothing": nothing,
    "queued": queued,
    "spread": spread,
    "deserted": deserted,
    "claimed": claimed,
    "submitting": submitting,
    "running": running,
    "stopping": stopping,
    "unknown": unknown,
    "watched": watched,
}

# Everything of a scene that two orders of the same statements could leave different, without its instants.
_PICTURE: Final = """
SELECT jsonb_build_object(
  'tasks', (SELECT jsonb_agg(jsonb_build_array(position, state, version, attempt, infrastructure_faults, fence, sends,
      owner, handle, phase, cause, reason, error, kill, stop_cause, waiting ->> 'why', published,
      cancel_requested_at IS NOT NULL, stop_intent_at IS NOT NULL, ended_at IS NOT NULL, submitted_at IS NOT NULL,
      (SELECT jsonb_agg(m ->> 'state' ORDER BY n)
       FROM jsonb_array_elements(pending_transitions) WITH ORDINALITY AS x (m, n)))
    ORDER BY position) FROM task),
  'history', (SELECT jsonb_agg(jsonb_build_array(attempt, cause, handle) ORDER BY attempt) FROM attempt),
  'rules', (SELECT jsonb_agg(jsonb_build_array(version, task_limit, held)) FROM plan_rules),
  'workers', (SELECT jsonb_agg(jsonb_build_array(id, dead, lease_until > clock_timestamp(),
      lease_until > clock_timestamp() + interval '5 minutes') ORDER BY id) FROM worker),
  'lease', (SELECT jsonb_agg(jsonb_build_array(holder, fence, lease_until > clock_timestamp())) FROM engine_lease)
)::text
"""


async def picture(connection: Connection) -> str:
    """The scene as it is, comparable with one in which the same happened."""
    return await connection.fetchval(_PICTURE)
