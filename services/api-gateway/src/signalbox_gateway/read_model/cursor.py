"""Cursors: where a page ended, opaque to the caller and checked when it comes back."""

import base64
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from signalbox_contracts.vocabulary import in_utc

SHAPES: Final[dict[str, tuple[type, ...]]] = {
    "plans": (datetime, UUID),
    "plans_by_end": (datetime, UUID),
    "dead_letters": (datetime, UUID),
    "incidents": (datetime, UUID),
    "deliveries": (datetime, UUID),
    "items": (int, UUID),
    "tasks_of_plan": (int, UUID),
    "tasks": (int,),
    "events": (int,),
    "attempts": (int,),
    "names": (str,),
    "audit": (int,),
    "bindings": (UUID,),
    "versions": (int,),
    "ticks": (datetime, UUID),
    "executions": (datetime, UUID),
    "workflows": (str,),
    "matches": (int,),
    "reprocessing": (datetime, UUID),
    "bulk_operations": (datetime, UUID),
    "bulk_items": (int,),
}


class BadCursor(ValueError):
    """It was not made by this route."""


def encode(kind: str, after: Sequence[Any] | None) -> str | None:
    """The cursor of the next page; None after the last one."""
    if len(after or SHAPES[kind]) != len(SHAPES[kind]):
        raise ValueError(f"a cursor of {kind} has {len(SHAPES[kind])} values")
    if after is None:
        return None
    return base64.urlsafe_b64encode(json.dumps([kind, *after]).encode()).decode().rstrip("=")


def decode(kind: str, cursor: str | None) -> list[Any] | None:
    """What `encode` took; raises `BadCursor`."""
    if cursor is None:
        return None
    try:
        origin, *after = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
        if origin != kind or len(after) != len(SHAPES[kind]):
            raise BadCursor(cursor[:100])
        for value, shape in zip(after, SHAPES[kind], strict=True):
            _check(value, shape)
    except (ValueError, TypeError, RecursionError) as wrong:
        raise BadCursor(cursor[:100]) from wrong
    return after


def _check(value: Any, shape: type) -> None:
    if shape is datetime:
        instant = datetime.fromisoformat(value)
        if instant.tzinfo is None:
            raise BadCursor("no zone")
        in_utc(instant)
    elif shape is UUID:
        if not isinstance(value, str):
            raise BadCursor("no id")
        UUID(value)
    elif shape is str:
        if not isinstance(value, str) or "\0" in value:
            raise BadCursor("no name")
        value.encode()  # half a surrogate pair is no text for the database
    elif type(value) is not int or not -(2**31) <= value < 2**63:
        raise BadCursor("no number")
