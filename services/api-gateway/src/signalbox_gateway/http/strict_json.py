"""JSON as RFC 8259 means it: no repeated names, no numbers without a value, no lone surrogates, no zero bytes.

Depth and the number of values are bounded: every service on the way must be able to carry what is accepted here.
"""

import json
import re
from collections.abc import Sequence
from math import isfinite
from typing import Any, Final, cast

MAX_DEPTH: Final = 64
"""Levels of lists and objects in one value. A message adds a few of its own; every hop carries far more."""
MAX_VALUES: Final = 20_000
"""Lists, objects and scalars in one body or item."""

_VALUE_AND_COMMA: Final = r"""(?:[^,"]*+(?:"[^"\\]*+(?:\\.[^"\\]*+)*+"[^,"]*+)*+,)"""
_MAX_VALUES: Final = re.compile(f"{_VALUE_AND_COMMA}{{{MAX_VALUES}}}", re.DOTALL)
"""Up to the comma behind the last value that is allowed. Commas in texts do not count; nothing is tried twice."""
MAX_DIGITS: Final = 308
"""Of a whole number: what a double carries too. Python reads 4,300, and not one more."""


class InvalidJson(ValueError):
    """`field` is the place, with dots; empty for the body itself. `allowed` says what would do."""

    def __init__(self, field: str, allowed: str) -> None:
        super().__init__(f"{field or 'body'}: {allowed}")
        self.field = field
        self.allowed = allowed


def parse(text: str, start: int = 0, *, short: bool = False) -> tuple[Any, int]:
    """The value that begins at `start`, and where it ends. Raises `json.JSONDecodeError`, `InvalidJson`.

    A text that is `short` need not be looked through before it is read.
    """
    cut = text if short else _cut(text, start)
    try:
        value, end = _DECODER.raw_decode(cut, start)
    except RecursionError:
        raise InvalidJson("", f"at most {MAX_DEPTH} levels are allowed") from None
    except json.JSONDecodeError as error:
        if len(cut) < len(text) and error.pos >= len(cut) - 1:
            raise InvalidJson("", f"at most {MAX_VALUES} values are allowed") from None
        raise
    check(value, text[start:end])
    return value, end


def _cut(text: str, start: int) -> str:
    """The text without what is behind too many values: reading a million of them would hold up everybody else."""
    if text.count(",", start) < MAX_VALUES:
        return text
    found = _MAX_VALUES.match(text, start)
    return text if found is None else text[: found.end()]


def check(value: Any, text: str) -> None:
    """Refuse what is nested too deeply, has too many values, or holds text that no column takes."""
    brackets = text.count("[") + text.count("{")
    deep, many, escapes = brackets > MAX_DEPTH, brackets + text.count(",") >= MAX_VALUES, "\\u" in text
    if deep or many or escapes:
        _walk(value, texts=escapes)


def _walk(value: Any, *, texts: bool) -> None:
    """Level by level, without recursion."""
    level: list[tuple[str, Any]] = [("", value)]
    depth = seen = 0
    while level:
        seen += len(level)
        if seen > MAX_VALUES:
            raise InvalidJson("", f"at most {MAX_VALUES} values are allowed")
        inner: list[tuple[str, Any]] = []
        for place, one in level:
            if isinstance(one, dict):
                fields = cast("dict[str, Any]", one)
                if texts:
                    for name in fields:
                        _check_text(_below(place, name.replace("\0", "?")), name)
                inner += [(_below(place, name), part) for name, part in fields.items()]
            elif isinstance(one, list):
                inner += [(_below(place, str(n)), part) for n, part in enumerate(cast("Sequence[Any]", one))]
            elif texts and isinstance(one, str):
                _check_text(place, one)
        if inner:
            depth += 1
            if depth > MAX_DEPTH:
                raise InvalidJson(inner[0][0][:200], f"at most {MAX_DEPTH} levels are allowed")
        level = inner


def _below(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def _check_text(place: str, text: str) -> None:
    if "\0" in text:
        raise InvalidJson(place, "a zero byte is not allowed")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidJson("", "is not JSON: half of a surrogate pair") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        seen: set[str] = set()
        repeated = next(name for name, _ in pairs if name in seen or seen.add(name))
        raise InvalidJson(repeated[:100], "is given more than once")
    return made


def _float(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise InvalidJson("", f"the number {text[:40]} is too large")
    return number


def _integer(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise InvalidJson("", f"the number {text[:40]} is too large")
    return int(text)


def _constant(text: str) -> float:
    raise InvalidJson("", f"is not JSON: {text} is no number")


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_object, parse_float=_float, parse_int=_integer, parse_constant=_constant
)
