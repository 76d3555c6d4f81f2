"""A write and its answer in one transaction, once for each `Idempotency-Key`."""

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final

from fastapi import Request
from fastapi.responses import Response
from pydantic_core import from_json, to_json

from signalbox_chassis.persistence.database import UnitOfWork
from signalbox_gateway.http.access import Principal
from signalbox_gateway.http.dependencies import Dependencies
from signalbox_gateway.http.problems import Problem, invalid

KEPT_HOURS: Final = 24
_LOCK: Final = "SELECT pg_try_advisory_xact_lock(hashtextextended($1 || E'\\n' || $2, 0))"
_FOUND: Final = """
SELECT request_hash, status, answer, headers FROM idempotency
WHERE principal = $1 AND key = $2 AND created_at > now() - make_interval(hours => $3)
"""
_KEEP: Final = """
INSERT INTO idempotency (principal, key, request_hash, status, answer, headers) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (principal, key) DO UPDATE SET request_hash = excluded.request_hash, status = excluded.status,
    answer = excluded.answer, headers = excluded.headers, created_at = now()
"""
FORGET: Final = "DELETE FROM idempotency WHERE created_at < now() - make_interval(hours => $1)"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a write answers. `body` is JSON; None is an empty answer."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict[str, str])

    def response(self, *, replayed: bool = False) -> Response:
        headers = {**self.headers, **({"Idempotency-Replayed": "true"} if replayed else {})}
        if self.body is None:
            return Response(status_code=self.status, headers=headers)
        return Response(to_json(self.body), self.status, headers, media_type="application/json")


def idempotency_key(request: Request) -> str | None:
    """The key the caller gave, if any."""
    key = request.headers.get("idempotency-key")
    if key is not None and not (1 <= len(key) <= 255 and key.isascii() and key.isprintable()):
        raise invalid("Idempotency-Key", key, "1 to 255 printable ASCII characters are allowed")
    return key


async def write(
    request: Request, deps: Dependencies, principal: Principal, act: Callable[[UnitOfWork], Awaitable[Answer]]
) -> Response:
    """Do it in one transaction. The same key and request again get the first answer; nothing is done twice.

    A refusal is not kept: it changed nothing, and the key may be used again.
    """
    key = idempotency_key(request) if request.method == "POST" else None
    if key is None:
        async with deps.database.unit_of_work() as work:
            answer = await act(work)
        return answer.response()
    said = hashlib.sha256(await request.body())
    said.update(f"\n{request.method} {request.url.path}?{request.url.query}".encode())
    async with deps.database.unit_of_work() as work:
        if not await work.connection.fetchval(_LOCK, principal.name, key):
            raise Problem("request-in-progress", f"the first request with key {key!r} is not answered yet")
        row = await work.connection.fetchrow(_FOUND, principal.name, key, KEPT_HOURS)
        if row is not None:
            if row["request_hash"] != said.digest():
                raise Problem("idempotency-key-reused", f"key {key!r} belongs to a request with another path or body")
            body = from_json(row["answer"]) if row["answer"] is not None else None
            return Answer(body, row["status"], dict(from_json(row["headers"]))).response(replayed=True)
        answer = await act(work)
        kept = to_json(answer.body).decode() if answer.body is not None else None
        await work.connection.execute(
            _KEEP, principal.name, key, said.digest(), answer.status, kept, to_json(answer.headers).decode()
        )
    return answer.response()
