"""What a new installation needs before anybody can use it: an administrator's token and the first engines."""

import json
import re
import secrets
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any, cast
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from signalbox_local import supervisor
from signalbox_local.errors import CannotContinue
from signalbox_local.secret import write_private
from signalbox_local.signalbox import Signalbox

ADMINISTRATOR = "admin"
TOKEN = re.compile(r"\bsbt_\w+_[\w-]+")
DAYS = 365
SECONDS = 15
ADMIN_SECONDS = 120
PASSWORD_BYTES = 15


def administrator(stack: Signalbox) -> str | None:
    """The token of an administrator, made when there is none that works; None when the one in the file does."""
    if stack.token_file.exists() and _works(stack):
        return None
    output = _admin(stack, "create", ADMINISTRATOR, "--days", str(DAYS))
    if not TOKEN.search(output):  # there is one already, whose token was lost
        output = _admin(stack, "token", ADMINISTRATOR, "--days", str(DAYS))
    token = TOKEN.search(output)
    if token is None:
        raise CannotContinue(f"no token was made: {output.strip()[-2000:]}", f"look at {stack.api.process.log}")
    write_private(stack.token_file, token.group())
    return token.group()


def password(stack: Signalbox) -> None:
    """Give the administrator a password for the console, once; it is kept beside the token."""
    if stack.password_file.exists():
        return
    made = secrets.token_urlsafe(PASSWORD_BYTES)
    _expect(ask(stack, "PUT", f"/users/{ADMINISTRATOR}", {"password": made}), 200)
    write_private(stack.password_file, made)


def engines(stack: Signalbox, *, scripted: bool) -> list[str]:
    """Define the engines that are not defined yet; returns their names."""
    wanted: list[dict[str, Any]] = [
        {
            "id": "local",
            "name": "Processes on this host",
            "description": "Runs the programs the operator allows",
            "connection": {"kind": "process"},
            "limits": {"concurrency": 8},
            "observe_every_seconds": 0.5,
        },
        {
            "id": "checks",
            "name": "Checks of addresses, files and processes",
            "description": "Needs no program: steps of kind `check` run here",
            "connection": {"kind": "check"},
            "limits": {"concurrency": 8},
            "observe_every_seconds": 0.5,
            "on_unknown": "retry",
        },
    ]
    if scripted:
        wanted.append(
            {
                "id": "scripted",
                "name": "The scripted engine",
                "description": "Runs nothing: a script says what shall happen",
                "connection": {"kind": "scripted", "url": stack.scripted_url},
                "limits": {"concurrency": 1000},
                "observe_every_seconds": 0.5,
            }
        )
    made: list[str] = []
    for engine in wanted:
        status, shown = ask(stack, "GET", f"/engines/{engine['id']}")
        if status == 404:
            _expect(ask(stack, "POST", "/engines", engine), 201)
            made.append(engine["id"])
        elif status == 200 and shown["connection"].get("url") != engine["connection"].get("url"):
            # the scripted engine's port moved
            _expect(ask(stack, "PUT", f"/engines/{engine['id']}", engine), 200)
            made.append(engine["id"])
    return made


def ask(stack: Signalbox, method: str, path: str, body: Mapping[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
    """Status and answer of the API, as the administrator."""
    request = Request(
        f"{stack.api_url}/api/v1{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={
            "Authorization": f"Bearer {stack.token_file.read_text().strip()}",
            "Content-Type": "application/json",
        },
    )
    try:
        with urlopen(request, timeout=SECONDS) as answer:
            return answer.status, _json(answer.read())
    except HTTPError as refused:
        return refused.code, _json(refused.read())
    except (URLError, OSError) as error:
        raise CannotContinue(f"{method} {request.full_url}: {error}", f"look at {stack.api.process.log}") from error


def _json(text: bytes) -> dict[str, Any]:
    try:
        body = json.loads(text or b"{}")
    except ValueError:
        return {"detail": text[:500].decode(errors="replace")}
    return cast("dict[str, Any]", body) if isinstance(body, dict) else {"detail": body}


def _expect(answer: tuple[int, dict[str, Any]], *expected: int) -> None:
    status, body = answer
    if status not in expected:
        raise CannotContinue(f"the API answered {status}: {json.dumps(body)[:1000]}", "`make down`, then `make up`")


def _works(stack: Signalbox) -> bool:
    return ask(stack, "GET", "/me")[0] == 200


def _admin(stack: Signalbox, *words: str) -> str:
    """The output of `python -m <the api's package> admin …`, run with that service's own settings."""
    spec = supervisor.read_spec(stack.api.folder)
    assert spec is not None, "the gateway runs"
    command: Sequence[str] = [sys.executable, "-m", stack.api_spec.package, "admin", *words]
    environment = dict(spec.environment)
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=ADMIN_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise CannotContinue(
            f"`{stack.api_spec.package} admin {words[0]}` took longer than {ADMIN_SECONDS} s",
            "`make up` again when the machine has less to do",
        ) from None
    return done.stdout + done.stderr
