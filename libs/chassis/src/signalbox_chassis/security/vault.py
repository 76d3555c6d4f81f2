"""The vault: secret values, encrypted at rest, read only by roles allowed their use. Values never enter an event.

Each version of a secret has a data key of its own (AES-256-GCM); the data key is wrapped by a key-encryption key from
the settings, so that a new one (`rewrap`) costs no decryption of values. What is encrypted is bound to name, version
and uses: a row moved to another name, an old row put back, or a use added in the database cannot be read.

The writer's role may write values and cannot read them; a reader's role reads those that have one of its uses.
"""

import os
import re
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from types import MappingProxyType
from typing import ClassVar, Final, Literal, get_args
from zlib import crc32

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import Field, SecretStr, field_validator

from signalbox_chassis import setting_aliases
from signalbox_chassis.observability import logs
from signalbox_chassis.persistence.connection import Connection, Row, connect
from signalbox_chassis.persistence.database import Database
from signalbox_chassis.settings import ServiceSettings, allowed

Use = Literal["work", "engine", "channel"]
"""What a secret may be used for: in the work of tasks, to reach engines, to reach channels."""
USES: Final[tuple[str, ...]] = get_args(Use)
VALUE_BYTES: Final = 65_536
_NAME: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,126}[A-Za-z0-9])?")
_NONCE: Final = 12
_KEY: Final = 32


class SecretMissing(LookupError):
    """There is no secret of this name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no secret {name!r}")
        self.name = name


class SecretNotAllowed(PermissionError):
    """The secret is not for this use."""

    def __init__(self, name: str, use: str, uses: Sequence[str]) -> None:
        super().__init__(f"secret {name!r} is not for use {use!r}: it is for {', '.join(uses) or 'none'}")
        self.name = name
        self.use = use


class SecretUnreadable(Exception):
    """The key it was wrapped with is not in the settings, or what is stored was changed."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"secret {name!r} cannot be read: {why}")
        self.name = name


class InvalidSecret(ValueError):
    """Name, value or uses are not allowed; `field` says which."""

    def __init__(self, field: str, why: str) -> None:
        super().__init__(f"{field}: {why}")
        self.field = field


@dataclass(frozen=True, slots=True)
class SecretInfo:
    """All there is to see of a secret."""

    name: str
    version: int
    """Grows with each change, and is never used twice for a name, deleted or not."""
    uses: tuple[str, ...]
    description: str
    created_at: datetime
    updated_at: datetime
    updated_by: str


@dataclass(frozen=True, slots=True)
class _Sealed:
    key_id: str
    wrapped: bytes
    ciphertext: bytes


class Keys:
    """Key-encryption keys, the newest first: it wraps, the others only unwrap."""

    def __init__(self, text: str) -> None:
        """`text` is base64 of 32 bytes each, separated by commas. Raises ValueError, which repeats nothing of it."""
        keys = [_read_key(part.strip()) for part in text.split(",") if part.strip()]
        if not keys:
            raise ValueError("no key is given")
        self._ciphers = {sha256(b"signalbox key id" + key).hexdigest()[:16]: AESGCM(key) for key in keys}
        self.newest = next(iter(self._ciphers))

    def __repr__(self) -> str:
        return f"Keys({', '.join(self._ciphers)})"

    def wrap(self, data_key: bytes, about: bytes) -> bytes:
        return _encrypt(self._ciphers[self.newest], data_key, about)

    def unwrap(self, name: str, key_id: str, wrapped: bytes, about: bytes) -> bytes:
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise SecretUnreadable(name, f"its key {key_id} is not among {', '.join(self._ciphers)}")
        return _decrypt(cipher, wrapped, about, name)


class VaultSettings(ServiceSettings):
    """For services that write or read secrets. Without the two, every reference to a secret is refused."""

    aliases: ClassVar = {"secret_key": setting_aliases.secret_key}
    secret_key: SecretStr = Field(
        default=SecretStr(""), json_schema_extra=allowed("32 bytes as base64, several separated by commas")
    )
    """Key-encryption keys of the secrets, the newest first: 32 bytes as base64 each, separated by commas.
    Where it is not set, `SECRET_KEY` is read: a text of 16 characters or more, from which the key is derived."""
    secrets_url: SecretStr = Field(default=SecretStr(""), json_schema_extra=allowed("`postgresql://…`"))
    """PostgreSQL that holds the secrets, as `postgresql://role:password@host:port/database`, with this service's own
    role there."""
    secrets_schema: str = Field(
        default="secrets",
        pattern=r"^[a-z][a-z0-9_]{0,62}$",
        json_schema_extra=allowed("up to 63 lower-case letters, digits and `_`, a letter first"),
    )
    """Schema that holds the secrets."""

    @field_validator("secret_key")
    @classmethod
    def _keys_can_be_read(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value():
            Keys(value.get_secret_value())
        return value

    def secrets(self) -> Iterator[str]:
        yield from super().secrets()
        yield from (part.strip() for part in self.secret_key.get_secret_value().split(",") if part.strip())

    def vault(self) -> "Vault | None":
        """The vault, if both its settings are there."""
        key, url = self.secret_key.get_secret_value(), self.secrets_url.get_secret_value()
        return Vault(url, keys=key, schema=self.secrets_schema) if key and url else None


_INFO: Final = "name, version, uses, description, created_at, updated_at, updated_by"
# INVARIANT a version is taken before the value is encrypted, since it is bound to it; the sequence never goes back, so
# an old row that is put back (or one of a deleted secret) does not fit any version that was given out later.
_NEXT: Final = "SELECT nextval('secret_version')"
_SET: Final = """
INSERT INTO secret AS s (name, version, uses, description, updated_by) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (name) DO UPDATE SET version = $2, uses = $3, description = $4, updated_by = $5, updated_at = now()
RETURNING {info}, s.xmax = 0 AS created
""".replace("{info}", _INFO)
_LISTED: Final = "SELECT {info} FROM secret ORDER BY name".replace("{info}", _INFO)
_ONE: Final = "SELECT {info} FROM secret WHERE name = $1".replace("{info}", _INFO)
_PUT: Final = "INSERT INTO secret_value (name, version, key_id, wrapped, ciphertext) VALUES ($1, $2, $3, $4, $5)"
_NOTE: Final = "INSERT INTO secret_change (name, version, action, actor) VALUES ($1, $2, $3, $4)"
_READ: Final = """
SELECT s.name, s.version, s.uses, v.key_id, v.wrapped, v.ciphertext
FROM secret s LEFT JOIN secret_value v USING (name, version) WHERE s.name = ANY ($1)
"""
_OLD_KEYS: Final = """
SELECT v.name, v.version, s.uses, v.key_id, v.wrapped FROM secret_value v JOIN secret s USING (name, version)
WHERE v.key_id <> $1 AND v.name > $2 ORDER BY v.name LIMIT $3
"""
# INVARIANT a value that was set anew meanwhile has another version, and keeps its own key.
_REWRAP: Final = "UPDATE secret_value SET key_id = $3, wrapped = $4 WHERE name = $1 AND version = $2 AND key_id = $5"


class Vault:
    """The secrets in one schema. `keys` is the text of `SIGNALBOX_SECRET_KEY`. Connects when first used."""

    def __init__(self, database_url: str, *, keys: str, schema: str = "secrets") -> None:
        self._keys = Keys(keys)
        self._database = Database(database_url, schema=schema, pool_size=2, application="signalbox-vault")

    def __repr__(self) -> str:
        return f"Vault({self._keys!r})"

    async def start(self) -> None:
        """Raises when PostgreSQL does not answer."""
        await self._database.start()

    async def stop(self) -> None:
        await self._database.stop()

    async def set(
        self, name: str, value: str, uses: Collection[str], description: str = "", actor: str = ""
    ) -> SecretInfo:
        """Store a value, as a new secret or in place of the old one. Raises `InvalidSecret`."""
        sorted_uses = sorted(frozenset(uses))
        _check(name, value, sorted_uses)
        async with self._database.unit_of_work() as work:
            version = await work.connection.fetchval(_NEXT)
            sealed = self._seal(name, version, sorted_uses, value)
            row = await work.connection.fetchrow(_SET, name, version, sorted_uses, description, actor)
            assert row is not None
            await work.connection.execute("DELETE FROM secret_value WHERE name = $1", name)
            await work.connection.execute(_PUT, name, version, sealed.key_id, sealed.wrapped, sealed.ciphertext)
            await work.connection.execute(_NOTE, name, version, "created" if row["created"] else "changed", actor)
        return _info(row)

    async def listed(self) -> list[SecretInfo]:
        """All secrets by name, without values."""
        async with self._database.connection() as connection:
            return [_info(row) for row in await connection.fetch(_LISTED)]

    async def info(self, name: str) -> SecretInfo:
        """Raises `SecretMissing`."""
        async with self._database.connection() as connection:
            row = await connection.fetchrow(_ONE, name)
        if row is None:
            raise SecretMissing(name)
        return _info(row)

    async def delete(self, name: str, actor: str = "") -> None:
        """Raises `SecretMissing`. That nothing refers to it is for the caller to see to."""
        async with self._database.unit_of_work() as work:
            version = await work.connection.fetchval("DELETE FROM secret WHERE name = $1 RETURNING version", name)
            if version is None:
                raise SecretMissing(name)
            await work.connection.execute(_NOTE, name, version, "deleted", actor)

    async def read(self, names: Collection[str], use: str) -> dict[str, str]:
        """The values, all or none; each is masked in this process's log from now on.

        Raises `SecretMissing`, `SecretNotAllowed`, `SecretUnreadable` for the first name that is at fault.
        """
        async with self._database.connection() as connection:
            rows = {row["name"]: row for row in await connection.fetch(_READ, sorted(names))}
        values: dict[str, str] = {}
        for name in sorted(names):
            row = rows.get(name)
            if row is None:
                raise SecretMissing(name)
            if use not in row["uses"] or row["ciphertext"] is None:  # None: the role may not see it
                raise SecretNotAllowed(name, use, row["uses"])
            values[name] = self._open(row)
        for value in values.values():
            logs.hide(value)
        return values

    async def versions(self, names: Collection[str]) -> dict[str, int]:
        """The version of each of these secrets that exists: another one than before means another value."""
        async with self._database.connection() as connection:
            rows = await connection.fetch("SELECT name, version FROM secret WHERE name = ANY ($1)", sorted(names))
        return {row["name"]: row["version"] for row in rows}

    async def rewrap(self, batch: int = 500) -> tuple[int, list[str]]:
        """Wrap every data key with the newest key; how many had an older one, and the secrets whose key is not here.

        With none of those the older keys can be dropped.
        """
        count, unreadable, after = 0, list[str](), ""
        while True:
            async with self._database.connection() as connection:
                rows = await connection.fetch(_OLD_KEYS, self._keys.newest, after, batch)
                for row in rows:
                    about = _about(row["name"], row["version"], row["uses"])
                    try:
                        data_key = self._keys.unwrap(row["name"], row["key_id"], row["wrapped"], about)
                    except SecretUnreadable:
                        unreadable.append(row["name"])
                        continue
                    wrapped = self._keys.wrap(data_key, about)
                    await connection.execute(
                        _REWRAP, row["name"], row["version"], self._keys.newest, wrapped, row["key_id"]
                    )
                    count += 1
            if not rows:
                return count, unreadable
            after = rows[-1]["name"]

    def _seal(self, name: str, version: int, uses: Sequence[str], value: str) -> _Sealed:
        about = _about(name, version, uses)
        data_key = AESGCM.generate_key(_KEY * 8)
        ciphertext = _encrypt(AESGCM(data_key), value.encode(), about)
        return _Sealed(self._keys.newest, self._keys.wrap(data_key, about), ciphertext)

    def _open(self, row: Row) -> str:
        about = _about(row["name"], row["version"], row["uses"])
        data_key = self._keys.unwrap(row["name"], row["key_id"], row["wrapped"], about)
        return _decrypt(AESGCM(data_key), row["ciphertext"], about, row["name"]).decode()


TABLES_V1: Final = """
CREATE SEQUENCE IF NOT EXISTS secret_version;
CREATE TABLE IF NOT EXISTS secret (
    name        text PRIMARY KEY,
    version     bigint NOT NULL UNIQUE,
    uses        text[] NOT NULL,
    description text NOT NULL DEFAULT '',
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    updated_by  text NOT NULL DEFAULT ''
);
CREATE TABLE IF NOT EXISTS secret_value (
    name       text PRIMARY KEY REFERENCES secret ON DELETE CASCADE,
    version    bigint NOT NULL,
    key_id     text NOT NULL,
    wrapped    bytea NOT NULL,
    ciphertext bytea NOT NULL
);
CREATE TABLE IF NOT EXISTS secret_change (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name    text NOT NULL,
    version bigint NOT NULL,
    action  text NOT NULL CHECK (action IN ('created', 'changed', 'deleted')),
    actor   text NOT NULL,
    at      timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE secret ENABLE ROW LEVEL SECURITY;
ALTER TABLE secret_value ENABLE ROW LEVEL SECURITY;
"""
# The writer sees what is needed to wrap anew, never a ciphertext: who holds its role and the key still reads no value.
_WRITER: Final = """
GRANT USAGE ON SCHEMA {schema} TO {role};
GRANT USAGE ON SEQUENCE secret_version TO {role};
GRANT SELECT, INSERT, UPDATE, DELETE ON secret TO {role};
GRANT SELECT (name, version, key_id, wrapped), UPDATE (key_id, wrapped), INSERT, DELETE ON secret_value TO {role};
GRANT SELECT, INSERT ON secret_change TO {role};
DROP POLICY IF EXISTS {policy} ON secret;
CREATE POLICY {policy} ON secret TO {role} USING (starts_with(name, {prefix})) WITH CHECK (starts_with(name, {prefix}));
DROP POLICY IF EXISTS {policy} ON secret_value;
CREATE POLICY {policy} ON secret_value TO {role}
    USING (starts_with(name, {prefix})) WITH CHECK (starts_with(name, {prefix}));
"""
_READER: Final = """
GRANT USAGE ON SCHEMA {schema} TO {role};
GRANT SELECT ON secret, secret_value TO {role};
DROP POLICY IF EXISTS {policy} ON secret;
CREATE POLICY {policy} ON secret FOR SELECT TO {role} USING (true);
DROP POLICY IF EXISTS {policy} ON secret_value;
CREATE POLICY {policy} ON secret_value FOR SELECT TO {role}
    USING (EXISTS (SELECT FROM secret s WHERE s.name = secret_value.name AND s.uses && {uses}::text[]));
"""


async def provision_vault(
    admin_url: str,
    *,
    writer_role: str,
    readers: Mapping[str, Collection[str]],
    owners: Mapping[str, str] = MappingProxyType({}),
    schema: str = "secrets",
) -> None:
    """Create the schema and its tables where missing, and grant what each role may; the roles exist already.

    `readers` says which uses a role reads: `{"executor": ("work", "engine")}`. `owners` are more writers,
    each of the names that begin with its text: `{"reprocessor": "reprocess-"}`. May be repeated, by several at once.
    """
    for uses in readers.values():
        _check_uses(sorted(uses))
    connection = await connect(admin_url, timeout=10)
    try:
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", crc32(f"signalbox vault {schema}".encode()))
            quoted = await connection.fetchval("SELECT quote_ident($1)", schema)
            await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted}")
            await connection.execute(f"SET LOCAL search_path = {quoted}")
            await connection.execute("SET LOCAL client_min_messages = warning")
            await connection.execute(TABLES_V1)
            await _grant(connection, _WRITER, quoted, writer_role)
            for role, uses in readers.items():
                await _grant(connection, _READER, quoted, role, uses)
            for role, prefix in owners.items():
                await _grant(connection, _WRITER, quoted, role, prefix=prefix)
    finally:
        await connection.close()


async def _grant(
    connection: Connection, statements: str, schema: str, role: str, uses: Collection[str] = (), *, prefix: str = ""
) -> None:
    row = await connection.fetchrow(
        "SELECT quote_ident($1) AS role, quote_ident($2) AS policy, quote_literal($3::text[]::text) AS uses, "
        "quote_literal($4) AS prefix",
        role,
        f"{role}_{'reads' if uses else 'writes'}",
        sorted(uses),
        prefix,
    )
    assert row is not None
    await connection.execute(statements.format(schema=schema, **row))


def _check(name: str, value: str, uses: Sequence[str]) -> None:
    if not _NAME.fullmatch(name):
        raise InvalidSecret("name", "up to 128 letters, digits, `.`, `_` and `-` are allowed, none of these at an end")
    _check_uses(uses)
    if not value or "\0" in value:
        raise InvalidSecret("value", "text of at least one character and without a zero byte is allowed")
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise InvalidSecret("value", "it is no text that can be written as UTF-8") from None
    if size > VALUE_BYTES:
        raise InvalidSecret("value", f"it has {size} bytes: at most {VALUE_BYTES} are allowed")


def _check_uses(uses: Sequence[str]) -> None:
    if not uses or not set(uses) <= set(USES):
        raise InvalidSecret("uses", f"one or more of {', '.join(USES)} are allowed")


def _about(name: str, version: int, uses: Sequence[str]) -> bytes:
    """What a ciphertext is bound to. Names and uses hold no line end."""
    return "\n".join(["signalbox secret", name, str(version), *sorted(uses)]).encode()


def _encrypt(cipher: AESGCM, plain: bytes, about: bytes) -> bytes:
    nonce = os.urandom(_NONCE)
    return nonce + cipher.encrypt(nonce, plain, about)


def _decrypt(cipher: AESGCM, sealed: bytes, about: bytes, name: str) -> bytes:
    try:
        return cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], about)
    except InvalidTag:
        raise SecretUnreadable(name, "what is stored was changed, or belongs to another name or version") from None


def _read_key(text: str) -> bytes:
    try:
        key = b64decode(text, validate=True)
    except (NotBase64, ValueError):
        raise ValueError("a key is not base64") from None
    if len(key) != _KEY:
        raise ValueError(f"a key has {len(key)} bytes: {_KEY} are needed")
    if len(set(key)) < _KEY // 4:  # zeros of an empty file, one letter again and again; of random keys one in 10^35
        raise ValueError("a key repeats few bytes: random bytes are needed")
    return key


def _info(row: Row) -> SecretInfo:
    return SecretInfo(
        row["name"],
        row["version"],
        tuple(row["uses"]),
        row["description"],
        row["created_at"],
        row["updated_at"],
        row["updated_by"],
    )
