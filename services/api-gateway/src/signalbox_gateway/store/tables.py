"""The tables that people edit, as SQLModel classes: their columns, and the types of their rows.

Migrations create them in SQL; a test compares the two.
"""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ARRAY, DateTime, String
from sqlmodel import Field, SQLModel

_WHEN: Final[Any] = DateTime(timezone=True)
_TEXTS: Final[Any] = ARRAY(String())


class Account(SQLModel, table=True):
    """A person, or a program (`service`), by its name."""

    __tablename__: Any = "principal"

    name: str = Field(primary_key=True)
    id: UUID
    kind: str
    email: str | None
    title: str
    password_hash: str | None
    credentials_version: int
    disabled_at: datetime | None = Field(sa_type=_WHEN)
    created_at: datetime = Field(sa_type=_WHEN)
    updated_at: datetime = Field(sa_type=_WHEN)
    skeleton: str


class Key(SQLModel, table=True):
    """A key of an account. `permissions` are its scopes: `*`, or names of permissions."""

    __tablename__: Any = "token"

    id: str = Field(primary_key=True)
    principal: str
    label: str
    secret_hash: bytes
    permissions: list[str] = Field(sa_type=_TEXTS)
    created_at: datetime = Field(sa_type=_WHEN)
    created_by: str
    expires_at: datetime | None = Field(sa_type=_WHEN)
    revoked_at: datetime | None = Field(sa_type=_WHEN)
    last_used_at: datetime | None = Field(sa_type=_WHEN)


class RoleBinding(SQLModel, table=True):
    """A role of an account, everywhere (`*`) or for a project and an engine."""

    __tablename__: Any = "binding"

    id: UUID = Field(primary_key=True)
    principal: str
    role: str
    project: str
    engine: str
    created_at: datetime = Field(sa_type=_WHEN)
    created_by: str


class Session(SQLModel, table=True):
    """A login: the family of its refresh tokens, or a browser's cookie."""

    __tablename__: Any = "session"

    id: UUID = Field(primary_key=True)
    principal: str
    kind: str
    generation: int
    address: str
    user_agent: str
    created_at: datetime = Field(sa_type=_WHEN)
    rotated_at: datetime = Field(sa_type=_WHEN)
    expires_at: datetime = Field(sa_type=_WHEN)
    revoked_at: datetime | None = Field(sa_type=_WHEN)
    revoked_reason: str


class SigningKey(SQLModel, table=True):
    """A key that signs access tokens, or from which refresh tokens are made."""

    __tablename__: Any = "signing_key"

    kid: str = Field(primary_key=True)
    purpose: str
    wrapped_by: str
    secret: bytes
    public: str
    created_at: datetime = Field(sa_type=_WHEN)
    retired_at: datetime | None = Field(sa_type=_WHEN)


class ExternalIdentity(SQLModel, table=True):
    """Who an account is at an OpenID provider."""

    __tablename__: Any = "external_identity"

    issuer: str = Field(primary_key=True)
    subject: str = Field(primary_key=True)
    principal: str
    created_at: datetime = Field(sa_type=_WHEN)
