"""Bodies: their size is bounded before they are read, their fields are checked by name."""

import asyncio
from collections.abc import MutableMapping
from typing import Any, Final, TypeVar, cast

from fastapi import Request
from pydantic import BaseModel, JsonValue
from pydantic_core import from_json

from signalbox_gateway.http.problems import Problem, checked, invalid
from signalbox_gateway.http.traces import current_trace_id

MAX_BYTES: Final = 1_048_576
AWAY_BYTES: Final = 64 * MAX_BYTES
"""How much of a refused body is read and thrown away, in how long, before its connection ends."""
AWAY_SECONDS: Final = 3.0
JSON: Final = "application/json"
NO_ZERO: Final = "a zero byte is not allowed"
M = TypeVar("M", bound=BaseModel)


class Capped:
    """ASGI middleware: a body over its cap is answered 413 without being kept, whatever its headers say."""

    def __init__(self, app: Any, plan_body_bytes: int) -> None:
        self.app = app
        self.plan_body_bytes = plan_body_bytes

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        plans = scope["method"] == "POST" and scope["path"].rstrip("/") == "/api/v1/plans"
        most = self.plan_body_bytes if plans else MAX_BYTES
        headers = dict(scope["headers"])
        said = headers.get(b"content-length", b"")
        if said.isdigit() and int(said) > most:
            await _too_large(most)(scope, receive, _waiting_to_end(receive, send))
            return
        seen = 0

        async def counted() -> Any:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > most:
                raise Problem("too-large", f"at most {most} bytes are allowed here")
            return message

        async def answered(message: MutableMapping[str, Any]) -> None:
            await (_waiting_to_end(receive, send) if seen > most else send)(message)

        await self.app(scope, counted, answered)


def _too_large(most: int) -> Any:
    problem = Problem("too-large", f"at most {most} bytes are allowed here", headers={"Connection": "close"})
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
        await _read_away(receive)
        await send({"type": "http.response.body"})

    return sent


async def _read_away(receive: Any) -> None:
    left = AWAY_BYTES
    try:
        async with asyncio.timeout(AWAY_SECONDS):
            while left > 0:
                message = await receive()
                if not message.get("more_body"):
                    return
                left -= len(message.get("body", b""))
    except TimeoutError:
        pass


async def json_body(request: Request) -> dict[str, JsonValue]:
    """The body as a JSON object; nothing at all is an empty one."""
    raw = await request.body()
    if not raw:
        return {}
    _require_json(request)
    try:
        value: Any = from_json(raw, allow_inf_nan=False)
    except ValueError as error:
        raise invalid("body", None, f"is not JSON: {str(error)[:200]}") from None
    if not isinstance(value, dict):
        raise invalid("body", None, "a JSON object is expected")
    if b"\\u0000" in raw and (place := _zero(cast("JsonValue", value))) is not None:
        raise invalid(place or "body", None, NO_ZERO)
    return cast("dict[str, JsonValue]", value)


def _require_json(request: Request) -> None:
    """Refuse a body in another form. A body without `Content-Type` is taken as JSON."""
    media_type = request.headers.get("content-type", JSON).partition(";")[0].strip().lower()
    if media_type != JSON:
        raise Problem("unsupported-media-type", f"{media_type[:100]} is not allowed: {JSON} is")
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity":
        words = f"Content-Encoding {encoding[:100]} is not allowed: send the body as it is"
        raise Problem("unsupported-media-type", words)


def _zero(value: JsonValue) -> str | None:
    """Where a text with a zero byte is, which no database column takes; None for nowhere."""
    if isinstance(value, str):
        return "" if "\0" in value else None
    if isinstance(value, dict):
        inner = [(name.replace("\0", "?"), name if "\0" in name else one) for name, one in value.items()]
    else:
        inner = [(str(number), one) for number, one in enumerate(value)] if isinstance(value, list) else []
    for name, one in inner:
        found = _zero(one)
        if found is not None:
            return f"{name}.{found}" if found else name
    return None


DESCRIBED: Final[dict[str, type[BaseModel]]] = {}
"""The bodies that routes describe, by the name the API's document has them under."""


def body(model: type[BaseModel]) -> dict[str, Any]:
    """What a route that reads its body by itself says of it in the API's document."""
    DESCRIBED[model.__name__] = model
    reference = {"$ref": f"#/components/schemas/{model.__name__}Input"}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": reference}}}}


async def body_of(request: Request, model: type[M]) -> M:
    """The body as this model; unknown fields are refused."""
    return checked(model, await json_body(request))
