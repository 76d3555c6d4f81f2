"""Calls of the HTTP API. Synchronous, on the standard library: a command must start fast.

A call that changes something carries an `Idempotency-Key` of its own, so it is repeated after a lost answer without
being done twice.
"""

import ipaddress
import json
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse
from queue import Empty, SimpleQueue
from typing import Any, Final, Protocol, cast
from urllib.parse import quote, urlencode, urlsplit

BASE: Final = "/api/v1"
TRIES: Final = 4
MAX_BYTES: Final = 256 * 1024 * 1024
"""Most of an answer that is read: an untrusted one must not fill the memory."""


_NOT_OURS: Final = "does not answer as the API of Signalbox: is the address right?"


class Unreachable(Exception):
    """The API does not answer, or not as itself."""


class UnexpectedAnswer(Unreachable):
    """An answer lacks a field that this version of the command line needs."""


class RepeatedCursor(Unreachable):
    """A list leads back to a page that was read already."""


class Answer(dict[str, Any]):
    """An object of the API's JSON. A field that is read and is not there raises `UnexpectedAnswer`."""

    def __missing__(self, name: str) -> Any:
        raise UnexpectedAnswer(f"the answer has no field {name}: the API may have another version than this command")


def object_of(content: bytes | str) -> Answer | None:
    """The object of a JSON text; None if the text is something else."""
    try:
        found: Any = json.loads(content, object_hook=Answer)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, Answer) else None


class Refused(Exception):
    """The API answered with a problem (RFC 9457)."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        self.status = status
        self.slug = str(problem.get("type", "")).rpartition("/")[2] or str(status)
        self.detail = str(problem.get("detail") or problem.get("title") or f"HTTP {status}")
        self.errors: list[dict[str, Any]] = [one for one in _list(problem, "errors") if isinstance(one, dict)]
        self.trace_id = str(problem.get("trace_id", ""))
        self.users = [str(one) for one in _list(problem, "users")]
        self.kind = str(problem.get("kind", ""))
        """Of a definition that cannot be read, as `id`."""
        self.id = str(problem.get("id", ""))
        self.version: Any = problem.get("version")
        """The older version that cannot be read; None for the present form."""
        super().__init__(self.detail)


def _list(problem: Mapping[str, Any], name: str) -> list[Any]:
    """A list of a problem; empty where something else stands there."""
    found = problem.get(name)
    return cast("list[Any]", found) if isinstance(found, list) else []


Params = Mapping[str, "str | int | Sequence[str] | None"]
NOT_NOW: Final = ("request-in-progress", "unavailable")
"""Problems of a request that was not done, and may be later."""


class Retries(Protocol):
    """Whether a call that may be repeated is tried again, and when."""

    def failed(self, error: Unreachable | Refused) -> None:
        """Pause before the next try. Raises the error when there is none."""
        ...

    def answered(self) -> None:
        """A call was answered."""
        ...


class FewTries:
    """Tries within three seconds, of one call."""

    def __init__(self) -> None:
        self._failures = 0

    def failed(self, error: Unreachable | Refused) -> None:
        self._failures += 1
        if self._failures == TRIES or (isinstance(error, Refused) and error.slug not in NOT_NOW):
            raise error
        time.sleep(0.2 * 2**self._failures)

    def answered(self) -> None: ...


class _Stay(urllib.request.HTTPRedirectHandler):
    """An API that redirects is not ours: a token must not follow."""

    def redirect_request(self, req: Any, fp: Any, code: Any, msg: Any, headers: Any, newurl: Any) -> None:
        return None


@dataclass(frozen=True)
class Api:
    """One API, as one caller. `url` is without `/api/v1`; `seconds` is the most one try may take."""

    url: str
    token: str
    seconds: float = 90.0
    renew: Callable[[], str] | None = None
    """Gives a fresh token when the one in use has ended. Raises `Refused` when that is not possible."""
    retries: Callable[[], Retries] = FewTries
    """What decides about the tries of a call, asked for once a call."""
    _fresh: list[str] = field(default_factory=list[str])

    def get(self, path: str, params: Params | None = None) -> Any:
        """The object of an answer. Raises `Refused`, `Unreachable`."""
        return self._json("GET", path, params)

    def post(
        self, path: str, body: Any = None, *, headers: Mapping[str, str] | None = None, params: Params | None = None
    ) -> Any:
        return self._json("POST", path, params, body if body is not None else {}, headers)

    def put(self, path: str, body: Any, *, headers: Mapping[str, str] | None = None) -> Any:
        return self._json("PUT", path, None, body, headers)

    def delete(self, path: str, *, headers: Mapping[str, str] | None = None) -> Any:
        return self._json("DELETE", path, None, None, headers)

    def pages(self, path: str, params: Params | None = None, *, limit: int | None = None) -> Iterator[Any]:
        """The entries of a list, over as many pages as it takes; `limit` bounds them."""
        cursor: str | None = None
        used: set[str] = set()
        left = limit
        while left is None or left > 0:
            size = 200 if left is None else min(200, left)
            page: Any = self.get(path, {**(params or {}), "limit": size, "cursor": cursor})
            items, cursor = page.get("items"), page.get("next_cursor")
            if not isinstance(items, list):
                raise self._not_ours(200)
            yield from cast("list[Any]", items)
            left = None if left is None else left - len(cast("list[Any]", items))
            if not cursor:
                return
            if cursor in used:
                raise RepeatedCursor(f"{self.url} answers with a cursor of an earlier page: the list has no end")
            used.add(cursor)

    def stream(self, path: str, params: Params | None = None) -> Iterator[bytes]:
        """The bytes of an answer as they come, once it has begun. Reading raises `Unreachable` when it breaks off."""
        return _chunks(self._send("GET", path, params, None, {}))

    def _json(
        self, method: str, path: str, params: Params | None, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Any:
        raw = None if body is None else json.dumps(body).encode()
        given = {**(headers or {}), **({"Idempotency-Key": str(uuid.uuid4())} if method == "POST" else {})}
        # a PUT or DELETE whose answer was lost may have been done: again it would say what is no longer so
        again = method in ("GET", "POST")
        retries = self.retries()
        while True:
            try:
                status, content = self._call(method, path, params, raw, given)
                found = None if status == HTTPStatus.NO_CONTENT else self._read(status, content)
            except (Unreachable, Refused, OSError, HTTPException) as error:
                cause = error if isinstance(error, Unreachable | Refused) else Unreachable(str(error))
                if not (again or (isinstance(cause, Refused) and cause.slug in NOT_NOW)):
                    raise cause from None
                retries.failed(cause)
            else:
                retries.answered()
                return found

    def _read(self, status: int, content: bytes) -> Answer:
        """The object of a good answer. Raises `Refused` for what no API of ours answers."""
        found = object_of(content)
        if found is None:
            raise self._not_ours(status)
        return found

    def _not_ours(self, status: int) -> Refused:
        return Refused(status, {"detail": f"{self.url} {_NOT_OURS}"})

    @property
    def bearer(self) -> str:
        """The token in use."""
        return self._fresh[-1] if self._fresh else self.token

    def renewed(self) -> bool:
        """Take a fresh token, where there is a session that gives one."""
        if self.renew is None:
            return False
        self._fresh.append(self.renew())
        return True

    def _call(self, *request: Any) -> tuple[int, bytes]:
        """Status and content of the answer to one try. Raises `Unreachable` when it is not complete in `seconds`.

        The limit of a socket is for each of its waits: a server that sends a byte a second would never reach it.
        The thread of a try that took too long ends with the command.
        """
        results: SimpleQueue[tuple[int, bytes] | Exception] = SimpleQueue()

        def read() -> None:
            try:
                with self._send(*request) as response:
                    results.put((response.status, response.read(MAX_BYTES)))
            except Exception as error:  # raised again below
                results.put(error)

        threading.Thread(target=read, daemon=True, name="call of the API").start()
        try:
            result = results.get(timeout=self.seconds)
        except Empty:
            raise Unreachable(f"{self.url} gives no complete answer in {self.seconds:g} s") from None
        if isinstance(result, Exception):
            raise result
        return result

    def _send(
        self, method: str, path: str, params: Params | None, body: bytes | None, headers: Mapping[str, str]
    ) -> HTTPResponse:
        """One try; a second one with a fresh token when the first was refused for an old one."""
        try:
            return self._send_once(method, path, params, body, headers)
        except Refused as refused:
            if refused.status != 401 or not self.renewed():
                raise
            return self._send_once(method, path, params, body, headers)

    def _send_once(
        self, method: str, path: str, params: Params | None, body: bytes | None, headers: Mapping[str, str]
    ) -> HTTPResponse:
        path = path if path.startswith("/api/") else BASE + path
        request = urllib.request.Request(self.url.rstrip("/") + path + _query(params), data=body, method=method)
        request.add_header("Accept", "application/json")
        if token := self.bearer:
            request.add_header("Authorization", f"Bearer {token}")
        if body is not None:
            request.add_header("Content-Type", "application/json")
        for name, value in headers.items():
            request.add_header(name, value)
        try:
            return cast("HTTPResponse", _opener(self.url).open(request, timeout=self.seconds))
        except urllib.error.HTTPError as error:
            with error:
                raise _refused(self.url, error.code, error.read(1 << 20)) from None
        except urllib.error.URLError as error:
            raise Unreachable(f"{self.url} does not answer: {error.reason}") from None
        except (TimeoutError, OSError, HTTPException, UnicodeError, OverflowError) as error:  # a host, a port
            raise Unreachable(f"{self.url} does not answer: {error or type(error).__name__}") from None


def _chunks(response: HTTPResponse) -> Iterator[bytes]:
    with response:
        while True:
            try:
                chunk = response.read1(65_536)
            except (OSError, HTTPException) as error:
                raise Unreachable(f"the answer was incomplete: {error}") from None
            if not chunk:
                return
            yield chunk


def place(*parts: object) -> str:
    """A path of these parts, each quoted."""
    return "".join(f"/{quote(str(part), safe='')}" for part in parts)


def _query(params: Params | None) -> str:
    pairs: list[tuple[str, str]] = []
    for name, value in (params or {}).items():
        if value is None or value == "":
            continue
        values = [str(value)] if isinstance(value, str | int) else [str(one) for one in value]
        pairs += [(name, one) for one in values]
    return f"?{urlencode(pairs)}" if pairs else ""


def _refused(url: str, status: int, raw: bytes) -> Refused:
    return Refused(status, object_of(raw) or {"detail": f"HTTP {status}: {url} {_NOT_OURS}"})


def _opener(url: str) -> urllib.request.OpenerDirector:
    handlers: list[urllib.request.BaseHandler] = [_Stay()]
    if is_here(urlsplit(url).hostname or ""):
        handlers.append(urllib.request.ProxyHandler({}))  # a proxy cannot reach what is on this host
    return urllib.request.build_opener(*handlers)


def is_here(host: str) -> bool:
    """Whether a host is this one."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
