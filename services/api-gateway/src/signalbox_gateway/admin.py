"""`python -m signalbox_gateway admin …`: principals and their tokens, until users and roles have routes of their own;
and the read model made again from its owners.

A token is `sbt_<id>_<secret>`. It is printed once; the table keeps a hash of the secret. Exits 0, 1 (it cannot be done
as things are) or 2 (wrong words or settings).
"""

import argparse
import asyncio
import hashlib
import re
import secrets
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Final

import asyncpg

from signalbox_chassis.persistence.connection import Connection, connect, connect_arguments
from signalbox_chassis.settings import USAGE
from signalbox_gateway.read_model import prune
from signalbox_gateway.recovery import rebuild
from signalbox_gateway.settings import GatewaySettings

SERVICE: Final = "api-gateway"
ALL_PERMISSIONS: Final = ("*",)
_NAME: Final = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,199}$")
_ID_CHARACTERS: Final = "abcdefghijklmnopqrstuvwxyz0123456789"
_MAKE: Final = """
INSERT INTO token (id, principal, secret_hash, permissions, expires_at)
VALUES ($1, $2, $3, $4, now() + make_interval(days => $5)) RETURNING expires_at
"""
_LIST: Final = """
SELECT p.name, t.id, t.permissions, t.created_at, t.expires_at, t.revoked_at
FROM principal p LEFT JOIN token t ON t.principal = p.name ORDER BY p.name, t.created_at
"""


class CannotDo(Exception):
    """Why not, in words for people."""


async def create(connection: Connection, name: str, days: int | None) -> str:
    """A new principal with its first token, which may do everything. Raises `CannotDo` when the name is taken."""
    if not _NAME.match(name):
        raise CannotDo(f"{name[:100]!r} is not a name: up to 200 letters, digits, '.', '_', '@' and '-'")
    async with connection.transaction():
        made = await connection.fetchval(
            "INSERT INTO principal (name) VALUES ($1) ON CONFLICT DO NOTHING RETURNING name", name
        )
        if made is None:
            raise CannotDo(f"{name} is there already: `admin token {name}` makes another token")
        return await _token(connection, name, days)


async def token(connection: Connection, name: str, days: int | None) -> str:
    """One more token of a principal; its others stay good. Raises `CannotDo` when there is no such principal."""
    async with connection.transaction():
        if not await connection.fetchval("SELECT EXISTS (SELECT FROM principal WHERE name = $1)", name):
            raise CannotDo(f"there is no {name[:100]}: `admin create {name[:100]}` makes one")
        return await _token(connection, name, days)


async def revoke(connection: Connection, token_id: str) -> str:
    """Make a token worthless for good; the name of whom it belonged to. The whole token may be given as well."""
    id = token_id.removeprefix("sbt_").partition("_")[0]
    name: str | None = await connection.fetchval(
        "UPDATE token SET revoked_at = COALESCE(revoked_at, now()) WHERE id = $1 RETURNING principal", id
    )
    if name is None:
        raise CannotDo(f"there is no token {id[:20]}: `admin list` shows them")
    return name


async def listed(connection: Connection) -> list[str]:
    """One line a token: whose, its id, what it may, until when."""
    lines: list[str] = []
    for row in await connection.fetch(_LIST):
        if row["id"] is None:
            lines.append(f"{row['name']}  no token")
            continue
        state = _until(row["expires_at"], row["revoked_at"])
        lines.append(f"{row['name']}  {row['id']}  {','.join(row['permissions'])}  {state}")
    return lines


async def _token(connection: Connection, name: str, days: int | None) -> str:
    id = "".join(secrets.choice(_ID_CHARACTERS) for _ in range(12))
    secret = secrets.token_urlsafe(32)
    hashed = hashlib.sha256(secret.encode()).digest()
    await connection.fetchval(_MAKE, id, name, hashed, list(ALL_PERMISSIONS), days)
    return f"sbt_{id}_{secret}"


def _until(expires_at: datetime | None, revoked_at: datetime | None) -> str:
    if revoked_at:
        return f"revoked {revoked_at:%Y-%m-%d %H:%M} UTC"
    return f"until {expires_at:%Y-%m-%d %H:%M} UTC" if expires_at else "without end"


@asynccontextmanager
async def _connected(settings: GatewaySettings) -> AsyncGenerator[Connection]:
    schema = settings.database_schema or SERVICE.replace("-", "_")
    connection = await connect(settings.database_url.get_secret_value(), **connect_arguments(schema, "admin"))
    try:
        yield connection
    finally:
        await connection.close()


async def _do(arguments: argparse.Namespace, settings: GatewaySettings) -> None:
    async with _connected(settings) as connection:
        if arguments.command == "list":
            print("\n".join(await listed(connection)) or "nobody yet: `admin create NAME` makes the administrator")
        elif arguments.command == "rebuild":
            gone = await rebuild.empty(connection)
            print(f"emptied of {gone} plans; a running gateway asks their owners for everything within seconds")
        elif arguments.command == "rewrap":
            print(f"{await _rewrap(settings)} secrets are now wrapped with the newest key")
        elif arguments.command == "prune":
            await _prune(connection, arguments.days or settings.retention_days, dry_run=arguments.dry_run)
        elif arguments.command == "revoke":
            name = await revoke(connection, arguments.token_id)
            print(f"revoked; a running gateway takes the token of {name} for at most a few seconds more")
        else:
            act = create if arguments.command == "create" else token
            made = await act(connection, arguments.name, arguments.days)
            print("keep it, it is shown only now; `signalbox login` asks for it", file=sys.stderr)
            print(made)


async def _rewrap(settings: GatewaySettings) -> int:
    """Wrap every data key with the newest key of `SIGNALBOX_SECRET_KEY`; the others are not needed any more."""
    vault = settings.vault()
    if vault is None:
        raise CannotDo("no secrets are kept: SIGNALBOX_SECRETS_URL and SIGNALBOX_SECRET_KEY are not set")
    await vault.start()
    try:
        total = 0
        while done := await vault.rewrap():
            total += done
        return total
    finally:
        await vault.stop()


async def _prune(connection: Connection, days: int, *, dry_run: bool) -> None:
    """Delete what is older than `days`, batch by batch; or only count it."""
    total = await prune.count(connection, days)
    while not dry_run and any((await prune.prune(connection, days)).values()):
        pass
    counted = ", ".join(f"{number} {kind}" for kind, number in total.items())
    print(f"{'would delete' if dry_run else 'deleted'} what is older than {days} days: {counted}")


def _arguments(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m signalbox_gateway admin", description="principals, tokens, and the read model made again"
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for command, what in (("create", "a new principal with a token"), ("token", "one more token of a principal")):
        one = commands.add_parser(command, help=what)
        one.add_argument("name")
        one.add_argument("--days", type=_days, default=None, help="how long the token is good (without end)")
    commands.add_parser("revoke", help="make a token worthless").add_argument("token_id")
    commands.add_parser("list", help="who there is, with which tokens")
    commands.add_parser("rebuild", help="empty the read model and have it made again from its owners")
    commands.add_parser("rewrap", help="wrap all secrets with the newest of the keys")
    one = commands.add_parser("prune", help="delete what is past retention from the read model")
    one.add_argument("--days", type=_days, default=None, help="how long things stay (SIGNALBOX_RETENTION_DAYS)")
    one.add_argument("--dry-run", action="store_true", help="count, and delete nothing")
    return parser.parse_args(words)


def _days(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 3650:
        raise argparse.ArgumentTypeError(f"{text} is not allowed: 1 to 3650 days")
    return int(text)


def main(words: Sequence[str]) -> int:
    """Carry one command out; the exit code."""
    try:
        arguments = _arguments(words)
    except SystemExit as wrong:
        return USAGE if wrong.code else 0
    try:
        asyncio.run(_do(arguments, GatewaySettings.load()))
    except CannotDo as error:
        print(f"admin: {error}", file=sys.stderr)
        return 1
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        print(f"admin: the database: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0
