"""What a command's exit code says, and how its errors are told."""

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
    BADLY: "what was waited for ended badly, or was refused",
    USAGE: "the command, its input or the moment was wrong; nothing was changed",
    MISSING: "there is no such thing",
    WHO: "not logged in, or not allowed",
    UNREACHABLE: "the API does not answer, or did not in time",
    INTERRUPTED: "interrupted; what was asked for goes on",
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
    except Refused as refused:
        echo(f"error: {plain(refused.detail)}")
        for one in refused.errors:
            value = f" {plain(one['value'])}" if one.get("value") else ""
            echo(f"  {plain(one.get('field', ''))}{value}: {plain(one.get('allowed', ''))}")
        for user in refused.users:
            echo(f"  used by {plain(user)}")
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
        sys.stderr.close()
        sys.exit(DONE)
    except (KeyboardInterrupt, typer.Abort):
        echo("interrupted")
        sys.exit(INTERRUPTED)


def _code(status: int) -> int:
    if status in (401, 403):
        return WHO
    if status == 404:
        return MISSING
    return UNREACHABLE if status >= 500 else USAGE
