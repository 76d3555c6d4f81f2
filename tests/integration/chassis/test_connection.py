"""What a connection asks PostgreSQL before its first statement."""

import uuid
from typing import Any

import pytest

from signalbox_chassis.persistence.connection import KnownTypes, connect


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
