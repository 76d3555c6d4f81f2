"""One death and what follows: a plan of one task, executors that die, one that goes on, and what must then be true."""

import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4
from zlib import crc32

from engines.harness import EngineHarness, WorkRequest
from signalbox_chassis.persistence.connection import Connection
from signalbox_chassis.persistence.database import Database
from signalbox_contracts.definitions.rules import Retries, Rules
from signalbox_contracts.ids import run_key
from signalbox_contracts.messages.task_commands import TaskSpec
from signalbox_contracts.messages.tasks import TasksStated
from signalbox_contracts.states import TASK_ENDS, TaskState
from signalbox_executor import facts
from signalbox_executor.store import stop
from signalbox_local.postgres import PostgresServer
from support.executor import Stand, ensure, spec
from support.facts import check_history, histories
from support.forked import Forked
from support.service_fixture import until

LEASE_SECONDS = 60.0
PATIENCE_SECONDS = 90
"""A machine may be busy; a session frozen in a transaction is ended after 10 s."""

_BUSY = """
SELECT EXISTS (SELECT FROM pg_stat_activity
               WHERE usename = current_user AND pid <> pg_backend_pid() AND state <> 'idle')
"""
_UNSENT = """
SELECT EXISTS (SELECT FROM outbox WHERE sent_at IS NULL AND topic = 'tasks.v1' AND key = $1
               AND position('tasks.state'::bytea IN value) > 0)
"""


@dataclass
class CrashStand(Stand):
    """A stand whose messages may be in a place of their own, with executors that start in a moment."""

    place: str = ""
    server: PostgresServer | None = None
    """Its PostgreSQL, if that may be killed."""
    processes: list[Forked] = field(default_factory=list[Forked])

    @property
    def prefix(self) -> str:
        return f"{self.schema}.{self.place}"

    @asynccontextmanager
    async def connection(self) -> AsyncGenerator[Connection]:
        """A connection that waits for no standby, also while all others are made to."""
        async with super().connection() as connection:
            await connection.execute("SET synchronous_commit = local")
            yield connection

    def fork(self, **environment: str) -> Forked:
        # so long that a busy machine loses no lease: `Scene.time_passes` says when one has run out
        settings = self.settings(worker_lease_seconds=LEASE_SECONDS, engine_lease_seconds=LEASE_SECONDS)
        values = settings.model_dump(exclude={"database_url", "secret_key", "secrets_url"})
        mine = {f"SIGNALBOX_{name.upper()}": str(value) for name, value in values.items()}
        child = Forked.start(
            "executor", {**mine, "SIGNALBOX_DATABASE_URL": self.url, **environment}, self.folder / "child.log"
        )
        self.processes.append(child)
        return child

    def end_processes(self) -> None:
        for process in self.processes:
            process.end()
        self.processes.clear()


@dataclass(frozen=True)
class Found:
    """What is there at the moment of a death, and while nobody lives. None: it may be either way."""

    state: TaskState | None
    """None: there is no row."""
    starts: int | None = 0
    """Runs that were begun by then, all attempts together. None: the engine has it; the run begins if it has not."""
    attempt: int = 1
    sends: int | None = None
    fence: int | None = None
    stopping: bool = False
    """The intent to stop is in the row."""
    unsent: bool | None = None
    """Whether facts of the task are committed and not marked as sent."""
    published: int | None = None
    """How often an end was read on the topic."""


@dataclass(frozen=True)
class After:
    """What must be true in the end."""

    state: TaskState = TaskState.SUCCEEDED
    starts: tuple[int, ...] = (1,)
    """Runs begun by attempt: the numbers of attempts used is their count."""
    may_not_begin: bool = False
    """The run may be stopped before its work begins."""
    published: int = 1
    """Copies of the fact of the end on the topic: more than one only where a relay sent it again, with the same id."""


@dataclass
class Scene:
    """A task, and the executors that meet it."""

    stand: CrashStand
    engine_id: str
    engine: EngineHarness
    request: WorkRequest = field(default_factory=WorkRequest)
    plan: UUID = field(default_factory=uuid4)
    environment: dict[str, str] = field(default_factory=dict[str, str])
    group: str = field(default_factory=lambda: f"{uuid4().hex}.")

    @property
    def key(self) -> str:
        return run_key(self.task.task_id, 1)

    def __post_init__(self) -> None:
        self.task: TaskSpec = spec(self.plan, 0, self.engine_id)

    def shape(self, work: WorkRequest, *, attempts: int = 1, **changes: Any) -> None:
        """What the task is to do."""
        self.request = work
        retries = Retries(max_attempts=attempts, delay_seconds=0, max_delay_seconds=0)
        parameters = self.engine.work(self.key, work)
        self.task = spec(self.plan, 0, self.engine_id, work=parameters, retries=retries, **changes)

    async def put(self) -> None:
        """Plan and task are there, as if the commands had been handled long ago."""
        await self.stand.rules(self.plan, Rules())
        await self.stand.tasks(self.plan, [self.task])

    async def send(self) -> None:
        """Only the rules are there; the task is asked for by its command."""
        await self.stand.rules(self.plan, Rules())
        await self.stand.send(ensure(self.plan, [self.task]))

    def executor(self, crash_at: str = "", **environment: str) -> Forked:
        return self.stand.fork(
            SIGNALBOX_GROUP_PREFIX=f"{self.stand.prefix}{self.group}",
            SIGNALBOX_CRASH_AT=crash_at,
            **{**self.engine.settings, **self.environment, **environment},
        )

    async def died(self, victim: Forked) -> None:
        async def dead() -> bool:
            return victim.poll() is not None

        await until(dead, seconds=PATIENCE_SECONDS, why=f"died at its point; the row is {await self.row()}")
        assert victim.poll() == -signal.SIGKILL
        await self.time_passes()

    async def time_passes(self) -> None:
        """The leases of all workers run out, which the dead and the frozen do not hinder."""
        await self.stand.rows("UPDATE worker SET lease_until = now() - interval '1 second' WHERE NOT dead")

    async def freeze(self, sleeper: Forked) -> None:
        """SIGSTOP between two transactions: inside one it would keep its locks until PostgreSQL ends its session."""

        async def between_transactions() -> bool:
            sleeper.send_signal(signal.SIGSTOP)
            if await self.stand.value(_BUSY):
                sleeper.send_signal(signal.SIGCONT)
                return False
            return True

        await until(between_transactions, seconds=PATIENCE_SECONDS, why="frozen between two transactions")

    async def row(self) -> dict[str, Any] | None:
        query = "SELECT state, attempt, sends, fence, owner, stop_intent_at FROM task WHERE id = $1"
        rows = await self.stand.rows(query, self.task.task_id)
        return dict(rows[0]) if rows else None

    async def in_state(self, *states: TaskState) -> dict[str, Any]:
        found: dict[str, Any] = {}

        async def there() -> bool:
            found.update(await self.row() or {})
            return found.get("state") in states

        wanted = " or ".join(states)
        await until(there, seconds=PATIENCE_SECONDS, why=f"the task is {wanted}")
        return found

    async def started(self) -> None:
        async def there() -> bool:
            return await self.engine.starts(self.key) > 0

        await until(there, seconds=PATIENCE_SECONDS, why="the run began")

    async def cancel(self) -> None:
        """Cancel the plan's tasks as the handler of the command does."""
        database = Database(self.stand.url, schema=self.stand.schema, pool_size=2, application="test")
        try:
            async with database.unit_of_work() as work:
                changed = await stop.cancel(work.connection, self.plan, [], kill=True, reason="cancelled by a test")
                facts.publish_changes(work, changed)
        finally:
            await database.stop()

    @asynccontextmanager
    async def relay_held(self) -> AsyncGenerator[None]:
        """Inside, no executor's relay sends: another process is the active one, and idle."""
        key = crc32(self.stand.schema.encode()) % 2**31
        async with self.stand.connection() as connection:
            await connection.execute("SELECT pg_advisory_lock($1, $2)", crc32(b"relay") % 2**31, key)
            yield

    async def published_ends(self) -> list[TasksStated]:
        """Every message on the topic that tells the end of the task, copies too."""
        return [fact for fact in await self.facts() if any(task.state in TASK_ENDS for task in fact.data.tasks)]

    async def facts(self) -> list[TasksStated]:
        return [fact for fact in await self.stand.facts() if fact.data.plan_id == self.plan]

    async def check_found(self, found: Found) -> None:
        """Assert what a death left behind, while no executor lives."""
        row = await self.row()
        if found.state is None:
            assert row is None
            return
        assert row is not None
        assert (row["state"], row["attempt"]) == (found.state, found.attempt), row
        assert (row["stop_intent_at"] is not None) == found.stopping
        if found.sends is not None:
            assert row["sends"] == found.sends, row
        if found.fence is not None:
            assert row["fence"] == found.fence, row
        if found.starts is None or (found.starts and self.engine.begins_late):
            await self.started()
        if found.starts is not None:
            assert await self._starts(found.attempt) == found.starts
        if found.unsent is not None:
            assert await self._unsent() == found.unsent
        if found.published is not None:
            assert len(await self.published_ends()) == found.published

    async def check_after(self, after: After) -> None:
        """Assert the end: reached once, told once, nothing started twice, nothing left to send."""
        row = await self.in_state(*TASK_ENDS, after.state)
        assert (row["state"], row["attempt"], row["owner"]) == (after.state, len(after.starts), None), row

        async def all_sent() -> bool:
            return not await self.stand.value("SELECT EXISTS (SELECT FROM outbox WHERE sent_at IS NULL)")

        await until(all_sent, seconds=PATIENCE_SECONDS, why="every fact is sent")
        keys = [run_key(self.task.task_id, number + 1) for number in range(len(after.starts) + 1)]
        starts = tuple([await self.engine.starts(key) for key in keys])
        if after.may_not_begin or (self.engine.begins_late and after.state is TaskState.CANCELLED):
            assert max(starts) <= 1, starts
        else:
            assert starts == (*after.starts, 0), starts
        published = histories(await self.facts())
        assert set(published) == {self.task.task_id}
        check_history(published[self.task.task_id], ended=after.state in TASK_ENDS)
        assert published[self.task.task_id][-1].state is after.state
        ends = await self.published_ends()
        assert len(ends) == after.published
        assert len({fact.id for fact in ends}) == min(after.published, 1), "the same fact, however often it was sent"

    async def _starts(self, attempts: int) -> int:
        keys = [run_key(self.task.task_id, number + 1) for number in range(attempts)]
        return sum([await self.engine.starts(key) for key in keys])

    async def _unsent(self) -> bool:
        """Whether a state is unsent. The progress of a run may be published at any time."""
        return await self.stand.value(_UNSENT, str(self.plan).encode())
