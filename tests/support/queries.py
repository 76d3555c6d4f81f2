"""SQL that a test asks over kept connections. A test that waits for rows asks every few moments: each time a connection
of its own would cost the machine more than the question.

The connections live on a loop in a thread of their own, so that it does not matter on which loop a test runs or when
that ends. One that nobody used for a moment is closed, and a broken one is replaced.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any, Final

import asyncpg

from signalbox_chassis.persistence.connection import KnownTypes, Row, connect_arguments

IDLE_SECONDS: Final = 1.0
MAX_CONNECTIONS: Final = 50
"""To one schema: a test may hold many of them at a lock."""


async def rows(url: str, schema: str, query: str, *args: Any) -> list[Row]:
    """What a statement answers, in this schema."""
    return await _run(url, schema, lambda connection: connection.fetch(query, *args))


async def value(url: str, schema: str, query: str, *args: Any) -> Any:
    """The first column of the first row; None without a row."""
    return await _run(url, schema, lambda connection: connection.fetchval(query, *args))


def patient(schema: str) -> dict[str, Any]:
    """Arguments of a connection that waits as long as a stalled machine takes: the limits are the services'."""
    arguments = connect_arguments(schema, "test")
    settings = {**arguments["server_settings"], "lock_timeout": "0", "statement_timeout": "60s"}
    settings["idle_in_transaction_session_timeout"] = "60s"
    return {**arguments, "timeout": 60, "command_timeout": 60, "server_settings": settings}


async def _run(url: str, schema: str, query: Callable[[Any], Awaitable[Any]]) -> Any:
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(_query(url, schema, query), _loop()))


async def _query(url: str, schema: str, query: Callable[[Any], Awaitable[Any]]) -> Any:
    async with (await _pool(url, schema)).acquire() as connection:
        return await query(connection)


@cache
def _pool(url: str, schema: str) -> Any:
    return asyncpg.create_pool(  # pyright: ignore[reportUnknownMemberType]
        url, min_size=0, max_size=MAX_CONNECTIONS, reset=_leave_as_it_is, connection_class=KnownTypes,
        max_inactive_connection_lifetime=IDLE_SECONDS, **patient(schema),
    )  # fmt: skip


async def _leave_as_it_is(connection: Any) -> None:
    """No statement when a connection is given back: one statement at a time leaves nothing on it."""


@cache
def _loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="queries of tests", daemon=True).start()
    return loop
