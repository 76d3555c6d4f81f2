"""Whose account a person of a provider has: found by issuer and subject alone, made at the first login.

An account is never found by its address or its name: anyone who can choose those at the provider would get it.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from email_validator import EmailNotValidError, validate_email

from signalbox_chassis.persistence.connection import Connection, Row
from signalbox_gateway.identity.logins import LoginRefused
from signalbox_gateway.identity.names import RESERVED
from signalbox_gateway.identity.oidc.id_tokens import Person
from signalbox_gateway.store import accounts, bindings

ACTOR: Final = "openid login"
MAX_NAME: Final = 64
_TRIES: Final = 20


@dataclass(frozen=True, slots=True)
class Linked:
    """An account as logins need it, and whether it was made just now."""

    account: Row
    created: bool


async def account_of(connection: Connection, person: Person, role: str) -> Linked:
    """The account of this person. Raises `LoginRefused` when it is disabled."""
    name = await accounts.of_provider(connection, person.issuer, person.subject)
    created = False
    if name is None:
        await accounts.lock(connection)
        name = await accounts.of_provider(connection, person.issuer, person.subject)
    if name is None:
        name, created = await _create(connection, person, role), True
    account = await accounts.load_by_name(connection, name)
    if account is None or account["disabled_at"] is not None:
        raise LoginRefused("disabled account")
    return Linked(account, created)


def candidates(person: Person) -> Iterator[str]:
    """Names for the account, the best first; each is a username."""
    written = person.username or person.email.partition("@")[0] or person.name
    base = re.sub(r"[^A-Za-z0-9._-]+", "-", written.partition("@")[0]).strip("-._")[: MAX_NAME - 9] or "user"
    yield base
    for number in range(2, _TRIES):
        yield f"{base}-{number}"
    yield f"{base}-{hashlib.sha256(f'{person.issuer} {person.subject}'.encode()).hexdigest()[:8]}"


async def _create(connection: Connection, person: Person, role: str) -> str:
    email = await _free_email(connection, person.email)
    for name in candidates(person):
        if name.lower() in RESERVED:
            continue
        try:
            await accounts.create(
                connection, name, kind="user", email=email, title=person.name, password_hash=None
            )  # fmt: skip
        except accounts.NameTaken:
            continue
        await accounts.link(connection, name, person.issuer, person.subject)
        if role:
            await bindings.create(connection, name, role, actor=ACTOR)
        return name
    raise LoginRefused("every name for the new account is taken")


async def _free_email(connection: Connection, email: str) -> str | None:
    """The verified address in its normal form, unless another account has it."""
    try:
        normal = validate_email(email, check_deliverability=False).normalized if email else None
    except EmailNotValidError:
        return None
    if normal is None or await accounts.has_email(connection, normal):
        return None
    return normal
