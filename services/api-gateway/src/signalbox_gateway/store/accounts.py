"""SQL of accounts: people and services, their passwords, and who they are at a provider."""

from typing import Any, Final
from uuid import uuid4

from sqlalchemy import func
from sqlmodel import col, delete, insert, select, update

from signalbox_chassis.persistence.connection import Connection, Row
from signalbox_gateway.store.statements import columns, fetch, fetchrow
from signalbox_gateway.store.tables import Account, ExternalIdentity, RoleBinding

_SHOWN: Final[Any] = (
    Account.id, Account.name, Account.kind, Account.email, Account.title, Account.disabled_at, Account.created_at,
    Account.updated_at,
)  # fmt: skip
_LOCK: Final = "SELECT pg_advisory_xact_lock(hashtextextended('signalbox accounts', 0))"
SKELETON: Final = str.maketrans("01i", "oll", ".-_")


class NameTaken(Exception):
    """There is an account of this name, or of one that looks like it."""

    def __init__(self, name: str, other: str) -> None:
        super().__init__(other)
        self.name = name
        self.other = other


class EmailTaken(Exception):
    """Another account has this address."""


def skeleton(name: str) -> str:
    """Equal for names that look alike."""
    return name.lower().translate(SKELETON)


async def lock(connection: Connection) -> None:
    """Keep others from changing accounts and bindings until the transaction ends."""
    await connection.execute(_LOCK)


async def load(connection: Connection, name: str) -> Row | None:
    """An account as it is shown."""
    return await fetchrow(connection, columns(*_SHOWN).where(Account.name == name))


async def load_by_name(connection: Connection, name: str) -> Row | None:
    """What a session of an account is made of."""
    return await fetchrow(
        connection, select(Account.name, Account.credentials_version, Account.disabled_at).where(Account.name == name)
    )


async def has_email(connection: Connection, email: str) -> bool:
    """Whether an account has this address."""
    statement = select(Account.name).where(func.lower(col(Account.email)) == email.lower())
    return await fetchrow(connection, statement) is not None


async def load_credentials(connection: Connection, name: str) -> Row | None:
    """What a login needs: the hash and the state of an account, by its name or its address."""
    statement = select(Account.name, Account.password_hash, Account.credentials_version, Account.disabled_at).where(
        (col(Account.name) == name) | (func.lower(col(Account.email)) == name.lower())
    )
    rows = await fetch(connection, statement.limit(2))
    exact = [row for row in rows if row["name"] == name]
    return (exact or rows or [None])[0]


async def list_accounts(connection: Connection, *, q: str, kind: str, after: str, limit: int) -> list[Row]:
    """Accounts by name, those after `after`."""
    statement = columns(*_SHOWN).where(Account.name > after).order_by(col(Account.name)).limit(limit)
    if q:
        statement = statement.where(func.strpos(func.lower(Account.name + " " + col(Account.title)), q.lower()) > 0)
    if kind:
        statement = statement.where(Account.kind == kind)
    return await fetch(connection, statement)


async def create(
    connection: Connection, name: str, *, kind: str, email: str | None, title: str, password_hash: str | None
) -> Row:
    """A new account without any role. Raises `NameTaken`, `EmailTaken`. The caller holds `lock`."""
    taken = await fetchrow(connection, select(Account.name).where(Account.skeleton == skeleton(name)))
    if taken is not None:
        raise NameTaken(name, taken["name"])
    await _check_email(connection, name, email)
    values = {"id": uuid4(), "name": name, "kind": kind, "email": email, "title": title, "password_hash": password_hash}
    statement: Any = insert(Account).values(**values)
    row = await fetchrow(connection, statement.returning(*_SHOWN))
    assert row is not None
    return row


async def change(connection: Connection, name: str, **values: Any) -> Row | None:
    """Set columns of an account. Raises `EmailTaken`."""
    if values.get("email"):
        await _check_email(connection, name, values["email"])
    statement: Any = update(Account).where(col(Account.name) == name).values(**values, updated_at=func.now())
    return await fetchrow(connection, statement.returning(*_SHOWN))


async def set_password(connection: Connection, name: str, password_hash: str, *, rehash: bool = False) -> None:
    """Store another hash. Access tokens from before are worthless, unless it is the same password hashed anew."""
    grown = col(Account.credentials_version) + (0 if rehash else 1)
    await fetch(
        connection,
        update(Account).where(col(Account.name) == name).values(password_hash=password_hash, credentials_version=grown)
        .returning(col(Account.name)),
    )  # fmt: skip


async def remove(connection: Connection, name: str) -> None:
    """Delete an account with its keys, sessions and bindings."""
    await connection.execute("DELETE FROM token WHERE principal = $1", name)
    await fetch(connection, delete(Account).where(col(Account.name) == name).returning(col(Account.name)))


async def administrators(connection: Connection) -> list[str]:
    """Accounts that are not disabled and have the role admin everywhere."""
    statement = (
        select(Account.name).join(RoleBinding, col(RoleBinding.principal) == col(Account.name))
        .where(RoleBinding.role == "admin", RoleBinding.project == "*", RoleBinding.engine == "*")
        .where(col(Account.disabled_at).is_(None)).distinct()
    )  # fmt: skip
    return [row["name"] for row in await fetch(connection, statement)]


async def of_provider(connection: Connection, issuer: str, subject: str) -> str | None:
    """The account that signs in as this subject of this issuer."""
    statement = select(ExternalIdentity.principal).where(
        ExternalIdentity.issuer == issuer, ExternalIdentity.subject == subject
    )
    row = await fetchrow(connection, statement)
    return row["principal"] if row else None


async def link(connection: Connection, name: str, issuer: str, subject: str) -> None:
    """From now on this subject signs in as this account."""
    statement = insert(ExternalIdentity).values(issuer=issuer, subject=subject, principal=name)
    await fetch(connection, statement.returning(col(ExternalIdentity.principal)))


async def _check_email(connection: Connection, name: str, email: str | None) -> None:
    if email is None:
        return
    statement = select(Account.name).where(func.lower(col(Account.email)) == email.lower(), Account.name != name)
    if await fetchrow(connection, statement) is not None:
        raise EmailTaken
