"""The model is the code: what the executor did to its rows, whatever befell it, is a path of the model."""

import signal
from typing import Any
from uuid import UUID, uuid4

import pytest

from signalbox_chassis.persistence.connection import Connection
from signalbox_contracts.definitions.rules import Retries, Rules
from signalbox_contracts.definitions.work import ScriptedWork
from signalbox_contracts.messages.task_commands import TaskSpec
from signalbox_contracts.states import TASK_ENDS
from signalbox_executor.store import claim, submit, workers
from support import audit
from support.audit import Change
from support.executor import Stand, Store, cancel_of, ensure, rules_of, spec
from support.forked import Forked
from support.service_fixture import until
from unit.protocol.replay import judge
from unit.protocol.statements import Statement

ONCE_MORE = Retries(max_attempts=2, infrastructure_attempts=1, delay_seconds=0, max_delay_seconds=0)
LATE, CANCELLED_EARLY, CANCELLED_LATE = 10, 5, 10
"""Tasks that wait for an engine that is not there, cancelled there, and cancelled while they run."""
SCRIPTS: list[dict[str, Any]] = [
    {"run_seconds": 0.05},
    {"exit_code": 3},
    {"lose_answers": 2, "answer_delay_seconds": 0.2},
    {"lose_requests": 1},
    {"answer_delay_seconds": 0.5},
    {"refuse": "no such class"},
    {"lose_requests": 1, "refuse": "no", "refuse_after": 1},
    {"run_seconds": 60, "forget_seconds": 0.2},
    {"run_seconds": 0.3, "pending_seconds": 0.2},
    {"never_ends": True},
]
SEEN = set(Statement) - {Statement.GIVE_BACK, Statement.RESTORE}
"""The executor gives nothing back: what it has claimed it drives, or it is taken over."""


def tasks_of(plan: UUID) -> list[TaskSpec]:
    """Two hundred: of every script some, then those that wait and those that are cancelled."""
    changes: dict[str, Any] = {"retries": ONCE_MORE, "time_limits": {"running_seconds": 1.0}}
    made = [
        spec(plan, n, work=ScriptedWork(script=SCRIPTS[n % 10]), on_unknown=("fail", "retry")[n % 4 // 2], **changes)
        for n in range(200 - LATE - CANCELLED_EARLY - CANCELLED_LATE)
    ]
    at = len(made)
    made += [spec(plan, at + n, "nowhere", time_limits={"queued_seconds": 1.0}) for n in range(LATE)]
    made += [spec(plan, at + LATE + n, "nowhere") for n in range(CANCELLED_EARLY)]
    work = ScriptedWork(script={"never_ends": True})
    return made + [spec(plan, 200 - 1 - n, work=work, retries=ONCE_MORE) for n in range(CANCELLED_LATE)]


async def audited(store: Store) -> list[Change]:
    async with store.connection() as connection:
        return await audit.read(connection)


@pytest.fixture
async def watched(store: Store) -> Store:
    async with store.connection() as connection:
        await audit.install(connection)
    return store


@pytest.mark.slow
async def test_whatever_befalls_two_hundred_tasks_the_model_allows(watched: Store, executors: Stand) -> None:
    """Failures, retries, refusals, lost answers, forgotten runs, time limits and cancels; one executor killed around
    a submit, one frozen past its lease. Each change of each row is one the model makes."""
    plan = uuid4()
    tasks = tasks_of(plan)
    ends = [task.task_id for task in tasks[-CANCELLED_EARLY - CANCELLED_LATE :]]
    await executors.register(breaker={"failures": 1000})
    sleeper = executors.spawn(SIGNALBOX_HOST_ID="sleeper")
    victim = executors.spawn(SIGNALBOX_HOST_ID="victim", SIGNALBOX_CRASH_AT="executor.before_record:10")
    for host in ("sleeper", "victim"):
        await live(executors, host)
    await executors.send(rules_of(plan, Rules(limit=60)), ensure(plan, tasks))
    await killed(victim)
    await frozen_in_mid_submit(executors, sleeper)
    async with executors.running():
        await all_run(executors, ends[CANCELLED_EARLY:])
        await executors.send(cancel_of(plan, *ends))
        await all_ended(executors, len(tasks))
        sleeper.send_signal(signal.SIGCONT)
        await live(executors, "sleeper")
    judgement = judge(await audited(executors))
    assert not judgement.findings, str(judgement)
    assert judgement.seen[Statement.ACCEPT] == len(tasks)
    assert set(judgement.seen) >= SEEN, str(judgement)


async def live(stand: Stand, host: str) -> None:
    """A busy machine takes its time to start a process."""

    async def lives() -> bool:
        found = "SELECT EXISTS (SELECT FROM worker WHERE host_id = $1 AND NOT dead AND lease_until > now())"
        return await stand.value(found, host)

    await until(lives, seconds=90, why=f"the executor on {host} lives")


async def killed(victim: Forked) -> None:
    async def dead() -> bool:
        return victim.poll() is not None

    await until(dead, seconds=90, why="killed at its point")
    assert victim.poll() == -signal.SIGKILL


async def frozen_in_mid_submit(stand: Stand, sleeper: Forked) -> None:
    mine = "SELECT EXISTS (SELECT FROM task t JOIN worker w ON w.id = t.owner WHERE w.host_id = 'sleeper')"

    async def submitting() -> bool:
        return await stand.value(mine)

    await until(submitting, seconds=60, why="the one that is left submits")
    sleeper.send_signal(signal.SIGSTOP)


async def all_run(stand: Stand, ids: list[UUID]) -> None:
    async def run() -> bool:
        found = "SELECT count(*) FROM task WHERE id = ANY ($1) AND state = 'RUNNING'"
        return await stand.value(found, ids) == len(ids)

    await until(run, seconds=90, why="those run that are to be cancelled")


async def all_ended(stand: Stand, count: int) -> None:
    async def ended() -> bool:
        done = await stand.states()
        return sum(done.get(state.value, 0) for state in TASK_ENDS) == count

    await until(ended, seconds=120, why=f"{count} tasks ended")


@pytest.mark.parametrize(
    "by_hand",
    [
        "UPDATE task SET state = 'SUCCEEDED', cause = 'completed', version = version + 1",
        "UPDATE task SET fence = fence + 1, version = version + 1",
        "UPDATE task SET attempt = attempt + 1, version = version + 1",
        "UPDATE task SET state = 'RUNNING', handle = 'h', owner = NULL, version = version + 1",
        "UPDATE task SET state = 'FAILED', cause = 'failed', owner = NULL, version = version + 1",
        "UPDATE task SET state = 'QUEUED', owner = NULL",
        "DELETE FROM task",
    ],
)
async def test_what_a_hand_does_to_a_claimed_row_and_no_statement_would_is_found(watched: Store, by_hand: str) -> None:
    """Without it the replay could find nothing by judging nothing."""
    await watched.engine()
    await watched.plan(1)
    await watched.claim(await watched.worker())
    assert not judge(await audited(watched)).findings
    if "SUCCEEDED" in by_hand:
        by_hand = by_hand.replace("version + 1", "version + 1, owner = NULL")
    await watched.rows(by_hand)
    [finding] = judge(await audited(watched)).findings
    assert finding.change == (await audited(watched))[-1]


async def test_a_record_of_a_worker_that_was_taken_over_is_found(watched: Store) -> None:
    """The row alone looks right: it shows by whose session wrote it."""
    await watched.engine()
    await watched.plan(4)
    me, other = await watched.worker(), await watched.worker()
    async with watched.connection() as mine, watched.connection() as theirs:

        async def claims(connection: Connection, worker: UUID) -> claim.Claim:
            async with connection.transaction():
                [one] = await claim.claim(connection, worker, group="default", reachable=["e1"], limit=1)
                await submit.intend(connection, [(one.task.id, one.task.fence)])
            return one

        await claims(theirs, other)
        one = await claims(mine, me)
        await claims(theirs, other)
        await watched.expire(me)
        async with theirs.transaction():
            assert len(await workers.take_over(theirs, other, me) or ()) == 1
        assert await submit.record(mine, [(one.task.id, one.task.fence, "h")]) == []
        assert not judge(await audited(watched)).findings
        assert await submit.record(mine, [(one.task.id, one.task.fence + 1, "h")]) == [one.task.id]
    [finding] = judge(await audited(watched)).findings
    assert finding.why == "record by another than the owner's process"


async def test_every_change_of_a_row_is_in_the_audit_and_what_was_rolled_back_is_not(watched: Store) -> None:
    async with watched.connection() as connection:
        await audit.install(connection)
    await watched.engine()
    plan = await watched.plan(1)
    async with watched.connection() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("UPDATE task SET priority = 1, fence = 7")
        await transaction.rollback()
    [one] = await watched.claim(await watched.worker())
    await watched.rows("DELETE FROM task WHERE plan_id = $1", plan)
    inserted, claimed, deleted = await audited(watched)
    async with watched.connection() as connection:
        assert await audit.read(connection, after=claimed.serial) == [deleted]
    assert inserted.before is None
    assert inserted.after == claimed.before
    assert claimed.after is not None
    assert (claimed.after.state, claimed.after.fence, claimed.after.version) == ("CLAIMED", 1, 2)
    assert claimed.task_id == one.task.id
    assert (deleted.before, deleted.after) == (claimed.after, None)
