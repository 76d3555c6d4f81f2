"""Bodies: strict JSON, cut into items without parsing the rest."""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox_gateway.http.item_stream import TURN_ITEMS, ItemStream, SplitBody
from signalbox_gateway.http.strict_json import (
    MAX_DEPTH,
    InvalidJson,
    _object,  # pyright: ignore[reportPrivateUsage]
    parse,
)

TEXTS = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**15), 10**15) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=8,
)


async def split(raw: bytes, *, max_items: int = 1000, max_item_bytes: int = 100_000) -> SplitBody:
    return await ItemStream(raw, "items", max_items, max_item_bytes, 100_000).read()


@given(items=st.lists(VALUES, max_size=20), ascii=st.booleans(), indent=st.sampled_from([None, 2]))
async def test_the_items_are_those_a_whole_parse_finds(items: list[Any], ascii: bool, indent: int | None) -> None:
    raw = json.dumps({"a": 1, "items": items, "z": [2]}, ensure_ascii=ascii, indent=indent).encode()
    body = await split(raw)
    assert body.fields == {"a": 1, "z": [2]}
    assert [json.loads(item) for item in body.items or []] == items


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b'{"items":[' + b"[]," * 2_000_000 + b"[]]}", "items: at most 1000 are allowed"),
        (b'{"items":[{"a":[' + b"{}," * 2_000_000 + b"{}]}]}", "items.0: at most 20000 values are allowed"),
        (b'{"items":[{"a":"' + b"a" * 200_000 + b'"}]}', "items.0: is larger than 100000 bytes"),
        (b'{"items":[12,,3]}', "is not JSON"),
        (b'{"items":[1,]}', "is not JSON"),
        (b'{"items":[1 2]}', "is not JSON"),
        (b'{"items":[1', "is not JSON"),
        (b'{"items":[1],}', "is not JSON"),
        (b'{"items":[1]} 2', "there is more after its end"),
        (b'{"items":[1],"items":[2]}', "items: is given more than once"),
        (b'{"a":1,"a":2}', "a: is given more than once"),
        (b'{"items":[{"b":1,"b":2}]}', "items.0.b: is given more than once"),
        (b'{"items":[1e400]}', "items.0: the number 1e400 is too large"),
        (b'{"items":[' + b"9" * 5000 + b"]}", "items.0: the number 9999"),
        (b'{"a":-' + b"9" * 400 + b"}", "a: the number -9999"),
        (b'{"items":[NaN]}', "NaN is no number"),
        (b'{"items":["\xff"]}', "is not UTF-8"),
        (b'{"items":["\\u0000"]}', "items.0: a zero byte is not allowed"),
        (b'{"items":[' + b"[" * 100 + b"]" * 100 + b"]}", f"at most {MAX_DEPTH} levels are allowed"),
        (b"[1]", "a JSON object is expected"),
    ],
)
async def test_a_body_that_no_hop_could_carry_is_refused_where_it_is_wrong(raw: bytes, words: str) -> None:
    with pytest.raises(InvalidJson) as caught:
        await split(raw)
    assert words in str(caught.value)


def test_what_is_as_deep_as_allowed_is_taken() -> None:
    text = "[" * MAX_DEPTH + "1" + "]" * MAX_DEPTH
    assert parse(text)[1] == len(text)
    with pytest.raises(InvalidJson):
        parse(f"[{text}]")
    with pytest.raises(InvalidJson):
        parse("[" * 200_000)
    with pytest.raises(InvalidJson, match="surrogate"):
        parse('"\\ud800"')


def test_too_many_values_are_refused_before_they_are_read() -> None:
    """Reading a million values to count them holds up everybody else; what is behind the last one is not looked at."""
    with pytest.raises(InvalidJson, match="at most 20000 values"):
        parse("[" + "1," * 20_000 + "this is no JSON")
    with pytest.raises(json.JSONDecodeError):
        parse("[" + "1," * 10_000 + "this is no JSON")
    commas = json.dumps(["," * 30_000, '\\",' * 10_000, "\\"])
    assert parse(commas) == (json.loads(commas), len(commas))
    many = json.dumps(["a,b"] * 19_999)
    assert parse(many)[1] == len(many)


def test_a_repeated_name_is_found_without_comparing_all_with_all() -> None:
    """One body of 600 KB kept the gateway from everybody else for two minutes."""
    compared = 0

    class Name(str):
        __slots__ = ()
        __hash__ = str.__hash__

        def __eq__(self, other: object) -> bool:
            nonlocal compared
            compared += 1
            return str.__eq__(self, other)

    pairs: list[tuple[str, Any]] = [(Name(f"k{n}"), n) for n in range(2000)]
    with pytest.raises(InvalidJson, match="k1999"):
        _object([*pairs, (Name("k1999"), 0)])
    assert compared < 20_000


@pytest.mark.parametrize("item", [b"[]", b"{}", b"1", b'"a"'])
async def test_others_have_their_turn_between_small_items(item: bytes) -> None:
    """Sixty thousand of them lie in 64 KiB."""
    body, turns = b'{"items":[' + b",".join([item] * 20_000) + b"]}", 0

    async def others() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    counting = asyncio.create_task(others())
    read = await ItemStream(body, "items", 100_000, 1000, 1000).read()
    counting.cancel()
    assert read.items == [item] * 20_000
    assert turns >= 20_000 // TURN_ITEMS // 2


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("{" + ",".join(f'"k{n}":1' for n in range(101)) + "}", "at most 100 fields"),
        ('{"items":[1,' + " " * 70_000 + "2]}", "bytes of white space"),
    ],
)
async def test_a_body_has_bounds_beside_its_items(body: str, why: str) -> None:
    with pytest.raises(InvalidJson, match=why):
        await ItemStream(body.encode(), "items", 100_000, 1000, 1000).read()
