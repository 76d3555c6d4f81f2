"""A pool of asyncpg connections per service, and the unit of work: a transaction that carries effects and messages."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final, cast

import asyncpg

from signalbox_chassis.messaging.outbox import OutboxRow, outbox_row, write
from signalbox_chassis.messaging.received import Received
from signalbox_chassis.persistence.connection import (
    COMMAND_TIMEOUT_SECONDS,
    Connection,
    KnownTypes,
    connect_arguments,
)
from signalbox_chassis.runtime import crash_points
from signalbox_contracts.envelope import Event
from signalbox_contracts.topics import Topic

_IDLE_SECONDS: Final = 1800.0
_FOR_EVER: Final = 10**9
_CLOSE_SECONDS: Final = 3.0
# A client frozen between the two halves of a statement, in the middle of a COPY or of an answer is not "idle in
# transaction", and no time limit of PostgreSQL strikes while it waits for the client: who needs its rows would wait for
# ever.
_END_FROZEN: Final = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE usename = current_user AND application_name = current_setting('application_name') AND pid <> pg_backend_pid()
  AND state = 'active' AND wait_event IN ('ClientRead', 'ClientWrite')
  AND query_start < now() - make_interval(secs => $1)
"""


@dataclass
class UnitOfWork:
    """What a handler works with. It neither commits nor publishes: it says what is to be published."""

    connection: Connection
    """Inside the transaction."""
    schema: str
    messages: list[OutboxRow]
    """Not written yet."""
    topics: set[str] = field(default_factory=set[str])
    """Of the messages written to the outbox."""
    after_commit: list[Callable[[], None]] = field(default_factory=list[Callable[[], None]])

    def on_commit(self, wake: Callable[[], None]) -> None:
        """Call this once the transaction has committed, never otherwise: to wake a loop, not to do work."""
        if wake not in self.after_commit:
            self.after_commit.append(wake)

    def publish(self, event: Event[Any], *, cause: Received[Any] | None = None, topic: Topic | None = None) -> None:
        """Send this after the commit. `cause` is the message it follows from: its trace goes on.

        `topic` is needed only where the message class does not name its topic.

        Raises `MessageTooLarge` (256 KiB) here, in the handler that is responsible for it.
        """
        self.messages.append(outbox_row(event, cause, topic))

    async def flush(self) -> None:
        """Write the messages to the outbox now, in this transaction: for whoever publishes very many.

        No statement grows with their number then, they leave the memory, and the session is not idle meanwhile.
        """
        await write(self.connection, self.messages)
        self.topics.update(message.topic for message in self.messages)
        self.messages.clear()


class Database:
    """The connections of one process to one schema.

    `url` is a `postgresql://` DSN. `on_publish` is called after each commit that wrote outbox rows, with their topics.
    """

    def __init__(self, url: str, *, schema: str, pool_size: int = 8, application: str = "signalbox") -> None:
        self.schema = schema
        self.url = url
        self.on_publish: Callable[[Iterable[str]], None] = _nothing
        self._pool: Any = None
        self._pool_arguments: dict[str, Any] = {"max_size": pool_size, **connect_arguments(schema, application)}

    @asynccontextmanager
    async def unit_of_work(self, *, begin: str = "BEGIN") -> AsyncGenerator[UnitOfWork]:
        """One transaction. It commits when the block ends, and is rolled back when the block raises.

        `begin` may have settings of this transaction after it (`BEGIN; SET LOCAL …`): no round trip of their own.
        """
        async with self.connection() as raw:
            await raw.execute(begin)
            try:
                work = UnitOfWork(raw, self.schema, [])
                yield work
                await work.flush()
                crash_points.point("work.before_commit")
            except BaseException:
                await _roll_back(raw)
                raise
            await _commit(raw)
            crash_points.point("work.committed")
            # before the connection is given back, which lets others run: the relay is on its way while we go on
            if work.topics:
                self.on_publish(work.topics)
            for wake in work.after_commit:
                wake()

    @asynccontextmanager
    async def connection(self) -> AsyncGenerator[Connection]:
        """A connection without a transaction, for reads and for statements that cannot run inside one."""
        pool = await self._open_pool()
        try:
            raw = cast("Connection", await pool.acquire(timeout=COMMAND_TIMEOUT_SECONDS))
        except (TimeoutError, OSError) as error:  # none free, no route, no address: to us the same as a refused one
            raise ConnectionError(f"PostgreSQL cannot be reached: {error or 'no connection in time'}") from error
        try:
            yield raw
        except BaseException as error:
            # a connection in an unknown state (cut, timed out, cancelled in mid-statement) must not be used again
            if isinstance(error, asyncpg.PostgresConnectionError | asyncpg.InterfaceError | OSError | TimeoutError):
                _terminate(raw)
            raise
        finally:
            await pool.release(raw)

    async def _open_pool(self) -> Any:
        """The pool, empty at first. The connection used last, which has its statements planned, is taken first."""
        if self._pool is None:
            self._pool = asyncpg.create_pool(  # pyright: ignore[reportUnknownMemberType]
                self.url, min_size=0, init=_set_codecs, reset=_leave_as_it_is, max_queries=_FOR_EVER,
                max_inactive_connection_lifetime=_IDLE_SECONDS, connection_class=KnownTypes, **self._pool_arguments,
            )  # fmt: skip
            await self._pool
        return self._pool

    async def ping(self) -> None:
        """Raises when PostgreSQL does not answer."""
        async with self.connection() as raw:
            await raw.fetchval("SELECT 1", timeout=2)

    async def end_frozen(self, *, seconds: float) -> int:
        """End sessions of our service that wait for their client in mid-statement for so long; how many.

        Never those of another program with our role: a backup writes one COPY for minutes.
        """
        async with self.connection() as raw:
            return len(await raw.fetch(_END_FROZEN, seconds))

    async def start(self) -> None:
        await self.ping()

    async def stop(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            try:
                async with asyncio.timeout(_CLOSE_SECONDS):
                    await pool.close()
            except TimeoutError:
                pool.terminate()


async def _commit(raw: Connection) -> None:
    """Commit, or say that nothing was: to COMMIT, a transaction in which a statement failed answers ROLLBACK.

    A handler that swallowed a database error would otherwise have lost its work without anybody knowing. The answer is
    read, instead of a statement more sent before it: this is the path of every message.
    """
    if await raw.execute("COMMIT") != "COMMIT":
        raise asyncpg.InFailedSQLTransactionError("rolled back: a handler went on after a statement had failed")


async def _roll_back(raw: Connection) -> None:
    """Roll back, or throw the connection away; never hide why by an error of its own."""
    try:
        await raw.execute("ROLLBACK")
    except Exception:
        _terminate(raw)


def _terminate(raw: Connection) -> None:
    """Close the connection at once. The pool takes one that PostgreSQL closed back by itself: there is nothing left."""
    with suppress(asyncpg.InterfaceError):
        raw.terminate()


async def _set_codecs(connection: Any) -> None:
    """`json` and `jsonb` are read as values; they are written as text."""
    for kind in ("json", "jsonb"):
        await connection.set_type_codec(kind, schema="pg_catalog", encoder=str, decoder=json.loads)


async def _leave_as_it_is(connection: Any) -> None:
    """No statement when a connection is given back: transactions are ended here, and nothing else is set on it."""


def _nothing(topics: Iterable[str]) -> None:
    pass
