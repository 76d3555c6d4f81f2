"""What commands are given: common options, files in YAML or JSON, values from a prompt."""

import json
import sys
import time
from dataclasses import replace
from math import isfinite
from pathlib import Path
from typing import Annotated, Any

import typer

from signalbox_client import contexts, documents
from signalbox_client.api import Api
from signalbox_client.output import FORMATS, plain
from signalbox_client.reconnect import Reconnect


def _format(value: str) -> str:
    if value not in FORMATS:
        raise typer.BadParameter(f"{value} is not allowed: {', '.join(FORMATS)}")
    return value


def finite(value: float | None) -> float | None:
    """The number of an option. Ends the command for `nan` and `inf`, which no limit is."""
    if value is not None and not isfinite(value):
        raise typer.BadParameter(f"{value} is no number of this option: leave it out for no limit")
    return value


Form = Annotated[str, typer.Option("-o", "--output", callback=_format, help=" | ".join(FORMATS))]
Reason = Annotated[str, typer.Option("--reason", help="the reason; kept with the action")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="do not ask")]
File = Annotated[str, typer.Option("-f", "--file", help="YAML or JSON; `-` is the standard input")]
Limit = Annotated[int, typer.Option("--limit", min=1, help="maximum number of entries")]
Everything = Annotated[bool, typer.Option("--all", help="all entries, page by page")]
Rate = Annotated[
    float | None, typer.Option("--starts-per-minute", min=0.001, callback=finite, help="maximum starts a minute")
]
State = Annotated[list[str] | None, typer.Option("--state", help="only these; repeatable")]
Label = Annotated[list[str] | None, typer.Option("--label", help="`key:value`; repeatable, all of them")]
Wait = Annotated[bool, typer.Option("--wait", help="wait for the end; the exit code shows the result")]
Timeout = Annotated[float | None, typer.Option("--timeout", min=0, callback=finite, help="maximum seconds to wait")]


chosen: list[str] = []
"""The context named by `--context`, if any."""


def api() -> Api:
    """The API of the context in use."""
    return contexts.api(chosen[0] if chosen else None)


class Waiting:
    """Whether a command waits for the end, and for how long: from when this is made, its first call included."""

    def __init__(self, wait: bool, timeout: float | None) -> None:
        self.wait = wait
        self._give_up_at = None if timeout is None else time.monotonic() + timeout

    @property
    def seconds(self) -> float | None:
        """What is left of the timeout; None is no limit."""
        return None if self._give_up_at is None else max(0.0, self._give_up_at - time.monotonic())

    def seconds_or(self, default: float) -> float:
        """What is left of the timeout, or else this."""
        return default if self.seconds is None else self.seconds

    def api(self) -> Api:
        """The API of the context in use. If the command waits, its calls outlast a restart of the gateway."""
        found = api()
        if not self.wait:
            return found
        reconnect = Reconnect(self._give_up_at)
        seconds = min(found.seconds, max(1.0, self.seconds_or(found.seconds)))
        return replace(found, retries=lambda: reconnect, seconds=seconds)


def document(file: str) -> dict[str, Any]:
    """The object in a file. Ends the command when there is none."""
    text = text_of(file)
    try:
        return documents.parse(text)
    except documents.InvalidDocument as error:
        raise typer.BadParameter(f"{file}: {error}") from None


def text_of(file: str) -> str:
    """The text in a file, with its line ends; `-` is the standard input. Ends the command when there is none."""
    name = "the standard input" if file == "-" else file
    try:
        return (sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()).decode()
    except OSError as error:
        raise typer.BadParameter(f"{name} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise typer.BadParameter(f"{name} is not UTF-8, at byte {error.start}") from None


def pairs(given: list[str] | None, option: str) -> dict[str, str]:
    """`name=value` as texts by name."""
    found: dict[str, str] = {}
    for one in given or ():
        name, equals, value = one.partition("=")
        if not equals or not name:
            raise typer.BadParameter(f"{one!r} is not name=value", param_hint=option)
        found[name] = value
    return found


def values(given: list[str] | None, option: str) -> dict[str, Any]:
    """`name=value` with values as JSON where they are JSON, such as 11, true or "11"; other values are texts."""
    return {name: _json_or_text(text) for name, text in pairs(given, option).items()}


def typed(given: dict[str, str], declared: dict[str, Any]) -> dict[str, Any]:
    """`name=value` texts as values of the declared parameters: a text stays the text it is."""
    return {
        name: text if declared.get(name, {}).get("type", "string") in ("string", "date") else _json_or_text(text)
        for name, text in given.items()
    }


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return text


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


def labels(given: list[str] | None) -> dict[str, str]:
    """`key=value` as labels: always texts."""
    found: dict[str, str] = {}
    for one in given or ():
        name, equals, value = one.partition("=")
        if not equals or not name:
            raise typer.BadParameter(f"{one!r} is not key=value", param_hint="--label")
        found[name] = value
    return found


def sure(question: str, yes: bool) -> None:
    """Ask before something is destroyed. Without a terminal `--yes` is needed."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise typer.BadParameter(f"{question} Give --yes to do it without being asked.")
    if not typer.confirm(plain(question), err=True):
        raise typer.Abort


def secret_value(what: str) -> str:
    """A value that must not be seen: from the standard input, or asked for without echo."""
    if sys.stdin.isatty():
        return typer.prompt(what, hide_input=True, err=True)
    return text_of("-").removesuffix("\n").removesuffix("\r")


def two_secret_values(first: str, second: str) -> tuple[str, str]:
    """Two values that must not be seen: a line each of the standard input, or asked for without echo."""
    if sys.stdin.isatty():
        return secret_value(first), typer.prompt(second, hide_input=True, confirmation_prompt=True, err=True)
    lines = [line.removesuffix("\r") for line in text_of("-").removesuffix("\n").split("\n")]
    if len(lines) != 2:
        raise typer.BadParameter(f"two lines are needed: the {first}, then the {second}")
    return lines[0], lines[1]


def row_limit(limit: int, everything: bool) -> int | None:
    return None if everything else limit
