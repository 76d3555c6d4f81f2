"""The repository of streams, asked once at the start: which connections the events of a stream go to."""

import json
import time
import urllib.request
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse, InvalidURL
from typing import Any, Final, cast
from urllib.error import HTTPError

SECONDS: Final = 30.0
"""How long the repository may be silent."""
ANSWER_SECONDS: Final = 120.0
"""How long its answer may take."""
MAX_BYTES: Final = 256 << 20
PASSING_STATUSES: Final = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS)
"""Client errors after which the same request may succeed. Any server error may pass as well."""


class RepositoryUnusable(Exception):
    """It refused the request, or did not answer with a list of streams. Another try changes nothing."""


class RepositoryAway(Exception):
    """It did not answer, or could not answer now. Another try may help."""


def fetch_streams(url: str, token: str) -> dict[str, tuple[str, ...]]:
    """Stream id or slug → connection ids. Raises `RepositoryUnusable`, `RepositoryAway`."""
    request = urllib.request.Request(url, headers={"Accept": "application/json"})
    if token:
        # a redirect may lead to another host, which must not get the token
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as response:
            kind = response.headers.get_content_type()
            body = _read(response)
    except (InvalidURL, ValueError) as error:
        raise RepositoryUnusable(f"the URL of the repository: {error}") from None
    except HTTPError as error:
        is_lasting = error.code < HTTPStatus.INTERNAL_SERVER_ERROR and error.code not in PASSING_STATUSES
        raise (RepositoryUnusable if is_lasting else RepositoryAway)(f"the repository answered {error}") from None
    except (OSError, HTTPException) as error:  # URLError is an OSError
        raise RepositoryAway(f"the repository does not answer: {error}") from None
    try:
        return parse_streams(json.loads(body))
    except ValueError as error:
        raise RepositoryUnusable(f"the repository answered {kind}, not a JSON list of streams: {error}") from None


def _read(response: HTTPResponse) -> bytes:
    """The body, in bounds of size and time: one that comes in drops would keep the worker for ever."""
    until = time.monotonic() + ANSWER_SECONDS
    body = bytearray()
    while piece := response.read1(1 << 20):
        body += piece
        if len(body) > MAX_BYTES:
            raise RepositoryUnusable(f"the repository answered more than {MAX_BYTES} bytes")
        if time.monotonic() > until:
            raise RepositoryAway(f"the repository did not end its answer within {ANSWER_SECONDS:g} s")
    return bytes(body)


def parse_streams(answer: Any) -> dict[str, tuple[str, ...]]:
    """The streams of an answer. An entry is a stream, or holds one as `stream`. Raises ValueError."""
    if not isinstance(answer, list):
        raise ValueError("a list is expected")
    found: dict[str, tuple[str, ...]] = {}
    for entry in cast("list[Any]", answer):
        if not isinstance(entry, dict):
            raise ValueError("an entry is not an object")
        fields = cast("dict[str, Any]", entry)
        stream = cast("dict[str, Any]", fields["stream"] if isinstance(fields.get("stream"), dict) else fields)
        ids = tuple(_connections(fields.get("asynchronousDestinations")))
        for name in (stream.get("id"), stream.get("slug")):
            if isinstance(name, str) and name and ids:
                found[name] = ids
    return found


def _connections(destinations: Any) -> list[str]:
    if not isinstance(destinations, list):
        return []
    ids: list[str] = []
    for one in cast("list[Any]", destinations):
        if isinstance(one, dict):
            known = cast("dict[str, Any]", one)
            id = known.get("connectionId") or known.get("id")
            if isinstance(id, str) and "," not in id:
                ids.append(id)
    return ids
