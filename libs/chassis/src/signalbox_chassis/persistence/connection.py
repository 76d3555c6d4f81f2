"""A PostgreSQL connection as we use it: asyncpg, which ships no types, behind the few methods we call."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Protocol, cast

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

_FIRST_OWN_OID: Final = 16_384
"""PostgreSQL's own types have smaller ones, the same on every server and in every version."""

_ARRAYS: Final = frozenset({199, 1000, 1001, 1005, 1007, 1009, 1016, 1022, 1182, 1185, 2951, 3807})
"""Arrays of json, boolean, bytea, the integers, text, double precision, date, timestamptz, uuid, jsonb: one query."""


@dataclass(frozen=True, slots=True)
class _NoStatement:
    """Stands for the introspection's prepared statement, whose name asyncpg looks at."""

    name: str = "none"


class KnownTypes(asyncpg.Connection):  # pyright: ignore[reportUntypedBaseClass]
    """A connection that asks only once per process what PostgreSQL's own types are, and whose COPY always ends.

    asyncpg asks for array types (`uuid[]`) on every new connection, at each statement that brings new ones. The query
    takes 10 ms of a processor, and a service that starts made it about thirty times.
    """

    __slots__ = ()
    _known_oids: ClassVar = _ARRAYS
    _known_types: ClassVar[Any] = None

    async def _introspect_types(self, typeoids: Iterable[int], timeout: float | None) -> Any:
        oids = frozenset(typeoids)
        introspect = cast("Any", super()._introspect_types)  # pyright: ignore[reportUnknownMemberType]
        if max(oids) >= _FIRST_OWN_OID:
            return await introspect(oids, timeout)
        if KnownTypes._known_types is None or not oids <= KnownTypes._known_oids:
            oids |= KnownTypes._known_oids
            KnownTypes._known_types, _ = await introspect(oids, timeout)
            KnownTypes._known_oids = oids
        return KnownTypes._known_types, _NoStatement()

    async def copy_records_to_table(self, table_name: str, **options: Any) -> str:
        """Raises `ConnectionError` when the connection is lost meanwhile.

        asyncpg 0.31 waits for ever when that happens while its buffer is full, and fails with errors of its own if it
        goes on to write.
        """
        copy = cast("Any", super().copy_records_to_table)  # pyright: ignore[reportUnknownMemberType]
        try:
            async with asyncio.timeout(COMMAND_TIMEOUT_SECONDS):
                return await copy(table_name, **options)
        except (AttributeError, TimeoutError, asyncpg.InternalClientError) as error:
            if self.is_closed():
                raise ConnectionError("the connection was lost in the middle of a COPY") from error
            raise


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
    connection: Any = await asyncpg.connect(url, connection_class=KnownTypes, **arguments)  # pyright: ignore[reportUnknownVariableType]
    return cast("Connection", connection)
