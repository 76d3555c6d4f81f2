"""Bodies and answers of authentication, accounts, keys and bindings."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import BaseModel, Field, SecretStr, StringConstraints

from signalbox_gateway.routes.answers import AnswerModel

Username = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Email = Annotated[str, StringConstraints(min_length=3, max_length=254)]
Password = Annotated[SecretStr, Field(min_length=1, max_length=1024)]
Title = Annotated[str, StringConstraints(max_length=200)]
Reason = Annotated[str, StringConstraints(max_length=2000)]
RoleName = Literal["viewer", "user", "operator", "admin"]
Where = Annotated[str, StringConstraints(pattern=r"^(\*|[A-Za-z0-9]([A-Za-z0-9._-]{0,253}[A-Za-z0-9])?)$")]


class Register(BaseModel):
    """A new person."""

    username: Username
    email: Email
    name: Title = ""
    password: Password


class LoginBody(BaseModel):
    """Who, and the password. `username` may be the email address."""

    username: Annotated[str, StringConstraints(min_length=1, max_length=254)]
    password: Password
    cookie: bool = False
    """For browsers: keep the session in a cookie that scripts cannot read, instead of a refresh token."""


class Refresh(BaseModel):
    """The refresh token of the last answer."""

    refresh_token: Annotated[SecretStr, Field(min_length=1, max_length=200)]


class Handover(BaseModel):
    """What a command line got on its port, and what the `challenge` of its login was made of."""

    code: Annotated[SecretStr, Field(min_length=1, max_length=200)]
    verifier: Annotated[SecretStr, Field(min_length=43, max_length=128)]


class Logout(BaseModel):
    """Which sessions end: this one, or every one of the account."""

    everywhere: bool = False


class PasswordChange(BaseModel):
    """The old password and the new one. Every session ends."""

    current_password: Password
    new_password: Password


class Tokens(AnswerModel):
    """What a login gives."""

    access_token: str
    """For `Authorization: Bearer`."""
    token_type: Literal["bearer"]
    expires_in: int
    """Seconds until the access token ends."""
    refresh_token: str | None
    """For one call of `/auth/refresh`; null with a cookie."""
    csrf_token: str | None
    """With a cookie: for the header `X-CSRF-Token` of every call that changes something."""
    username: str


class OidcMethod(AnswerModel):
    """The OpenID provider people can sign in at."""

    name: str
    url: str
    """Where a browser goes to begin."""


class Methods(AnswerModel):
    """How people can sign in."""

    password: bool
    registration: bool
    """Whether anybody may make an account."""
    oidc: OidcMethod | None


class Ended(AnswerModel):
    """How many sessions were ended."""

    sessions: int


class User(AnswerModel):
    """A person, or a program with keys (`service`)."""

    id: UUID
    username: str
    kind: Literal["user", "service"]
    email: str | None
    name: str
    disabled: bool
    created_at: datetime
    updated_at: datetime


class UserCreate(BaseModel):
    """A new account. Without a password nobody can sign in as it; services use keys."""

    username: Username
    kind: Literal["user", "service"] = "user"
    email: Email | None = None
    name: Title = ""
    password: Password | None = None
    role: RoleName | None = None
    """A role everywhere, from the start."""
    reason: Reason = ""


class UserUpdate(BaseModel):
    """What is to be changed; fields left out stay."""

    email: Email | None = None
    name: Title | None = None
    disabled: bool | None = None
    password: Password | None = None
    reason: Reason = ""


class KeyAnswer(AnswerModel):
    """A key without its secret."""

    id: str
    username: str
    label: str
    scopes: list[str]
    """Permissions such as `plan.start`, or `*` for all that the account has."""
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    """To the minute."""


class NewKey(KeyAnswer):
    """A key, with its text: it is shown only here."""

    key: str


class KeyCreate(BaseModel):
    """A key for oneself, or, by an administrator, for another account."""

    label: Title = ""
    username: Annotated[str, StringConstraints(max_length=200)] | None = None
    scopes: Annotated[list[Annotated[str, StringConstraints(max_length=100)]], Field(min_length=1, max_length=100)] = (
        Field(default_factory=lambda: ["*"])
    )
    days: Annotated[int, Field(ge=1, le=3650)] | None = None
    """How long it is good; without end unless given."""
    reason: Reason = ""


class BindingAnswer(AnswerModel):
    """A role of an account, and where: `*` is any."""

    id: UUID
    username: str
    role: RoleName
    project: str
    engine: str
    created_at: datetime
    created_by: str


class BindingCreate(BaseModel):
    """Give an account a role, everywhere or for one project, one engine, or both."""

    username: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    role: RoleName
    project: Where = "*"
    engine: Where = "*"
    reason: Reason = ""


_NOW: Final = "2026-03-29T01:00:00Z"
_ID: Final = "018f6f2e-0000-7000-8000-000000000001"
_REGISTER: Final = {
    "username": "user", "email": "user@example.com", "name": "User Name", "password": "a few unrelated words",
}  # fmt: skip
_USER: Final = {
    "id": _ID, "username": "user", "kind": "user", "email": "user@example.com", "name": "User Name", "disabled": False,
    "created_at": _NOW, "updated_at": _NOW,
}  # fmt: skip
_TOKENS: Final = {
    "access_token": "eyJhbGciOiJFZERTQSJ9.e30.c2ln", "token_type": "bearer", "expires_in": 600,
    "refresh_token": "sbr_018f6f2e00007000800000000000001_0_c2VjcmV0", "csrf_token": None, "username": "user",
}  # fmt: skip
_KEY: Final = {
    "id": "k3yk3yk3yk3y", "username": "loader", "label": "nightly loads", "scopes": ["plan.read", "plan.start"],
    "created_at": _NOW, "created_by": "user:ann", "expires_at": None, "revoked_at": None, "last_used_at": None,
}  # fmt: skip
_BINDING: Final = {
    "id": _ID, "username": "user", "role": "operator", "project": "lake", "engine": "*", "created_at": _NOW,
    "created_by": "user:ann",
}  # fmt: skip


def _page(item: Any) -> dict[str, Any]:
    return {"items": [item], "next_cursor": None}


def examples() -> dict[str, dict[str, Any]]:
    """By operation id."""
    login = {"username": "user", "password": "a few unrelated words"}
    return {
        "auth_register": {"request": _REGISTER, "response": _USER},
        "auth_login": {"request": login, "response": _TOKENS},
        "auth_methods": {
            "response": {
                "password": True, "registration": False,
                "oidc": {"name": "Example SSO", "url": "/api/v1/auth/oidc/login"},
            },
        },
        "auth_oidc_tokens": {
            "request": {"code": f"{'0' * 32}.1764403200.{'A' * 43}", "verifier": "v" * 43}, "response": _TOKENS,
        },
        "auth_refresh": {"request": {"refresh_token": _TOKENS["refresh_token"]}, "response": _TOKENS},
        "auth_logout": {"request": {"everywhere": True}, "response": {"sessions": 3}},
        "auth_password": {
            "request": {"current_password": "a few unrelated words", "new_password": "quite different ones"},
            "response": {"sessions": 2},
        },
        "user_list": {"response": _page(_USER)},
        "user_show": {"response": _USER},
        "user_create": {"request": {**_REGISTER, "role": "viewer"}, "response": _USER},
        "user_update": {"request": {"disabled": True, "reason": "left"}, "response": {**_USER, "disabled": True}},
        "key_list": {"response": _page(_KEY)},
        "key_show": {"response": _KEY},
        "key_create": {
            "request": {"username": "loader", "label": "nightly loads", "scopes": ["plan.read", "plan.start"]},
            "response": {**_KEY, "key": "sbt_k3yk3yk3yk3y_c2VjcmV0"},
        },
        "binding_list": {"response": _page(_BINDING)},
        "binding_show": {"response": _BINDING},
        "binding_create": {
            "request": {"username": "user", "role": "operator", "project": "lake"}, "response": _BINDING,
        },
    }  # fmt: skip
