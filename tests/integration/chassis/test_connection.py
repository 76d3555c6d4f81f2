"""What a connection asks PostgreSQL before its first statement, and how it ends."""

import uuid
from collections.abc import AsyncGenerator
from typing import Any, cast

import asyncpg
import pytest

from signalbox_chassis.messaging.transient import Failure, classify
from signalbox_chassis.persistence.connection import Connection, KnownTypes, connect
from signalbox_chassis.persistence.database import Database
from support.service_fixture import until


async def introspections(url: str, *statements: str) -> int:
    """How often a new connection asks for the types of these statements."""
    queries: list[str] = []

    def keep(record: Any) -> None:
        queries.append(record.query)

    connection: Any = await connect(url)
    try:
        connection.add_query_logger(keep)
        for statement in statements:
            await connection.fetchval(statement)
    finally:
        await connection.close()
    return sum("typeinfo_tree" in query for query in queries)


async def test_only_the_first_connection_asks_for_the_array_types_of_postgresql(postgres_url: str) -> None:
    """The query takes 10 ms of a processor; each start of a service made it about thirty times."""
    await introspections(postgres_url, "SELECT ARRAY[1]", "SELECT ARRAY['01:00'::timetz]")
    assert await introspections(postgres_url, "SELECT ARRAY[1::bigint]", "SELECT ARRAY['01:00'::timetz]") == 0


async def test_the_arrays_that_services_use_are_known_after_one_query(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each new process makes it: a crashed service that starts again."""
    monkeypatch.setattr(KnownTypes, "_known_types", None)
    kinds = ("json", "boolean", "bytea", "integer", "text", "double precision", "date", "timestamptz", "uuid", "jsonb")
    assert await introspections(postgres_url, *(f"SELECT ARRAY[NULL::{kind}]" for kind in kinds)) == 1


async def test_a_type_of_somebody_s_own_is_asked_for_on_each_connection(postgres_url: str) -> None:
    """It may be another one by then: here its numbers become texts under the same name."""
    name = f"t{uuid.uuid4().hex[:12]}"
    made: Any = await connect(postgres_url)
    try:
        for kind, value in (("integer", "1"), ("text", "'one'")):
            await made.execute(f"CREATE TYPE {name} AS (field {kind})")
            assert await introspections(postgres_url, f"SELECT ROW({value})::{name}") == 1
            await made.execute(f"DROP TYPE {name}")
    finally:
        await made.close()


async def test_a_copy_ends_when_its_connection_is_lost_while_the_buffer_is_full(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """asyncpg waits for ever there: a request of 60 MiB had no answer, and its connection was gone from the pool."""
    monkeypatch.setattr("signalbox_chassis.persistence.connection.COMMAND_TIMEOUT_SECONDS", 2.0)
    database = Database(postgres_url, schema="public", pool_size=2)
    table = f"t{uuid.uuid4().hex[:12]}"

    async def rows(pid: int) -> AsyncGenerator[tuple[bytes]]:
        for number in range(300):
            if number == 20:
                async with database.connection() as other:
                    await other.execute("SELECT pg_terminate_backend($1)", pid)
            yield (b"a" * 240_000,)

    try:
        async with database.connection() as connection:
            await connection.execute(f"CREATE TABLE {table} (value bytea)")
        # the error is asyncpg's own where the loss is read before the buffer is full
        with pytest.raises((ConnectionError, asyncpg.PostgresConnectionError), match="in the middle of") as caught:  # noqa: PT012
            async with database.unit_of_work() as work:
                pid = await work.connection.fetchval("SELECT pg_backend_pid()")
                await work.connection.copy_records_to_table(table, records=cast("Any", rows(pid)), columns=["value"])
        assert classify(caught.value) is Failure.PASSING
        async with database.connection() as connection:
            assert await connection.fetchval(f"SELECT count(*) FROM {table}") == 0  # noqa: S608
            await connection.execute(f"DROP TABLE {table}")
    finally:
        await database.stop()


async def test_the_error_of_a_block_is_not_hidden_by_the_connection_that_was_lost_in_it(postgres_url: str) -> None:
    """Another error of the pool was raised in its place: nobody could see in the log what had happened."""
    database = Database(postgres_url, schema="public", pool_size=2)
    try:
        with pytest.raises(TimeoutError, match="the block's own"):  # noqa: PT012
            async with database.unit_of_work() as work:
                pid = await work.connection.fetchval("SELECT pg_backend_pid()")
                async with database.connection() as other:
                    await other.execute("SELECT pg_terminate_backend($1)", pid)
                await until(lambda: closed(work.connection), seconds=10, why="the connection was not closed")
                raise TimeoutError("the block's own")
    finally:
        await database.stop()


async def closed(connection: Connection) -> bool:
    try:
        return connection.is_closed()
    except asyncpg.InterfaceError:  # the pool has it back
        return True
