"""Hypothesis strategies for events, made from the JSON Schema of each message.

Where a model checks how its fields fit together, no schema can say so: such parts are drawn from the golden samples.
"""

import json
import struct
from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st
from pydantic import BaseModel

from signalbox_contracts.envelope import Event
from signalbox_contracts.generate import schema_of
from signalbox_contracts.samples import samples

_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=8)
_NUMBER = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
Json: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | _NUMBER | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=5,
)
_INSTANT = st.datetimes(timezones=st.timezones(), allow_imaginary=False).map(lambda moment: moment.isoformat())
_FORMATS: dict[str, st.SearchStrategy[Any]] = {
    "date-time": _INSTANT.filter(lambda text: "1900" < text < "9000"),
    "date": st.dates().map(str),
    "uuid": st.uuids().map(str),
    "binary": st.just(""),
}
_SHOWN: dict[str, list[Any]] = {}


def _show(value: Any) -> None:
    if isinstance(value, BaseModel):
        if value.__pydantic_decorators__.model_validators:
            _SHOWN.setdefault(type(value).__name__, []).append(json.loads(value.model_dump_json(exclude_none=True)))
        for name in type(value).model_fields:
            _show(getattr(value, name))
    elif isinstance(value, Mapping):
        for part in value.values():  # pyright: ignore[reportUnknownVariableType]
            _show(part)
    elif isinstance(value, tuple):
        for part in value:  # pyright: ignore[reportUnknownVariableType]
            _show(part)


for _sample in samples():
    _show(_sample.event)


def events(message: type[Event[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """Documents of this message as somebody could have written them."""
    schema = schema_of(message)
    return _strategy(schema, schema)


def _strategy(schema: dict[str, Any], root: dict[str, Any]) -> st.SearchStrategy[Any]:
    if "$ref" in schema:
        name = schema["$ref"].removeprefix("#/$defs/")
        target = root["$defs"][name]
        return st.sampled_from(_SHOWN[target["title"]]) if target.get("title") in _SHOWN else _strategy(target, root)
    if "const" in schema:
        return st.just(schema["const"])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    members = schema.get("anyOf") or schema.get("oneOf")
    if members:
        return st.one_of([_strategy(member, root) for member in members])
    if "x-known-values" in schema:
        return st.sampled_from(schema["x-known-values"])
    return _of_type(schema, root)


def _of_type(schema: dict[str, Any], root: dict[str, Any]) -> st.SearchStrategy[Any]:
    match schema.get("type"):
        case "object":
            return _object(schema, root)
        case "array":
            return _array(schema, root)
        case "string":
            return _text(schema)
        case "integer":
            return st.integers(schema.get("minimum", 0), min(schema.get("maximum", 2**31), 2**31))
        case "number":
            low, high = schema.get("minimum", schema.get("exclusiveMinimum", 0)), schema.get("maximum", 1e6)
            short = high > 1 and _fits_single(low) and _fits_single(high)
            return st.floats(low, high, exclude_min="exclusiveMinimum" in schema, width=32 if short else 64)
        case "boolean":
            return st.booleans()
        case "null":
            return st.none()
        case _:
            return Json


def _fits_single(value: float) -> bool:
    """Whether a float of 32 bits has exactly this value: bounds of another width are refused by Hypothesis."""
    return struct.unpack("f", struct.pack("f", value))[0] == value


def _object(schema: dict[str, Any], root: dict[str, Any]) -> st.SearchStrategy[Any]:
    if "properties" not in schema:
        names, values = _names_and_values(schema)
        return st.dictionaries(names, _strategy(values, root) if values else Json, max_size=3)
    required = schema.get("required", [])
    parts = {name: _strategy(part, root) for name, part in schema["properties"].items()}
    always = {name: part for name, part in parts.items() if name in required or name == "type"}
    return st.fixed_dictionaries(always, optional={name: part for name, part in parts.items() if name not in always})


def _names_and_values(schema: dict[str, Any]) -> tuple[st.SearchStrategy[str], Any]:
    if "patternProperties" in schema:
        pattern, values = next(iter(schema["patternProperties"].items()))
        return st.from_regex(pattern.replace("$", r"\Z"), alphabet=st.characters(codec="ascii")), values
    values = schema.get("additionalProperties")
    free = values is True or values is None
    return st.from_regex(r"[a-z][a-z0-9._-]{0,8}", fullmatch=True), None if free else values


def _array(schema: dict[str, Any], root: dict[str, Any]) -> st.SearchStrategy[Any]:
    if "prefixItems" in schema:
        return st.tuples(*(_strategy(part, root) for part in schema["prefixItems"]))
    least = schema.get("minItems", 0)
    return st.lists(
        _strategy(schema["items"], root), min_size=least, max_size=min(schema.get("maxItems", 3), least + 2)
    )


def _text(schema: dict[str, Any]) -> st.SearchStrategy[str]:
    if "format" in schema:
        return _FORMATS[schema["format"]]
    if "pattern" in schema:
        value = st.from_regex(schema["pattern"].replace("$", r"\Z"), alphabet=st.characters(codec="ascii"))
        return value.filter(lambda text: len(text) <= schema.get("maxLength", 10_000) and "\x00" not in text)
    characters = st.characters(exclude_categories=["Cs"], exclude_characters="\x00")
    least = schema.get("minLength", 0)
    return st.text(characters, min_size=least, max_size=min(schema.get("maxLength", 20), least + 10))
