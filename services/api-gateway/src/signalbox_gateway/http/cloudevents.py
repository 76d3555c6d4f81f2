"""CloudEvents over HTTP (binding 1.0.2): structured in the body, or binary with the attributes in `ce-` headers."""

import base64
from typing import Any, Final, cast
from urllib.parse import unquote

from fastapi import Request
from pydantic import JsonValue

from signalbox_gateway.http.bodies import JSON, NO_ZERO, json_body
from signalbox_gateway.http.problems import Problem, invalid

STRUCTURED: Final = "application/cloudevents+json"


async def attributes_of(request: Request) -> tuple[dict[str, Any], bool]:
    """The attributes and data of the event in a request, and whether it is our own plain form."""
    media_type = request.headers.get("content-type", JSON)
    kind = media_type.partition(";")[0].strip().lower()
    if kind.startswith("application/cloudevents-batch"):
        raise Problem("unsupported-media-type", f"{kind} is not allowed: send one event a request")
    if kind.startswith("application/cloudevents"):
        return cast("dict[str, Any]", await json_body(request, (STRUCTURED,))), False
    if "ce-specversion" in request.headers:
        return await _binary(request, media_type, kind), False
    return cast("dict[str, Any]", await json_body(request)), True


async def _binary(request: Request, media_type: str, kind: str) -> dict[str, Any]:
    found: dict[str, Any] = {
        name[3:]: unquote(value) for name, value in request.headers.items() if name.startswith("ce-")
    }
    for name, value in found.items():
        if "\0" in value:
            raise invalid(name, value, NO_ZERO)
    found["datacontenttype"] = media_type
    raw = await request.body()
    if kind == JSON or kind.endswith("+json"):
        found["data"] = await _json(request, kind, raw)
    elif kind.startswith("text/"):
        try:
            found["data"] = raw.decode()
        except UnicodeDecodeError:
            raise invalid("body", None, f"is not text in UTF-8, as {media_type[:100]} says") from None
        if b"\0" in raw:
            raise invalid("body", None, NO_ZERO)
    elif raw:
        found["data_base64"] = base64.b64encode(raw).decode()
    return found


async def _json(request: Request, kind: str, raw: bytes) -> JsonValue:
    if not raw:
        return None
    if raw.lstrip()[:1] == b"{":
        return await json_body(request, (kind,))
    from signalbox_gateway.http.strict_json import InvalidJson, parse

    try:
        text = raw.decode().strip()
        value, end = parse(text, 0)
    except (InvalidJson, ValueError) as error:
        raise invalid("body", None, f"is not JSON: {str(error)[:200]}") from None
    if text[end:].strip():
        raise invalid("body", None, "is not JSON: there is more after its end")
    return value
