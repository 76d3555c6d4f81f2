"""What a command's exit code says, and how its errors are told."""

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

import typer

from signalbox_client.api import Refused, Unreachable
from signalbox_client.contexts import BadContext, NotLoggedIn
from signalbox_client.output import echo, plain

DONE, BADLY, USAGE, MISSING, WHO, UNREACHABLE, INTERRUPTED = 0, 1, 2, 3, 4, 5, 130
MEANING: Final = {
    DONE: "done",
    BADLY: "the awaited work failed or was refused, or the output could not be written",
    USAGE: "the command or its input was wrong, or not possible now; nothing was changed",
    MISSING: "there is no such object",
    WHO: "not logged in, or not allowed",
    UNREACHABLE: "the API did not answer in time",
    INTERRUPTED: "interrupted; requested work continues",
}


class EndedBadly(Exception):
    """What was waited for is over, and not well."""


class TookTooLong(Exception):
    """Waiting was given up; what was waited for goes on."""


@contextmanager
def handle_errors() -> Generator[None]:
    """Turn what went wrong into words on stderr and an exit code."""
    try:
        yield
        print(end="", flush=True)  # what cannot be written is an error of this command, not of Python's exit
    except Refused as refused:
        for line in _refusal(refused):
            echo(plain(line))
        for user in refused.users:
            echo(f"  used by {plain(user)}")
        if refused.slug == "unreadable" and refused.version is None:
            for line in _repair(refused.kind, refused.id):
                echo(f"  {plain(line)}")
        echo(f"  problem {plain(refused.slug)}, trace {plain(refused.trace_id)}")
        sys.exit(_code(refused.status))
    except (NotLoggedIn, BadContext) as error:
        echo(f"error: {error}")
        sys.exit(WHO if isinstance(error, NotLoggedIn) else USAGE)
    except (Unreachable, TookTooLong) as error:
        echo(f"error: {plain(error)}")
        sys.exit(UNREACHABLE)
    except EndedBadly as error:
        echo(plain(error))
        sys.exit(BADLY)
    except BrokenPipeError:
        _discard_output()
        sys.exit(DONE)
    except OSError as error:
        echo(f"error: the output cannot be written: {error.strerror or error}")
        _discard_output()
        sys.exit(BADLY)
    except (KeyboardInterrupt, typer.Abort):
        echo("interrupted")
        sys.exit(INTERRUPTED)


def _discard_output() -> None:
    """Lead what is still buffered nowhere: Python would fail again when it ends, with another exit code."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _refusal(refused: Refused) -> list[str]:
    """What was refused, then each field; one line where the detail only repeats its one field."""
    fields = [
        (str(one.get("field", "")), f" {one['value']}" if one.get("value") else "", str(one.get("allowed", "")))
        for one in refused.errors
    ]
    if len(fields) == 1 and refused.detail == f"{fields[0][0]}: {fields[0][2]}":
        return [f"error: {''.join(fields[0][:2])}: {fields[0][2]}"]
    if len(fields) == 1 and refused.detail.endswith(f": {fields[0][0]}: {fields[0][2]}"):
        return [f"error: {refused.detail}"]
    return [f"error: {refused.detail}", *(f"  {field}{value}: {allowed}" for field, value, allowed in fields)]


def _repair(kind: str, id: str) -> list[str]:
    """What helps with a definition whose present form cannot be read."""
    return [
        f"`signalbox {kind} versions {id}` lists the versions that can be read",
        f"`signalbox {kind} update {id} -f FILE` replaces it, `signalbox {kind} delete {id}` removes it",
    ]


def _code(status: int) -> int:
    if status in (401, 403):
        return WHO
    if status == 404:
        return MISSING
    if status == 501:  # not set up: asking again changes nothing
        return USAGE
    return UNREACHABLE if status >= 500 or status < 400 else USAGE  # below 400: what answers is no API of ours
