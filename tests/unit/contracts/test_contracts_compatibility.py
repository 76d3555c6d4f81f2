"""The compatibility check finds every kind of bad change: each of these was once let through by a simpler check."""

from copy import deepcopy
from typing import Any

import pytest

from signalbox_contracts.compatibility import breaking_changes, missing_messages

OLD: dict[str, Any] = {
    "type": "object",
    "required": ["id", "data"],
    "properties": {
        "id": {"type": "string", "maxLength": 10, "minLength": 1},
        "type": {"const": "a.v1", "default": "a.v1", "type": "string"},
        "count": {"type": "integer", "default": 0, "minimum": 0},
        "at": {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}], "default": None},
        "data": {"$ref": "#/$defs/Data"},
    },
    "$defs": {
        "Data": {
            "type": "object",
            "required": ["items"],
            "properties": {
                "items": {"type": "array", "items": {"$ref": "#/$defs/Item"}, "maxItems": 200},
                "what": {"discriminator": {}, "oneOf": [{"$ref": "#/$defs/Cat"}, {"$ref": "#/$defs/Dog"}]},
                "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                "params": {"type": "object", "patternProperties": {"^a": {"type": "integer"}}},
                "pair": {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}]},
                "parent": {"anyOf": [{"$ref": "#/$defs/Data"}, {"type": "null"}], "default": None},
            },
        },
        "Item": {
            "type": "object",
            "properties": {
                "state": {"type": "string", "x-known-values": ["A", "B"]},
                "mode": {"type": "string", "enum": ["x", "y"]},
                "key": {"type": "string", "pattern": "^a"},
            },
        },
        "Cat": {"type": "object", "properties": {"kind": {"const": "cat"}, "lives": {"type": "integer"}}},
        "Dog": {"type": "object", "properties": {"kind": {"const": "dog"}}},
    },
}
ITEM = ("$defs", "Item", "properties")
DATA = ("$defs", "Data", "properties")
GONE = object()

BAD: list[tuple[tuple[str | int, ...], Any, str]] = [
    (("properties", "count"), GONE, "message.count: removed"),
    (("properties", "count", "type"), "string", "message.count: retyped from integer to string"),
    (("properties", "count", "type"), "number", "message.count: retyped from integer to number"),
    (("properties", "count", "default"), 1, "message.count: its default was 0 and is 1"),
    (("properties", "count", "minimum"), 1, "message.count: narrowed: minimum"),
    (("properties", "count", "maximum"), 9, "message.count: narrowed: maximum was free"),
    (("properties", "id", "maxLength"), 9, "message.id: narrowed: maxLength"),
    (("properties", "type", "const"), "b.v1", "message.type: was always 'a.v1'"),
    (("properties", "at", "anyOf", 0, "format"), "date", "message.at: string date-time is no longer allowed"),
    (("properties", "at", "anyOf", 1), {"type": "integer"}, "message.at: integer is now allowed"),
    (
        ("properties", "at", "anyOf"),
        [{"type": "string", "format": "date-time"}],
        "message.at: null is no longer allowed",
    ),
    (("required",), ["id", "data", "count"], "message.count: newly required"),
    (("required",), ["id"], "message.data: no longer required"),
    (("$defs", "Data", "required"), ["items", "labels"], "message.data.labels: newly required"),
    ((*DATA, "items", "items"), {"type": "string"}, "message.data.items[]: retyped"),
    ((*DATA, "items", "maxItems"), 100, "message.data.items: narrowed: maxItems"),
    ((*DATA, "labels", "additionalProperties"), {"type": "integer"}, "message.data.labels{}: retyped"),
    ((*DATA, "labels", "additionalProperties"), False, "message.data.labels{}: narrowed"),
    ((*DATA, "params", "patternProperties", "^a"), {"type": "string"}, "message.data.params{}: retyped"),
    ((*DATA, "params", "patternProperties"), {"^b": {"type": "integer"}}, "message.data.params{name}: names were ^a"),
    ((*DATA, "pair", "prefixItems", 1), {"type": "integer"}, "message.data.pair[1]: retyped"),
    ((*DATA, "pair", "prefixItems"), [{"type": "integer"}], "message.data.pair: retyped from 2 positions to 1"),
    ((*DATA, "what", "oneOf"), [{"$ref": "#/$defs/Cat"}], "tagged dog is no longer allowed"),
    (("$defs", "Cat", "properties", "lives"), GONE, "lives: removed"),
    ((*ITEM, "state", "x-known-values"), ["A"], "state: enumeration narrowed by B"),
    ((*ITEM, "state"), {"type": "string", "enum": ["A", "B"]}, "state: closed enumeration"),
    ((*ITEM, "mode", "enum"), ["x"], "mode: enumeration narrowed by y"),
    ((*ITEM, "mode", "enum"), ["x", "y", "z"], "mode: closed enumeration grew by z"),
    ((*ITEM, "mode"), {"type": "string"}, "mode: opened enumeration"),
    ((*ITEM, "key", "pattern"), "^b", "key: its pattern was '^a'"),
]

GOOD: list[tuple[tuple[str | int, ...], Any]] = [
    (("properties", "new"), {"type": "string", "default": ""}),
    (("properties", "id", "maxLength"), 20),
    (("properties", "count", "description"), "how many"),
    ((*ITEM, "state", "x-known-values"), ["A", "B", "C"]),
    ((*ITEM, "key"), {"type": "string"}),
    ((*DATA, "what", "oneOf"), [{"$ref": "#/$defs/Cat"}, {"$ref": "#/$defs/Dog"}, {"$ref": "#/$defs/Emu"}]),
]


def changed(path: tuple[str | int, ...], value: Any) -> dict[str, Any]:
    new = deepcopy(OLD)
    new["$defs"]["Emu"] = {"type": "object", "properties": {"kind": {"const": "emu"}}}
    place: Any = new
    for part in path[:-1]:
        place = place[part]
    if value is GONE:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return new


@pytest.mark.parametrize(("path", "value", "reads_as"), BAD, ids=[reads_as for _, _, reads_as in BAD])
def test_a_bad_change_is_found_and_named(path: tuple[str | int, ...], value: Any, reads_as: str) -> None:
    found = breaking_changes(OLD, changed(path, value))
    assert any(reads_as in line for line in found), found


@pytest.mark.parametrize(("path", "value"), GOOD, ids=[".".join(map(str, path)) for path, _ in GOOD])
def test_an_addition_with_a_default_is_allowed(path: tuple[str | int, ...], value: Any) -> None:
    assert breaking_changes(OLD, changed(path, value)) == []


def test_nothing_changed_is_nothing_broken() -> None:
    assert breaking_changes(OLD, deepcopy(OLD)) == []


def test_a_definition_moved_under_another_name_is_not_a_change() -> None:
    new = deepcopy(OLD)
    new["$defs"]["Line"] = new["$defs"].pop("Item")
    new["$defs"]["Data"]["properties"]["items"]["items"] = {"$ref": "#/$defs/Line"}
    assert breaking_changes(OLD, new) == []


def test_a_message_that_is_gone_is_named() -> None:
    assert missing_messages(["a", "b"], ["b", "c"]) == ["a: the message is gone"]
