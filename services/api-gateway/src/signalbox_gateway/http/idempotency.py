"""A write and its answer in one transaction, once for each `Idempotency-Key`."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

from fastapi import Request
from fastapi.responses import Response
from pydantic_core import from_json, to_json

from signalbox_chassis.persistence.database import UnitOfWork
from signalbox_gateway.http import auditing
from signalbox_gateway.http.access import Principal
from signalbox_gateway.http.bodies import body_hash
from signalbox_gateway.http.dependencies import Dependencies
from signalbox_gateway.http.etags import must_be_checked
from signalbox_gateway.http.problems import Problem
from signalbox_gateway.http.queries import idempotency_key
from signalbox_gateway.store import idempotency as store

__all__ = ["Answer", "idempotency_key", "write"]


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


async def write(
    request: Request, deps: Dependencies, principal: Principal, act: Callable[[UnitOfWork], Awaitable[Answer]], *,
    shown_once: Callable[[], dict[str, Any]] | None = None,
) -> Response:  # fmt: skip
    """Do it in one transaction. The same key and request again get the first answer; nothing is done twice.

    A refusal is not stored: it changed nothing, and the key may be used again. `shown_once` gives fields of the first
    answer that are stored nowhere.
    """
    key = idempotency_key(request) if request.method == "POST" else None
    if key is None:
        async with deps.database.unit_of_work() as work:
            answer = await _acted(request, deps, work, principal, act)
        return _first(answer, shown_once)
    request_hash = await body_hash(request)
    request_hash.update(f"\n{request.method} {request.url.path}?{request.url.query}".encode())
    async with deps.database.unit_of_work() as work:
        if not await store.lock(work.connection, principal.name, key):
            raise Problem("request-in-progress", f"the first request with key {key!r} is not answered yet")
        row = await store.load(work.connection, principal.name, key)
        if row is not None:
            if row["request_hash"] != request_hash.digest():
                raise Problem("idempotency-key-reused", f"key {key!r} belongs to a request with another path or body")
            body = from_json(row["answer"]) if row["answer"] is not None else None
            return Answer(body, row["status"], dict(from_json(row["headers"]))).response(replayed=True)
        answer = await _acted(request, deps, work, principal, act)
        stored = to_json(answer.body).decode() if answer.body is not None else None
        await store.save(
            work.connection, principal.name, key, request_hash.digest(), status=answer.status, answer=stored,
            headers=to_json(answer.headers).decode(),
        )  # fmt: skip
    return _first(answer, shown_once)


async def _acted(
    request: Request, deps: Dependencies, work: UnitOfWork, principal: Principal,
    act: Callable[[UnitOfWork], Awaitable[Answer]],
) -> Answer:  # fmt: skip
    """Do it. A route that did not check what it made, for a caller who may not make everything, has made nothing."""
    answer = await act(work)
    must_be_checked(request)
    if principal.unchecked:
        raise Problem("forbidden", f"this needs the permission {principal.unchecked[0]} everywhere")
    await auditing.add_done(
        request, deps, work.connection, status=answer.status, target=answer.headers.get("Location"), after=answer.body
    )
    return answer


def _first(answer: Answer, shown_once: Callable[[], dict[str, Any]] | None) -> Response:
    if shown_once is None:
        return answer.response()
    return replace(answer, body={**answer.body, **shown_once()}).response()
