"""A PostgreSQL connection as we use it: asyncpg, which ships no types, behind the few methods we call."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, cast

import asyncpg

Row = Mapping[str, Any]

# Set on the role as well (migrations), so that a psql session of the role behaves the same. `jit` costs 0.3 s on the
# claim statement; the time limits keep a forgotten transaction from holding locks.
ROLE_SETTINGS = {
    "jit": "off",
    "lock_timeout": "2s",
    "statement_timeout": "5s",
    "idle_in_transaction_session_timeout": "10s",
    "synchronous_commit": "on",
    "timezone": "UTC",
}
# A host that vanished must not keep its locks, the relay's above all, until TCP gives up after two hours.
_KEEPALIVE = {"tcp_keepalives_idle": "20", "tcp_keepalives_interval": "5", "tcp_keepalives_count": "4"}
COMMAND_TIMEOUT_SECONDS = 10.0
"""asyncpg waits for ever on a black hole without it."""


class Transaction(Protocol):
    """asyncpg's transaction, begun and ended by hand or by a block."""

    async def start(self) -> None: ...
    async def commit(self) -> None: ...
    async def rollback(self) -> None: ...
    async def __aenter__(self) -> Any: ...
    async def __aexit__(self, *error: Any) -> None: ...


class Connection(Protocol):
    """The methods of `asyncpg.Connection` in use; `timeout` is in seconds."""

    async def execute(self, query: str, *args: Any, timeout: float | None = None) -> str: ...
    async def fetch(self, query: str, *args: Any, timeout: float | None = None) -> list[Row]: ...
    async def executemany(
        self, command: str, args: Iterable[Sequence[Any]], *, timeout: float | None = None
    ) -> None: ...
    async def fetchrow(self, query: str, *args: Any, timeout: float | None = None) -> Row | None: ...
    async def fetchval(self, query: str, *args: Any, timeout: float | None = None) -> Any: ...
    async def copy_records_to_table(
        self, table_name: str, *, records: Iterable[Sequence[Any]], columns: Sequence[str]
    ) -> str: ...
    def transaction(self) -> Transaction: ...
    def is_closed(self) -> bool: ...
    def terminate(self) -> None: ...
    async def close(self) -> None: ...


def connect_arguments(schema: str, application: str) -> dict[str, Any]:
    """Arguments of `asyncpg.connect`: the role settings, the schema, and a limit on every wait."""
    return {
        "timeout": 5,
        "command_timeout": COMMAND_TIMEOUT_SECONDS,
        "server_settings": {**ROLE_SETTINGS, **_KEEPALIVE, "search_path": schema, "application_name": application},
    }


async def connect(url: str, **arguments: Any) -> Connection:
    """A connection of one's own, outside any pool."""
    connection: Any = await asyncpg.connect(url, **arguments)  # pyright: ignore[reportUnknownVariableType]
    return cast("Connection", connection)
