"""`python -m signalbox_gateway admin …`: accounts and keys by command on the host, and rebuilds of the read model.

Exits 0, 1 (not possible now) or 2 (wrong arguments or settings).
"""

import argparse
import asyncio
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import asyncpg

from signalbox_chassis.persistence.connection import Connection, connect, connect_arguments
from signalbox_chassis.persistence.retention import add_prune_options, prune_all
from signalbox_chassis.security.vault import SecretUnreadable
from signalbox_chassis.settings import USAGE
from signalbox_gateway.read_model import prune
from signalbox_gateway.rewrap import rewrap_sources
from signalbox_gateway.settings import GatewaySettings
from signalbox_gateway.store import principals, rebuild

SERVICE: Final = "api-gateway"


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
            print(
                "\n".join(await principals.listed(connection))
                or "nobody yet: `admin create NAME` makes the administrator"
            )
        elif arguments.command == "rebuild":
            gone = await rebuild.empty(connection)
            print(f"emptied of {gone} plans; a running gateway asks their owners for everything within seconds")
        elif arguments.command == "rewrap":
            await _rewrap(connection, settings)
        elif arguments.command == "prune":
            days, batch = arguments.days or settings.retention_days, settings.prune_batch
            print(await prune_all(connection, prune.RETENTION, days, batch, dry_run=arguments.dry_run))
        elif arguments.command == "revoke":
            name = await principals.revoke(connection, arguments.token_id)
            print(f"revoked; a running gateway takes the token of {name} for at most a few seconds more")
        else:
            act = principals.create if arguments.command == "create" else principals.token
            made = await act(connection, arguments.name, arguments.days)
            print("keep it, it is shown only now; `signalbox login` asks for it", file=sys.stderr)
            print(made)


async def _rewrap(connection: Connection, settings: GatewaySettings) -> None:
    """Wrap every data key with the newest key of `SIGNALBOX_SECRET_KEY`; without an error the others can be dropped."""
    lost: list[str] = []
    try:
        sources = await rewrap_sources(connection, settings.secret_key.get_secret_value())
        print(f"{sources} event sources are now encrypted with the newest key")
    except SecretUnreadable as error:
        lost.append(f"no event source was encrypted again: {error}")
    vault = settings.vault()
    if vault is None:
        raise principals.CannotDo("no secrets are kept: SIGNALBOX_SECRETS_URL and SIGNALBOX_SECRET_KEY are not set")
    await vault.start()
    try:
        count, unreadable = await vault.rewrap()
    finally:
        await vault.stop()
    print(f"{count} secrets are now wrapped with the newest key")
    if unreadable:
        lost.append(f"{len(unreadable)} secrets have a key that was not given: {', '.join(unreadable[:20])}")
    if lost:
        raise principals.CannotDo(
            f"{'; '.join(lost)}. Name the older key too, or set them again; keep all keys until then"
        )


def _arguments(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m signalbox_gateway admin", description="accounts, keys, and a rebuild of the read model"
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for command, what in (("create", "create an account with a key"), ("token", "create another key of an account")):
        one = commands.add_parser(command, help=what)
        one.add_argument("name")
        one.add_argument("--days", type=_days, default=None, help="days until the key expires (default: never)")
    commands.add_parser("revoke", help="revoke a key").add_argument("token_id")
    commands.add_parser("list", help="list accounts with their keys")
    commands.add_parser("rebuild", help="empty the read model and rebuild it from its owners")
    commands.add_parser("rewrap", help="wrap all secrets with the newest of the keys")
    one = commands.add_parser("prune", help="delete what is past retention from the read model")
    add_prune_options(one)
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
    except principals.CannotDo as error:
        print(f"admin: {error}", file=sys.stderr)
        return 1
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        print(f"admin: the database: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0
