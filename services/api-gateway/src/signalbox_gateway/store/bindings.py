"""SQL of bindings: which role an account has, and where."""

from typing import Any, Final
from uuid import UUID, uuid4

from sqlmodel import col, delete, insert

from signalbox_chassis.persistence.connection import Connection, Row
from signalbox_gateway.store.statements import columns, fetch, fetchrow
from signalbox_gateway.store.tables import RoleBinding

_SHOWN: Final[Any] = (
    RoleBinding.id, RoleBinding.principal, RoleBinding.role, RoleBinding.project, RoleBinding.engine,
    RoleBinding.created_at, RoleBinding.created_by,
)  # fmt: skip


async def load(connection: Connection, id: UUID) -> Row | None:
    return await fetchrow(connection, columns(*_SHOWN).where(RoleBinding.id == id))


async def list_bindings(
    connection: Connection, *, principal: str, role: str, project: str, after: str, limit: int
) -> list[Row]:
    """Bindings by id, those after `after`."""
    statement = columns(*_SHOWN).order_by(col(RoleBinding.id)).limit(limit)
    if after:
        statement = statement.where(col(RoleBinding.id) > UUID(after))
    for column, value in ((RoleBinding.principal, principal), (RoleBinding.role, role), (RoleBinding.project, project)):
        if value:
            statement = statement.where(col(column) == value)
    return await fetch(connection, statement)


async def create(
    connection: Connection, principal: str, role: str, *, project: str = "*", engine: str = "*", actor: str
) -> Row:
    """Give a role. One that is there already is returned as it is."""
    values = {"principal": principal, "role": role, "project": project, "engine": engine}
    same = [getattr(RoleBinding, name) == value for name, value in values.items()]
    found = await fetchrow(connection, columns(*_SHOWN).where(*same))
    if found is not None:
        return found
    statement: Any = insert(RoleBinding).values(id=uuid4(), created_by=actor, **values)
    row = await fetchrow(connection, statement.returning(*_SHOWN))
    assert row is not None
    return row


async def remove(connection: Connection, id: UUID) -> None:
    await fetch(connection, delete(RoleBinding).where(col(RoleBinding.id) == id).returning(col(RoleBinding.id)))


async def has_any(connection: Connection, principal: str) -> bool:
    """Whether an account has a role anywhere."""
    return bool(await list_bindings(connection, principal=principal, role="", project="", after="", limit=1))


async def project_exists(connection: Connection, project: str) -> bool:
    """Whether any definition has this project."""
    return await connection.fetchval(
        "SELECT EXISTS (SELECT FROM definition WHERE project = $1 AND NOT deleted)", project
    )
