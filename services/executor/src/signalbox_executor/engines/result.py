"""What a run left as its result: JSON of at most 16 KiB that each hop can carry, or a reason that fails the attempt."""

from math import isfinite
from typing import Any, Final

from pydantic import JsonValue
from pydantic_core import from_json, to_json

from signalbox_contracts.vocabulary import RESULT_BYTES

MAX_DEPTH: Final = 32
"""Lists and objects in one another: PostgreSQL, Kafka's readers and browsers take this many without a thought."""


def read_result(data: bytes, size: int | None = None) -> JsonValue:
    """The value. `size` is how large it is where `data` was cut. Raises ValueError with a sentence for a person."""
    size = len(data) if size is None else size
    if size > RESULT_BYTES:
        raise ValueError(f"the result has {size} bytes: at most {RESULT_BYTES} are allowed")
    try:
        value: JsonValue = from_json(data, allow_inf_nan=False)
        written_size = len(to_json(value))
    except ValueError as error:
        raise ValueError(f"the result is no JSON: {error}") from None
    check_value(value)
    if written_size > RESULT_BYTES:  # numbers may be longer when written out
        raise ValueError(f"the result takes {written_size} bytes as JSON: at most {RESULT_BYTES} are allowed")
    return value


def check_value(value: JsonValue) -> None:
    """Raise ValueError for JSON that PostgreSQL or a reader of our facts cannot hold."""
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH + 1):
        below: list[Any] = []
        for part in level:
            if isinstance(part, str):
                _check_text(part)
            elif isinstance(part, int | float) and not isinstance(part, bool):
                _check_number(part)
            elif isinstance(part, dict):
                for key in part:  # pyright: ignore[reportUnknownVariableType]
                    _check_text(str(key))  # pyright: ignore[reportUnknownArgumentType]
                below += part.values()  # pyright: ignore[reportUnknownArgumentType]
            elif isinstance(part, list):
                below += part
        if not below:
            return
        level = below
    raise ValueError(f"the result is nested more than {MAX_DEPTH} levels deep")


def _check_text(text: str) -> None:
    if "\0" in text:
        raise ValueError("the result holds a zero character: text without it is allowed")


def _check_number(number: float) -> None:
    try:
        finite = isfinite(number)
    except OverflowError:
        finite = False
    if not finite:
        raise ValueError("the result holds a number beyond 1.8e308")
