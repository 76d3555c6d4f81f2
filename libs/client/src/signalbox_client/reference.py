"""`docs/cli.md`, made from the commands."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import typer.main

from signalbox_client import exit_codes
from signalbox_client.app import app

FILE: Final = Path(__file__).parents[4] / "docs" / "cli.md"
_HEAD: Final = """# `signalbox`, the command line

Every command is a call of [the API](architecture/api.md); every operation has a command. Data goes to stdout,
messages to stderr. `-o json` prints the API's own answer and is stable; tables are not. `SIGNALBOX_API_URL` and
`SIGNALBOX_TOKEN` name the API and the token; else the context is used that `signalbox login` stored in
`$XDG_CONFIG_HOME/signalbox/contexts.json`, readable by its owner only. `signalbox --install-completion` adds completion
to your shell.

A command that waits (`--wait`, `watch`, `task logs -f`) keeps trying while the gateway is away, and says so on stderr:
until its limit (`--timeout`), or else for 5 minutes of each outage. Then its exit code is 5. What it starts is started
once: each of its requests is repeated under the same `Idempotency-Key`. `plan rules` has none and is not repeated.
A command that does not wait gives up after 3 s.

This page is generated (`make generate`).
"""


def text() -> str:
    """The page."""
    lines = [_HEAD, "| Exit code | |", "|---|---|"]
    lines += [f"| {code} | {words} |" for code, words in exit_codes.MEANING.items()]
    for name, command in commands():
        lines += [
            "",
            f"## `signalbox {name}`",
            "",
            (command.help or "").strip(),
            "",
            "```",
            _usage(name, command),
            "```",
        ]
        options = [_option(one) for one in command.params if _is_shown(one)]
        if options:
            lines += ["", "| Option | |", "|---|---|", *options]
    return "\n".join(lines) + "\n"


def commands() -> Iterator[tuple[str, Any]]:
    """Every command with its whole name, in order."""
    root: Any = typer.main.get_command(app)
    for name, command in sorted(root.commands.items()):
        inner = getattr(command, "commands", None)
        if inner is None:
            yield name, command
        else:
            yield from ((f"{name} {verb}", one) for verb, one in sorted(inner.items()))


def _usage(name: str, command: Any) -> str:
    given = [one for one in command.params if one.param_type_name == "argument"]
    arguments = [f"{one.name.upper()}{'...' if one.nargs == -1 else ''}" for one in given]
    options = ["[OPTIONS]"] if any(map(_is_shown, command.params)) else []
    return " ".join(["signalbox", name, *arguments, *options])


def _is_shown(parameter: Any) -> bool:
    return parameter.param_type_name == "option" and parameter.name != "help" and not parameter.hidden


def _option(parameter: Any) -> str:
    words = (parameter.help or "").replace("|", "\\|")
    return f"| `{', '.join(parameter.opts)}` | {words} |"
