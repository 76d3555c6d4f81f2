"""Statements built with SQLModel, run on the unit of work's own asyncpg connection."""

from typing import Any, Final

from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.sql import ClauseElement
from sqlmodel import select

from signalbox_chassis.persistence.connection import Connection, Row

_DIALECT: Final[Any] = PGDialect_asyncpg()


def compiled(statement: ClauseElement) -> tuple[str, list[Any]]:
    """The SQL of a statement with `$1` for its values, and the values."""
    made: Any = statement.compile(dialect=_DIALECT, compile_kwargs={"render_postcompile": True})
    return str(made), [made.params[name] for name in made.positiontup or ()]


def columns(*wanted: Any) -> Any:
    """A SELECT of these columns."""
    chosen: Any = select
    return chosen(*wanted)


async def fetch(connection: Connection, statement: ClauseElement) -> list[Row]:
    """The rows of a statement."""
    query, values = compiled(statement)
    return await connection.fetch(query, *values)


async def fetchrow(connection: Connection, statement: ClauseElement) -> Row | None:
    """The first row of a statement; None when it has none."""
    query, values = compiled(statement)
    return await connection.fetchrow(query, *values)
