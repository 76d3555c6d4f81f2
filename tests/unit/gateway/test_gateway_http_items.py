"""Bulk requests: each wrong item is named by its place, and a hundred thousand are read without holding others up."""

import asyncio
import json
import threading
import time
from typing import Any

import pytest
from fastapi import Request

from signalbox_contracts.messages.requests import RequestedItem
from signalbox_gateway.http import bodies
from signalbox_gateway.http.problems import MAX_ERRORS, Problem
from signalbox_gateway.plan_requests import validation


def item(number: int, **changes: Any) -> dict[str, Any]:
    work: dict[str, Any] = {"kind": "scripted", "script": {}}
    return {"key": f"item/{number}", "engine": "scripted", "work": work, **changes}


async def read_items(items: list[Any]) -> list[RequestedItem]:
    checked = await validation.read_items([json.dumps(one).encode() for one in items])
    return [one for page in checked.read_pages() for one in page]


async def refused(items: list[Any]) -> Problem:
    with pytest.raises(Problem) as caught:
        await read_items(items)
    assert caught.value.status == 422
    return caught.value


async def test_right_items_are_read_in_order() -> None:
    read = await read_items([item(number) for number in range(5)])
    assert [one.key for one in read] == [f"item/{number}" for number in range(5)]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"work": {"kind": "scripted", "scrpt": {}}}, "items.3.work.scripted.scrpt"),
        ({"work": {"kind": "cobol"}}, "items.3.work"),
        ({"key": ""}, "items.3.key"),
        ({"engin": "x"}, "items.3.engin"),
        ({"engine": None}, "items.3.engine"),
        ({"depends_on": ["item/0"]}, "items.3.depends_on"),
        ({"work": {"kind": "process", "argv": ["{{ params.day }}"]}}, "items.3.work.argv.0"),
        ({"work": {"kind": "process", "argv": ["{{ event_date"]}}, "items.3.work.argv.0"),
    ],
)
async def test_a_wrong_item_is_named_by_its_place(changes: dict[str, Any], field: str) -> None:
    items = [item(number) for number in range(5)]
    items[3] |= changes
    problem = await refused(items)
    assert [one.field for one in problem.errors] == [field]


async def test_the_place_of_an_item_far_behind_is_right() -> None:
    items = [item(number) for number in range(4500)]
    items[4321]["key"] = 7
    assert [one.field for one in (await refused(items)).errors] == ["items.4321.key"]


async def test_a_key_used_twice_names_both_items() -> None:
    problem = await refused([item(1), item(2), item(1)])
    assert problem.errors[0].field == "items.2.key"
    assert "items.0" in problem.errors[0].allowed


async def test_at_most_a_hundred_wrong_items_are_named() -> None:
    problem = await refused([item(number, engine=None) for number in range(1000)])
    assert len(problem.errors) == MAX_ERRORS


async def test_others_get_their_turn_while_a_hundred_thousand_items_are_read() -> None:
    """Without it a probe, a cancel or a log would wait for as long as the largest request takes."""
    items = [json.dumps(item(number)).encode() for number in range(100_000)]
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    began = time.monotonic()
    watching = asyncio.create_task(other())
    read = await validation.read_items(items)
    watching.cancel()
    assert len(read.keys) == 100_000
    assert turns > 20
    print(f"100,000 items read in {time.monotonic() - began:.2f} s, {turns} turns for others")


async def test_a_large_body_is_put_together_in_another_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """A join of 60 MiB on the loop is a pause of everybody else."""
    chunks = [b"a" * 70_000, b"b" * 70_000, b""]
    threads: set[int] = set()

    async def receive() -> dict[str, Any]:
        chunk = chunks.pop(0)
        return {"type": "http.request", "body": chunk, "more_body": bool(chunks)}

    def joined(parts: list[bytes]) -> bytes:
        threads.add(threading.get_ident())
        return b"".join(parts)

    monkeypatch.setattr(bodies, "_joined", joined)
    request = Request({"type": "http", "method": "POST", "headers": []}, receive)
    assert await bodies.large_body(request) == b"a" * 70_000 + b"b" * 70_000
    assert await bodies.large_body(request) is await request.body()
    assert threads
    assert threading.get_ident() not in threads


async def test_a_plan_has_a_bound_of_values_and_commas_in_texts_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """60 MiB of empty lists, which one token may send, took 1.7 GB of the gateway."""
    monkeypatch.setattr(validation, "MAX_PLAN_VALUES", 2000)
    long_text = [item(0, work={"kind": "scripted", "script": {"result": 'a,[{"' * 2000}})]
    assert len(await read_items(long_text)) == 1
    many = [item(number, work={"kind": "scripted", "script": {"result": [[]] * 400}}) for number in range(3)]
    assert len(await read_items(many[:2])) == 2
    problem = await refused(many)
    assert [(one.field, one.allowed) for one in problem.errors] == [
        ("items", "at most 2000 values are allowed in all items together")
    ]
