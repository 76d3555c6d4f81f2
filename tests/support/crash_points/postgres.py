"""PostgreSQL dies while a transaction of the executor ends: whether it committed, nobody is told.

To stop a commit where it is on disk and not answered, the server is told to wait for a standby that does not exist.
"""

import asyncio
import signal
from contextlib import AsyncExitStack
from typing import Any, Final

from engines.harness import WorkRequest
from signalbox_chassis.persistence.connection import Connection, connect
from signalbox_contracts.states import TaskState
from signalbox_local.postgres import PostgresServer
from support.crash_points.kill_methods import Way
from support.crash_points.scene import PATIENCE_SECONDS, Found, Scene
from support.service_fixture import until

_HANG: Final = (
    "ALTER SYSTEM SET synchronous_standby_names = 'nobody'",
    "SELECT pg_reload_conf()",
)
_PROBE: Final = "SELECT pg_logical_emit_message(true, 'probe', 'does a commit hang?')"
_HANGING: Final = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND pid = $1)"
_AT_COMMIT: Final = """
SELECT EXISTS (SELECT FROM pg_stat_activity a JOIN task t ON a.backend_xid::text = t.xmax::text
               WHERE a.wait_event = 'SyncRep' AND t.id = $1)
"""
_WAITS: Final = """
SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND usename = current_user AND query LIKE $1
               AND xact_start > $2 AND query_start > clock_timestamp() - interval '0.3 seconds')
"""
_STOPPED_AT: Final = {
    "intent": ("engine", "%FROM engine e%WHERE engine_group%"),
    "record": ("task", "%UPDATE task t SET state = 'RUNNING'%"),
}
"""By transaction: a table of which it needs a row, and the statement that waits for it (its first KiB is shown)."""


def postgres_dies(at: str, found: Found, *, committed: bool = True) -> Way:
    """At the `intent` or the `record`. Committed: it is on disk, only the answer is not sent.

    The transaction waits for a row while commits are made to hang, so that no other is in its way afterwards. A claim
    takes what might start when its transaction began: it must have begun after the task came. And it has to wait on
    while commits begin to hang: PostgreSQL ends such a wait after two seconds.
    """

    async def way(scene: Scene) -> None:
        server, (table, statement) = scene.stand.server, _STOPPED_AT[at]
        assert server is not None
        scene.shape(WorkRequest(endless=True, late=True))
        # a reason to wait, or that it was said that it is queued, would be a commit of the task's row too
        executor = scene.executor(SIGNALBOX_EXPLAIN_SECONDS="600", SIGNALBOX_PUBLISH_DELAY_SECONDS="60")
        await registered(scene)
        async with AsyncExitStack() as until_death:
            with scene.engine.late(scene.key):
                if table == "task":
                    await scene.put()
                    await scene.in_state(TaskState.SUBMITTING)
                holder = await hold_rows(scene, table, until_death)
                since = await scene.stand.value("SELECT now() - interval '1 hour'")
                if table == "engine":
                    await scene.put()
                    since = await scene.stand.value("SELECT clock_timestamp()")
            await stands_at(scene, _WAITS, statement, since)
            if committed:
                await hang_commits(server, until_death)
                await holder.execute("ROLLBACK")
                await stands_at(scene, _AT_COMMIT, scene.task.task_id)
            executor.send_signal(signal.SIGSTOP)
            server.kill()
        server.start()
        await scene.check_found(found)
        executor.send_signal(signal.SIGCONT)
        await scene.in_state(TaskState.RUNNING)
        await scene.started()
        await scene.cancel()

    return way


async def registered(scene: Scene) -> None:
    async def live() -> bool:
        return await scene.stand.value("SELECT EXISTS (SELECT FROM worker WHERE NOT dead AND lease_until > now())")

    await until(live, seconds=PATIENCE_SECONDS, why="the executor has a lease")


async def hang_commits(server: PostgresServer, until_death: AsyncExitStack) -> None:
    """From here on no commit is answered, until the server has died; then it is as before."""
    ours = await _connect(server, until_death)
    for statement in _HANG:
        await ours.execute(statement)
    probe = await _connect(server, until_death)
    pid = await probe.fetchval("SELECT pg_backend_pid()")
    answers: list[asyncio.Task[str]] = []

    async def hangs() -> bool:
        if not answers or answers[-1].done():  # one that was answered came before the setting was read
            answers.append(asyncio.create_task(probe.execute(_PROBE)))
            until_death.callback(answers[-1].cancel)
        return await ours.fetchval(_HANGING, pid)

    await until(hangs, seconds=PATIENCE_SECONDS, why="a commit hangs")
    await ours.execute("ALTER SYSTEM RESET synchronous_standby_names")


async def hold_rows(scene: Scene, table: str, until_death: AsyncExitStack) -> Connection:
    """The connection whose transaction has the rows that the task's transaction needs."""
    assert scene.stand.server is not None
    ours = await _connect(scene.stand.server, until_death)
    await ours.execute(f"SET search_path = {scene.stand.schema}")
    # an answer of an engine is written once a second: here never, else the record would wait for the claim that hangs
    await ours.execute("UPDATE engine SET last_answer_at = now() + interval '1 hour'")
    await ours.execute("BEGIN")
    which = "id" if table == "engine" else "engine_id"
    await ours.execute(f"SELECT FROM {table} WHERE {which} = $1 FOR UPDATE", scene.engine_id)
    return ours


async def stands_at(scene: Scene, query: str, *arguments: Any) -> None:
    async def there() -> bool:
        return await scene.stand.value(query, *arguments)

    await until(there, seconds=PATIENCE_SECONDS, why="the transaction of the task stands where it shall die")


async def _connect(server: PostgresServer, until_death: AsyncExitStack) -> Connection:
    connection = await connect(server.url)
    until_death.callback(connection.terminate)
    return connection
