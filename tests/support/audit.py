"""An audit of the executor's table `task`: every change of a row, as it was and as it became, in the order it was made.

A trigger writes it in the transaction of the change itself, so that what is rolled back is not there, and whoever
holds the row's lock writes first: of one task the serials are in the order of its changes. `unit.protocol.replay`
judges whether they are a path of the model.
"""

from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from signalbox_chassis.persistence.connection import Connection, Row


@dataclass(frozen=True, slots=True)
class Audited:
    """What the protocol has of a task's row, and what decides whether there is another try."""

    state: str
    attempt: int
    fence: int
    owner: UUID | None
    sends: int
    version: int
    cancelled: bool
    kill: bool
    handle: str | None
    stopping: bool
    cause: str | None
    faults: int
    max_attempts: int
    infrastructure_attempts: int
    phase: str | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """One change of one row: inserted if there is no `before`, deleted if there is no `after`."""

    serial: int
    task_id: UUID
    txid: int
    at: datetime
    writer: str
    """The session that made it: one process's, as long as the server lives."""
    before: Audited | None
    after: Audited | None


_TYPES: Final = {
    "state": "text", "attempt": "integer", "fence": "bigint", "owner": "uuid", "sends": "integer", "version": "bigint",
    "cancelled": "boolean", "kill": "boolean", "handle": "text", "stopping": "boolean", "cause": "text",
    "faults": "integer", "max_attempts": "integer", "infrastructure_attempts": "integer",
    "phase": "text",
}  # fmt: skip
_READ_AS: Final = {
    "cancelled": "{row}.cancel_requested_at IS NOT NULL",
    "stopping": "{row}.stop_intent_at IS NOT NULL",
    "faults": "{row}.infrastructure_faults",
}
_NAMES: Final = [field.name for field in fields(Audited)]

# The function runs as whoever installed it: the executor's role needs no right to the table, and cannot change it.
_INSTALL: Final = """
CREATE TYPE {schema}.audited AS ({types});
CREATE TABLE {schema}.audit (
    serial  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    task_id uuid NOT NULL,
    txid    bigint NOT NULL DEFAULT txid_current(),
    at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    writer  text NOT NULL DEFAULT pg_backend_pid() || '@' || extract(epoch FROM pg_postmaster_start_time()),
    before  {schema}.audited,
    after   {schema}.audited
);
CREATE FUNCTION {schema}.audit_task() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $body$
BEGIN
  IF TG_OP = 'INSERT' THEN
    INSERT INTO {schema}.audit (task_id, after) VALUES (NEW.id, ROW({new})::{schema}.audited);
  ELSIF TG_OP = 'UPDATE' THEN
    INSERT INTO {schema}.audit (task_id, before, after)
    VALUES (NEW.id, ROW({old})::{schema}.audited, ROW({new})::{schema}.audited);
  ELSE
    INSERT INTO {schema}.audit (task_id, before) VALUES (OLD.id, ROW({old})::{schema}.audited);
  END IF;
  RETURN NULL;
END $body$;
CREATE TRIGGER audited AFTER INSERT OR UPDATE OR DELETE ON {schema}.task
  FOR EACH ROW EXECUTE FUNCTION {schema}.audit_task()
"""

_READ: Final = """
SELECT serial, task_id, txid, at, writer, {columns} FROM {schema}.audit WHERE serial > $1 ORDER BY serial LIMIT 10000
"""


async def install(connection: Connection, *, schema: str | None = None) -> None:
    """Audit the tasks of this schema, or of the connection's own, from here on. A second time changes nothing.

    The connection is the schema owner's or a superuser's. The table `task` must be there.
    """
    named = await _quoted(connection, schema)
    if await connection.fetchval("SELECT to_regclass($1) IS NOT NULL", f"{named}.audit"):
        return
    words = {
        "schema": named,
        "types": ", ".join(f"{name} {_TYPES[name]}" for name in _NAMES),
        "old": _columns_of("OLD"),
        "new": _columns_of("NEW"),
    }
    async with connection.transaction():
        await connection.execute(_filled(_INSTALL, words))


async def read(connection: Connection, *, schema: str | None = None, after: int = 0) -> list[Change]:
    """Every change behind this serial, in order. Read it when nothing is under way: what is open is not there yet."""
    columns = ", ".join(f"({side}).{name} AS {side}_{name}" for side in ("before", "after") for name in _NAMES)
    query = _filled(_READ, {"schema": await _quoted(connection, schema), "columns": columns})
    found: list[Change] = []
    while rows := await connection.fetch(query, found[-1].serial if found else after):
        found += [_change(row) for row in rows]
    return found


async def _quoted(connection: Connection, schema: str | None) -> str:
    return await connection.fetchval("SELECT quote_ident(COALESCE($1::text, current_schema()))", schema)


def _columns_of(row: str) -> str:
    return ", ".join(_READ_AS.get(name, f"{{row}}.{name}").replace("{row}", row) for name in _NAMES)


def _filled(statement: str, words: dict[str, str]) -> str:
    for name, word in words.items():
        statement = statement.replace(f"{{{name}}}", word)
    return statement


def _change(row: Row) -> Change:
    before, after = _audited(row, "before"), _audited(row, "after")
    return Change(row["serial"], row["task_id"], row["txid"], row["at"], row["writer"], before, after)


def _audited(row: Row, side: str) -> Audited | None:
    if row[f"{side}_state"] is None:
        return None
    values: dict[str, Any] = {name: row[f"{side}_{name}"] for name in _NAMES}
    return Audited(**values)
