"""One SQLAlchemy async engine per service, and the unit of work: one transaction that carries effects and messages.

The engine runs in AUTOCOMMIT, so SQLAlchemy never begins anything; the transaction belongs to the unit of work, which
opens it on the raw asyncpg connection. Hot SQL runs there, ordinary statements through `work.sql`, and both are inside
the same transaction.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import asyncpg
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import PoolProxiedConnection

from signalbox_chassis import crash
from signalbox_chassis.connection import COMMAND_TIMEOUT_SECONDS, Connection, Transaction, connect_arguments
from signalbox_chassis.outbox import OutboxRow, outbox_row, write
from signalbox_chassis.received import Received
from signalbox_contracts.envelope import Event
from signalbox_contracts.topics import Topic


@dataclass
class UnitOfWork:
    """What a handler works with. It neither commits nor publishes: it says what is to be published."""

    connection: Connection
    """The raw asyncpg connection, inside the transaction."""
    sql: AsyncConnection
    """The same connection for SQLAlchemy statements."""
    schema: str
    messages: list[OutboxRow]
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


class Database:
    """The connections of one process to one schema.

    `url` is a `postgresql://` DSN. `on_publish` is called after each commit that wrote outbox rows.
    """

    def __init__(self, url: str, *, schema: str, pool_size: int = 8, application: str = "signalbox") -> None:
        self.schema = schema
        self.url = url
        self.on_publish: Callable[[], None] = _nothing
        self.engine: AsyncEngine = create_async_engine(
            make_url(url).set(drivername="postgresql+asyncpg"),
            isolation_level="AUTOCOMMIT",
            hide_parameters=True,  # values of a failed statement must reach no log and no dead letter
            pool_size=pool_size,
            pool_use_lifo=True,  # the connection used last has its statements prepared and planned
            max_overflow=0,
            pool_timeout=COMMAND_TIMEOUT_SECONDS,
            pool_recycle=1800,
            connect_args=connect_arguments(schema, application),
        )

    @asynccontextmanager
    async def unit_of_work(self) -> AsyncGenerator[UnitOfWork]:
        """One transaction. It commits when the block ends, and is rolled back when the block raises."""
        async with self.connection() as (raw, sql):
            transaction = raw.transaction()
            await transaction.start()
            try:
                work = UnitOfWork(raw, sql, self.schema, [])
                yield work
                # fails if a handler swallowed a database error: COMMIT would answer by rolling back, and say nothing
                await (write(raw, work.messages) if work.messages else raw.execute("SELECT"))
                crash.point("work.before_commit")
            except BaseException:
                await _roll_back(transaction, sql)
                raise
            await transaction.commit()
            crash.point("work.committed")
        if work.messages:
            self.on_publish()
        for wake in work.after_commit:
            wake()

    @asynccontextmanager
    async def connection(self) -> AsyncGenerator[tuple[Connection, AsyncConnection]]:
        """A connection without a transaction, for reads and for statements that cannot run inside one."""
        async with AsyncExitStack() as stack:
            try:
                sql = await stack.enter_async_context(self.engine.connect())
            except OSError as error:  # no route, no address: to us the same as a refused connection
                raise ConnectionError(f"PostgreSQL cannot be reached: {error}") from error
            proxied: PoolProxiedConnection = await sql.get_raw_connection()
            try:
                yield cast("Connection", proxied.driver_connection), sql
            except BaseException as error:
                # a connection in an unknown state (cut, timed out, cancelled in mid-statement) must not be used again
                if isinstance(error, asyncpg.PostgresConnectionError | asyncpg.InterfaceError | OSError | TimeoutError):
                    await sql.invalidate()
                raise

    async def ping(self) -> None:
        """Raises when PostgreSQL does not answer."""
        async with self.connection() as (raw, _):
            await raw.fetchval("SELECT 1", timeout=2)

    async def start(self) -> None:
        await self.ping()

    async def stop(self) -> None:
        await self.engine.dispose()


async def _roll_back(transaction: Transaction, sql: AsyncConnection) -> None:
    """Roll back, or throw the connection away; never hide why by an error of its own."""
    try:
        await transaction.rollback()
    except Exception:
        await sql.invalidate()


def _nothing() -> None:
    pass
