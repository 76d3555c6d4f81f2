"""Reading events that others wrote: CloudEvents on Kafka, structured or binary (Kafka binding 1.0.2, section 3)."""

import base64
from collections.abc import Sequence
from datetime import datetime
from math import isfinite
from typing import Any, Final, cast

from pydantic_core import from_json

from signalbox_contracts.messages.triggers import TriggerEvent

Headers = Sequence[tuple[str, bytes | None]]

_STRUCTURED: Final = "application/cloudevents"


def read_outside(value: bytes, headers: Headers, record_time: datetime | None) -> TriggerEvent:
    """The event in a record of a trigger topic; raises `ValueError` (a pydantic `ValidationError` among them).

    Structured mode is told by its content type, binary mode by `ce_specversion`. A record with neither is read as
    structured, so that a plain `kcat -P` with a CloudEvents document works.
    """
    named = [(name.lower(), text or b"") for name, text in headers]
    # others are of the producer's own libraries, often of bytes
    texts = {name: text.decode() for name, text in named if name == "content-type" or name.startswith("ce_")}
    if any("\0" in text for text in texts.values()):
        raise ValueError("a header holds a NUL character, which PostgreSQL cannot store")
    binary = "ce_specversion" in texts and not texts.get("content-type", "").lower().startswith(_STRUCTURED)
    attributes = _binary(value, texts) if binary else _structured(value)
    if attributes.get("time") is None:
        if record_time is None:
            raise ValueError("time: the event has none and the record brings none")
        attributes["time"] = record_time
    return TriggerEvent.model_validate({name: part for name, part in attributes.items() if part is not None})


def _structured(value: bytes) -> dict[str, Any]:
    document = _json(value)
    if not isinstance(document, dict):
        raise ValueError("the value is not a JSON object with CloudEvents attributes")
    return cast("dict[str, Any]", document)


def _binary(value: bytes, texts: dict[str, str]) -> dict[str, Any]:
    attributes: dict[str, Any] = {name[3:]: text for name, text in texts.items() if name.startswith("ce_")}
    media_type = texts.get("content-type", "application/json")
    attributes["datacontenttype"] = media_type
    kind = media_type.split(";")[0].strip().lower()
    if not value:
        return attributes
    if kind.endswith(("/json", "+json")):
        attributes["data"] = _json(value)
    elif kind.startswith("text/"):
        attributes["data"] = value.decode()
        if b"\0" in value:
            raise ValueError("the text holds a NUL character, which PostgreSQL cannot store")
    else:
        attributes["data_base64"] = base64.b64encode(value).decode()
    return attributes


def _json(value: bytes) -> object:
    """The document; a number that is too large for a float is refused, because it would be stored as null."""
    document: object = from_json(value, allow_inf_nan=False)
    parts = [document]
    while parts:
        part = parts.pop()
        if isinstance(part, float) and not isfinite(part):  # 1e400: `allow_inf_nan` is about words only
            raise ValueError("a number is too large for a float of 64 bits")
        if isinstance(part, dict):
            parts += cast("dict[str, object]", part).values()
        elif isinstance(part, list):
            parts += cast("list[object]", part)
    return document
