"""The command line: `signalbox-local fetch | up | down | status | env`. Exits 0, 1 (failure) or 2 (usage, settings)."""

import argparse
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from signalbox_local import folders
from signalbox_local.errors import CannotContinue
from signalbox_local.progress import Reporter
from signalbox_local.settings import load
from signalbox_local.stack import STOPPED, Row, Stack, as_json


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    stack = None
    try:
        settings = load()
        try:
            stack = Stack(settings, Reporter())
            return _COMMANDS[arguments.command](stack, arguments)
        except OSError as error:
            raise folders.in_words(error, settings.local) from error
    except CannotContinue as stopped:
        print(f"signalbox-local: {stopped}", file=sys.stderr)
        return stopped.exit_code
    except KeyboardInterrupt:
        print("signalbox-local: interrupted; `make down` stops what was started", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="signalbox-local", description="Kafka, PostgreSQL and Redis as local processes"
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("fetch", help="download what is missing, start nothing")
    up = commands.add_parser("up", help="start what does not run, and leave it running")
    up.add_argument("--services", action="store_true", help="and Signalbox itself on top of the servers")
    up.add_argument("--scripted", action="store_true", help="and the scripted engine, which runs what scripts say")
    up.add_argument("--console", action="store_true", help="and build the web console, once into the user's cache")
    up.add_argument("--brokers", type=int, choices=(1, 3), help="Kafka brokers (default: those there are, else 1)")
    commands.add_parser("down", help="stop what `up` started, and nothing else; data is kept")
    status = commands.add_parser("status", help="say what is healthy; exit 1 unless all is")
    status.add_argument("-o", "--output", choices=("table", "json"), default="table")
    commands.add_parser("env", help="print shell lines that point clients at the stack")
    return parser


def _fetch(stack: Stack, _: argparse.Namespace) -> int:
    started = time.monotonic()
    stack.fetch()
    stack.reporter.report(
        f"all there is to fetch is in {_short(stack.settings.cache)} ({time.monotonic() - started:.1f} s)"
    )
    return 0


def _up(stack: Stack, arguments: argparse.Namespace) -> int:
    started = time.monotonic()
    services = arguments.services or arguments.scripted
    console = stack.signalbox.console
    with console.building() if arguments.console and services else nullcontext():
        rows = stack.up(arguments.brokers, services=services, scripted=arguments.scripted)
    print(table(rows))
    if stack.signalbox.addresses():
        print(_welcome(stack))
    print(
        f"\nup in {time.monotonic() - started:.1f} s. Addresses for clients: {_short(stack.folder / 'env')} "
        "(`signalbox-local env`). `make down` stops it."
    )
    return 0 if all(row.fine for row in rows) else 1


def _welcome(stack: Stack) -> str:
    """Where the API is, who may use it, and what next."""
    signalbox = stack.signalbox
    file = _short(signalbox.token_file)
    lines = ["", f"API       {signalbox.api_url}/api/v1   (described at {signalbox.api_url}/docs)"]
    if stack.new_token:
        lines.append(f"token     {stack.new_token}   (shown once; kept in {file}, readable by you only)")
    else:
        lines.append(f"token     in {file}")
    if signalbox.console.built:
        lines.insert(
            1, f"console   {signalbox.api_url}/console/   (user admin, password in {_short(signalbox.password_file)})"
        )
    lines += [
        f"log in    signalbox login --url {signalbox.api_url} --token-file {file}",
        f'or        eval "$(signalbox-local env)"; export SIGNALBOX_TOKEN=$(cat {file})',
        "then      signalbox status; signalbox engine list; `make demo` runs a pipeline",
    ]
    return "\n".join(lines)


def _down(stack: Stack, _: argparse.Namespace) -> int:
    print("\n".join(stack.down()) or "nothing of this stack was running")
    return 0


def _status(stack: Stack, arguments: argparse.Namespace) -> int:
    rows = stack.status()
    print(as_json(rows) if arguments.output == "json" else table(rows))
    if arguments.output == "table" and all(row.state == STOPPED for row in rows):
        print("\nnothing runs: `make up` starts it")
    return 0 if all(row.fine for row in rows) else 1


def _env(stack: Stack, _: argparse.Namespace) -> int:
    print(stack.environment(), end="")
    return 0


_COMMANDS = {"fetch": _fetch, "up": _up, "down": _down, "status": _status, "env": _env}


def table(rows: Sequence[Row]) -> str:
    """Aligned columns; lines are as long as they need to be."""
    cells = [("SERVER", "STATE", "ADDRESS", "PID", "LOG")]
    cells += [(row.server, row.state, row.address, str(row.pid or "-"), _short(Path(row.log))) for row in rows]
    widths = [max(len(line[column]) for line in cells) for column in range(5)]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in cells
    )


def _short(path: Path) -> str:
    """Relative to the current folder where that is shorter."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


if __name__ == "__main__":
    sys.exit(main())
