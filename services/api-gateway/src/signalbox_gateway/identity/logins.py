"""Logins: who may begin a session, how it goes on, how it ends."""

import re
import secrets
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from signalbox_chassis.persistence.connection import Connection, Row
from signalbox_chassis.persistence.database import Database, UnitOfWork
from signalbox_gateway.identity.access_tokens import AccessTokens
from signalbox_gateway.identity.authentication import Authentication
from signalbox_gateway.identity.passwords import MAX_WAITING, Busy, Hasher
from signalbox_gateway.identity.signing import SigningKeys
from signalbox_gateway.store import accounts, bindings, sessions

GRACE_SECONDS: Final = 10.0
"""How long the refresh token before is good as well: its answer may have been lost."""
MAX_UNDER_WAY: Final = MAX_WAITING
"""Logins with a password at once: each takes a connection of the database and a turn of the hasher."""
_REFRESH: Final = re.compile(r"^sbr_([0-9a-f]{32})_(\d{1,9})_([A-Za-z0-9_-]{43})$")


class LoginRefused(Exception):
    """The credentials are not good. Why is for the audit, never for the caller."""


class RefreshReused(LoginRefused):
    """A refresh token that was used before came again: its whole session is ended."""

    def __init__(self, name: str, session: UUID) -> None:
        super().__init__("refresh token used twice")
        self.name = name
        self.session = session


@dataclass(frozen=True, slots=True)
class Caller:
    """Where a login comes from."""

    address: str
    user_agent: str


@dataclass(frozen=True, slots=True)
class Login:
    """A session, and what its holder gets."""

    name: str
    session: UUID
    access_token: str
    refresh_token: str | None
    seconds: int
    cookie: str | None = None
    csrf_token: str | None = None


@dataclass
class Logins:
    """Begins, goes on with and ends sessions."""

    database: Database
    keys: SigningKeys
    access_tokens: AccessTokens
    authentication: Authentication
    hasher: Hasher
    session_days: int
    _under_way: int = 0

    @contextmanager
    def slot(self) -> Generator[None]:
        """A place among the logins under way. Raises `Busy` when all are taken."""
        if self._under_way >= MAX_UNDER_WAY:
            raise Busy
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1

    async def with_password(self, name: str, password: str, caller: Caller, *, cookie: bool = False) -> Login:
        """Raises `LoginRefused`, `Busy`. An unknown name takes as long as a wrong password."""
        async with self.database.connection() as connection:
            account = await accounts.load_credentials(connection, name)
        hashed = account["password_hash"] if account else None
        good = await self.hasher.verify(password, hashed)
        if account is None or hashed is None or not good:
            raise LoginRefused("unknown name" if account is None else "wrong password")
        if account["disabled_at"] is not None:
            raise LoginRefused("disabled account")
        fresh = await self.hasher.hash(password) if self.hasher.is_outdated(hashed) else None
        async with self.database.unit_of_work() as work:
            # the password may have changed while its old hash was checked
            now = await accounts.load_credentials(work.connection, account["name"])
            if now is None or now["credentials_version"] != account["credentials_version"] or now["disabled_at"]:
                raise LoginRefused("changed meanwhile")
            if fresh is not None:
                await accounts.set_password(work.connection, account["name"], fresh, rehash=True)
            return await self.begin(work.connection, account, caller, cookie=cookie)

    async def begin(self, connection: Connection, account: Row, caller: Caller, *, cookie: bool = False) -> Login:
        """A session of an account that has shown who it is."""
        expires_at = datetime.now(UTC) + timedelta(days=self.session_days)
        session = await sessions.begin(
            connection, account["name"], kind="cookie" if cookie else "bearer", address=caller.address,
            user_agent=caller.user_agent, expires_at=expires_at,
        )  # fmt: skip
        return await self._login(account["name"], session, account["credentials_version"], 0, cookie=cookie)

    async def refresh(self, token: str) -> Login:
        """The next refresh token of a session. Raises `LoginRefused`; `RefreshReused` when the session was ended."""
        matched = _REFRESH.match(token)
        if matched is None:
            raise LoginRefused("not a refresh token")
        session, generation = UUID(matched[1]), int(matched[2])
        if not secrets.compare_digest(token, await self._refresh_token(session, generation)):
            raise LoginRefused("not a refresh token of ours")
        async with self.database.unit_of_work() as work:
            row = await sessions.load_for_rotation(work.connection, session)
            if row is None or row["revoked_at"] or row["disabled_at"] or row["expires_at"] <= datetime.now(UTC):
                raise LoginRefused("session ended")
            current: int = row["generation"]
            again = generation == current - 1 and row["rotated_ago"] <= GRACE_SECONDS
            reused = generation != current and not again
            if reused:
                await sessions.end(work.connection, session, "refresh token used twice")
            elif not again:
                await sessions.rotate(work.connection, session, current + 1)
        if reused:
            self.authentication.forget()
            raise RefreshReused(row["principal"], session)
        following = current if again else current + 1
        return await self._login(row["principal"], session, row["credentials_version"], following)

    async def first_refresh(self, session: UUID) -> Login:
        """The first tokens of a session whose holder has none yet. Raises as `refresh`."""
        return await self.refresh(await self._refresh_token(session, 0))

    async def end(self, work: UnitOfWork, session: UUID) -> bool:
        """End one session; whether it was live."""
        work.on_commit(self.authentication.forget)
        return await sessions.end(work.connection, session, "logout")

    async def end_all(self, work: UnitOfWork, name: str, reason: str) -> int:
        """End every session of an account; how many were live."""
        work.on_commit(self.authentication.forget)
        return len(await sessions.end_all(work.connection, name, reason))

    async def check_password(self, name: str, password: str) -> bool:
        """Whether it is the account's password. Raises `Busy`."""
        async with self.database.connection() as connection:
            account = await accounts.load_credentials(connection, name)
        return await self.hasher.verify(password, account["password_hash"] if account else None)

    async def set_password(self, work: UnitOfWork, name: str, hashed: str) -> None:
        """Store a new password and end every session: the old one may be known to others."""
        await accounts.set_password(work.connection, name, hashed)
        await self.end_all(work, name, "password changed")

    async def _login(
        self, name: str, session: UUID, credentials_version: int, generation: int, *, cookie: bool = False
    ) -> Login:
        return Login(
            name, session, await self.access_tokens.issue(name, session, credentials_version),
            None if cookie else await self._refresh_token(session, generation), self.access_tokens.seconds,
            await self.authentication.cookie(session) if cookie else None,
            await self.authentication.csrf_token(session) if cookie else None,
        )  # fmt: skip

    async def _refresh_token(self, session: UUID, generation: int) -> str:
        secret = await self.keys.secret_of(session, f"refresh {generation}")
        return f"sbr_{session.hex}_{generation}_{secret}"


async def register(
    connection: Connection, name: str, *, email: str | None, title: str, password_hash: str, role: str
) -> dict[str, Any]:
    """A new person with one role. Raises `NameTaken`, `EmailTaken`."""
    await accounts.lock(connection)
    row = await accounts.create(
        connection, name, kind="user", email=email, title=title, password_hash=password_hash
    )  # fmt: skip
    if role:
        await bindings.create(connection, name, role, actor="registration")
    return dict(row)
