"""Bodies: their size is bounded before they are read, their fields are checked by name."""

import asyncio
import hashlib
from collections.abc import MutableMapping
from dataclasses import replace
from typing import Any, Final, TypeVar, cast

from fastapi import Request
from pydantic import BaseModel, JsonValue

from signalbox_gateway.http.item_stream import ItemStream
from signalbox_gateway.http.problems import Problem, checked, invalid
from signalbox_gateway.http.strict_json import InvalidJson, parse
from signalbox_gateway.http.traces import current_trace_id

MAX_BYTES: Final = 1_048_576
DRAIN_BYTES: Final = 64 * MAX_BYTES
"""Limits for draining a rejected request body before its connection ends."""
DRAIN_SECONDS: Final = 3.0
JSON: Final = "application/json"
BODY_SECONDS: Final = 120.0
"""How long a body may take to come."""
_SPACE: Final = " \t\n\r"
NO_ZERO: Final = "a zero byte is not allowed"
M = TypeVar("M", bound=BaseModel)


class BodyLimit:
    """ASGI middleware: a body over its cap is answered 413 without being kept, whatever its headers say."""

    def __init__(self, app: Any, plan_body_bytes: int) -> None:
        self.app = app
        self.plan_body_bytes = plan_body_bytes

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        plans = scope["method"] == "POST" and scope["path"].rstrip("/") == "/api/v1/plans"
        max_bytes = self.plan_body_bytes if plans else MAX_BYTES
        headers = dict(scope["headers"])
        declared = headers.get(b"content-length", b"")
        if declared.isdigit() and int(declared) > max_bytes:
            await _too_large(max_bytes)(scope, receive, _waiting_to_end(receive, send))
            return
        seen, complete = 0, False
        deadline = asyncio.get_running_loop().time() + BODY_SECONDS

        async def counted() -> Any:
            nonlocal seen, complete
            if complete:
                return await receive()
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                raise Problem("timeout", f"a body must come within {BODY_SECONDS:g} s") from None
            complete = not message.get("more_body")
            seen += len(message.get("body", b""))
            if seen > max_bytes:
                raise Problem("too-large", f"at most {max_bytes} bytes are allowed here")
            return message

        async def answered(message: MutableMapping[str, Any]) -> None:
            await (_waiting_to_end(receive, send) if seen > max_bytes else send)(message)

        await self.app(scope, counted, answered)


def _too_large(max_bytes: int) -> Any:
    problem = Problem("too-large", f"at most {max_bytes} bytes are allowed here", headers={"Connection": "close"})
    return problem.response(current_trace_id())


def _waiting_to_end(receive: Any, send: Any) -> Any:
    """A `send` that ends the answer only after the client has sent all it wants to, within bounds.

    A connection that is closed with unread bytes is reset, and the client may lose the answer it was sent.
    """

    async def sent(message: MutableMapping[str, Any]) -> None:
        if message["type"] != "http.response.body" or message.get("more_body"):
            await send(message)
            return
        await send({**message, "more_body": True})
        await _drain_body(receive)
        await send({"type": "http.response.body"})

    return sent


async def _drain_body(receive: Any) -> None:
    left = DRAIN_BYTES
    try:
        async with asyncio.timeout(DRAIN_SECONDS):
            while left > 0:
                message = await receive()
                if not message.get("more_body"):
                    return
                left -= len(message.get("body", b""))
    except TimeoutError:
        pass


async def json_body(request: Request, media_types: tuple[str, ...] = (JSON,)) -> dict[str, JsonValue]:
    """The body as a JSON object; an empty body is an empty object."""
    _require_json(request, media_types)
    raw = await request.body()
    if not raw:
        return {}
    try:
        text = raw.decode()
        value, end = parse(text, len(text) - len(text.lstrip(_SPACE)))
        if text[end:].strip(_SPACE):
            raise InvalidJson("", "is not JSON: there is more after its end")
    except InvalidJson as error:
        raise invalid(error.field or "body", None, error.allowed) from None
    except ValueError as error:
        raise invalid("body", None, f"is not JSON: {str(error)[:200]}") from None
    if not isinstance(value, dict):
        raise invalid("body", None, "a JSON object is expected")
    return cast("dict[str, JsonValue]", value)


async def large_body(request: Request) -> bytes:
    """The body, put together in a thread: a join of 60 MiB holds neither the loop nor, in a thread, the GIL."""
    if not hasattr(request, "_body"):
        chunks = [chunk async for chunk in request.stream()]
        request._body = await asyncio.to_thread(_joined, chunks)  # pyright: ignore[reportPrivateUsage]
    return await request.body()


async def body_hash(request: Request) -> Any:
    """SHA-256 of the body, to go on with. It is kept when `split_body` gives a large body up."""
    if not hasattr(request.state, "body_hash"):
        request.state.body_hash = await asyncio.to_thread(hashlib.sha256, await request.body())
    return request.state.body_hash.copy()


def _joined(chunks: list[bytes]) -> bytes:
    joined = b"".join(chunks)
    chunks.clear()  # a thousand of them are given back here, not on the loop
    return joined


async def split_body(
    request: Request, name: str, *, max_items: int, max_item_bytes: int
) -> tuple[dict[str, JsonValue], list[bytes] | None]:
    """A large body: its fields, and the items of the list `name` as JSON texts, each within its cap.

    A body over `MAX_BYTES` is given up afterwards: its items are kept, and its hash.
    """
    _require_json(request)
    raw = await large_body(request)
    if not raw:
        return {}, None
    try:
        body = await ItemStream(raw, name, max_items, max_item_bytes, MAX_BYTES).read()
    except InvalidJson as error:
        raise invalid(error.field or "body", None, error.allowed) from None
    if len(raw) > MAX_BYTES:
        await body_hash(request)
        request._body = b""  # pyright: ignore[reportPrivateUsage]
    return body.fields, body.items


def _require_json(request: Request, media_types: tuple[str, ...] = (JSON,)) -> None:
    """Refuse a body in another form. A body without `Content-Type` is taken as JSON.

    Without a body its type does not matter: aiohttp says `application/octet-stream` then, `curl -d ''` names a form.
    """
    if request.headers.get("content-length") == "0":
        return
    media_type = request.headers.get("content-type", JSON).partition(";")[0].strip().lower()
    if media_type not in media_types:
        raise Problem("unsupported-media-type", f"{media_type[:100]} is not allowed: {media_types[0]} is")
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity":
        words = f"Content-Encoding {encoding[:100]} is not allowed: send the body as it is"
        raise Problem("unsupported-media-type", words)


DESCRIBED: Final[dict[str, type[BaseModel]]] = {}
"""The bodies that routes describe, by the name the API's document has them under."""


def body(model: type[BaseModel]) -> dict[str, Any]:
    """What a route that reads its body by itself says of it in the API's document."""
    DESCRIBED[model.__name__] = model
    reference = {"$ref": f"#/components/schemas/{model.__name__}Input"}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": reference}}}}


async def private_body_of(request: Request, model: type[M]) -> M:
    """The body as this model, where a field is a secret: a problem repeats no value."""
    try:
        return await body_of(request, model)
    except Problem as problem:
        problem.errors = tuple(replace(one, value=None) for one in problem.errors)
        raise


async def body_of(request: Request, model: type[M]) -> M:
    """The body as this model; unknown fields are refused."""
    return checked(model, await json_body(request))
