"""Where the API is and who we are: from the environment, else from a file only its owner can read."""

import fcntl
import json
import os
import re
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from signalbox_client.api import Api, is_here

URL, TOKEN, CONTEXT = "SIGNALBOX_API_URL", "SIGNALBOX_TOKEN", "SIGNALBOX_CONTEXT"
DEFAULT_URL = "http://127.0.0.1:8080"
_TOKEN = re.compile(r"[!-~]{1,8192}")


class NotLoggedIn(Exception):
    """No token is known for where the command goes."""


class BadContext(ValueError):
    """A context that is not there, or an address that is none."""


@dataclass(frozen=True)
class Context:
    """One API and one token: a key, or the access token of a session with what renews it."""

    url: str
    token: str
    username: str = ""
    refresh_token: str = field(default="", repr=False)


@dataclass
class Contexts:
    """All that are kept, and which one is in use."""

    current: str = ""
    known: dict[str, Context] = field(default_factory=dict[str, Context])


def file() -> Path:
    """`$XDG_CONFIG_HOME/signalbox/contexts.json`. Raises `BadContext`."""
    base = os.environ.get("XDG_CONFIG_HOME")
    try:
        return Path(base or Path.home() / ".config") / "signalbox" / "contexts.json"
    except RuntimeError:  # a user number without an account, as containers have
        raise BadContext(f"there is no home folder: set XDG_CONFIG_HOME, or {URL} and {TOKEN}") from None


def load() -> Contexts:
    try:
        if file().stat().st_mode & 0o077:
            raise BadContext(f"{file()} can be read by others: run chmod 600, and revoke its tokens")
        content = json.loads(file().read_text())
        known = {name: _context(one) for name, one in content["known"].items()}
        return Contexts(str(content["current"]), known)
    except FileNotFoundError:
        return Contexts()
    except BadContext:
        raise
    except OSError as error:
        raise BadContext(f"{file()} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadContext(f"{file()} cannot be read ({error}): remove it and log in again") from None


def _context(fields: dict[str, Any]) -> Context:
    """A context of the file. Raises ValueError, TypeError: people edit it, and another version may have written it."""
    if not all(isinstance(value, str) for value in fields.values()):
        raise ValueError("a field of a context is no text")
    context = Context(**fields)
    if not is_token(context.token):
        raise ValueError("the token of a context is none")
    return Context(**{**fields, "url": checked_url(context.url)})


def save(contexts: Contexts) -> None:
    """Replace the file; it is never readable by others, not for a moment. Raises `BadContext`."""
    content = {"current": contexts.current, "known": {n: asdict(c) for n, c in contexts.known.items()}}
    with _writing():
        handle, name = tempfile.mkstemp(dir=file().parent, prefix=".contexts-")  # made 0600
        try:
            with os.fdopen(handle, "w") as out:
                json.dump(content, out)
            Path(name).replace(file())
        except BaseException:  # a draft would keep tokens
            Path(name).unlink(missing_ok=True)
            raise


@contextmanager
def changed() -> Generator[Contexts]:
    """The contexts, saved when the block ends. Another command that changes them waits. Raises `BadContext`."""
    with _writing(), file().with_name("lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        contexts = load()
        yield contexts
        save(contexts)


@contextmanager
def _writing() -> Generator[None]:
    """The folder exists inside the block. Raises `BadContext` for what cannot be written."""
    try:
        file().parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        yield
    except OSError as error:
        raise BadContext(f"{file()} cannot be written: {error.strerror}") from None


def with_tokens(url: str, tokens: Mapping[str, Any]) -> Context:
    """A context of what a login answered."""
    return Context(url, str(tokens["access_token"]), str(tokens["username"]), str(tokens["refresh_token"] or ""))


def refresh(name: str | None = None) -> Context:
    """Go on with the session of a context, and keep its next tokens. Raises `NotLoggedIn`, `Refused`."""
    name, context = stored(name)
    if not context.refresh_token:
        raise NotLoggedIn("there is no session here: run `signalbox login --username NAME`")
    tokens: Any = Api(context.url, "").post("/auth/refresh", {"refresh_token": context.refresh_token})
    renewed = with_tokens(context.url, tokens)
    with changed() as kept:
        if kept.known.get(name) == context:  # else another command renewed or removed it meanwhile
            kept.known[name] = renewed
    return renewed


def _api_of(name: str, context: Context) -> Api:
    renew = (lambda: refresh(name).token) if context.refresh_token else None
    return Api(context.url, context.token, renew=renew)


def checked_url(url: str) -> str:
    """The address without a slash at its end. Raises `BadContext`."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise BadContext(f"{url!r} is not a URL: it begins with http:// or https://, then a host")
    return url.rstrip("/").removesuffix("/api/v1")


def is_token(text: str) -> bool:
    """Whether a text can be sent as a token."""
    return _TOKEN.fullmatch(text) is not None


def is_plain_and_remote(url: str) -> bool:
    """Whether what is sent there can be read on the way."""
    parts = urlsplit(url)
    return parts.scheme == "http" and not is_here(parts.hostname or "")


def api(name: str | None = None) -> Api:
    """What a command calls. A token given by the environment wins, then the named context, then the one in use."""
    name = name or os.environ.get(CONTEXT) or None
    token = os.environ.get(TOKEN, "").strip()
    if token and not is_token(token):
        raise BadContext(f"{TOKEN} is not a token: printable characters without spaces are allowed")
    if token and name is None:
        return Api(checked_url(os.environ.get(URL) or DEFAULT_URL), token)
    return _api_of(*stored(name))


def stored(name: str | None = None) -> tuple[str, Context]:
    """Name and content of the stored context that a command uses: the named one, that of the address in the
    environment, or the one in use. Raises `BadContext`, `NotLoggedIn`.
    """
    name = name or os.environ.get(CONTEXT) or None
    contexts = load()
    url = os.environ.get(URL)
    if url and name is None:
        # a token is only ever sent to where it was kept for
        for known, context in contexts.known.items():
            if context.url == checked_url(url):
                return known, context
        raise NotLoggedIn(f"there is no token for {url}: run `signalbox login --url {url}`, or set {TOKEN}")
    name = name or contexts.current
    context = contexts.known.get(name)
    if context is None:
        if name:
            raise BadContext(f"there is no context {name}: {', '.join(sorted(contexts.known)) or 'none is stored'}")
        raise NotLoggedIn(f"nobody is logged in: run `signalbox login --url URL`, or set {TOKEN}")
    return name, context


def forget(name: str) -> None:
    """Remove a context; no other one comes into use in its place."""
    with changed() as kept:
        kept.known.pop(name, None)
        if kept.current == name:
            kept.current = ""
